//! What a backup is made of. Its head is plain, so that backups can be listed without a key; head and body are
//! authenticated together.
//!
//! ```text
//! VOLARBAK | length of head 4 | head | nonce 12 | AES-256-GCM of the body, authenticated with all before
//! ```

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;
use volar_core::id::TenantId;
use volar_core::randomness::Randomness;

use super::BackupError;
use super::folder::{BackupKeys, Folder, PieceId};
use super::pieces::Pieces;
use crate::keys::Entry;

const MAGIC: &[u8; 8] = b"VOLARBAK";
const FORMAT: u32 = 1;

/// What anybody may know of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) format: u32,
    /// From 1.
    pub(crate) number: u64,
    pub(crate) taken_at: Timestamp,
    pub(crate) store_id: [u8; 16],
    /// Whose key everything is under.
    pub(crate) holder: [u8; 8],
    /// Whose keys the backup's own come from.
    pub(crate) tenant: TenantId,
    /// Tenant keys as they were, wrapped by the holder: the records are under them.
    pub(crate) ring: Vec<Entry>,
    pub(crate) early: bool,
    pub(crate) rows: u64,
    pub(crate) subjects: u64,
    /// Bytes of all pieces, and of those that no older backup has.
    pub(crate) bytes: u64,
    pub(crate) new_bytes: u64,
}

/// Which pieces the backup is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) pieces: Pieces,
    pub(crate) blobs: Vec<(String, PieceId)>,
}

impl Body {
    pub(crate) fn ids(&self) -> impl Iterator<Item = PieceId> {
        self.pieces.values().map(|piece| piece.id).chain(self.blobs.iter().map(|(_, id)| *id))
    }

    pub(crate) fn wanted(&self) -> HashSet<PieceId> {
        self.ids().collect()
    }
}

/// A manifest, its body still sealed.
pub(crate) struct Manifest {
    pub(crate) id: String,
    pub(crate) head: Head,
    bound: Vec<u8>,
    sealed: Vec<u8>,
}

impl Manifest {
    /// What a backup is called.
    pub(crate) fn id_of(head: &Head) -> String {
        let milliseconds = i64::try_from(head.taken_at.unix_milliseconds()).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
        format!("{:06}-{}", head.number, moment.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// Its bytes.
    pub(crate) fn write(head: &Head, body: &Body, keys: &BackupKeys, randomness: &dyn Randomness) -> Vec<u8> {
        let head = postcard::to_stdvec(head).expect("plain data always encodes");
        let mut bytes = [MAGIC.as_slice(), &(head.len() as u32).to_be_bytes(), &head].concat();
        let body = postcard::to_stdvec(body).expect("plain data always encodes");
        let sealed = keys.seal(&bytes, &body, randomness);
        bytes.extend(sealed);
        bytes
    }

    /// Reads the head of backup `id`.
    pub(crate) fn read(folder: &Folder, id: &str) -> Result<Self, BackupError> {
        let path = folder.manifest(id);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(BackupError::Unknown { id: id.to_owned(), path: folder.path().to_owned() });
            }
            read => read.map_err(|error| BackupError::Io { path: path.clone(), error })?,
        };
        let damaged = |reason: &str| BackupError::Damaged { path: path.clone(), reason: reason.to_owned() };
        let start = MAGIC.len() + 4;
        let (found, length) = bytes.get(..start).and_then(|start| start.split_at_checked(MAGIC.len())).unzip();
        if found != Some(MAGIC.as_slice()) {
            return Err(damaged("it is no backup's manifest"));
        }
        let length = length.and_then(|length| length.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
        let (bound, sealed) = bytes.split_at_checked(start + length).ok_or_else(|| damaged("it is cut off"))?;
        let head: Head = postcard::from_bytes(&bound[start..]).map_err(|_| damaged("its head is altered"))?;
        if head.format != FORMAT {
            return Err(damaged("it is of another format: use the volar-vault that wrote it, or a newer one"));
        }
        Ok(Self { id: id.to_owned(), head, bound: bound.to_owned(), sealed: sealed.to_owned() })
    }

    /// Opens the body, which authenticates the head.
    pub(crate) fn body(&self, folder: &Folder, keys: &BackupKeys) -> Result<Body, BackupError> {
        let opened = keys.open(&self.bound, &self.sealed).and_then(|plain| postcard::from_bytes(&plain).ok());
        opened.ok_or_else(|| BackupError::Damaged {
            path: folder.manifest(&self.id),
            reason: "it is not as it was written, or is under another vault's keys".to_owned(),
        })
    }
}

impl Head {
    pub(crate) fn format() -> u32 {
        FORMAT
    }
}
