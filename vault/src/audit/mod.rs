//! The audit log: one append-only Merkle tree a tenant, a leaf for everything that happens, appended in the transaction
//! that has the effect, so that neither exists without the other.
//!
//! A leaf is a row of its own. The head row holds the tree's right edge, so appending reads one row; of every 16 leaves,
//! 256, 4,096 … the root is kept too, so that a proof reads some dozens of rows however long the log is.
//!
//! A leaf about a person holds a commitment under a salt that comes from the person's key. Their leaves are linked
//! backwards by their [`Trail`], sealed under the same key. With the key both become noise: what stays in the log is
//! that something happened.

mod proofs;
mod publish;

use volar_core::audit::{Action, Edge, Leaf, commitment, leaf_hash, plain};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, SiteId, SubjectId};
use volar_service::identity::{Peer, Role};

use crate::error::VaultError;
use crate::format::audit::{AuditHead, AuditKey, AuditLeaf, AuditNode, Trail};
use crate::format::v1::SecretBytes;
use crate::rows;
use crate::store::{Rows, Table, Transaction};
use crate::vault::{SubjectKey, Tenant, Vault};

pub use proofs::{LeafProof, LogHead};

/// Levels between nodes that are kept.
const KEPT_LEVELS: usize = 4;
/// What a leaf says of a thing that was done.
pub(crate) const DONE: &str = "done";
/// What it says of a try that failed.
pub(crate) const REFUSED: &str = "refused";

/// Whom a leaf is about.
#[derive(Clone, Copy)]
pub(crate) enum About<'a> {
    /// Nobody.
    Nobody,
    /// Somebody enrolled; `seen` if they took part, so that their retention term begins anew.
    Living { key: &'a SubjectKey, seen: bool },
    /// Somebody who is being erased, under a salt that their receipt tells.
    Erased { subject: SubjectId, salt: [u8; 32] },
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor(String);

impl Actor {
    /// The vault, by itself.
    pub(crate) fn vault() -> Self {
        Self("vault".to_owned())
    }

    /// A reader, as a matcher names it.
    pub(crate) fn reader(role: Role, site: &SiteId, device: &DeviceId) -> Self {
        Self(format!("{role}/{site}/{device}"))
    }
}

impl From<&Peer> for Actor {
    fn from(peer: &Peer) -> Self {
        Self::reader(peer.role, &peer.site, &peer.device)
    }
}

impl Vault {
    /// Appends a leaf about nobody to the log of every tenant: of what concerns all of them.
    pub(crate) fn note_everywhere(
        &self,
        transaction: &dyn Transaction,
        peer: &Peer,
        action: Action,
        what: &str,
    ) -> Result<(), VaultError> {
        for tenant in self.tenants.values() {
            // One tenant's log does not name another's operator.
            let actor = if tenant.id == peer.tenant { peer.into() } else { Actor::vault() };
            self.note(tenant, transaction, &actor, action, About::Nobody, what)?;
        }
        Ok(())
    }

    /// Appends a leaf, in the transaction that has the effect; returns its index.
    pub(crate) fn note(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        actor: &Actor,
        action: Action,
        about: About<'_>,
        detail: &str,
    ) -> Result<u64, VaultError> {
        self.note_outcome(tenant, transaction, actor, action, about, (DONE, detail))
    }

    /// The same of what may have failed: its outcome, and what else there is to say.
    pub(crate) fn note_outcome(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        actor: &Actor,
        action: Action,
        about: About<'_>,
        (outcome, detail): (&str, &str),
    ) -> Result<u64, VaultError> {
        let row = rows::tenant(&tenant.id);
        let AuditHead { size, peaks } = tenant.record(transaction, Table::AuditHeads, &row)?.unwrap_or_default();
        let mut edge = Edge { size, peaks };
        let (index, at) = (edge.size, self.clock.now());
        let (subject, trail) = match about {
            About::Nobody => (None, Vec::new()),
            About::Erased { subject, salt } => (Some(commitment(&salt, subject)), Vec::new()),
            About::Living { key, seen } => {
                let before = self.lengthen_trail(tenant, transaction, key, index, seen.then_some(at))?;
                (Some(commitment(&key.audit_salt(index), key.subject)), before)
            }
        };
        debug_assert!(detail.is_empty() || plain(detail), "{detail}");
        let leaf = Leaf {
            tenant: tenant.id.clone(),
            index,
            at,
            actor: actor.0.clone(),
            action,
            subject,
            outcome: outcome.to_owned(),
            detail: detail.to_owned(),
        };
        let text = leaf.to_text();
        for (level, hash) in edge.push(leaf_hash(text.as_bytes())).into_iter().enumerate() {
            if level > 0 && level % KEPT_LEVELS == 0 {
                let row = rows::audit_node(&tenant.id, level as u8, index >> level);
                self.put(tenant, transaction, Table::AuditNodes, &row, &AuditNode { hash })?;
            }
        }
        let leaf_row = rows::audit_leaf(&tenant.id, index);
        self.put(tenant, transaction, Table::AuditLeaves, &leaf_row, &AuditLeaf { text, trail })?;
        let head = AuditHead { size: edge.size, peaks: edge.peaks };
        self.put(tenant, transaction, Table::AuditHeads, &row, &head)?;
        Ok(index)
    }

    /// Makes leaf `index` the end of a subject's trail; returns the end before it, sealed as it lay.
    fn lengthen_trail(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        key: &SubjectKey,
        index: u64,
        seen: Option<Timestamp>,
    ) -> Result<Vec<u8>, VaultError> {
        let row = rows::subject(&tenant.id, key.subject);
        let before = transaction.read(Table::Trails, &row)?.unwrap_or_default();
        let seen_at = match (seen, before.is_empty()) {
            (Some(now), _) => now,
            (None, true) => self.clock.now(),
            (None, false) => key.open::<Trail>(tenant, &row, &before)?.seen_at,
        };
        let trail = Trail { leaf: index, seen_at };
        transaction.put(Table::Trails, &row, &key.seal(tenant, &row, &trail, &*self.randomness))?;
        Ok(before)
    }

    /// A living subject's leaves, oldest first, each with the salt that opens it.
    pub(crate) fn trail(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        key: &SubjectKey,
    ) -> Result<Vec<(String, [u8; 32])>, VaultError> {
        let row = rows::subject(&tenant.id, key.subject);
        let mut sealed = rows.read(Table::Trails, &row)?.unwrap_or_default();
        let mut leaves = Vec::new();
        while !sealed.is_empty() {
            let Trail { leaf, .. } = key.open(tenant, &row, &sealed)?;
            let found = self.leaf(tenant, rows, leaf)?;
            leaves.push((found.text, key.audit_salt(leaf)));
            sealed = found.trail;
        }
        leaves.reverse();
        Ok(leaves)
    }

    /// When a subject last took part; `None` in a store older than the log.
    pub(crate) fn last_seen(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        key: &SubjectKey,
    ) -> Result<Option<Timestamp>, VaultError> {
        let row = rows::subject(&tenant.id, key.subject);
        let Some(sealed) = rows.read(Table::Trails, &row)? else { return Ok(None) };
        Ok(Some(key.open::<Trail>(tenant, &row, &sealed)?.seen_at))
    }

    fn leaf(&self, tenant: &Tenant, rows: &dyn Rows, index: u64) -> Result<AuditLeaf, VaultError> {
        let found = tenant.record(rows, Table::AuditLeaves, &rows::audit_leaf(&tenant.id, index))?;
        found.ok_or(VaultError::RecordMissing { kind: "audit leaf" })
    }

    /// Makes the key that signs a tenant's heads, unless there is one.
    pub(crate) fn open_audit(&self, tenant: &Tenant) -> Result<(), VaultError> {
        let row = rows::tenant(&tenant.id);
        self.store.write(|transaction| {
            if transaction.read(Table::AuditKeys, &row)?.is_some() {
                return Ok(());
            }
            let seed = zeroize::Zeroizing::new(self.randomness.bytes::<32>());
            self.put(tenant, transaction, Table::AuditKeys, &row, &AuditKey { seed: SecretBytes::new(*seed) })?;
            let what = "the key that signs tree heads was made";
            self.note(tenant, transaction, &Actor::vault(), Action::Key, About::Nobody, what)?;
            Ok(())
        })
    }
}
