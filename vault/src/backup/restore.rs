//! The way back: fills an empty store from a backup, with the keys of people that are left.
//!
//! 1. Every piece is read, checked and written. The store is marked as unfinished until the end, and opens as no vault.
//! 2. Whoever was erased since the backup has no key any more, or is in the journal of erasures: they are erased again,
//!    with a feed event, before anybody is served.
//! 3. Every feed gets a new id, so that no matcher goes on from a number that means something else now, and every record
//!    is opened once.

use std::path::{Path, PathBuf};

use volar_core::clock::Timestamp;
use volar_core::id::{SubjectId, TenantId};
use volar_core::secret::Key;

use super::folder::{BackupKeys, Folder};
use super::manifest::Head;
use super::verify::{Part, find, read_all};
use super::{BackupError, journal};
use crate::audit::Actor;
use crate::error::VaultError;
use crate::format::audit::Trail;
use crate::format::second_factor::SecondFactor;
use crate::format::v1::{self, State};
use crate::format::v2::Membership;
use crate::format::{self, FormatError, v4};
use crate::keys::{Entry, KeyId, KeyTable, Keyring, Ring};
use crate::migration::{self, MigrationError};
use crate::parameters::SCAN_ROWS;
use crate::rotation::sealed_tables;
use crate::rows;
use crate::store::{Store, Table};
use crate::vault::{META_RESTORED, META_UNFINISHED, Parts, Settings, SubjectKey, Tenant, Vault, probes_name};

/// Which backup, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// Folder of the backups.
    pub from: &'a Path,
    /// Which one; the newest unless given.
    pub at: Option<&'a str>,
    /// The file that followed the key table. Without it, the key table itself must be there.
    pub keys: Option<&'a Path>,
    /// Erase people of whom there is neither a key nor a word that they were erased.
    pub erase_keyless: bool,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub id: String,
    /// The moment that the store is of now.
    pub taken_at: Timestamp,
    /// Rows written.
    pub rows: u64,
    /// Sealed records that were opened.
    pub opened: u64,
    /// People in the store.
    pub subjects: u64,
    /// People who were in the backup and erased since.
    pub erased: u64,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reading files of the backup and writing rows.
    Write,
    /// Opening every record.
    Open,
}

/// Why nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a store already.
    #[error("the store is not empty; name an empty folder or database under [store]")]
    NotEmpty,
    /// Nowhere are keys.
    #[error("there is no key table at {} and no copy of one; name the file that [backup] keys named with --keys", path.display())]
    NoKeys {
        /// The configured key table.
        path: PathBuf,
    },
    /// Two copies, and none is surely newer.
    #[error("{} and {} are not the same; one is older and may hold keys of people erased since: see which it is, move it away, and start again", table.display(), copy.display())]
    KeysDiffer {
        /// The key table.
        table: PathBuf,
        /// The file that followed it.
        copy: PathBuf,
    },
    /// Made under another key.
    #[error(
        "the backup was made under key {expected}, this is key {found}; set [keys] to the key file or token of then"
    )]
    OtherHolder {
        /// Key of the backup.
        expected: KeyId,
        /// Key in the file or token.
        found: KeyId,
    },
    /// A backup without anybody's keys.
    #[error("the keys of tenant \"{tenant}\" are neither in the backup nor beside the key table; use another backup")]
    TenantMissing {
        /// Whose.
        tenant: TenantId,
    },
    /// People without a key who were not erased as far as is known.
    #[error(
        "{count} people in the backup have no key and no erasure is known of them: the copy of the key table is older than the backup. Use the newer copy, or erase them for good with --erase-keyless"
    )]
    Keyless {
        /// How many.
        count: u64,
    },
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Store, keys or records.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<crate::store::StoreError> for RestoreError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// Fills the empty store of `parts` and leaves it ready to be opened. Interrupted, it is begun anew. `progress` hears of
/// each step how much of how much is done.
pub fn restore(
    parts: Parts<'_>,
    settings: Settings,
    what: &Restore<'_>,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> Result<Restored, RestoreError> {
    let folder = Folder::existing(what.from)?;
    let manifest = find(&folder, what.at)?;
    let head = &manifest.head;
    if *parts.holder.id().as_bytes() != head.holder {
        return Err(RestoreError::OtherHolder { expected: KeyId::from_bytes(head.holder), found: parts.holder.id() });
    }
    let erased = journal::read(&folder.erasures()).map_err(|(_, error)| error)?;
    let again = parts.store.read(Table::Meta, META_UNFINISHED)?.is_some();
    let source = source_of_keys(parts.key_table, what.keys, head, again)?;
    let ring = ring_of(source.as_deref().unwrap_or(parts.key_table), head)?;
    let root = backup_root(&parts, head, &ring)?;
    let keys = BackupKeys::from_root(&root);
    let body = manifest.body(&folder, &keys)?;

    migration::begin_copy(&*parts.store).map_err(|error| match error {
        MigrationError::NotEmpty => RestoreError::NotEmpty,
        MigrationError::Vault(error) => error.into(),
        other => VaultError::field("store", other.to_string()).into(),
    })?;
    put_keys(&parts, head, source.as_deref(), ring)?;
    let (mut done, total) = (0, (body.pieces.len() + body.blobs.len()) as u64);
    read_all(&folder, &keys, &body, &mut |part| {
        write(&*parts.store, part)?;
        done += 1;
        progress(Step::Write, done, total);
        Ok(())
    })?;
    let rows = head.rows;

    let vault = Vault::open_copy(parts, settings)?;
    let erased = vault.erase_again(&erased, what.erase_keyless)?;
    let vault = vault.reconciled()?;
    vault.renew_feeds()?;
    let (opened, subjects) = vault.open_every_record(&mut |done| progress(Step::Open, done, rows))?;
    vault.note_backup(&Actor::vault(), &format!("restored from backup {}", manifest.id))?;
    let now = vault.clock.now().unix_milliseconds().to_be_bytes();
    vault.store.write(|transaction| {
        transaction.remove(Table::Meta, META_UNFINISHED)?;
        Ok(transaction.put(Table::Meta, META_RESTORED, &now)?)
    })?;
    Ok(Restored { id: manifest.id.clone(), taken_at: head.taken_at, rows, opened, subjects, erased })
}

/// The file that holds people's keys: `None` if it lies in its place already.
fn source_of_keys(
    table: &Path,
    copy: Option<&Path>,
    head: &Head,
    again: bool,
) -> Result<Option<PathBuf>, RestoreError> {
    let copy = copy.filter(|copy| copy.exists());
    match (table.exists(), copy) {
        // An interrupted restore has put it there, and may have erased people in it.
        (true, Some(copy)) if again => Ok(Some(copy.to_owned())),
        (true, Some(copy)) => {
            let read =
                |path: &Path| std::fs::read(path).map_err(|error| BackupError::Io { path: path.to_owned(), error });
            if read(table)? == read(copy)? {
                return Ok(None);
            }
            Err(RestoreError::KeysDiffer { table: table.to_owned(), copy: copy.to_owned() })
        }
        (true, None) => Ok(None),
        (false, Some(copy)) => Ok(Some(copy.to_owned())),
        (false, None) if head.subjects == 0 => Ok(None),
        (false, None) => Err(RestoreError::NoKeys { path: table.to_owned() }),
    }
}

/// The tenant keys that records of the backup and people's keys are under. A version that was left after the backup is in
/// the backup alone, one that was made after it is beside the key table alone.
fn ring_of(key_table: &Path, head: &Head) -> Result<Vec<Entry>, RestoreError> {
    let mut ring: Vec<Entry> = head.ring.iter().filter(|entry| !entry.emptied).cloned().collect();
    let path = Ring::path_beside(key_table);
    if path.exists() {
        let (newer, _) = Ring::open(&path, head.store_id).map_err(VaultError::from)?.copy();
        for entry in newer {
            if !entry.emptied && !ring.iter().any(|known| known.name() == entry.name()) {
                ring.push(entry);
            }
        }
    }
    Ok(ring)
}

fn backup_root(parts: &Parts<'_>, head: &Head, ring: &[Entry]) -> Result<Key, RestoreError> {
    let mut own: Vec<Entry> = ring.iter().filter(|entry| entry.tenant == head.tenant).cloned().collect();
    own.sort_by_key(|entry| entry.version);
    // What backups are under is carried from version to version: the newest that the holder still opens will do.
    let newest = own.last().map(std::slice::from_ref).unwrap_or_default();
    let keys = match Keyring::open(&*parts.holder, newest).map_err(VaultError::from)? {
        None if head.early => Keyring::early(&*parts.holder, &head.tenant),
        keys => keys,
    };
    let keys = keys.ok_or_else(|| RestoreError::TenantMissing { tenant: head.tenant.clone() })?;
    Ok(keys.backup_root())
}

/// Puts key table and tenant keys in their places.
fn put_keys(parts: &Parts<'_>, head: &Head, source: Option<&Path>, ring: Vec<Entry>) -> Result<(), RestoreError> {
    let table = parts.key_table;
    let holder = parts.holder.id();
    match source {
        Some(source) => {
            let bytes = std::fs::read(source).map_err(|error| BackupError::Io { path: source.to_owned(), error })?;
            super::folder::replace(table, &bytes)?;
        }
        None if !table.exists() => drop(KeyTable::create(table, head.store_id, holder).map_err(VaultError::from)?),
        None => {}
    }
    let path = Ring::path_beside(table);
    let new = path.with_extension("restored");
    let made = Ring::create(&new, head.store_id, holder, head.early).map_err(VaultError::from)?;
    ring.into_iter().try_for_each(|entry| made.put(entry)).map_err(VaultError::from)?;
    let moved = std::fs::rename(&new, &path).and_then(|()| crate::keys::sync_folder_of(&path));
    Ok(moved.map_err(|error| BackupError::Io { path, error })?)
}

fn write(store: &dyn Store, part: Part) -> Result<(), VaultError> {
    match part {
        Part::Blob(name, bytes) => Ok(store.put_blob(&name, &bytes)?),
        Part::Rows(table, rows) => rows.chunks(SCAN_ROWS).try_for_each(|rows| {
            store.write(|transaction| rows.iter().try_for_each(|(key, value)| Ok(transaction.put(table, key, value)?)))
        }),
    }
}

impl Vault {
    /// Erases again whoever is in the journal or has no key; returns how many.
    fn erase_again(&self, erased: &journal::Erased, keyless_too: bool) -> Result<u64, RestoreError> {
        let (mut again, mut keyless) = (Vec::new(), 0);
        for (slot, (tenant, subject)) in self.owners()? {
            let known = erased.contains(&(tenant.clone(), subject));
            let has_key = matches!(self.key_table.load(slot, subject), Ok(Some(_)));
            // A damaged slot is no erasure; opening names it.
            let damaged =
                matches!(self.key_table.load(slot, subject), Err(crate::keys::KeyTableError::SlotDamaged { .. }));
            if !has_key && !known && !damaged {
                keyless += 1;
            }
            if known || !(has_key || damaged) {
                again.push((tenant, subject));
            }
        }
        if keyless > 0 && !keyless_too {
            return Err(RestoreError::Keyless { count: keyless });
        }
        for (tenant, subject) in &again {
            self.erase_after_restore(self.tenant(tenant)?, *subject)?;
        }
        Ok(again.len() as u64)
    }

    /// Gives every gallery's feed a new id.
    fn renew_feeds(&self) -> Result<(), VaultError> {
        let mut galleries = Vec::new();
        self.store.for_each(Table::Galleries, &[], |key, _| {
            galleries.push(key.to_vec());
            Ok(())
        })?;
        for key in galleries {
            let tenant = self.tenant_of(&key, None)?;
            self.store.write(|transaction| {
                let stored = tenant.record::<v4::Gallery>(transaction, Table::Galleries, &key)?;
                let mut stored = stored.ok_or(VaultError::RecordMissing { kind: "gallery" })?;
                stored.feed_id = self.randomness.bytes();
                self.put(&tenant, transaction, Table::Galleries, &key, &stored)
            })?;
        }
        Ok(())
    }

    /// Opens every sealed record once; returns how many there are, and how many people.
    fn open_every_record(&self, progress: &mut dyn FnMut(u64)) -> Result<(u64, u64), VaultError> {
        let (mut opened, mut subjects, mut last) = (0, 0, None);
        for (table, kind) in sealed_tables() {
            self.store.for_each(table, &[], |key, sealed| {
                let tenant = self.tenant_of(key, last.take())?;
                let version = format::key_version(sealed).ok_or(FormatError::Short { kind, found: sealed.len() })?;
                let keys = tenant.keys.of(version).ok_or(FormatError::Forged { kind })?;
                format::check(sealed, kind, &keys.records, tenant.binding(key, version))?;
                opened += 1;
                last = Some(tenant);
                progress(opened);
                Ok(())
            })?;
        }
        for (_, (tenant, subject)) in self.owners()? {
            let tenant = self.tenant_of(&rows::tenant(&tenant), last.take())?;
            opened += self.open_person(&tenant, subject)?;
            subjects += 1;
            last = Some(tenant);
            progress(opened);
        }
        Ok((opened, subjects))
    }

    fn open_person(&self, tenant: &Tenant, subject: SubjectId) -> Result<u64, VaultError> {
        let rows = self.rows();
        let row = rows::subject(&tenant.id, subject);
        let (record, key) = self.living(tenant, rows, subject)?;
        let mut opened = 1;
        let mut open = |sealed: Option<Vec<u8>>, open: &Opens<'_>| {
            if let Some(sealed) = &sealed {
                open(&key, sealed)?;
                opened += 1;
            }
            Ok::<bool, VaultError>(sealed.is_some())
        };
        for Membership { gallery, sequence } in &record.memberships {
            let generations = self.generations(tenant, gallery)?;
            for &position in &record.positions {
                let place = rows::palm(&tenant.id, gallery, *sequence, position);
                let palm = |key: &SubjectKey, sealed: &[u8]| {
                    Ok(key.open_palm(tenant, gallery, &generations, position, sealed).map(drop)?)
                };
                if !open(rows.read(Table::Palms, &place)?, &palm)? {
                    return Err(VaultError::RecordMissing { kind: "palm" });
                }
            }
        }
        let payment = |key: &SubjectKey, sealed: &[u8]| Ok(key.open::<v1::Payment>(tenant, &row, sealed).map(drop)?);
        if !open(rows.read(Table::Payments, &row)?, &payment)? && record.payment_bound {
            return Err(VaultError::RecordMissing { kind: "payment" });
        }
        open(rows.read(Table::Trails, &row)?, &|key, sealed| Ok(key.open::<Trail>(tenant, &row, sealed).map(drop)?))?;
        let factor = |key: &SubjectKey, sealed: &[u8]| Ok(key.open::<SecondFactor>(tenant, &row, sealed).map(drop)?);
        open(rows.read(Table::SecondFactors, &row)?, &factor)?;
        if record.state == State::Pending {
            let probes = self.store.blob(&probes_name(subject))?;
            open(probes, &|key, sealed| self.open_probes(tenant, key, &record, sealed).map(drop))?;
        }
        Ok(opened)
    }

    /// The tenant that a row's key begins with, which may not be configured any more; `last` if it is the same again.
    fn tenant_of(&self, key: &[u8], last: Option<Tenant>) -> Result<Tenant, VaultError> {
        let name = key.split(|&byte| byte == 0).next().and_then(|name| std::str::from_utf8(name).ok());
        let id: TenantId =
            name.and_then(|name| name.parse().ok()).ok_or(VaultError::RecordMissing { kind: "tenant" })?;
        match last {
            Some(tenant) if tenant.id == id => Ok(tenant),
            _ => self.known_tenant(id),
        }
    }
}

/// Opens one sealed record, and says whether it opened.
type Opens<'a> = dyn Fn(&SubjectKey, &[u8]) -> Result<(), VaultError> + 'a;
