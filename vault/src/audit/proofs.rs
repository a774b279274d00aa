//! What outsiders get of a log: heads, leaves, and proofs about them.

use std::ops::Range;

use volar_core::audit::{
    Edge, Hash, PublicKey, SignedHead, SigningKey, TreeHead, consistency_ranges, inclusion_ranges, leaf_hash, node_hash,
};
use volar_core::clock::Timestamp;
use volar_core::secret::Key;
use volar_service::identity::Peer;

use crate::error::VaultError;
use crate::format::audit::{AuditHead, AuditKey, AuditNode};
use crate::parameters::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::rows;
use crate::store::{Rows, Table};
use crate::vault::{Tenant, Vault};

use super::KEPT_LEVELS;

/// A log's newest head.
#[derive(Clone, Debug)]
pub struct LogHead {
    /// The head, signed.
    pub head: SignedHead,
    /// What checks it.
    pub key: PublicKey,
    /// Proves that the older tree asked about is its beginning.
    pub consistency: Vec<Hash>,
}

/// A leaf, and that it is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafProof {
    /// The leaf's text.
    pub leaf: String,
    /// Its index.
    pub index: u64,
    /// The proof, in RFC 6962's order.
    pub inclusion: Vec<Hash>,
    /// The tree's head, signed.
    pub head: SignedHead,
    /// What checks it.
    pub key: PublicKey,
}

impl Vault {
    /// The log's head now, and the proof that it continues a tree of `since` leaves (0: none wanted).
    pub fn audit_head(&self, peer: &Peer, since: u64) -> Result<LogHead, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let size = self.log_size(tenant)?;
        let Some(ranges) = consistency_ranges(since, size) else {
            return Err(VaultError::field(
                "since_size",
                format!("is {since}, the log has {size} leaves: it was cut, or is another's"),
            ));
        };
        let consistency = self.hashes(tenant, ranges)?;
        let signer = self.signer(tenant)?;
        let head = self.sign(tenant, &signer, size, self.clock.now())?;
        self.store.settle()?;
        Ok(LogHead { head, key: signer.public().clone(), consistency })
    }

    /// Texts of up to `limit` leaves from `from` on. `limit` 0 is the default.
    pub fn audit_leaves(&self, peer: &Peer, from: u64, limit: usize) -> Result<Vec<String>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        if limit > PAGE_SIZE_MAX {
            return Err(VaultError::field("page_size", format!("must be at most {PAGE_SIZE_MAX}")));
        }
        let limit = if limit == 0 { PAGE_SIZE_DEFAULT } else { limit };
        let until = self.log_size(tenant)?.min(from.saturating_add(limit as u64));
        let leaves = (from..until).map(|index| Ok(self.leaf(tenant, self.rows(), index)?.text));
        let leaves = leaves.collect::<Result<_, VaultError>>()?;
        self.store.settle()?;
        Ok(leaves)
    }

    /// Proves that leaf `index` is in the tree of `size` leaves (0: the newest).
    pub fn audit_leaf(&self, peer: &Peer, index: u64, size: u64) -> Result<LeafProof, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let newest = self.log_size(tenant)?;
        let size = if size == 0 { newest } else { size };
        if size > newest {
            return Err(VaultError::field("tree_size", format!("must be at most {newest}, the log's leaves")));
        }
        let proof = self.prove_leaf(tenant, index, size, self.clock.now())?;
        self.store.settle()?;
        Ok(proof)
    }

    /// The same, with a head dated `at`.
    pub(crate) fn prove_leaf(
        &self,
        tenant: &Tenant,
        index: u64,
        size: u64,
        at: Timestamp,
    ) -> Result<LeafProof, VaultError> {
        let ranges = inclusion_ranges(size, index);
        let ranges = ranges.ok_or_else(|| VaultError::field("index", format!("must be below {size}")))?;
        let signer = self.signer(tenant)?;
        Ok(LeafProof {
            leaf: self.leaf(tenant, self.rows(), index)?.text,
            index,
            inclusion: self.hashes(tenant, ranges)?,
            head: self.sign(tenant, &signer, size, at)?,
            key: signer.public().clone(),
        })
    }

    pub(super) fn newest_head(&self, tenant: &Tenant) -> Result<SignedHead, VaultError> {
        let size = self.log_size(tenant)?;
        let head = self.sign(tenant, &self.signer(tenant)?, size, self.clock.now())?;
        self.store.settle()?;
        Ok(head)
    }

    fn sign(&self, tenant: &Tenant, signer: &SigningKey, size: u64, at: Timestamp) -> Result<SignedHead, VaultError> {
        let root = self.subtree(tenant, self.rows(), 0..size)?;
        Ok(signer.sign(TreeHead { tenant: tenant.id.clone(), size, root, at }))
    }

    fn signer(&self, tenant: &Tenant) -> Result<SigningKey, VaultError> {
        let found = tenant.record::<AuditKey>(self.rows(), Table::AuditKeys, &rows::tenant(&tenant.id))?;
        let key = found.ok_or(VaultError::RecordMissing { kind: "audit key" })?;
        Ok(SigningKey::new(&tenant.id, &Key::new(*key.seed.expose())))
    }

    fn log_size(&self, tenant: &Tenant) -> Result<u64, VaultError> {
        let head = tenant.record::<AuditHead>(self.rows(), Table::AuditHeads, &rows::tenant(&tenant.id))?;
        Ok(head.unwrap_or_default().size)
    }

    fn hashes(&self, tenant: &Tenant, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, VaultError> {
        ranges.into_iter().map(|range| self.subtree(tenant, self.rows(), range)).collect()
    }

    /// The hash of the subtree over a range of leaves, from the nodes that are kept.
    fn subtree(&self, tenant: &Tenant, rows: &dyn Rows, range: Range<u64>) -> Result<Hash, VaultError> {
        let leaves = range.end - range.start;
        if leaves == 0 {
            return Ok(Edge::default().root());
        }
        if leaves == 1 {
            return Ok(leaf_hash(self.leaf(tenant, rows, range.start)?.text.as_bytes()));
        }
        let level = leaves.trailing_zeros();
        if leaves.is_power_of_two() && (level as usize).is_multiple_of(KEPT_LEVELS) {
            let row = rows::audit_node(&tenant.id, level as u8, range.start >> level);
            let node = tenant.record::<AuditNode>(rows, Table::AuditNodes, &row)?;
            return Ok(node.ok_or(VaultError::RecordMissing { kind: "audit node" })?.hash);
        }
        // RFC 6962: the left half is the largest power of two that is less than the whole.
        let middle = range.start + (1 << (leaves - 1).ilog2());
        let left = self.subtree(tenant, rows, range.start..middle)?;
        let right = self.subtree(tenant, rows, middle..range.end)?;
        Ok(node_hash(&left, &right))
    }
}
