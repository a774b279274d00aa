//! Where the wrapped subject keys lie: one file of fixed slots, overwritten in place and synchronized. Erasing a person
//! is overwriting a slot with zeros; a log-structured store would keep the old bytes.
//!
//! ```text
//! header   4096 bytes  magic, format version, store id, key id, checksum; written once
//! slot n    128 bytes  version | subject | wrapped key (nonce, key, tag) | zeros | checksum over n and all before
//! ```
//!
//! A free slot is all zeros. A slot never straddles a 512-byte sector. A new key is durable before the store refers to
//! it; what a crash leaves without a referrer is reclaimed at the next start.
//!
//! Several vaults may [share](super::sharing) the file. Each then only guesses which slots are free, and looks before it
//! writes one; a slot is destroyed only while it is its owner's.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use volar_core::id::SubjectId;

use super::KeyId;
use super::file::sync_folder_of;
use super::layout::{HEADER, Reading, SLOT, WrappedKey, header, offset, read_slot, store_of, write_slot};
use super::mirror::{Mirror, MirrorError};
use super::sharing::lock_together;
use super::table_error::KeyTableError;
use crate::group_sync::GroupSync;
use crate::turns::{Turn, Turns};

/// The file grows by this many slots, 128 KiB, at a time.
const GROWTH: u32 = 1024;

/// A slot's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// The open key table.
#[derive(Debug)]
pub struct KeyTable {
    file: File,
    path: PathBuf,
    space: Mutex<Space>,
    sync: GroupSync,
    /// Slots in use are wrapped anew: nobody reads half of one, or wraps anew what is being destroyed.
    bytes: RwLock<()>,
    /// Of those who share the file, if it is shared.
    turns: Option<Turns>,
    /// A copy on another disk, overwritten together with the file.
    mirror: OnceLock<Mirror>,
}

#[derive(Debug)]
struct Space {
    slots: u32,
    /// In a shared file, those that may be free. A set: giving a slot back twice must not give it to two people.
    free: BTreeSet<u32>,
}

/// In whose company a table is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nobody may have it open.
    None,
    /// Nobody has it open; others may, once [`KeyTable::let_others_in`] says so.
    First,
    /// Others have it open and share it.
    Others,
}

/// What a table holds when it is opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Slots in use, and whose.
    pub used: Vec<(Slot, SubjectId)>,
    /// Slots whose checksum is wrong.
    pub damaged: Vec<Slot>,
}

impl KeyTable {
    /// Makes an empty table for the store `store_id` whose records are sealed under `key_id`.
    pub fn create(path: &Path, store_id: [u8; 16], key_id: KeyId) -> Result<Self, KeyTableError> {
        Self::create_for(path, store_id, key_id, Company::None)
    }

    /// The same in company; that of others finds it made.
    pub(crate) fn create_for(
        path: &Path,
        store_id: [u8; 16],
        key_id: KeyId,
        company: Company,
    ) -> Result<Self, KeyTableError> {
        let io = |error| KeyTableError::Io { path: path.to_owned(), error };
        // Emptied once nobody else has it.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        lock(&file, path)?;
        file.set_len(0)
            .and_then(|()| file.write_all_at(&header(store_id, key_id), 0))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder_of(path))
            .map_err(io)?;
        Self::over(file, path, 0, BTreeSet::new(), company)
    }

    /// Opens the table of store `store_id` and tells what it holds.
    pub fn open(path: &Path, store_id: [u8; 16]) -> Result<(Self, Contents), KeyTableError> {
        Self::open_in(path, store_id, Company::None)
    }

    /// The same in company.
    pub(crate) fn open_in(
        path: &Path,
        store_id: [u8; 16],
        company: Company,
    ) -> Result<(Self, Contents), KeyTableError> {
        let io = |error| KeyTableError::Io { path: path.to_owned(), error };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(KeyTableError::Missing { path: path.to_owned() });
            }
            opened => opened.map_err(io)?,
        };
        match company {
            Company::None | Company::First => lock(&file, path)?,
            Company::Others => lock_together(&file).map_err(|_| KeyTableError::InUse { path: path.to_owned() })?,
        }
        let length = file.metadata().map_err(io)?.len();
        let cut = || KeyTableError::Cut { path: path.to_owned(), length };
        if length < HEADER as u64 || !(length - HEADER as u64).is_multiple_of(SLOT as u64) {
            return Err(cut());
        }
        let mut start = [0; HEADER];
        file.read_exact(&mut start).map_err(io)?;
        if store_of(&start).ok_or_else(|| KeyTableError::Header { path: path.to_owned() })? != store_id {
            return Err(KeyTableError::OtherStore { path: path.to_owned() });
        }
        let slots = u32::try_from((length - HEADER as u64) / SLOT as u64).map_err(|_| cut())?;
        let (contents, free) = read_slots(&file, slots).map_err(io)?;
        Ok((Self::over(file, path, slots, free, company)?, contents))
    }

    /// Has others open the table too from now on.
    pub(crate) fn let_others_in(&self) -> Result<(), KeyTableError> {
        lock_together(&self.file).map_err(|_| KeyTableError::InUse { path: self.path.clone() })
    }

    /// Whether another process has the table at `path` open.
    pub(crate) fn is_in_use(path: &Path) -> Result<bool, KeyTableError> {
        let io = |error| KeyTableError::Io { path: path.to_owned(), error };
        match OpenOptions::new().read(true).write(true).open(path) {
            // A vault that is yet to be made.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            opened => match lock(&opened.map_err(io)?, path) {
                Err(KeyTableError::InUse { .. }) => Ok(true),
                locked => locked.map(|()| false),
            },
        }
    }

    fn over(file: File, path: &Path, slots: u32, free: BTreeSet<u32>, company: Company) -> Result<Self, KeyTableError> {
        let turns = match company {
            Company::None => None,
            Company::First | Company::Others => Some(Turns::of(path)),
        };
        let turns = turns.transpose().map_err(|error| KeyTableError::Io { path: path.to_owned(), error })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            space: Mutex::new(Space { slots, free }),
            sync: GroupSync::default(),
            bytes: RwLock::default(),
            turns,
            mirror: OnceLock::new(),
        })
    }

    /// Has the file at `path` follow from now on: it is made the same, and every change is durable in both before it
    /// counts. A file that has followed another store's table is refused; in the company of others, one that is not theirs.
    pub(crate) fn follow(&self, path: &Path, company: Company) -> Result<(), KeyTableError> {
        let _alone = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn()?;
        let mirror = Mirror::attach(path, &self.file, HEADER, company).map_err(|error| match error {
            MirrorError::Io(path, error) => KeyTableError::Io { path, error },
            MirrorError::Other(path) => KeyTableError::OtherStore { path },
            MirrorError::Apart(path) => KeyTableError::Apart { path },
        })?;
        // Followed already; the first stays.
        let _ = self.mirror.set(mirror);
        Ok(())
    }

    /// Writes a wrapped key to a free slot; durable when this returns.
    pub(crate) fn store(&self, subject: SubjectId, wrapped: &WrappedKey) -> Result<Slot, KeyTableError> {
        loop {
            let number = self.take_free()?;
            let slot = write_slot(number, subject, wrapped);
            match self.overwrite(number, &slot, |found| matches!(found, Reading::Free)) {
                Ok(true) => return Ok(Slot(number)),
                // Another vault was first.
                Ok(false) => {}
                Err(error) => {
                    // Nobody refers to it, and whoever is given it next writes all of it: a full disk uses no slots up.
                    self.space().free.insert(number);
                    return Err(error);
                }
            }
        }
    }

    /// Reads the key that `slot` holds for `subject`; `None` if the slot is free, its key destroyed.
    pub(crate) fn load(&self, slot: Slot, subject: SubjectId) -> Result<Option<WrappedKey>, KeyTableError> {
        let _whole = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        self.read(slot, subject)
    }

    fn read(&self, slot: Slot, subject: SubjectId) -> Result<Option<WrappedKey>, KeyTableError> {
        let mut found = self.read_at(slot.0)?;
        if matches!(found, Reading::Damaged) && self.turns.is_some() {
            // Perhaps another vault was writing it.
            let _turn = self.turn()?;
            found = self.read_at(slot.0)?;
        }
        match found {
            Reading::Free => Ok(None),
            Reading::Damaged => Err(KeyTableError::SlotDamaged { path: self.path.clone(), slot: slot.0 }),
            Reading::Used(owner, key) if owner == subject => Ok(Some(key)),
            // Destroyed by another vault, and somebody's since.
            Reading::Used(..) if self.turns.is_some() => Ok(None),
            Reading::Used(..) => Err(KeyTableError::SlotOfAnother { path: self.path.clone(), slot: slot.0 }),
        }
    }

    fn read_at(&self, number: u32) -> Result<Reading, KeyTableError> {
        // Another vault may have made the file longer.
        if self.turns.is_none() && number >= self.space().slots {
            let length = self.file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
            return Err(KeyTableError::Cut { path: self.path.clone(), length });
        }
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, offset(number)).map_err(|error| self.io(error))?;
        Ok(read_slot(number, &bytes))
    }

    /// Overwrites the keys of `slots` with what `again` makes of them, where it makes something; durable when this
    /// returns. Slots that were destroyed or given to others since are left alone. Returns how many were overwritten.
    pub(crate) fn rewrap<E: From<KeyTableError>>(
        &self,
        slots: &[(Slot, SubjectId)],
        mut again: impl FnMut(SubjectId, &WrappedKey) -> Result<Option<WrappedKey>, E>,
    ) -> Result<u64, E> {
        let mut changed = 0;
        for &(slot, subject) in slots {
            let _alone = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
            let _turn = self.turn()?;
            // What another vault writes is whole, in a turn.
            let wrapped = match self.read_at(slot.0)? {
                Reading::Used(owner, wrapped) if owner == subject => wrapped,
                Reading::Damaged => {
                    return Err(KeyTableError::SlotDamaged { path: self.path.clone(), slot: slot.0 }.into());
                }
                Reading::Free | Reading::Used(..) => continue,
            };
            if let Some(key) = again(subject, &wrapped)? {
                let bytes = write_slot(slot.0, subject, &key);
                self.write_at(&bytes, offset(slot.0))?;
                changed += 1;
            }
        }
        if changed > 0 {
            self.synchronize()?;
        }
        Ok(changed)
    }

    /// Overwrites the key of `subject` with zeros; durable when this returns. A slot that is another's by now is left
    /// alone. In a table of one's own the slot is not yet given to anyone else.
    pub fn destroy(&self, slot: Slot, subject: SubjectId) -> Result<(), KeyTableError> {
        let others = |found: &Reading| matches!(found, Reading::Used(owner, _) if *owner != subject);
        self.overwrite(slot.0, &[0; SLOT], |found| !others(found)).map(drop)
    }

    /// Overwrites a slot that nobody is known to refer to.
    pub(crate) fn clear(&self, slot: Slot) -> Result<(), KeyTableError> {
        self.overwrite(slot.0, &[0; SLOT], |_| true).map(drop)
    }

    /// Lets a destroyed slot be used again. Call once the store refers to it no more.
    pub fn release(&self, slot: Slot) {
        self.space().free.insert(slot.0);
    }

    /// What it holds now.
    pub(crate) fn contents(&self) -> Result<Contents, KeyTableError> {
        let _whole = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        let slots = self.space().slots;
        Ok(read_slots(&self.file, slots).map_err(|error| self.io(error))?.0)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take_free(&self) -> Result<u32, KeyTableError> {
        let mut space = self.space();
        if let Some(number) = space.free.pop_first() {
            return Ok(number);
        }
        let _turn = self.turn()?;
        if self.turns.is_some() {
            let length = self.file.metadata().map_err(|error| self.io(error))?.len();
            let found = u32::try_from((length - HEADER as u64) / SLOT as u64).unwrap_or(u32::MAX);
            if found > space.slots {
                let first = space.slots;
                space.free.extend(first + 1..found);
                space.slots = found;
                return Ok(first);
            }
        }
        let slots = space.slots.checked_add(GROWTH).ok_or_else(|| KeyTableError::Full { path: self.path.clone() })?;
        self.file.set_len(offset(slots)).map_err(|error| self.io(error))?;
        if let Some(mirror) = self.mirror.get() {
            let grown = mirror.grow(offset(slots));
            grown.map_err(|error| KeyTableError::Io { path: mirror.path().to_owned(), error })?;
        }
        let first = space.slots;
        space.free.extend(first + 1..slots);
        space.slots = slots;
        Ok(first)
    }

    /// Overwrites a slot if `may` agrees to what is there; tells whether it did.
    fn overwrite(
        &self,
        number: u32,
        slot: &[u8; SLOT],
        may: impl FnOnce(&Reading) -> bool,
    ) -> Result<bool, KeyTableError> {
        {
            let _alone = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
            let _turn = self.turn()?;
            if !may(&self.read_at(number)?) {
                return Ok(false);
            }
            self.write_at(slot, offset(number))?;
        }
        self.synchronize().map(|()| true)
    }

    fn turn(&self) -> Result<Option<Turn<'_>>, KeyTableError> {
        self.turns.as_ref().map(Turns::take).transpose().map_err(|error| self.io(error))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), KeyTableError> {
        self.file.write_all_at(bytes, at).map_err(|error| self.io(error))?;
        let Some(mirror) = self.mirror.get() else { return Ok(()) };
        mirror.write(bytes, at).map_err(|error| KeyTableError::Io { path: mirror.path().to_owned(), error })
    }

    fn synchronize(&self) -> Result<(), KeyTableError> {
        let write = self.sync.wrote();
        // `sync_data` flushes the file's new length too, which it needs to read the slot back.
        self.sync
            .wait(write, || {
                self.file.sync_data()?;
                self.mirror.get().map_or(Ok(()), Mirror::sync)
            })
            .map_err(|_| KeyTableError::SyncFailed { path: self.path.clone() })
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, error: std::io::Error) -> KeyTableError {
        KeyTableError::Io { path: self.path.clone(), error }
    }
}

/// Two vaults that write one table would give one slot to two people. The store has a lock of its own, which a server that
/// has lost sight of a vault gives to the next while the first still runs.
fn lock(file: &File, path: &Path) -> Result<(), KeyTableError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => KeyTableError::InUse { path: path.to_owned() },
        TryLockError::Error(error) => KeyTableError::Io { path: path.to_owned(), error },
    })
}

/// Slots in use or damaged, and the free ones.
fn read_slots(file: &File, slots: u32) -> std::io::Result<(Contents, BTreeSet<u32>)> {
    let (mut contents, mut free) = (Contents::default(), BTreeSet::new());
    let mut reader = std::io::BufReader::with_capacity(1 << 20, file);
    reader.seek(std::io::SeekFrom::Start(HEADER as u64))?;
    for number in 0..slots {
        let mut slot = [0; SLOT];
        reader.read_exact(&mut slot)?;
        match read_slot(number, &slot) {
            Reading::Free => drop(free.insert(number)),
            Reading::Used(subject, _) => contents.used.push((Slot(number), subject)),
            Reading::Damaged => contents.damaged.push(Slot(number)),
        }
    }
    Ok((contents, free))
}

#[cfg(test)]
mod tests {
    use super::super::layout::WRAPPED;
    use super::*;

    const STORE: [u8; 16] = [9; 16];

    fn subject(number: u8) -> SubjectId {
        SubjectId::from_bytes([number; 16])
    }

    fn wrapped(byte: u8) -> WrappedKey {
        WrappedKey { version: 1, bytes: [byte; WRAPPED] }
    }

    fn table(path: &Path) -> KeyTable {
        KeyTable::create(path, STORE, KeyId::from_bytes([1; 8])).expect("writable")
    }

    fn flip(path: &Path, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("there");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("inside");
        file.write_all_at(&[byte[0] ^ 4], at).expect("writable");
    }

    #[test]
    fn a_table_that_is_open_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let keys = table(&path);
        let slot = keys.store(subject(1), &wrapped(1)).expect("stored");
        assert!(matches!(KeyTable::open(&path, STORE), Err(KeyTableError::InUse { .. })));
        let anew = KeyTable::create(&path, STORE, KeyId::from_bytes([1; 8]));
        assert!(matches!(anew, Err(KeyTableError::InUse { .. })));
        assert!(KeyTable::is_in_use(&path).expect("there"));
        drop(keys);
        assert!(!KeyTable::is_in_use(&path).expect("there"));
        let (keys, _) = KeyTable::open(&path, STORE).expect("free");
        assert_eq!(keys.load(slot, subject(1)).expect("readable").expect("untouched").bytes, [1; WRAPPED]);
    }

    #[test]
    fn keys_are_kept_destroyed_and_their_slots_used_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let keys = table(&path);
        let one = keys.store(subject(1), &wrapped(1)).expect("stored");
        let two = keys.store(subject(2), &wrapped(2)).expect("stored");
        assert_eq!(keys.load(one, subject(1)).expect("readable").expect("used").bytes, [1; WRAPPED]);
        assert!(matches!(keys.load(one, subject(2)), Err(KeyTableError::SlotOfAnother { slot: 0, .. })));
        keys.destroy(one, subject(1)).expect("writable");
        assert!(keys.load(one, subject(1)).expect("readable").is_none());
        assert_ne!(keys.store(subject(3), &wrapped(3)).expect("stored"), one, "reused before it was released");
        keys.release(one);
        assert_eq!(keys.store(subject(4), &wrapped(4)).expect("stored"), one);
        drop(keys);

        let (keys, contents) = KeyTable::open(&path, STORE).expect("whole");
        assert_eq!(contents.used.len(), 3);
        assert_eq!(contents.used[0], (one, subject(4)));
        assert_eq!(keys.load(two, subject(2)).expect("readable").expect("used").bytes, [2; WRAPPED]);
    }

    #[test]
    fn a_destroyed_key_is_nowhere_in_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let keys = table(&path);
        let slot = keys.store(subject(1), &wrapped(0xA7)).expect("stored");
        let holds = || std::fs::read(&path).expect("readable").windows(8).any(|window| window == [0xA7; 8]);
        assert!(holds());
        keys.destroy(slot, subject(1)).expect("writable");
        assert!(!holds());
    }

    #[test]
    fn cut_altered_and_foreign_tables_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let fresh = || assert_eq!(table(&path).store(subject(1), &wrapped(1)).expect("stored"), Slot(0));
        let open = || KeyTable::open(&path, STORE);

        fresh();
        let file = OpenOptions::new().write(true).open(&path).expect("there");
        file.set_len(HEADER as u64 + 77).expect("writable");
        assert!(matches!(open(), Err(KeyTableError::Cut { .. })));
        file.set_len(100).expect("writable");
        assert!(matches!(open(), Err(KeyTableError::Cut { length: 100, .. })));

        fresh();
        flip(&path, 20);
        assert!(matches!(open(), Err(KeyTableError::Header { .. })));

        fresh();
        assert!(matches!(KeyTable::open(&path, [8; 16]), Err(KeyTableError::OtherStore { .. })));

        std::fs::remove_file(&path).expect("there");
        assert!(matches!(open(), Err(KeyTableError::Missing { .. })));
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let slot = table(&path).store(subject(1), &wrapped(1)).expect("stored");
        for at in 0..SLOT as u64 {
            flip(&path, HEADER as u64 + at);
            let (keys, contents) = KeyTable::open(&path, STORE).expect("header whole");
            assert_eq!(contents.damaged, vec![slot], "byte {at}");
            assert!(matches!(keys.load(slot, subject(1)), Err(KeyTableError::SlotDamaged { .. })), "byte {at}");
            flip(&path, HEADER as u64 + at);
        }
    }
}
