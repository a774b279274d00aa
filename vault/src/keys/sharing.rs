//! How several vaults have one key table open: each holds the file's lock together with the others for as long as it
//! lives, and takes [turns](crate::turns) for the moment in which it writes a slot. The copy of a table that they share
//! ([`mirror`](super::mirror)) is one file too, locked the same way.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// Takes a table's own lock together with others, in place of alone if it is held so.
pub(super) fn lock_together(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockShared)?)
}

/// Whether others have the file locked together.
pub(super) fn is_held(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        locked => Ok(locked.map(|()| false)?),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use volar_core::id::SubjectId;

    use super::super::layout::{WRAPPED, WrappedKey};
    use super::super::table::Company;
    use super::super::{KeyId, KeyTable, KeyTableError, Slot};

    const STORE: [u8; 16] = [9; 16];
    const TABLES: usize = 3;
    const PEOPLE: usize = 700;

    fn subject(number: usize) -> SubjectId {
        SubjectId::from_bytes([[0; 8], (number as u64 + 1).to_be_bytes()].concat().try_into().expect("sixteen bytes"))
    }

    fn wrapped(number: usize) -> WrappedKey {
        WrappedKey { version: 1, bytes: [number as u8; WRAPPED] }
    }

    fn shared(path: &Path) -> Vec<KeyTable> {
        let first = KeyTable::create_for(path, STORE, KeyId::from_bytes([1; 8]), Company::First).expect("writable");
        let refused = KeyTable::open_in(path, STORE, Company::Others);
        assert!(matches!(refused, Err(KeyTableError::InUse { .. })), "not before it is let in");
        first.let_others_in().expect("ours");
        let other = || KeyTable::open_in(path, STORE, Company::Others).expect("let in").0;
        std::iter::once(first).chain((1..TABLES).map(|_| other())).collect()
    }

    #[test]
    fn one_slot_is_one_persons_whoever_gives_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = shared(&folder.path().join("keys"));
        let slots: Vec<Vec<(usize, Slot)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = tables
                .iter()
                .enumerate()
                .map(|(at, table)| {
                    scope.spawn(move || {
                        let mine = (at * PEOPLE..(at + 1) * PEOPLE).map(|number| {
                            let slot = table.store(subject(number), &wrapped(number)).expect("stored");
                            if number.is_multiple_of(3) {
                                table.destroy(slot, subject(number)).expect("writable");
                                table.release(slot);
                            }
                            (number, slot)
                        });
                        mine.filter(|(number, _)| !number.is_multiple_of(3)).collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let all: BTreeSet<Slot> = slots.iter().flatten().map(|(_, slot)| *slot).collect();
        assert_eq!(all.len(), slots.iter().map(Vec::len).sum::<usize>(), "one slot, two people");
        for (number, slot) in slots.iter().flatten() {
            for table in &tables {
                let key = table.load(*slot, subject(*number)).expect("readable").expect("used");
                assert_eq!(key.bytes, [*number as u8; WRAPPED]);
            }
        }
    }

    #[test]
    fn a_slot_given_on_since_is_not_destroyed_for_whoever_had_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = shared(&folder.path().join("keys"));
        let slot = tables[0].store(subject(1), &wrapped(1)).expect("stored");
        tables[0].destroy(slot, subject(1)).expect("writable");
        // Another vault finds it free, and gives it on before the first has told its store.
        let again = tables[1].store(subject(2), &wrapped(2)).expect("stored");
        assert_eq!(again, slot);
        tables[2].destroy(slot, subject(1)).expect("left alone");
        assert!(tables[2].load(slot, subject(1)).expect("readable").is_none(), "gone, and no damage");
        assert_eq!(tables[0].load(slot, subject(2)).expect("readable").expect("used").bytes, [2; WRAPPED]);
    }

    #[test]
    fn nobody_has_a_shared_table_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let mut tables = shared(&path);
        assert!(matches!(KeyTable::open(&path, STORE), Err(KeyTableError::InUse { .. })));
        tables.truncate(1);
        assert!(matches!(KeyTable::open_in(&path, STORE, Company::First), Err(KeyTableError::InUse { .. })));
        tables.clear();
        drop(KeyTable::open_in(&path, STORE, Company::First).expect("free"));
        let _alone = KeyTable::open(&path, STORE).expect("free");
        assert!(matches!(KeyTable::open_in(&path, STORE, Company::Others), Err(KeyTableError::InUse { .. })));
    }
}
