//! Opening a vault: is this the right key, the right key table, and did a crash leave anything half done?

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::{SubjectId, TenantId};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::{DamagedKeys, Gallery, Parts, Settings, Tenant, Vault, probes_name};
use crate::audit::{About, Actor};
use crate::backup::BackupConfig;
use crate::config::GalleryConfig;
use crate::error::VaultError;
use crate::followers::Followers;
use crate::format::v1::{self, SecretBytes};
use crate::format::{v2, v4};
use crate::keys::{Company, Contents, KeyHolder, KeyId, KeyTable, KeyTableError, Keyring, Ring, RingError, Slot};
use crate::parameters::{JOIN_RETRY, JOIN_TIME_MAX};
use crate::rows;
use crate::store::{Store, StoreError, Table, changes_of_keys, watched};

/// 1: every tenant's keys are derived from the key file. 2: they lie wrapped beside the key table, in versions.
const FORMAT: u32 = 2;
const FORMAT_EARLY: u32 = 1;
/// Written last when a store is made: one without it holds no vault yet.
pub(crate) const META_FORMAT: &[u8] = b"format";
/// In a store whose records were moved to another.
pub(crate) const META_MOVED: &[u8] = b"moved";
/// In a store that records are being moved to.
pub(crate) const META_UNFINISHED: &[u8] = b"unfinished";
pub(crate) const META_STORE: &[u8] = b"store";
/// When the store was restored from a backup.
pub(crate) const META_RESTORED: &[u8] = b"restored";
/// In a store whose vault an operator has sealed.
pub(crate) const META_SEALED: &[u8] = b"sealed";
/// In a store whose vaults, which share it, write backups.
const META_BACKED_UP: &[u8] = b"backed up";
const META_KEY: &[u8] = b"key";

impl Vault {
    /// Opens a vault, or makes one if store and key table are new. Finishes erasures that a crash interrupted; where other
    /// vaults serve, their sweeps do.
    pub fn open(parts: Parts<'_>, settings: Settings) -> Result<Self, VaultError> {
        Self::open_with(parts, settings, None)
    }

    /// The same, and has it write backups where `backup` says so. Vaults that share a store all do, or none.
    pub fn open_with(parts: Parts<'_>, settings: Settings, backup: Option<BackupConfig>) -> Result<Self, VaultError> {
        if parts.store.read(Table::Meta, META_UNFINISHED)?.is_some() {
            return Err(VaultError::StoreUnfinished);
        }
        let vault = Self::open_copy(parts, settings)?.reconciled()?;
        vault.agree_on_backups(backup.is_some())?;
        let vault = match backup {
            Some(backup) => vault.with_backups(backup)?,
            None => vault,
        };
        if vault.company == Company::First {
            vault.key_table.let_others_in()?;
        }
        Ok(vault)
    }

    /// A vault that copied no keys would leave in the others' copy what it erases.
    fn agree_on_backups(&self, here: bool) -> Result<(), VaultError> {
        let there = self.rows().read(Table::Meta, META_BACKED_UP)?.is_some();
        match self.company {
            Company::None => Ok(()),
            Company::First if here == there => Ok(()),
            Company::First => self.store.write(|transaction| {
                if here {
                    return Ok(transaction.put(Table::Meta, META_BACKED_UP, &[])?);
                }
                Ok(transaction.remove(Table::Meta, META_BACKED_UP)?)
            }),
            Company::Others if here == there => Ok(()),
            Company::Others => Err(VaultError::BackupsDiffer { here }),
        }
    }

    /// The same for a store that may be an unfinished copy, whose people and keys are yet to be
    /// [reconciled](Self::reconciled).
    pub(crate) fn open_copy(parts: Parts<'_>, settings: Settings) -> Result<Self, VaultError> {
        let Parts { store, key_table, holder, clock, randomness } = parts;
        let ring_path = Ring::path_beside(key_table);
        let (store, watch) = watched(Arc::from(store));
        // Before the keys are read, which are then no older.
        watch.keep_to(changes_of_keys(&*store)?);
        let keys = Keys { table: key_table, ring: &ring_path, holder: &*holder, randomness: &*randomness };
        let (key_table, ring, company) = keys.open(&*store)?;
        let (opened_at, id) = (clock.now(), randomness.bytes());
        let restored_at = read_restored(&*store)?;
        let mut vault = Self {
            store,
            watch,
            key_table,
            company,
            id,
            seen: Default::default(),
            holder,
            ring,
            tenants: Default::default(),
            followers: Followers::default(),
            clock,
            randomness,
            settings,
            opened_at,
            erasing: Default::default(),
            beginning_rotation: Default::default(),
            changing_keys: Default::default(),
            changing_gallery: Default::default(),
            renewing_probes: Default::default(),
            closing: Default::default(),
            backups: None,
            restored_at,
            factor_hasher: Default::default(),
        };
        if company != Company::Others {
            vault.finish_leaving()?;
        }
        vault.open_tenants()?;
        if company != Company::Others {
            // Those of vaults that are there are theirs, and any sweep's; and this one may yet be refused.
            vault.finish_erasures()?;
        }
        Ok(vault)
    }

    /// The last of opening.
    pub(crate) fn reconciled(self) -> Result<Self, VaultError> {
        if self.company == Company::Others {
            // Whoever came first has seen to it, and what looks left behind may be under way.
            return Ok(self);
        }
        let contents = self.key_table.contents()?;
        let owners = self.owners()?;
        self.reconcile(&contents, &owners)?;
        self.reclaim_blobs(&owners)?;
        Ok(self)
    }

    fn open_tenants(&mut self) -> Result<(), VaultError> {
        for (id, galleries) in self.settings.tenants.clone() {
            let keys = self.open_keys(&id)?;
            let mut tenant =
                Tenant { id: id.clone(), keys, galleries: Default::default(), rotation: Default::default() };
            self.open_audit(&tenant)?;
            for gallery in galleries {
                let opened = self.open_gallery(&tenant, &gallery)?;
                tenant.galleries.insert(gallery.id, opened);
            }
            self.tenants.insert(id, tenant);
        }
        Ok(())
    }

    /// A configured tenant's keys, made if it is new.
    fn open_keys(&self, tenant: &TenantId) -> Result<Keyring, VaultError> {
        // Of several vaults that meet a new tenant one makes its keys.
        let _turn = self.ring.hold()?;
        if let Some(keys) = Keyring::open(&*self.holder, &self.ring.in_use(tenant))? {
            return Ok(keys);
        }
        let early = self.ring.early();
        if !early && self.has_records(tenant)? {
            return Err(RingError::TenantMissing { path: self.ring.path().to_owned(), tenant: tenant.clone() }.into());
        }
        let (keys, entry) = Keyring::first(&*self.holder, tenant, early, self.clock.now(), &*self.randomness)?;
        self.ring.put(entry)?;
        Ok(keys)
    }

    /// The keys of a tenant that may not be configured any more.
    pub(crate) fn known_keys(&self, tenant: &TenantId) -> Result<Keyring, VaultError> {
        drop(self.ring.hold()?);
        let keys = match Keyring::open(&*self.holder, &self.ring.in_use(tenant))? {
            None if self.ring.early() => Keyring::early(&*self.holder, tenant),
            keys => keys,
        };
        let missing = || RingError::TenantMissing { path: self.ring.path().to_owned(), tenant: tenant.clone() };
        Ok(keys.ok_or_else(missing)?)
    }

    /// A tenant that may not be configured any more, with its keys and nothing else.
    pub(crate) fn known_tenant(&self, id: TenantId) -> Result<Tenant, VaultError> {
        let keys = self.known_keys(&id)?;
        Ok(Tenant { id, keys, galleries: Default::default(), rotation: Default::default() })
    }

    fn has_records(&self, tenant: &TenantId) -> Result<bool, VaultError> {
        Ok(!self.store.scan(Table::Galleries, &rows::tenant(tenant), &[], 1)?.is_empty())
    }

    /// Goes on with destroying versions that a crash interrupted.
    fn finish_leaving(&self) -> Result<(), VaultError> {
        for tenant in self.ring.tenants() {
            for entry in self.ring.of(&tenant).iter().filter(|entry| entry.emptied) {
                self.holder.destroy(entry.name())?;
                self.ring.destroy(entry.name())?;
            }
        }
        Ok(())
    }

    fn open_gallery(&self, tenant: &Tenant, configured: &GalleryConfig) -> Result<Gallery, VaultError> {
        let GalleryConfig { id, model, sites } = configured;
        let row = rows::gallery(&tenant.id, id);
        let stored = self.store.write(|transaction| {
            if let Some(stored) = tenant.record::<v4::Gallery>(transaction, Table::Galleries, &row)? {
                return Ok(stored);
            }
            let key = Zeroizing::new(self.randomness.bytes::<{ Key::LENGTH }>());
            let made = v4::Gallery {
                generation: 1,
                model: model.clone(),
                feed_id: self.randomness.bytes(),
                key: SecretBytes::new(*key),
                other: None,
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
        Ok(Gallery::new(id.clone(), sites.clone(), &stored, head.last_sequence))
    }

    /// Whose each slot is, as the store knows it: tenants that are no longer configured included.
    pub(crate) fn owners(&self) -> Result<Owners, VaultError> {
        let mut owners = Owners::new();
        let mut last: Option<Tenant> = None;
        self.store.for_each(Table::Placements, &[], |key, sealed| {
            let (id, subject) = rows::split_subject(key).ok_or(VaultError::RecordMissing { kind: "subject" })?;
            let tenant = match last.take() {
                Some(tenant) if tenant.id == id => tenant,
                _ => self.known_tenant(id)?,
            };
            let placement: v2::Placement = tenant.open(key, sealed)?;
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
            self.key_table.clear(slot)?;
            self.key_table.release(slot);
            unowned += 1;
        }
        for &slot in &contents.damaged {
            match owners.get(&slot) {
                None => {
                    self.key_table.clear(slot)?;
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

/// The files of keys, and what they are opened with.
struct Keys<'a> {
    table: &'a Path,
    ring: &'a Path,
    holder: &'a dyn KeyHolder,
    randomness: &'a dyn Randomness,
}

impl Keys<'_> {
    /// Opens the key table and the tenant keys of a store, or makes those of a new one. Where vaults share a store, whoever
    /// finds nobody there is the first, and others wait until it has put everything in order.
    fn open(&self, store: &dyn Store) -> Result<(KeyTable, Ring, Company), VaultError> {
        if !store.is_shared() {
            return self.open_in(store, Company::None);
        }
        let end = Instant::now() + JOIN_TIME_MAX;
        loop {
            for company in [Company::First, Company::Others] {
                match self.open_in(store, company) {
                    Err(VaultError::KeyTable(KeyTableError::InUse { .. })) if Instant::now() < end => {}
                    opened => return opened,
                }
            }
            std::thread::sleep(JOIN_RETRY);
        }
    }

    fn open_in(&self, store: &dyn Store, company: Company) -> Result<(KeyTable, Ring, Company), VaultError> {
        let Some(meta) = read_meta(store)? else {
            // A table with keys in it is never overwritten: its store may only be mounted elsewhere.
            if holds_keys(self.table) {
                return Err(VaultError::StoreMissing { path: self.table.to_owned() });
            }
            let (store_id, holder) = (self.randomness.bytes::<16>(), self.holder.id());
            // Others can only be making the same.
            let company = if company == Company::Others { Company::First } else { company };
            let table = KeyTable::create_for(self.table, store_id, holder, company)?;
            drop(Ring::create(self.ring, store_id, holder, false)?);
            write_meta(store, store_id, holder)?;
            return Ok((table, Ring::open_in(self.ring, store_id, company)?, company));
        };
        if meta.key_id != self.holder.id() {
            return Err(VaultError::WrongKeyHolder { expected: meta.key_id, found: self.holder.id() });
        }
        let table = KeyTable::open_in(self.table, meta.store_id, company)?.0;
        Ok((table, open_ring(store, self.ring, &meta, company)?, company))
    }
}

pub(crate) type Owners = HashMap<Slot, (TenantId, SubjectId)>;

struct Meta {
    format: u32,
    store_id: [u8; 16],
    key_id: KeyId,
}

fn read_meta(store: &dyn Store) -> Result<Option<Meta>, VaultError> {
    if store.read(Table::Meta, META_MOVED)?.is_some() {
        return Err(VaultError::StoreMoved);
    }
    let Some(format) = store.read(Table::Meta, META_FORMAT)? else { return Ok(None) };
    let damaged = || StoreError::Damaged { path: "rows".into(), reason: "its first record is malformed".to_owned() };
    let found = u32::from_be_bytes(format.try_into().map_err(|_| damaged())?);
    if ![FORMAT_EARLY, FORMAT].contains(&found) {
        return Err(StoreError::Format { path: "rows".into(), found, known: FORMAT }.into());
    }
    let store_id = store.read(Table::Meta, META_STORE)?.and_then(|bytes| bytes.try_into().ok());
    let key_id = store.read(Table::Meta, META_KEY)?.and_then(|bytes| bytes.try_into().ok());
    match (store_id, key_id) {
        (Some(store_id), Some(key_id)) => Ok(Some(Meta { format: found, store_id, key_id: KeyId::from_bytes(key_id) })),
        _ => Err(damaged().into()),
    }
}

fn read_restored(store: &dyn Store) -> Result<Option<Timestamp>, VaultError> {
    let bytes = store.read(Table::Meta, META_RESTORED)?.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map(|bytes| Timestamp::from_unix_milliseconds(u64::from_be_bytes(bytes))))
}

fn write_meta(store: &dyn Store, store_id: [u8; 16], key_id: KeyId) -> Result<(), VaultError> {
    store.write(|transaction| {
        transaction.put(Table::Meta, META_STORE, &store_id)?;
        transaction.put(Table::Meta, META_KEY, key_id.as_bytes())?;
        Ok(transaction.put(Table::Meta, META_FORMAT, &FORMAT.to_be_bytes())?)
    })
}

/// The tenant keys of a store that is there; a store from before versions gets them now.
fn open_ring(store: &dyn Store, path: &Path, meta: &Meta, company: Company) -> Result<Ring, VaultError> {
    match Ring::open_in(path, meta.store_id, company) {
        Err(RingError::Missing { .. }) if meta.format == FORMAT_EARLY => {
            Ring::create(path, meta.store_id, meta.key_id, true)?;
        }
        ring if meta.format == FORMAT => return Ok(ring?),
        // A crash came between making it and noting the format; it may have cut it off too, and holds nothing yet.
        Err(RingError::Damaged { .. }) => drop(Ring::create(path, meta.store_id, meta.key_id, true)?),
        ring => drop(ring?),
    }
    store.write(|transaction| Ok(transaction.put(Table::Meta, META_FORMAT, &FORMAT.to_be_bytes())?))?;
    Ok(Ring::open_in(path, meta.store_id, company)?)
}

/// Whether a key table without a store holds anything that must not be lost.
fn holds_keys(path: &std::path::Path) -> bool {
    // Past its header page, an empty table has nothing or zeros.
    std::fs::read(path).is_ok_and(|bytes| bytes.iter().skip(4096).any(|&byte| byte != 0))
}
