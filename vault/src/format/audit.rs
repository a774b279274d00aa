//! Records of the audit log and of what is known by it, schema version 1.

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;

use super::v1::SecretBytes;
use super::{Kind, Record};

/// The right edge of a tenant's tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Leaves below it.
    pub size: u64,
    /// Hashes of its full subtrees, the largest first.
    pub peaks: Vec<[u8; 32]>,
}

/// A leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLeaf {
    /// The text that is hashed.
    pub text: String,
    /// The subject's [`Trail`] before this leaf as it lay, sealed under the subject's own key; empty without one.
    pub trail: Vec<u8>,
}

/// The hash of a full subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditNode {
    /// SHA-256.
    pub hash: [u8; 32],
}

/// What signs a tenant's tree heads.
#[derive(Clone, Serialize, Deserialize)]
pub struct AuditKey {
    /// Seed of an Ed25519 key pair.
    pub seed: SecretBytes<32>,
}

/// The end of a subject's trail through the log, sealed under the subject's key: destroyed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// Their newest leaf.
    pub leaf: u64,
    /// Their last interaction: the enrollment, a claim, or an entry with their second factor.
    pub seen_at: Timestamp,
}

/// Which leaf proves an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureProof {
    /// Its index.
    pub leaf: u64,
    /// Opens its commitment to the subject.
    pub salt: [u8; 32],
}

macro_rules! records {
    ($($name:ident),*) => {
        $(impl Record for $name {
            const KIND: Kind = Kind::$name;
        })*
    };
}
records!(AuditHead, AuditLeaf, AuditNode, AuditKey, Trail, ErasureProof);

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AuditKey(secret)")
    }
}
