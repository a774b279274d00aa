//! The files of a folder of backups.
//!
//! ```text
//! pieces/ab/abcd…        rows in order, or one blob: nonce 12 | AES-256-GCM, authenticated with its name, an HMAC of it
//! backups/000007-….volar which pieces make up the store at one moment; written last, so that it is whole or not there
//! erasures               who was erased, so that nobody comes back by an older copy of the keys
//! *.turn                 empty: who holds its lock works on what it is named after
//! ```
//!
//! A piece that a backup before this one has too is there already, and only named again.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::hmac;
use volar_core::randomness::Randomness;
use volar_core::secret::Key;

use super::BackupError;
use crate::format::{decrypt, encrypt};

const NONCE: usize = 12;
/// What sealing adds to a piece.
const OVERHEAD: usize = NONCE + 16;
pub(super) const SUFFIX: &str = "volar";

/// A piece's name: an HMAC of what is in it.
pub(crate) type PieceId = [u8; 32];

/// Keys of a vault's backups.
pub(crate) struct BackupKeys {
    names: hmac::Key,
    contents: Key,
}

impl BackupKeys {
    pub(crate) fn from_root(root: &Key) -> Self {
        let names = root.derive("volar.v1 backup names", &[]);
        let contents = root.derive("volar.v1 backup contents", &[]);
        Self { names: hmac::Key::new(hmac::HMAC_SHA256, names.expose()), contents }
    }

    fn name(&self, plain: &[u8]) -> PieceId {
        hmac::sign(&self.names, plain).as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
    }

    pub(super) fn seal(&self, bound: &[u8], plain: &[u8], randomness: &dyn Randomness) -> Vec<u8> {
        let nonce: [u8; NONCE] = randomness.bytes();
        [nonce.as_slice(), &encrypt(&self.contents, nonce, bound, plain)].concat()
    }

    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        Some(decrypt(&self.contents, nonce.try_into().ok()?, bound, text)?.to_vec())
    }
}

/// An open folder of backups.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes what is missing in `path`.
    pub(crate) fn make(path: &Path) -> Result<Self, BackupError> {
        for folder in [path.to_owned(), path.join("pieces"), path.join("backups")] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| BackupError::Io { path: folder, error })?;
        }
        Ok(Self(path.to_owned()))
    }

    /// One that is there.
    pub(crate) fn existing(path: &Path) -> Result<Self, BackupError> {
        if path.join("backups").is_dir() {
            Ok(Self(path.to_owned()))
        } else {
            Err(BackupError::NoFolder { path: path.to_owned() })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the erasures are.
    pub(crate) fn erasures(&self) -> PathBuf {
        self.0.join("erasures")
    }

    pub(crate) fn manifest(&self, id: &str) -> PathBuf {
        self.0.join("backups").join(format!("{id}.{SUFFIX}"))
    }

    /// Ids of the backups that are there, the oldest first.
    pub(crate) fn ids(&self) -> Result<Vec<String>, BackupError> {
        let folder = self.0.join("backups");
        let io = |error| BackupError::Io { path: folder.clone(), error };
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let path = PathBuf::from(entry.map_err(io)?.file_name());
            if path.extension().is_some_and(|end| end == SUFFIX) {
                ids.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
        }
        ids.sort();
        Ok(ids)
    }

    pub(crate) fn piece_path(&self, id: &PieceId) -> PathBuf {
        let name = hex::encode(id);
        self.0.join("pieces").join(&name[..2]).join(name)
    }

    /// Writes a piece unless it is among `there`; returns its name and how many bytes it takes.
    pub(crate) fn put(
        &self,
        keys: &BackupKeys,
        plain: &[u8],
        there: &mut HashSet<PieceId>,
        randomness: &dyn Randomness,
    ) -> Result<(PieceId, u64), BackupError> {
        let id = keys.name(plain);
        let path = self.piece_path(&id);
        let whole = (plain.len() + OVERHEAD) as u64;
        if there.contains(&id) && std::fs::metadata(&path).is_ok_and(|found| found.len() == whole) {
            return Ok((id, whole));
        }
        let io = |error| BackupError::Io { path: path.clone(), error };
        let folder = path.parent().expect("a piece lies in a folder");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let new = path.with_extension("new");
        write_new(&new, &keys.seal(&id, plain, randomness)).and_then(|_| std::fs::rename(&new, &path)).map_err(io)?;
        there.insert(id);
        Ok((id, whole))
    }

    /// A piece as it was written, or which file is damaged.
    pub(crate) fn piece(&self, keys: &BackupKeys, id: &PieceId) -> Result<Vec<u8>, BackupError> {
        let path = self.piece_path(id);
        let sealed = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(BackupError::Damaged { path, reason: "it is missing".to_owned() });
            }
            read => read.map_err(|error| BackupError::Io { path: path.clone(), error })?,
        };
        let plain = keys.open(id, &sealed).filter(|plain| keys.name(plain) == *id);
        plain.ok_or_else(|| BackupError::Damaged { path, reason: "it is not as it was written".to_owned() })
    }

    /// Everything written so far reaches the disk.
    pub(crate) fn sync(&self) -> Result<(), BackupError> {
        let synced = File::open(&self.0).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
        synced.map_err(|error| BackupError::Io { path: self.0.clone(), error })
    }

    /// Writes a manifest, whole or not at all; durable when this returns.
    pub(crate) fn put_manifest(&self, id: &str, bytes: &[u8]) -> Result<(), BackupError> {
        replace(&self.manifest(id), bytes)
    }

    /// Removes every piece but those in `wanted`, and what an interrupted backup left.
    pub(crate) fn keep_only(&self, wanted: &HashSet<PieceId>) -> Result<(), BackupError> {
        let pieces = self.0.join("pieces");
        for folder in listed(&pieces)? {
            for path in listed(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let id = hex::decode(name).ok().and_then(|bytes| PieceId::try_from(bytes).ok());
                if !id.is_some_and(|id| wanted.contains(&id)) {
                    std::fs::remove_file(&path).map_err(|error| BackupError::Io { path, error })?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn remove_manifest(&self, id: &str) -> Result<(), BackupError> {
        let path = self.manifest(id);
        let removed = std::fs::remove_file(&path).and_then(|()| crate::keys::sync_folder_of(&path));
        removed.map_err(|error| BackupError::Io { path, error })
    }
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let io = |error| BackupError::Io { path: folder.to_owned(), error };
    std::fs::read_dir(folder).map_err(io)?.map(|entry| entry.map(|entry| entry.path()).map_err(io)).collect()
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Puts a file in the place of another, whole or not at all; durable when this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let new = path.with_extension("new");
    let written = write_new(&new, bytes)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| crate::keys::sync_folder_of(path));
    written.map_err(|error| BackupError::Io { path: path.to_owned(), error })
}
