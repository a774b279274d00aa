//! From sled to PostgreSQL and back.

use volar_core::ticket::Purpose;
use volar_vault::error::VaultError;
use volar_vault::migration::{MigrationError, Step, migrate};
use volar_vault::store::Table;

use crate::world::{Engine, Postgres, Sled, World, checkout, kiosk, members, operator};

#[test]
fn a_vault_moves_to_postgres_and_back_and_nothing_is_lost() {
    let world = World::new();
    let vault = world.open();
    let member = world.member(&vault);
    let (enrollment, pending, _) = world.enroll(&vault);
    let ticket = world.sealed(&vault, member, Purpose::Admission);
    let call = world.call(3);
    let first = vault.claim(&checkout(), &call, &ticket).expect("claimed");
    let before = format!("{:?}", world.feed(&vault));
    drop(vault);

    let postgres = Postgres::new();
    let (old, new) = (world.store(), postgres.store());
    let (mut steps, mut last) = (Vec::new(), (0, 0));
    let moved = migrate(&*old, &*new, &mut |step, done, total| {
        assert!(done <= total);
        steps.push(step);
        last = (done, total);
    });
    let moved = moved.expect("moved");
    assert_eq!(moved.blobs, 1);
    assert_eq!(last, (moved.rows + moved.blobs, moved.rows + moved.blobs));
    steps.dedup();
    assert_eq!(steps, [Step::Count, Step::Copy, Step::Verify]);
    assert!(matches!(migrate(&*old, &*new, &mut |_, _, _| {}), Err(MigrationError::Moved)));
    drop((old, new));
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreMoved)), "the old store must not go on");

    let world = world.with(postgres);
    let vault = world.open();
    assert_eq!(format!("{:?}", world.feed(&vault)), before);
    let again = vault.claim(&checkout(), &call, &ticket).expect("the same call, the same answer");
    assert_eq!((again.claimed_at, again.pseudonym), (first.claimed_at, first.pseudonym));
    vault.standing(&kiosk(), enrollment).expect("known");
    assert_eq!(vault.subjects(&operator(), &members(), None, 0, "").expect("readable").subjects.len(), 2);
    assert_eq!(world.feed(&vault)[2].subject, pending);
    let (_, later, _) = world.enroll(&vault);
    drop(vault);

    let old = world.store();
    std::fs::remove_dir_all(world.path("store")).expect("the old store is done with");
    let world = {
        let sled = world.with(Sled);
        let new = sled.store();
        migrate(&*old, &*new, &mut |_, _, _| {}).expect("moved back");
        drop((old, new));
        sled
    };
    let vault = world.open();
    assert!(world.feed(&vault).iter().any(|item| item.subject == later));
    world.member(&vault);
}

#[test]
fn an_interrupted_move_is_begun_anew_and_opens_as_no_vault() {
    let world = World::new();
    let vault = world.open();
    for _ in 0..5 {
        world.enroll(&vault);
    }
    drop(vault);
    let postgres = Postgres::new();
    let (old, new) = (world.store(), postgres.store());
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        migrate(&*old, &*new, &mut |step, done, _| assert!(step != Step::Copy || done < 40, "interrupted"))
    }));
    assert!(interrupted.is_err());
    assert!(new.scan(Table::Palms, &[], &[], 100).expect("readable").len() > 1, "it was not under way");
    drop((old, new));
    // The old one still opens; the new one does not.
    drop(world.open());
    let world = world.with(postgres);
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreUnfinished)));
    let new = world.store();
    let world = world.with(Sled);
    world.member(&world.open());
    let old = world.store();
    migrate(&*old, &*new, &mut |_, _, _| {}).expect("moved");
    assert!(matches!(migrate(&*new, &*old, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
    drop((old, new));
}

#[test]
fn what_must_not_be_copied_is_refused() {
    let (empty, other) = (Postgres::new().store(), Postgres::new().store());
    assert!(matches!(migrate(&*empty, &*other, &mut |_, _, _| {}), Err(MigrationError::Nothing)));
    let world = World::new();
    drop(world.open());
    let old = world.store();
    empty.put_blob("somebody", b"x").expect("writable");
    assert!(matches!(migrate(&*old, &*empty, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
    let written = other.transact(&mut |transaction| {
        transaction.put(Table::Claims, b"x", b"")?;
        Ok(true)
    });
    written.expect("written");
    assert!(matches!(migrate(&*old, &*other, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
}
