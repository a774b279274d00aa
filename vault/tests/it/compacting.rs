//! sled's files keep within twice what lies in them, however often it is overwritten, and a crash leaves one of two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use volar_core::randomness::{Randomness, SeededRandomness};
use volar_vault::error::VaultError;
use volar_vault::store::{SledStore, Store, StoreError, Table};

use crate::world::World;

const ROWS: u32 = 3_000;
const ROUNDS: usize = 12;

fn open(folder: &std::path::Path) -> SledStore {
    SledStore::open(folder, 64 << 20, true).expect("opens")
}

fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
    let written = store.transact(&mut |transaction| {
        transaction.put(Table::Palms, key, value)?;
        Ok(true)
    });
    written.expect("written");
}

fn overwrite(store: &dyn Store, randomness: &dyn Randomness) -> u64 {
    let mut live = 0;
    for start in (0..ROWS).step_by(50) {
        let written = store.transact(&mut |transaction| {
            live = 0;
            for row in start..start + 50 {
                let value: [u8; 6_000] = randomness.bytes();
                transaction.put(Table::Palms, &row.to_be_bytes(), &value)?;
                live += value.len() as u64 + 4;
            }
            Ok(true)
        });
        written.expect("written");
    }
    live * u64::from(ROWS) / 50
}

#[test]
fn files_keep_within_twice_the_live_data_after_twelve_rounds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let randomness = SeededRandomness::new(1);
    let (mut live, mut largest) = (0, 0);
    for _ in 0..ROUNDS {
        live = overwrite(&store, &randomness);
        largest = largest.max(store.size_bytes());
        store.compact(&|| false).expect("compacted").expect("sled compacts");
        assert!(store.size_bytes() <= 2 * live, "{} bytes hold {live}", store.size_bytes());
    }
    assert!(largest > live, "the rounds did not write");
    let on_disk = bytes_under(folder.path());
    assert!(on_disk <= 2 * live, "{on_disk} bytes on disk hold {live}");
    for _ in 0..4 {
        overwrite(&store, &randomness);
    }
    assert!(store.is_wasteful(), "{} bytes hold {live}", store.size_bytes());
    store.compact(&|| false).expect("compacted").expect("sled compacts");
    assert!(!store.is_wasteful());
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.scan(Table::Palms, &[], &[], usize::MAX).expect("readable").len(), ROWS as usize);
}

fn bytes_under(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable"));
    entries
        .map(|entry| match entry.metadata().expect("readable") {
            found if found.is_dir() => bytes_under(&entry.path()),
            found => found.len(),
        })
        .sum()
}

#[test]
fn what_is_written_while_files_move_is_in_the_fresh_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    overwrite(&store, &SeededRandomness::new(2));
    let (ended, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3_u8 {
            let (store, ended, written) = (&store, &ended, &written);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = [&[writer], number.to_be_bytes().as_slice()].concat();
                    put(store, &key, &number.to_be_bytes());
                    // Every third goes again.
                    if number % 3 == 0 {
                        let removed = store.transact(&mut |transaction| {
                            transaction.remove(Table::Palms, &key)?;
                            Ok(true)
                        });
                        removed.expect("removed");
                    }
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..3 {
            let before = written.load(Ordering::SeqCst);
            store.compact(&|| false).expect("compacted");
            while written.load(Ordering::SeqCst) < before + 30 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        ended.store(true, Ordering::SeqCst);
    });
    drop(store);
    let store = open(folder.path());
    for writer in 0..3_u8 {
        let rows = store.scan(Table::Palms, &[writer], &[], usize::MAX).expect("readable");
        let numbers: Vec<u64> = rows
            .iter()
            .filter(|(key, _)| key.len() == 9)
            .map(|(_, value)| u64::from_be_bytes(value.as_slice().try_into().expect("a number")))
            .collect();
        let last = *numbers.last().expect("some");
        let wanted: Vec<u64> = (0..=last).filter(|number| number % 3 != 0).collect();
        assert_eq!(numbers, wanted, "{writer}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 5, "blobs, current, lock, rows-4, witness");
}

#[test]
fn an_interrupted_move_leaves_the_folder_that_counts_and_a_vault_goes_on() {
    let world = World::new();
    let vault = world.open();
    let anna = world.member(&vault);
    vault.compact().expect("compacted").expect("sled compacts");
    let ben = world.member(&vault);
    drop(vault);
    // As a crash before the word of the fresh folder leaves it, and after it.
    for leftover in ["rows-3", "rows"] {
        std::fs::create_dir(world.path("store").join(leftover)).expect("not there");
        std::fs::write(world.path("store").join(leftover).join("db"), b"half").expect("writable");
        std::fs::write(world.path("store/current.new"), b"half").expect("writable");
        let vault = world.open();
        assert!([anna, ben].iter().all(|subject| world.feed(&vault).iter().any(|item| item.subject == *subject)));
        drop(vault);
        assert!(!world.path("store").join(leftover).exists(), "{leftover}");
    }
    let current = std::fs::read(world.path("store/current")).expect("there");
    for altered in ["rows-9x 1\n", "rows-2 \n", "rows-2 10", "rows-9 10\n", ""] {
        std::fs::write(world.path("store/current"), altered).expect("writable");
        let error = world.try_open().map(drop).expect_err(altered);
        assert!(matches!(error, VaultError::Store(StoreError::Damaged { .. })), "{altered}: {error}");
    }
    std::fs::remove_file(world.path("store/current")).expect("there");
    let error = world.try_open().map(drop).expect_err("nothing says which files count");
    assert!(matches!(error, VaultError::Store(StoreError::Damaged { .. })), "{error}");
    // As if somebody had made the first folder anew: it holds nothing of what was acknowledged, and nothing is removed.
    std::fs::create_dir(world.path("store/rows")).expect("not there");
    let error = world.try_open().map(drop).expect_err("an empty store");
    assert!(matches!(error, VaultError::Store(StoreError::LostWrites { .. })), "{error}");
    std::fs::write(world.path("store/current"), current).expect("writable");
    assert_eq!(world.feed(&world.open()).len(), 4, "nothing of it was touched");
}

#[test]
fn a_compaction_that_is_told_to_stop_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    overwrite(&store, &SeededRandomness::new(3));
    let asked = AtomicU64::new(0);
    let stopped = store.compact(&|| asked.fetch_add(1, Ordering::SeqCst) == 1).expect("no fault");
    assert_eq!(stopped, None);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "not asked while it copied");
    put(&store, b"later", b"row");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.scan(Table::Palms, &[], &[], usize::MAX).expect("readable").len(), ROWS as usize + 1);
    assert!(!folder.path().join("rows-2").exists());
}
