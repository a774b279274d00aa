//! Files that are not as they were written: a named error at the start, or one at the record; never a panic, never
//! somebody else's record, never silence about what was acknowledged.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::error::VaultError;
use volar_vault::keys::{KeyFile, KeyTableError};
use volar_vault::store::StoreError;
use volar_vault::vault::{DamagedKeys, Vault};

use crate::world::{World, checkout, members, operator, payment};

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("inside");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("writable");
}

fn refused(world: &World) -> VaultError {
    world.try_open().map(drop).expect_err("must not open")
}

#[test]
fn a_wrong_key_file_is_refused_by_name_and_harms_nothing() {
    let world = World::new();
    let subject = world.member(&world.open());
    let (key, kept) = (world.path("vault.key"), world.path("kept.key"));
    std::fs::rename(&key, &kept).expect("own file");
    KeyFile::create(&key, &*world.randomness).expect("writable");
    let error = refused(&world);
    assert!(matches!(error, VaultError::WrongKeyHolder { .. }), "{error}");
    assert!(error.to_string().contains("wrong key file"));
    std::fs::rename(&kept, &key).expect("own file");
    let vault = world.open();
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    assert!(vault.claim(&checkout(), &world.call(0), &ticket).expect("readable").payment == payment());
}

#[test]
fn a_key_table_that_is_missing_cut_foreign_or_older_is_refused() {
    let world = World::new();
    let keys = world.path("keys");
    let vault = world.open();
    world.member(&vault);
    let older = std::fs::read(&keys).expect("readable");
    world.member(&vault);
    drop(vault);
    let whole = std::fs::read(&keys).expect("readable");
    let put = |bytes: &[u8]| std::fs::write(&keys, bytes).expect("writable");

    std::fs::remove_file(&keys).expect("there");
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::Missing { .. })));
    put(&whole[..4096 + 50]);
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::Cut { .. })));
    put(&whole[..4096 + 128]);
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::Cut { .. })), "cut between slots");
    put(&whole[..100]);
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::Cut { .. })));
    put(&older);
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::SlotOfAnother { .. })));
    put(&whole);
    flip(&keys, 15);
    assert!(matches!(refused(&world), VaultError::KeyTable(KeyTableError::Header { .. })));
    let other = World::new();
    drop(other.open());
    put(&std::fs::read(other.path("keys")).expect("readable"));
    let error = refused(&world);
    // Same made-up randomness, so the same store id: then the slots tell.
    let foreign = matches!(
        error,
        VaultError::KeyTable(
            KeyTableError::OtherStore { .. } | KeyTableError::Cut { .. } | KeyTableError::SlotOfAnother { .. }
        )
    );
    assert!(foreign, "{error}");
    put(&whole);
    assert_eq!(world.feed(&world.open()).len(), 4);
}

#[test]
fn a_damaged_slot_stops_the_start_until_an_operator_gives_the_person_up() {
    let mut world = World::new();
    let vault = world.open();
    let (lost, kept) = (world.member(&vault), world.member(&vault));
    drop(vault);
    flip(&world.path("keys"), 4096 + 40);
    let error = refused(&world);
    assert!(matches!(error, VaultError::KeyTable(KeyTableError::SlotDamaged { slot: 0, .. })), "{error}");
    assert!(error.to_string().contains("erase-damaged"), "it says what to do");
    world.settings.damaged_keys = DamagedKeys::Erase;
    drop(world.open());
    world.settings.damaged_keys = DamagedKeys::Refuse;
    let vault = world.open();
    let claim = |subject| {
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket).map(drop)
    };
    assert!(matches!(claim(lost), Err(VaultError::SubjectErased)));
    claim(kept).expect("nobody else is harmed");
    assert_eq!(vault.status(&operator()).expect("readable")[0].head.active, 1);
}

#[test]
fn a_key_table_without_its_store_is_not_overwritten() {
    let world = World::new();
    world.member(&world.open());
    let before = std::fs::read(world.path("keys")).expect("readable");
    std::fs::rename(world.path("store"), world.path("elsewhere")).expect("own folder");
    let error = refused(&world);
    assert!(matches!(error, VaultError::StoreMissing { .. }), "{error}");
    assert_eq!(std::fs::read(world.path("keys")).expect("readable"), before);
}

#[test]
fn a_store_that_forgot_what_it_acknowledged_is_refused() {
    let world = World::new();
    world.member(&world.open());
    let (rows, older) = (world.path("store/rows"), world.path("older"));
    copy(&rows, &older);
    world.member(&world.open());
    std::fs::remove_dir_all(&rows).expect("own folder");
    copy(&older, &rows);
    let error = refused(&world);
    assert!(matches!(error, VaultError::Store(StoreError::LostWrites { .. })), "{error}");
}

/// Cuts and flips at many places of every file of the store.
#[test]
fn no_damage_to_the_store_panics_or_goes_unnoticed() {
    let world = World::new();
    let vault = world.open();
    for _ in 0..12 {
        world.member(&vault);
    }
    drop(vault);
    let (store, pristine, keys) = (world.path("store"), world.path("pristine"), world.path("keys"));
    copy(&store, &pristine);
    let key_table = std::fs::read(&keys).expect("readable");
    let (mut at_start, mut at_record, mut harmless) = (0, 0, 0);
    for file in files(&pristine) {
        let file = store.join(file.strip_prefix(&pristine).expect("inside"));
        let length = std::fs::metadata(&file).expect("there").len();
        if length == 0 {
            continue;
        }
        for round in 0..24_u64 {
            std::fs::remove_dir_all(&store).expect("own folder");
            copy(&pristine, &store);
            std::fs::write(&keys, &key_table).expect("writable");
            let random = u64::from_le_bytes(world.randomness.bytes());
            if round % 3 == 0 {
                OpenOptions::new().write(true).open(&file).expect("there").set_len(random % length).expect("writable");
            } else {
                flip(&file, random % length);
            }
            match world.try_open() {
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    at_start += 1;
                }
                Ok(vault) if read_everything(&vault).is_err() => at_record += 1,
                Ok(vault) => {
                    assert_eq!(world.feed(&vault).len(), 24, "acknowledged events are gone without a word");
                    harmless += 1;
                }
            }
        }
    }
    assert!(at_start > 0, "{at_start} at start, {at_record} at a record, {harmless} in unused bytes");
}

fn read_everything(vault: &Vault) -> Result<(), VaultError> {
    vault.events(&crate::world::matcher(), &members(), Shard::WHOLE, 1, 1_000)?;
    vault.status(&operator())?;
    vault.subjects(&operator(), &members(), None, 1_000, "").map(drop)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("writable");
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
