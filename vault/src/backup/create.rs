//! Making a backup while the vault serves: every row is read, then what was written meanwhile, then the little that is
//! left while writers wait. The manifest is written last, so a backup is whole or not there.

use std::collections::{BTreeMap, HashMap, HashSet};

use volar_core::audit::Action;

use super::folder::PieceId;
use super::manifest::{Body, Head, Manifest};
use super::pieces::{Cutter, Pieces, Writer};
use super::{BackupError, BackupInfo, Backups};
use crate::audit::{About, Actor};
use crate::error::VaultError;
use crate::keys::KeyName;
use crate::parameters::{COPY_REST, COPY_ROUNDS, SCAN_ROWS};
use crate::store::{Changed, Table};
use crate::vault::{META_MOVED, META_STORE, META_UNFINISHED, Vault};

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
        let backups = self.backups()?;
        let _alone = backups.working.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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

    fn store_id(&self) -> Result<[u8; 16], VaultError> {
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

    fn copy(&self, backups: &Backups, writer: &mut Writer<'_>, expected: u64) -> Result<(Body, Head), VaultError> {
        let copying = self.watch.begin();
        self.read_everything(backups, writer, expected)?;
        let mut blobs = BTreeMap::new();
        for name in self.store.blobs()? {
            self.copy_blob(writer, &mut blobs, name)?;
        }
        for _ in 0..COPY_ROUNDS {
            let changed = copying.take();
            let few = changed.len() <= COPY_REST;
            self.read_again(writer, changed)?;
            if few {
                break;
            }
        }
        let store = &self.store;
        let (rest, there, (ring, early), taken_at) = copying.finish(|last| {
            let rest = self.read_rows(last)?;
            let names: HashSet<String> = store.blobs()?.into_iter().collect();
            let mut new = Vec::new();
            for name in names.iter().filter(|name| !blobs.contains_key(*name)) {
                new.extend(store.blob(name)?.map(|bytes| (name.clone(), bytes)));
            }
            Ok::<_, VaultError>((rest, (names, new), self.ring.copy(), self.clock.now()))
        })?;
        patch(writer, rest)?;
        let (names, new) = there;
        blobs.retain(|name, _| names.contains(name));
        for (name, bytes) in new {
            blobs.insert(name, writer.write(&bytes)?);
        }
        let pieces = std::mem::take(&mut writer.pieces);
        let body = Body { pieces, blobs: blobs.into_iter().collect() };
        let people = body.pieces.iter().filter(|((table, _), _)| *table == Table::Placements as u8);
        let head = Head {
            format: Head::format(),
            number: 0,
            taken_at,
            store_id: self.store_id()?,
            holder: *self.holder.id().as_bytes(),
            tenant: backups.tenant.clone(),
            ring,
            early,
            rows: body.pieces.values().map(|piece| u64::from(piece.rows)).sum(),
            subjects: people.map(|(_, piece)| u64::from(piece.rows)).sum(),
            bytes: 0,
            new_bytes: 0,
        };
        Ok((body, head))
    }

    fn read_everything(&self, backups: &Backups, writer: &mut Writer<'_>, expected: u64) -> Result<(), VaultError> {
        let mut done = 0;
        for table in Table::ALL {
            let (mut from, mut cutter) = (Vec::new(), Cutter::default());
            loop {
                if self.is_closing() {
                    return Err(VaultError::Closing);
                }
                let rows = self.store.scan(table, &[], &from, SCAN_ROWS)?;
                let Some((last, _)) = rows.last() else { break };
                from = [last.as_slice(), &[0]].concat();
                done += rows.len() as u64;
                for row in rows.into_iter().filter(|(key, _)| is_copied(table, key)) {
                    writer.push(table, &mut cutter, row)?;
                }
                backups.progress(done, expected);
            }
            writer.end(table, &mut cutter)?;
        }
        Ok(())
    }

    fn copy_blob(
        &self,
        writer: &mut Writer<'_>,
        blobs: &mut BTreeMap<String, PieceId>,
        name: String,
    ) -> Result<(), VaultError> {
        // Removed since it was listed: its subject is not pending any more.
        if let Some(bytes) = self.store.blob(&name)? {
            blobs.insert(name, writer.write(&bytes)?);
        }
        Ok(())
    }

    fn read_again(&self, writer: &mut Writer<'_>, changed: Changed) -> Result<(), VaultError> {
        let mut left = changed.into_iter().peekable();
        while left.peek().is_some() {
            if self.is_closing() {
                return Err(VaultError::Closing);
            }
            let rows = self.read_rows(left.by_ref().take(SCAN_ROWS))?;
            patch(writer, rows)?;
        }
        Ok(())
    }

    fn read_rows(&self, changed: impl IntoIterator<Item = (Table, Vec<u8>)>) -> Result<Vec<Change>, VaultError> {
        let places: Vec<_> = changed.into_iter().filter(|(table, key)| is_copied(*table, key)).collect();
        let values = self.store.read_many(&places)?;
        Ok(places.into_iter().zip(values).collect())
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

type Change = ((Table, Vec<u8>), Option<Vec<u8>>);

fn patch(writer: &mut Writer<'_>, rows: Vec<Change>) -> Result<(), BackupError> {
    let mut tables: BTreeMap<Table, BTreeMap<Vec<u8>, Option<Vec<u8>>>> = BTreeMap::new();
    for ((table, key), value) in rows {
        tables.entry(table).or_default().insert(key, value);
    }
    tables.into_iter().try_for_each(|(table, changes)| writer.patch(table, changes))
}

/// Marks of copies are their own stores'.
fn is_copied(table: Table, key: &[u8]) -> bool {
    table != Table::Meta || ![META_MOVED, META_UNFINISHED].contains(&key)
}
