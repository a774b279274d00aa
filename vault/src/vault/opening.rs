//! Opening a vault: is this the right key, the right key table, and did a crash leave anything half done?

use std::collections::{HashMap, HashSet};

use tokio::sync::watch;
use volar_core::audit::Action;
use volar_core::id::{GalleryId, ModelId, SubjectId, TenantId};
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::{DamagedKeys, Gallery, Parts, Settings, Tenant, Vault, probes_name};
use crate::audit::{About, Actor};
use crate::error::VaultError;
use crate::followers::Followers;
use crate::format::v1::{self, SecretBytes};
use crate::keys::{Contents, KeyHolder, KeyId, KeyTable, KeyTableError, Slot, TenantKeys};
use crate::rows;
use crate::store::{Store, StoreError, Table};

const FORMAT: u32 = 1;
const META_FORMAT: &[u8] = b"format";
const META_STORE: &[u8] = b"store";
const META_KEY: &[u8] = b"key";

impl Vault {
    /// Opens a vault, or makes one if store and key table are new. Finishes erasures that a crash interrupted.
    pub fn open(parts: Parts<'_>, settings: Settings) -> Result<Self, VaultError> {
        let Parts { store, key_table, holder, clock, randomness } = parts;
        let (key_table, contents) = match read_meta(&*store)? {
            Some(meta) => {
                if meta.key_id != holder.id() {
                    return Err(VaultError::WrongKeyFile { expected: meta.key_id, found: holder.id() });
                }
                KeyTable::open(key_table, meta.store_id)?
            }
            None => {
                // A table with keys in it is never overwritten: its store may only be mounted elsewhere.
                if holds_keys(key_table) {
                    return Err(VaultError::StoreMissing { path: key_table.to_owned() });
                }
                let store_id: [u8; 16] = randomness.bytes();
                let table = KeyTable::create(key_table, store_id, holder.id())?;
                write_meta(&*store, store_id, holder.id())?;
                (table, Contents::default())
            }
        };
        let opened_at = clock.now();
        let mut vault = Self {
            store,
            key_table,
            tenants: Default::default(),
            followers: Followers::default(),
            clock,
            randomness,
            settings,
            opened_at,
            erasing: Default::default(),
        };
        vault.open_tenants(holder)?;
        vault.finish_erasures()?;
        let owners = vault.owners(holder)?;
        vault.reconcile(&contents, &owners)?;
        vault.reclaim_blobs(&owners)?;
        Ok(vault)
    }

    fn open_tenants(&mut self, holder: &dyn KeyHolder) -> Result<(), VaultError> {
        for (id, galleries) in self.settings.tenants.clone() {
            let keys = TenantKeys::derive(holder, &id);
            let mut tenant = Tenant { id: id.clone(), keys, galleries: Default::default() };
            self.open_audit(&tenant)?;
            for (gallery, model) in galleries {
                let opened = self.open_gallery(&tenant, &gallery, &model)?;
                tenant.galleries.insert(gallery, opened);
            }
            self.tenants.insert(id, tenant);
        }
        Ok(())
    }

    fn open_gallery(&self, tenant: &Tenant, id: &GalleryId, model: &ModelId) -> Result<Gallery, VaultError> {
        let row = rows::gallery(&tenant.id, id);
        let stored = self.store.write(|transaction| {
            if let Some(stored) = tenant.record::<v1::Gallery>(transaction, Table::Galleries, &row)? {
                return Ok(stored);
            }
            let key = Zeroizing::new(self.randomness.bytes::<{ Key::LENGTH }>());
            let made = v1::Gallery {
                generation: 1,
                model: model.clone(),
                feed_id: self.randomness.bytes(),
                key: SecretBytes::new(*key),
            };
            self.put(tenant, transaction, Table::Galleries, &row, &made)?;
            let what = format!("the protection key of gallery {id} was made");
            self.note(tenant, transaction, &Actor::vault(), Action::Key, About::Nobody, &what)?;
            Ok(made)
        })?;
        if stored.model != *model {
            return Err(VaultError::GalleryModelChanged {
                gallery: id.clone(),
                stored: stored.model.to_string(),
                configured: model.to_string(),
            });
        }
        let head = tenant.record::<v1::Head>(self.rows(), Table::Heads, &row)?.unwrap_or_default();
        self.remember_followers(tenant, id)?;
        Ok(Gallery {
            id: id.clone(),
            generation: stored.generation,
            model: stored.model,
            key: Key::new(*stored.key.expose()),
            feed_id: std::sync::Mutex::new(stored.feed_id),
            wake: watch::Sender::new(head.last_sequence),
        })
    }

    /// Whose each slot is, as the store knows it: tenants that are no longer configured included.
    fn owners(&self, holder: &dyn KeyHolder) -> Result<Owners, VaultError> {
        let mut owners = Owners::new();
        let mut last: Option<Tenant> = None;
        self.store.for_each(Table::Placements, &[], |key, sealed| {
            let (id, subject) = rows::split_subject(key).ok_or(VaultError::RecordMissing { kind: "subject" })?;
            let tenant = match last.take() {
                Some(tenant) if tenant.id == id => tenant,
                _ => Tenant { keys: TenantKeys::derive(holder, &id), id, galleries: Default::default() },
            };
            let placement: v1::Placement = tenant.open(key, sealed)?;
            owners.insert(Slot(placement.slot), (tenant.id.clone(), subject));
            last = Some(tenant);
            Ok(())
        })?;
        Ok(owners)
    }

    /// Every subject has its key and every key its subject; keys of enrollments that a crash cut short are destroyed.
    fn reconcile(&self, contents: &Contents, owners: &Owners) -> Result<(), VaultError> {
        let mut unowned = 0_u64;
        for &(slot, subject) in &contents.used {
            if owners.get(&slot).is_some_and(|(_, owner)| *owner == subject) {
                continue;
            }
            // An erasure finished just now has destroyed its slot already.
            self.key_table.destroy(slot)?;
            self.key_table.release(slot);
            unowned += 1;
        }
        for &slot in &contents.damaged {
            match owners.get(&slot) {
                None => {
                    self.key_table.destroy(slot)?;
                    self.key_table.release(slot);
                }
                Some((tenant, subject)) => self.damaged(slot, tenant, *subject)?,
            }
        }
        let whole: HashSet<Slot> =
            contents.used.iter().map(|(slot, _)| *slot).chain(contents.damaged.iter().copied()).collect();
        let path = || self.key_table.path().to_owned();
        if let Some(slot) = owners.keys().find(|slot| !whole.contains(slot)) {
            let length = std::fs::metadata(path()).map(|metadata| metadata.len()).unwrap_or_default();
            return Err(match self.key_table.load(*slot, owners[slot].1) {
                Err(KeyTableError::Cut { .. }) => KeyTableError::Cut { path: path(), length },
                _ => KeyTableError::SlotOfAnother { path: path(), slot: slot.0 },
            }
            .into());
        }
        if unowned > 0 {
            tracing::info!(slots = unowned, "keys of unfinished enrollments destroyed");
        }
        Ok(())
    }

    fn damaged(&self, slot: Slot, tenant: &TenantId, subject: SubjectId) -> Result<(), VaultError> {
        match self.settings.damaged_keys {
            DamagedKeys::Refuse => {
                Err(KeyTableError::SlotDamaged { path: self.key_table.path().to_owned(), slot: slot.0 }.into())
            }
            DamagedKeys::Erase => self.erase_unreadable(self.tenant(tenant)?, subject),
        }
    }

    /// Probes are kept while verdicts are wanted; a crash may leave some longer.
    fn reclaim_blobs(&self, owners: &Owners) -> Result<(), VaultError> {
        let names = self.store.blobs()?;
        if names.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<String> = owners
            .values()
            .filter(|(tenant, subject)| {
                // Of a tenant that is not configured now, nothing is removed.
                let Some(tenant) = self.tenants.get(tenant) else { return true };
                self.living(tenant, self.rows(), *subject)
                    .map_or(true, |(record, _)| record.state == v1::State::Pending)
            })
            .map(|(_, subject)| probes_name(*subject))
            .collect();
        for name in names.iter().filter(|name| !wanted.contains(*name)) {
            self.store.remove_blob(name)?;
        }
        Ok(())
    }
}

type Owners = HashMap<Slot, (TenantId, SubjectId)>;

struct Meta {
    store_id: [u8; 16],
    key_id: KeyId,
}

fn read_meta(store: &dyn Store) -> Result<Option<Meta>, VaultError> {
    let Some(format) = store.read(Table::Meta, META_FORMAT)? else { return Ok(None) };
    let damaged = || StoreError::Damaged { path: "rows".into(), reason: "its first record is malformed".to_owned() };
    let found = u32::from_be_bytes(format.try_into().map_err(|_| damaged())?);
    if found != FORMAT {
        return Err(StoreError::Format { path: "rows".into(), found, known: FORMAT }.into());
    }
    let store_id = store.read(Table::Meta, META_STORE)?.and_then(|bytes| bytes.try_into().ok());
    let key_id = store.read(Table::Meta, META_KEY)?.and_then(|bytes| bytes.try_into().ok());
    match (store_id, key_id) {
        (Some(store_id), Some(key_id)) => Ok(Some(Meta { store_id, key_id: KeyId::from_bytes(key_id) })),
        _ => Err(damaged().into()),
    }
}

fn write_meta(store: &dyn Store, store_id: [u8; 16], key_id: KeyId) -> Result<(), VaultError> {
    store.write(|transaction| {
        transaction.put(Table::Meta, META_STORE, &store_id)?;
        transaction.put(Table::Meta, META_KEY, key_id.as_bytes())?;
        Ok(transaction.put(Table::Meta, META_FORMAT, &FORMAT.to_be_bytes())?)
    })
}

/// Whether a key table without a store holds anything that must not be lost.
fn holds_keys(path: &std::path::Path) -> bool {
    // Past its header page, an empty table has nothing or zeros.
    std::fs::read(path).is_ok_and(|bytes| bytes.iter().skip(4096).any(|&byte| byte != 0))
}
