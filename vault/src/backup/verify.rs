//! Reads every file of a backup, without restoring it.

use volar_core::id::TenantId;

use super::folder::{BackupKeys, Folder};
use super::manifest::{Body, Manifest};
use super::{BackupError, pieces};
use crate::error::VaultError;
use crate::store::{Row, Table};
use crate::vault::Vault;

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Names it.
    pub id: String,
    /// Rows read.
    pub rows: u64,
    /// Pieces read, blobs among them.
    pub pieces: u64,
}

impl Vault {
    /// Reads every file of a backup, the newest unless `id` names one.
    pub fn verify_backup(&self, id: Option<&str>) -> Result<Verified, VaultError> {
        let backups = self.backups()?;
        let _turn = self.turn_of(backups)?;
        let manifest = find(&backups.folder, id)?;
        let body = self.open_manifest(backups, &manifest)?;
        let root;
        let keys = if manifest.head.tenant == backups.tenant {
            &backups.keys
        } else {
            root = self.backup_keys_of(&manifest.head.tenant)?;
            &root
        };
        let total = (body.pieces.len() + body.blobs.len()) as u64;
        let mut verified = Verified { id: manifest.id.clone(), rows: 0, pieces: 0 };
        read_all(&backups.folder, keys, &body, &mut |part| {
            if self.is_closing() {
                return Err(VaultError::Closing);
            }
            verified.pieces += 1;
            if let Part::Rows(_, rows) = part {
                verified.rows += rows.len() as u64;
            }
            backups.progress(verified.pieces, total);
            Ok(())
        })?;
        Ok(verified)
    }

    fn backup_keys_of(&self, tenant: &TenantId) -> Result<BackupKeys, VaultError> {
        Ok(BackupKeys::from_root(&self.known_keys(tenant)?.backup_root()))
    }
}

/// A backup's manifest, the newest unless `id` names one.
pub(super) fn find(folder: &Folder, id: Option<&str>) -> Result<Manifest, BackupError> {
    let newest = || folder.ids()?.pop().ok_or_else(|| BackupError::NoFolder { path: folder.path().to_owned() });
    match id {
        Some(id) => Manifest::read(folder, id),
        None => Manifest::read(folder, &newest()?),
    }
}

/// What a backup is made of.
pub(super) enum Part {
    Rows(Table, Vec<Row>),
    Blob(String, Vec<u8>),
}

/// Reads every part of a backup in order and checks it against the manifest.
pub(super) fn read_all(
    folder: &Folder,
    keys: &BackupKeys,
    body: &Body,
    visit: &mut dyn FnMut(Part) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    for ((number, first), piece) in &body.pieces {
        let damaged = |reason: &str| {
            let path = folder.piece_path(&piece.id);
            BackupError::Damaged { path, reason: reason.to_owned() }
        };
        let table =
            Table::ALL.get(usize::from(*number)).ok_or_else(|| damaged("it is of a table that is not known"))?;
        let rows = pieces::decode(*table, &folder.piece(keys, &piece.id)?, folder, &piece.id)?;
        let fits = rows.len() == piece.rows as usize && rows.first().is_some_and(|(key, _)| key == first);
        if !fits {
            return Err(damaged("it holds other rows than the manifest says").into());
        }
        visit(Part::Rows(*table, rows))?;
    }
    for (name, id) in &body.blobs {
        visit(Part::Blob(name.clone(), folder.piece(keys, id)?))?;
    }
    Ok(())
}
