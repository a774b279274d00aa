//! Where the wrapped tenant keys lie: one file of fixed slots beside the key table, overwritten in place and
//! synchronized, so that a version that is left can be destroyed.
//!
//! ```text
//! header   4096 bytes  magic, format version, store id, holder id, whether the store is from before versions, checksum
//! slot n    512 bytes  state | version | made at | tenant | wrapped keys | zeros | checksum over n and all before
//! ```
//!
//! A tenant's highest version is its current one; a lower one beside it is being left. A version is left in three
//! steps, so that a crash between any two is finished at the next start: its slot is marked empty, the holder destroys
//! its key, the slot is overwritten with zeros.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ring::digest;
use volar_core::clock::Timestamp;
use volar_core::id::TenantId;

use super::file::sync_folder_of;
use super::mirror::{Mirror, MirrorError};
use super::table::Company;
use super::tenant::WRAPPED_MAX;
use super::{KeyId, KeyName};
use crate::turns::{Turn, Turns};

const MAGIC: &[u8; 8] = b"VOLARTEN";
const FORMAT: u32 = 1;
const HEADER: usize = 4096;
const HEADER_USED: usize = 8 + 4 + 16 + KeyId::LENGTH + 1;
const SLOT: usize = 512;
const CHECKSUM: usize = 8;
const NAME_MAX: usize = 128;

/// The open file of tenant keys.
#[derive(Debug)]
pub struct Ring {
    file: File,
    path: PathBuf,
    store_id: [u8; 16],
    early: bool,
    slots: Mutex<Vec<Option<Entry>>>,
    /// Of those who share the file, if it is shared.
    turns: Option<Turns>,
    /// A copy on another disk, overwritten together with the file.
    mirror: OnceLock<Mirror>,
}

/// One tenant's wrapped keys of one version.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    pub(crate) tenant: TenantId,
    pub(crate) version: u32,
    pub(crate) made_at: Timestamp,
    /// Nothing is left under it; it is being destroyed.
    pub(crate) emptied: bool,
    pub(crate) wrapped: Vec<u8>,
}

impl Entry {
    pub(crate) fn name(&self) -> KeyName<'_> {
        KeyName { tenant: &self.tenant, version: self.version }
    }
}

/// Why the tenant keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The system refuses.
    #[error("tenant keys {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not there though the store was made with one.
    #[error("the tenant keys {} are missing; without them nothing opens: restore them from the backup made together with the key table", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Cut, altered or something else.
    #[error("the tenant keys {} are damaged ({reason}); restore them from the backup made together with the key table", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// A copy that no other vault of those that share the keys follows to.
    #[error("{} is not the file that the other vaults copy keys to; name the one file that all of them reach (backup.keys)", path.display())]
    Apart {
        /// The file.
        path: PathBuf,
    },
    /// Made for another store.
    #[error("the tenant keys {} belong to another store; put store, key table and tenant keys of one backup side by side", path.display())]
    OtherStore {
        /// The file.
        path: PathBuf,
    },
    /// No keys of a tenant that the store has records of.
    #[error("the tenant keys {} hold none of tenant \"{tenant}\"; restore them from the backup made together with the key table", path.display())]
    TenantMissing {
        /// The file.
        path: PathBuf,
        /// The tenant.
        tenant: TenantId,
    },
}

impl Ring {
    /// The file that belongs to a key table.
    pub fn path_beside(key_table: &Path) -> PathBuf {
        let mut name = key_table.file_name().unwrap_or_default().to_owned();
        name.push(".tenants");
        key_table.with_file_name(name)
    }

    /// Makes an empty one for the store `store_id`. `early`: the store is from before versions.
    pub(crate) fn create(path: &Path, store_id: [u8; 16], holder: KeyId, early: bool) -> Result<Self, RingError> {
        let io = |error| RingError::Io { path: path.to_owned(), error };
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path).map_err(io)?;
        file.write_all_at(&header(store_id, holder, early), 0)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder_of(path))
            .map_err(io)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            store_id,
            early,
            slots: Mutex::default(),
            turns: None,
            mirror: OnceLock::new(),
        })
    }

    /// Opens the one of store `store_id`.
    pub(crate) fn open(path: &Path, store_id: [u8; 16]) -> Result<Self, RingError> {
        Self::open_in(path, store_id, Company::None)
    }

    /// The same in company.
    pub(crate) fn open_in(path: &Path, store_id: [u8; 16], company: Company) -> Result<Self, RingError> {
        let io = |error| RingError::Io { path: path.to_owned(), error };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(RingError::Missing { path: path.to_owned() });
            }
            opened => opened.map_err(io)?,
        };
        let turns = (company != Company::None).then(|| Turns::of(path)).transpose().map_err(io)?;
        let turn = turns.as_ref().map(Turns::take).transpose().map_err(io)?;
        let (early, slots) = read(&file, path, store_id)?;
        drop(turn);
        Ok(Self {
            file,
            path: path.to_owned(),
            store_id,
            early,
            slots: Mutex::new(slots),
            turns,
            mirror: OnceLock::new(),
        })
    }

    /// Where vaults share the file, has the others not write it for a while, once what they wrote is known here.
    pub(crate) fn hold(&self) -> Result<Option<Turn<'_>>, RingError> {
        let io = |error| RingError::Io { path: self.path.clone(), error };
        let Some(turns) = &self.turns else { return Ok(None) };
        let turn = turns.take().map_err(io)?;
        *self.slots() = read(&self.file, &self.path, self.store_id)?.1;
        Ok(Some(turn))
    }

    /// Has the file at `path` follow from now on, as for the key table.
    pub(crate) fn follow(&self, path: &Path, company: Company) -> Result<(), RingError> {
        let _alone = self.slots();
        let mirror = Mirror::attach(path, &self.file, HEADER, company).map_err(|error| match error {
            MirrorError::Io(path, error) => RingError::Io { path, error },
            MirrorError::Other(path) => RingError::OtherStore { path },
            MirrorError::Apart(path) => RingError::Apart { path },
        })?;
        // Followed already; the first stays.
        let _ = self.mirror.set(mirror);
        Ok(())
    }

    /// Every version as it is now, and whether the store is from before versions.
    pub(crate) fn copy(&self) -> (Vec<Entry>, bool) {
        (self.slots().iter().flatten().cloned().collect(), self.early)
    }

    /// Whether tenants without a slot have keys derived from the holder's, as before versions.
    pub(crate) fn early(&self) -> bool {
        self.early
    }

    /// Every version of a tenant, the lowest first.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<Entry> {
        let mut entries: Vec<Entry> =
            self.slots().iter().flatten().filter(|entry| entry.tenant == *tenant).cloned().collect();
        entries.sort_by_key(|entry| entry.version);
        entries
    }

    /// The same without those that nothing is left under.
    pub(crate) fn in_use(&self, tenant: &TenantId) -> Vec<Entry> {
        self.of(tenant).into_iter().filter(|entry| !entry.emptied).collect()
    }

    /// Every tenant that has a slot.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<_> = self.slots().iter().flatten().map(|entry| entry.tenant.clone()).collect();
        tenants.sort();
        tenants.dedup();
        tenants
    }

    /// Keeps a new version; durable when this returns.
    pub(crate) fn put(&self, entry: Entry) -> Result<(), RingError> {
        let mut slots = self.slots();
        let number = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        self.overwrite(number, &write_slot(number as u32, &entry))?;
        if number == slots.len() {
            slots.push(None);
        }
        slots[number] = Some(entry);
        Ok(())
    }

    /// Marks a version empty; durable when this returns.
    pub(crate) fn mark_emptied(&self, name: KeyName<'_>) -> Result<(), RingError> {
        let mut slots = self.slots();
        let Some(number) = position(&slots, name) else { return Ok(()) };
        let Some(mut entry) = slots[number].clone() else { return Ok(()) };
        entry.emptied = true;
        self.overwrite(number, &write_slot(number as u32, &entry))?;
        slots[number] = Some(entry);
        Ok(())
    }

    /// Overwrites a version with zeros; durable when this returns.
    pub(crate) fn destroy(&self, name: KeyName<'_>) -> Result<(), RingError> {
        let mut slots = self.slots();
        let Some(number) = position(&slots, name) else { return Ok(()) };
        self.overwrite(number, &[0; SLOT])?;
        slots[number] = None;
        Ok(())
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn overwrite(&self, number: usize, slot: &[u8; SLOT]) -> Result<(), RingError> {
        let at = (HEADER + number * SLOT) as u64;
        self.file
            .write_all_at(slot, at)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| RingError::Io { path: self.path.clone(), error })?;
        let Some(mirror) = self.mirror.get() else { return Ok(()) };
        let written = mirror.write(slot, at).and_then(|()| mirror.sync());
        written.map_err(|error| RingError::Io { path: mirror.path().to_owned(), error })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the store is from before versions, and every slot.
fn read(file: &File, path: &Path, store_id: [u8; 16]) -> Result<(bool, Vec<Option<Entry>>), RingError> {
    let io = |error| RingError::Io { path: path.to_owned(), error };
    let damaged = |reason: &str| RingError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let mut bytes = vec![0; file.metadata().map_err(io)?.len() as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    let (start, rest) = bytes.split_first_chunk::<HEADER>().ok_or_else(|| damaged("cut off in its header"))?;
    let (store, early) = read_header(start).ok_or_else(|| damaged("its header is altered or of another format"))?;
    if store != store_id {
        return Err(RingError::OtherStore { path: path.to_owned() });
    }
    let (slots, left) = rest.as_chunks::<SLOT>();
    if !left.is_empty() {
        return Err(damaged("cut off in a slot"));
    }
    let slots = slots.iter().enumerate().map(|(number, slot)| {
        read_slot(number as u32, slot).ok_or_else(|| damaged(&format!("slot {number} has a wrong checksum")))
    });
    Ok((early, slots.collect::<Result<_, _>>()?))
}

fn position(slots: &[Option<Entry>], name: KeyName<'_>) -> Option<usize> {
    slots.iter().position(|slot| slot.as_ref().is_some_and(|entry| entry.name() == name))
}

fn header(store_id: [u8; 16], holder: KeyId, early: bool) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let used = [MAGIC.as_slice(), &FORMAT.to_le_bytes(), &store_id, holder.as_bytes(), &[u8::from(early)]].concat();
    header[..HEADER_USED].copy_from_slice(&used);
    header[HEADER_USED..HEADER_USED + CHECKSUM].copy_from_slice(&short_hash(&[&used]));
    header
}

fn read_header(header: &[u8; HEADER]) -> Option<([u8; 16], bool)> {
    let (used, rest) = header.split_at(HEADER_USED);
    let (sum, padding) = rest.split_at(CHECKSUM);
    let whole = used.starts_with(MAGIC)
        && used[8..12] == FORMAT.to_le_bytes()
        && sum == short_hash(&[used])
        && padding.iter().all(|&byte| byte == 0);
    whole.then(|| (used[12..28].try_into().expect("sixteen bytes"), used[HEADER_USED - 1] == 1))
}

const IN_USE: u8 = 1;
const EMPTIED: u8 = 2;

/// ```text
/// state 1 | version 4 | made at 8 | length of name 1 | name 128 | length of wrapped 2 | wrapped
/// ```
fn write_slot(number: u32, entry: &Entry) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let name = entry.tenant.as_str().as_bytes();
    assert!(name.len() <= NAME_MAX && entry.wrapped.len() <= WRAPPED_MAX, "a slug and its wrapped keys fit");
    slot[0] = if entry.emptied { EMPTIED } else { IN_USE };
    slot[1..5].copy_from_slice(&entry.version.to_le_bytes());
    slot[5..13].copy_from_slice(&entry.made_at.unix_milliseconds().to_le_bytes());
    slot[13] = name.len() as u8;
    slot[14..14 + name.len()].copy_from_slice(name);
    let at = 14 + NAME_MAX;
    slot[at..at + 2].copy_from_slice(&(entry.wrapped.len() as u16).to_le_bytes());
    slot[at + 2..at + 2 + entry.wrapped.len()].copy_from_slice(&entry.wrapped);
    let sum = short_hash(&[&number.to_le_bytes(), &slot[..SLOT - CHECKSUM]]);
    slot[SLOT - CHECKSUM..].copy_from_slice(&sum);
    slot
}

const _: () = assert!(14 + NAME_MAX + 2 + WRAPPED_MAX + CHECKSUM <= SLOT);

/// `None` if it is damaged.
#[allow(clippy::option_option, reason = "free and damaged are two things")]
fn read_slot(number: u32, slot: &[u8; SLOT]) -> Option<Option<Entry>> {
    if slot.iter().all(|&byte| byte == 0) {
        return Some(None);
    }
    if slot[SLOT - CHECKSUM..] != short_hash(&[&number.to_le_bytes(), &slot[..SLOT - CHECKSUM]]) {
        return None;
    }
    let name = slot.get(14..14 + usize::from(slot[13]))?;
    let at = 14 + NAME_MAX;
    let length = usize::from(u16::from_le_bytes([slot[at], slot[at + 1]]));
    Some(Some(Entry {
        tenant: std::str::from_utf8(name).ok()?.parse().ok()?,
        version: u32::from_le_bytes(slot[1..5].try_into().ok()?),
        made_at: Timestamp::from_unix_milliseconds(u64::from_le_bytes(slot[5..13].try_into().ok()?)),
        emptied: slot[0] == EMPTIED,
        wrapped: slot.get(at + 2..at + 2 + length)?.to_vec(),
    }))
}

/// Against accidents; the wrapping's own tag is there against an enemy.
fn short_hash(parts: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref()[..CHECKSUM].try_into().expect("longer than a checksum")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: [u8; 16] = [9; 16];

    fn entry(tenant: &str, version: u32) -> Entry {
        let tenant = tenant.parse().expect("a slug");
        let made_at = Timestamp::from_unix_milliseconds(77);
        Entry { tenant, version, made_at, emptied: false, wrapped: vec![0xA0 + version as u8; WRAPPED_MAX] }
    }

    #[test]
    fn versions_are_kept_left_and_nowhere_in_the_file_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Ring::path_beside(&folder.path().join("keys"));
        let ring = Ring::create(&path, STORE, KeyId::from_bytes([1; 8]), false).expect("writable");
        for entry in [entry("acme", 1), entry("bolt", 1), entry("acme", 2)] {
            ring.put(entry).expect("writable");
        }
        let old = entry("acme", 1);
        ring.mark_emptied(old.name()).expect("writable");
        let ring = Ring::open(&path, STORE).expect("whole");
        assert_eq!(ring.of(&old.tenant), [Entry { emptied: true, ..old.clone() }, entry("acme", 2)]);
        ring.destroy(old.name()).expect("writable");
        let holds = |byte| std::fs::read(&path).expect("readable").windows(8).any(|window| window == [byte; 8]);
        assert!(!holds(0xA1) || ring.of(&entry("bolt", 1).tenant).len() == 1);
        ring.destroy(entry("bolt", 1).name()).expect("writable");
        assert!(!holds(0xA1) && holds(0xA2));
        ring.put(entry("coil", 3)).expect("writable");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), (HEADER + 3 * SLOT) as u64, "slots are used again");
        assert_eq!(
            Ring::open(&path, STORE).expect("whole").tenants(),
            [entry("acme", 1).tenant, entry("coil", 1).tenant]
        );
    }

    #[test]
    fn cut_altered_and_foreign_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tenants");
        Ring::create(&path, STORE, KeyId::from_bytes([1; 8]), true)
            .and_then(|ring| ring.put(entry("acme", 1)))
            .expect("writable");
        assert!(Ring::open(&path, STORE).expect("whole").early());
        assert!(matches!(Ring::open(&path, [8; 16]), Err(RingError::OtherStore { .. })));
        let whole = std::fs::read(&path).expect("readable");
        for at in (0..64).chain(HEADER..HEADER + SLOT) {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).expect("writable");
            assert!(matches!(Ring::open(&path, STORE), Err(RingError::Damaged { .. })), "byte {at}");
        }
        std::fs::write(&path, &whole[..HEADER + 100]).expect("writable");
        assert!(matches!(Ring::open(&path, STORE), Err(RingError::Damaged { .. })));
        std::fs::remove_file(&path).expect("there");
        assert!(matches!(Ring::open(&path, STORE), Err(RingError::Missing { .. })));
    }
}
