//! Records that changed in schema version 5: a follower's row says how far it has come, for vaults that share the store.
//! What is not here is as it was in version 4.

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;

use super::{Kind, Record, v1};

/// The schema version.
pub const VERSION: u8 = 5;

/// A matcher that follows a gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// When it last began to, or was known to.
    pub seen_at: Timestamp,
    /// Up to which number of the feed everything has taken effect in it.
    pub acknowledged: u64,
    /// Which opening of a vault it follows.
    pub vault: [u8; 16],
    /// Until when that vault answers for its following, unless it says so again. In a store that is not shared, never.
    pub here_until: Timestamp,
}

impl Record for Follower {
    const KIND: Kind = Kind::Follower;

    fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION {
            postcard::from_bytes(plain)
        } else {
            Ok(postcard::from_bytes::<v1::Follower>(plain)?.into())
        }
    }
}

impl From<v1::Follower> for Follower {
    fn from(old: v1::Follower) -> Self {
        let never = Timestamp::from_unix_milliseconds(0);
        Self { seen_at: old.seen_at, acknowledged: 0, vault: [0; 16], here_until: never }
    }
}
