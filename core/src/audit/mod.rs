//! The audit log's words: leaves, the Merkle tree over them (RFC 6962), signed tree heads, and what anybody can check
//! with nothing but those.
//!
//! A [`Leaf`] is a short text, hashed as it stands, so that it can be read, kept and checked without this crate. It
//! names nobody: where it is about a person it holds a [`commitment`], which the person's salt opens and which is a
//! random number to everybody once that salt is destroyed. A [`SignedHead`] is a checkpoint in the form that other
//! transparency logs use (C2SP `tlog-checkpoint`, a signed note), so that their witnesses can follow this log too.

mod head;
mod leaf;
mod tree;

use ring::hmac;

use crate::id::SubjectId;

pub use head::{HeadError, PublicKey, SignedHead, SigningKey, TreeHead};
pub use leaf::{Action, Leaf, LeafError, plain};
pub use tree::{
    Edge, Hash, LEAVES_MAX, consistency_ranges, inclusion_ranges, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};

/// Bytes of a salt.
pub const SALT: usize = 32;

/// What a leaf holds in place of a subject: HMAC-SHA-256 of the subject's 16 bytes under the leaf's own salt.
///
/// Every leaf has a salt of its own, so two leaves about one person have nothing in common for whoever lacks them.
pub fn commitment(salt: &[u8; SALT], subject: SubjectId) -> Hash {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    hmac::sign(&key, subject.as_bytes()).as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}
