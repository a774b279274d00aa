//! Making a backup while the vault serves. The manifest is written last, so a backup is whole or not there.

use std::collections::{HashMap, HashSet};

use volar_core::audit::Action;

use super::folder::PieceId;
use super::manifest::{Body, Manifest};
use super::pieces::{Pieces, Writer};
use super::{BackupError, BackupInfo, Backups};
use crate::audit::{About, Actor};
use crate::error::VaultError;
use crate::keys::KeyName;
use crate::store::Table;
use crate::turns::Turn;
use crate::vault::{META_STORE, Vault};

impl Vault {
    /// Backs everything up.
    pub fn back_up(&self) -> Result<BackupInfo, VaultError> {
        self.back_up_for(&Actor::vault(), None)
    }

    /// Backs everything up, if this vault does, before a version of a tenant's keys is destroyed that nothing is under
    /// any more.
    pub(crate) fn back_up_without(&self, left: KeyName<'_>) -> Result<(), VaultError> {
        if self.backups.is_some() {
            self.back_up_for(&Actor::vault(), Some(left))?;
        }
        Ok(())
    }

    pub(crate) fn back_up_for(&self, actor: &Actor, without: Option<KeyName<'_>>) -> Result<BackupInfo, VaultError> {
        let turn = self.turn_of(self.backups()?)?;
        self.back_up_in(&turn, actor, without)
    }

    pub(super) fn back_up_in(
        &self,
        _: &Turn<'_>,
        actor: &Actor,
        without: Option<KeyName<'_>>,
    ) -> Result<BackupInfo, VaultError> {
        let backups = self.backups()?;
        let older = self.older(backups)?;
        let expected = older.last().map_or(0, |(manifest, _)| manifest.head.rows);
        let known: HashSet<PieceId> = older.iter().flat_map(|(_, body)| body.ids()).collect();
        // What an interrupted backup has left is not surely on the disk.
        backups.folder.keep_only(&known)?;
        let mut writer = Writer {
            folder: &backups.folder,
            keys: &backups.keys,
            randomness: &*self.randomness,
            there: known.clone(),
            pieces: Pieces::new(),
            bytes: HashMap::new(),
        };
        let (body, mut head) = self.copy(backups, &mut writer, expected)?;
        let size = |id: &PieceId| writer.bytes.get(id).copied().unwrap_or_default();
        let ids = body.wanted();
        head.bytes = ids.iter().map(size).sum();
        head.new_bytes = ids.difference(&known).map(size).sum();
        if let Some(left) = without {
            head.ring.retain(|entry| entry.name() != left);
        }
        head.number = older.last().map_or(0, |(manifest, _)| manifest.head.number) + 1;
        let id = Manifest::id_of(&head);
        // What was read may have been on its way to the disk still.
        self.store.settle()?;
        backups.folder.sync()?;
        backups.folder.put_manifest(&id, &Manifest::write(&head, &body, &backups.keys, &*self.randomness))?;
        self.drop_old(backups, older, &body)?;
        self.note_backup(actor, &format!("backup {id} made"))?;
        metrics::gauge!("volar_vault_backup_unix_seconds").set(head.taken_at.unix_milliseconds() as f64 / 1_000.0);
        Ok(BackupInfo::from(&Manifest::read(&backups.folder, &id)?))
    }

    pub(crate) fn note_backup(&self, actor: &Actor, what: &str) -> Result<(), VaultError> {
        for tenant in self.tenants.values() {
            self.store.write(|transaction| {
                self.note(tenant, transaction, actor, Action::Backup, About::Nobody, what).map(drop)
            })?;
        }
        Ok(())
    }

    /// The backups that are there, with what they are made of.
    fn older(&self, backups: &Backups) -> Result<Vec<(Manifest, Body)>, VaultError> {
        let store_id = self.store_id()?;
        let mut older = Vec::new();
        for manifest in self.manifests(backups)? {
            if manifest.head.store_id != store_id {
                return Err(BackupError::OtherStore { path: backups.folder.path().to_owned() }.into());
            }
            let body = self.open_manifest(backups, &manifest)?;
            older.push((manifest, body));
        }
        Ok(older)
    }

    pub(super) fn store_id(&self) -> Result<[u8; 16], VaultError> {
        let found = self.rows().read(Table::Meta, META_STORE)?.and_then(|bytes| bytes.try_into().ok());
        found.ok_or(VaultError::RecordMissing { kind: "store id" })
    }

    pub(super) fn open_manifest(&self, backups: &Backups, manifest: &Manifest) -> Result<Body, VaultError> {
        if manifest.head.tenant == backups.tenant {
            return Ok(manifest.body(&backups.folder, &backups.keys)?);
        }
        // Whose name nobody knows is no tenant of this store.
        let root = self.known_keys(&manifest.head.tenant).map_err(|_| BackupError::Damaged {
            path: backups.folder.manifest(&manifest.id),
            reason: format!("it names tenant \"{}\", whose keys are not here", manifest.head.tenant),
        })?;
        let root = root.backup_root();
        Ok(manifest.body(&backups.folder, &super::BackupKeys::from_root(&root))?)
    }

    /// Removes backups beyond those that are kept, and pieces that none has any more.
    fn drop_old(&self, backups: &Backups, mut older: Vec<(Manifest, Body)>, newest: &Body) -> Result<(), VaultError> {
        let excess = (older.len() + 1).saturating_sub(backups.config.keep);
        for (manifest, _) in older.drain(..excess.min(older.len())) {
            backups.folder.remove_manifest(&manifest.id)?;
        }
        let mut wanted = newest.wanted();
        older.iter().for_each(|(_, body)| wanted.extend(body.ids()));
        Ok(backups.folder.keep_only(&wanted)?)
    }
}
