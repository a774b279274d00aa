//! From sled to PostgreSQL and back, and there while the vault serves.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Request;
use volar_core::id::EnrollmentId;
use volar_core::ticket::Purpose;
use volar_proto::v1 as wire;
use volar_proto::v1::store_service_server::StoreService;
use volar_vault::config::Config;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::keys::Secret;
use volar_vault::migration::{MigrationError, Step, migrate};
use volar_vault::service::Place;
use volar_vault::store::{PostgresConfig, Store, StoreError, Table};
use volar_vault::vault::{Call, Vault};

use super::server;
use crate::sealing::{seat, under_a_passphrase};
use crate::services::{from, reason};
use crate::world::{Engine, Postgres, Sled, World, checkout, kiosk, members, operator};

fn shared(store: Box<dyn Store>) -> Arc<dyn Store> {
    Arc::from(store)
}

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
    let (old, new) = (shared(world.store()), shared(postgres.store()));
    let (mut steps, mut last) = (Vec::new(), (0, 0));
    let moved = migrate(old.clone(), &*new, &mut |step, done, total| {
        assert!(done <= total);
        steps.push(step);
        last = (done, total);
    });
    let moved = moved.expect("moved");
    assert_eq!(moved.blobs, 1);
    assert_eq!(last, (moved.rows + moved.blobs, moved.rows + moved.blobs));
    steps.dedup();
    assert_eq!(steps, [Step::Count, Step::Copy, Step::Verify]);
    assert!(matches!(migrate(old.clone(), &*new, &mut |_, _, _| {}), Err(MigrationError::Moved)));
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

    let old = shared(world.store());
    std::fs::remove_dir_all(world.path("store")).expect("the old store is done with");
    let world = {
        let sled = world.with(Sled);
        let new = shared(sled.store());
        migrate(old.clone(), &*new, &mut |_, _, _| {}).expect("moved back");
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
    let (old, new) = (shared(world.store()), shared(postgres.store()));
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        migrate(old.clone(), &*new, &mut |step, done, _| assert!(step != Step::Copy || done < 40, "interrupted"))
    }));
    assert!(interrupted.is_err());
    assert!(new.scan(Table::Palms, &[], &[], 100).expect("readable").len() > 1, "it was not under way");
    drop((old, new));
    // The old one still opens; the new one does not.
    drop(world.open());
    let world = world.with(postgres);
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreUnfinished)));
    let new = shared(world.store());
    let world = world.with(Sled);
    world.member(&world.open());
    let old = shared(world.store());
    migrate(old.clone(), &*new, &mut |_, _, _| {}).expect("moved");
    assert!(matches!(migrate(new.clone(), &*old, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
    drop((old, new));
}

#[test]
fn what_must_not_be_copied_is_refused() {
    let (empty, other) = (shared(Postgres::new().store()), shared(Postgres::new().store()));
    assert!(matches!(migrate(empty.clone(), &*other, &mut |_, _, _| {}), Err(MigrationError::Nothing)));
    let world = World::new();
    drop(world.open());
    let old = shared(world.store());
    empty.put_blob("somebody", b"x").expect("writable");
    assert!(matches!(migrate(old.clone(), &*empty, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
    let written = other.transact(&mut |transaction| {
        transaction.put(Table::Claims, b"x", b"")?;
        Ok(true)
    });
    written.expect("written");
    assert!(matches!(migrate(old.clone(), &*other, &mut |_, _, _| {}), Err(MigrationError::NotEmpty)));
}

/// What kiosks and an operator were told while the records moved.
#[derive(Default)]
struct Told {
    enrolled: Vec<EnrollmentId>,
    erased: Vec<EnrollmentId>,
    /// Enrolments refused because the records had moved.
    refused: Vec<Call>,
    /// Erasures that broke off because of it.
    unsure: Vec<EnrollmentId>,
}

/// People come and go while everything is copied: whoever was acknowledged is there, once, and whoever was erased is not.
#[test]
fn a_serving_vault_moves_and_nothing_acknowledged_is_lost() {
    const WRITERS: usize = 3;
    let world = World::new();
    let vault = world.open();
    let before: Vec<EnrollmentId> = (0..150).map(|_| world.enroll(&vault).0).collect();
    let postgres = Postgres::new();
    let new = postgres.store();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (moved, told) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| come_and_go(&world, &vault, &runtime))).collect();
        let moved =
            vault.move_records_to(&*new, &operator(), &mut |_, done, total| assert!(done <= total)).expect("moved");
        let told: Vec<Told> = writers.into_iter().map(|writer| writer.join().expect("no panic")).collect();
        (moved, told)
    });
    assert!(matches!(vault.move_records_to(&*new, &operator(), &mut |_, _, _| {}), Err(MigrationError::Vault(_))));
    drop((vault, new));
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreMoved)), "the old store must not go on");

    let world = world.with(postgres);
    let vault = world.open();
    let meanwhile: usize = told.iter().map(|told| told.enrolled.len()).sum();
    assert!(meanwhile > WRITERS, "nobody came while the records moved");
    println!(
        "{moved:?}; {meanwhile} enrolled meanwhile, {} erased",
        told.iter().map(|told| told.erased.len()).sum::<usize>()
    );
    let stands = |enrollment| vault.standing(&kiosk(), enrollment).expect("known").state.is_some();
    assert!(before.iter().all(|enrollment| stands(*enrollment)), "lost");
    for told in &told {
        for enrollment in told.enrolled.iter().filter(|enrollment| !told.unsure.contains(enrollment)) {
            assert_eq!(stands(*enrollment), !told.erased.contains(enrollment));
        }
        for call in &told.refused {
            vault.enroll(&kiosk(), call, &world.request(true)).expect("the same call, to the new store");
        }
    }
    let feed = world.feed(&vault);
    let head = vault.status(&operator()).expect("readable")[0].head;
    assert_eq!(feed.len() as u64, head.last_sequence, "gapless");
    let gone = |told: &Told| told.erased.len() + told.unsure.iter().filter(|enrollment| !stands(**enrollment)).count();
    let gone: usize = told.iter().map(gone).sum();
    assert_eq!(head.pending as usize, before.len() + meanwhile + WRITERS - gone, "each of them once");
    let size = vault.audit_head(&operator(), 0).expect("signed").head.head().size;
    let leaves = (0..size).step_by(100).flat_map(|from| vault.audit_leaves(&operator(), from, 100).expect("readable"));
    assert_eq!(leaves.filter(|leaf| leaf.contains("the records move to another store")).count(), 1);
}

/// Enrols, and erases every third, until the records have moved.
fn come_and_go(world: &World, vault: &Arc<Vault>, runtime: &tokio::runtime::Runtime) -> Told {
    let mut told = Told::default();
    loop {
        let call = world.call(0);
        match vault.enroll(&kiosk(), &call, &world.request(true)) {
            Ok(enrollment) => told.enrolled.push(enrollment),
            Err(VaultError::Store(StoreError::Moved)) => {
                told.refused.push(call);
                return told;
            }
            Err(other) => panic!("{other}"),
        }
        if told.enrolled.len() % 3 == 2 {
            let enrollment = told.enrolled[told.enrolled.len() - 2];
            match runtime.block_on(vault.erase(&kiosk(), world.call(0), Erase::Cancel(enrollment))) {
                Ok(_) => told.erased.push(enrollment),
                // Marked or not: it is finished, or asked for again.
                Err(VaultError::Store(StoreError::Moved)) => told.unsure.push(enrollment),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// As an operator does it: the vault goes on over the database with the keys that it had, and the next start finds them.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_a_serving_vault() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = under_a_passphrase(folder.path());
    let passphrase = || Some(Secret::new("correct horse".to_owned().into()).expect("usable"));
    let nowhere = seat(&config, &CancellationToken::new());
    nowhere.start(passphrase(), None).await.expect("opens");
    let refused = nowhere.begin_move(operator()).expect_err("no database is named");
    assert!(refused.to_string().contains("[store.postgres]"), "{refused}");
    nowhere.stop().await.expect("stopped");

    config.store.postgres = Some(PostgresConfig::at(server::shared().database()));
    let seat_of = |config: &Config| seat(config, &CancellationToken::new());
    let serving = seat_of(&config);
    serving.start(passphrase(), None).await.expect("opens");
    let place = Place(serving.clone());
    let ask = || place.get_store(Request::new(wire::GetStoreRequest {}));
    let before = ask().await.expect("answered").into_inner();
    assert_eq!((before.engine.as_str(), before.r#move), ("sled", None));
    place.move_store(from(operator(), wire::MoveStoreRequest {})).await.expect("begun");
    let moved = loop {
        let now = ask().await.expect("answered").into_inner();
        match now.r#move {
            Some(moving) if !moving.ended => tokio::time::sleep(Duration::from_millis(20)).await,
            ended => break (now.engine, ended.expect("begun")),
        }
    };
    assert_eq!((moved.0.as_str(), moved.1.failed), ("postgres", false), "{}", moved.1.outcome);
    assert_eq!(serving.sealed(), None, "nobody was asked for the passphrase again");
    let again = place.move_store(from(operator(), wire::MoveStoreRequest {})).await;
    assert_eq!(reason(again).1, "NOWHERE_TO_MOVE");
    // Sealed and unsealed, it is in the database still.
    serving.seal(operator()).await.expect("sealed");
    assert_eq!(reason(place.move_store(from(operator(), wire::MoveStoreRequest {})).await).1, "SEALED");
    serving.unseal(operator(), passphrase()).await.expect("unsealed");
    serving.stop().await.expect("stopped");

    let forgotten = seat_of(&config).start(passphrase(), None).await.expect_err("it says engine = sled still");
    assert!(matches!(forgotten, VaultError::StoreMoved), "{forgotten}");
    config.store.engine = volar_vault::config::Engine::Postgres;
    let next = seat_of(&config);
    next.start(passphrase(), None).await.expect("over the database");
    next.stop().await.expect("stopped");
}
