//! Records that changed in schema version 4: a gallery may be on its way from one protection to the next. What is not here
//! is as it was in version 3.

use std::fmt;

use serde::{Deserialize, Serialize};
use volar_core::id::ModelId;

use super::v1::{self, SecretBytes};
use super::{Kind, Record};

/// The schema version.
pub const VERSION: u8 = 4;

/// A gallery's protection and feed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Gallery {
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// The model that its references come from.
    pub model: ModelId,
    /// Names the feed; changes when numbers may have been given out twice, and with the generation.
    pub feed_id: [u8; 16],
    /// The protection key.
    pub key: SecretBytes<32>,
    /// While the gallery is protected anew: the generation that palms are put under, or the one that they are taken from.
    pub other: Option<Other>,
}

/// Another generation's protection.
#[derive(Clone, Serialize, Deserialize)]
pub struct Other {
    /// One more than the gallery's, or one less.
    pub generation: u32,
    /// Its key.
    pub key: SecretBytes<32>,
}

impl Record for Gallery {
    const KIND: Kind = Kind::Gallery;

    fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION {
            postcard::from_bytes(plain)
        } else {
            Ok(postcard::from_bytes::<v1::Gallery>(plain)?.into())
        }
    }
}

impl From<v1::Gallery> for Gallery {
    fn from(old: v1::Gallery) -> Self {
        let v1::Gallery { generation, model, feed_id, key } = old;
        Self { generation, model, feed_id, key, other: None }
    }
}

impl fmt::Debug for Gallery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gallery(secret)")
    }
}

impl fmt::Debug for Other {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Other(secret)")
    }
}
