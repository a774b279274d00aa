//! What comes back.

use std::time::Duration;

use volar_core::randomness::SeededRandomness;
use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::backup::restore::RestoreError;
use volar_vault::error::VaultError;
use volar_vault::feed::{News, Wanted};
use volar_vault::keys::KeyTableError;
use volar_vault::store::{Store, Table};

use super::{With, config, lose, open, restore_newest, restore_with};
use crate::world::{
    Engine, Postgres, Sled, World, WorldOver, checkout, kiosk, matcher, members, operator, payment, slug,
};

#[test]
fn everything_returns_from_sled_to_sled() {
    returns(World::new(), Sled);
}

#[test]
fn everything_returns_from_sled_to_postgres() {
    returns(World::new(), Postgres::new());
}

#[test]
fn everything_returns_from_postgres_to_sled() {
    returns(WorldOver::<Postgres>::new(), Sled);
}

/// Tables whose rows a restore adds to or writes anew.
const CHANGED: [Table; 5] = [Table::Meta, Table::Galleries, Table::AuditHeads, Table::AuditLeaves, Table::AuditNodes];

fn rows(store: &dyn Store) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let tables = Table::ALL.into_iter().filter(|table| !CHANGED.contains(table));
    tables
        .flat_map(|table| {
            let rows = store.scan(table, &[], &[], usize::from(u16::MAX)).expect("readable");
            rows.into_iter().map(move |(key, value)| (table, key, value))
        })
        .collect()
}

fn returns<A: Engine, B: Engine>(world: WorldOver<A>, other: B) {
    let vault = open(&world);
    let member = world.member(&vault);
    let (enrollment, pending, sequence) = world.enroll(&vault);
    let (claimed, open_still) =
        (world.sealed(&vault, member, Purpose::Admission), world.sealed(&vault, member, Purpose::Admission));
    let call = world.call(3);
    let first = vault.claim(&checkout(), &call, &claimed).expect("claimed");
    let feed = format!("{:?}", world.feed(&vault));
    let feed_id = vault.follow(&matcher(), &members(), 1, Wanted::Events(Shard::WHOLE)).expect("followed").feed_id;
    let made = vault.back_up().expect("backed up");
    assert_eq!((made.subjects, made.taken_at), (2, first.claimed_at));
    drop(vault);
    let before = rows(&*world.store());
    lose(&world);

    let world = world.with(other);
    let restored = restore_newest(&world);
    assert_eq!((restored.id, restored.subjects, restored.erased), (made.id, 2, 0));
    assert!(restored.opened > 20, "{}", restored.opened);
    assert!(rows(&*world.store()) == before, "not every row is as it was");

    let vault = open(&world);
    assert_eq!(format!("{:?}", world.feed(&vault)), feed);
    let start = vault.follow(&matcher(), &members(), 1, Wanted::Events(Shard::WHOLE)).expect("followed");
    assert_ne!(start.feed_id, feed_id, "matchers must start over");
    let again = vault.claim(&checkout(), &call, &claimed).expect("the same call, the same answer");
    assert_eq!((again.claimed_at, again.pseudonym), (first.claimed_at, first.pseudonym));
    let claim = |ticket: &[u8]| vault.claim(&checkout(), &world.call(0), ticket);
    assert!(matches!(claim(&claimed), Err(VaultError::TicketAlreadyClaimed)));
    // It may have been claimed between backup and loss.
    assert!(matches!(claim(&open_still), Err(VaultError::TicketBeforeRestore)));
    world.clock.advance(Duration::from_secs(301));
    let fresh = world.sealed(&vault, member, Purpose::Admission);
    assert!(claim(&fresh).expect("made after the restore").payment == payment());

    // Whoever was on their way goes on.
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("taken");
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    assert!(world.feed(&vault).iter().any(|item| item.subject == pending && matches!(item.news, News::Activated)));
    world.member(&vault);
    assert_eq!(vault.status(&operator()).expect("readable")[0].head.active, 3);
    let log = vault.audit_leaves(&operator(), 0, 100).expect("readable");
    assert!(log.iter().any(|leaf| leaf.contains("restored from backup 000001-")), "{log:?}");
    // Backups go on where they were.
    assert_eq!(vault.back_up().expect("backed up").id[..7], *"000002-");
    assert_eq!(vault.backup_status().expect("readable").backups.len(), 2);
}

#[test]
fn a_backup_more_writes_what_is_new_and_no_more_than_so_many_are_kept() {
    let world = World::new();
    let vault = world.open_with(Some(volar_vault::backup::BackupConfig { keep: 3, ..config(&world) }));
    for _ in 0..500 {
        world.member(&vault);
    }
    let base = vault.back_up().expect("backed up");
    assert!(base.new_bytes == base.bytes && base.bytes > 3_000_000, "{base:?}");
    world.member(&vault);
    let more = vault.back_up().expect("backed up");
    assert!(more.bytes > base.bytes && more.new_bytes < base.bytes / 3, "{more:?} after {base:?}");
    let files = || {
        std::fs::read_dir(world.path("backups/pieces"))
            .expect("there")
            .map(|folder| std::fs::read_dir(folder.expect("readable").path()).expect("readable").count())
            .sum::<usize>()
    };
    let before = files();
    for _ in 0..4 {
        let idle = vault.back_up().expect("backed up");
        assert!(idle.new_bytes < base.bytes / 3, "nothing but the log has grown: {idle:?}");
    }
    let status = vault.backup_status().expect("readable");
    let ids: Vec<_> = status.backups.iter().map(|backup| &backup.id[..6]).collect();
    assert_eq!(ids, ["000004", "000005", "000006"]);
    assert!(files() < before + 8, "pieces of old backups stay: {} of {before}", files());
    for backup in &status.backups {
        assert_eq!(vault.verify_backup(Some(&backup.id)).expect("whole").rows, backup.rows);
    }
    drop(vault);
    lose(&world);
    assert_eq!(restore_newest(&world).subjects, 501);
}

#[test]
fn backups_of_before_a_rotation_and_of_its_end_return() {
    let world = World::new();
    let vault = open(&world);
    let anna = world.member(&vault);
    let old = vault.back_up().expect("backed up");
    vault.begin_rotation(&slug("acme"), 1).expect("begun");
    vault.finish_rotation(&slug("acme")).expect("finished");
    // Nobody could go back to a backup of now if there were none: the rotation made one.
    let status = vault.backup_status().expect("readable");
    assert_eq!(status.backups.len(), 2);
    drop(vault);
    for (at, versions) in [(old.id.as_str(), 2), (status.backups[1].id.as_str(), 1)] {
        lose(&world);
        restore_with(&world, &With { at: Some(at), ..With::newest(&world) }).expect("restored");
        let vault = open(&world);
        assert_eq!(vault.keys(&operator(), false).expect("readable").versions.len(), versions, "{at}");
        vault.finish_rotation(&slug("acme")).expect("finished");
        world.clock.advance(Duration::from_secs(301));
        let ticket = world.sealed(&vault, anna, Purpose::Admission);
        assert!(vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed").payment == payment());
    }
}

#[test]
fn what_must_not_be_restored_into_is_refused() {
    let world = World::new();
    let vault = open(&world);
    world.member(&vault);
    vault.back_up().expect("backed up");
    assert!(matches!(vault.verify_backup(Some("000009-x")), Err(VaultError::Backup(_))));
    drop(vault);
    let newest = With::newest(&world);
    assert!(matches!(restore_with(&world, &newest), Err(RestoreError::NotEmpty)));
    lose(&world);
    let nothing = With { keys: None, ..With::newest(&world) };
    assert!(matches!(restore_with(&world, &nothing), Err(RestoreError::NoKeys { .. })));
    let unknown = restore_with(&world, &With { at: Some("000009-x"), ..With::newest(&world) });
    assert!(unknown.expect_err("refused").to_string().contains("000009-x"));
    let key = world.path("vault.key");
    let own = std::fs::read(&key).expect("readable");
    std::fs::remove_file(&key).expect("there");
    volar_vault::keys::KeyFile::create(&key, &*world.randomness).expect("writable");
    assert!(matches!(restore_with(&world, &newest), Err(RestoreError::OtherHolder { .. })));
    std::fs::write(&key, own).expect("writable");
    // Another vault's folder and keys are not written to.
    let mut other = World::new();
    // Every world draws the same ids.
    other.randomness = std::sync::Arc::new(SeededRandomness::new(2));
    let strange = volar_vault::backup::BackupConfig { keys: other.path("copy-of-keys"), ..config(&world) };
    let vault = other.try_open_with(Some(strange)).expect("nothing of it is read yet");
    assert!(vault.back_up().expect_err("refused").to_string().contains("another store"));
    let strange = volar_vault::backup::BackupConfig { folder: other.path("backups"), ..config(&world) };
    drop(vault);
    let refused = other.try_open_with(Some(strange)).map(drop);
    assert!(matches!(refused, Err(VaultError::KeyTable(KeyTableError::OtherStore { .. }))), "{refused:?}");
    restore_newest(&world);
}
