//! A backup is of one moment, whatever is written while it is made.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use volar_core::id::IdempotencyId;
use volar_core::shard::Shard;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::store::StoreError;
use volar_vault::vault::Call;

use super::{With, lose, open, restore_with};
use crate::postgres::server;
use crate::world::{Engine, Postgres, Sled, World, WorldOver, kiosk, matcher, members, operator};

#[test]
fn a_backup_under_load_is_of_one_moment() {
    under_load(World::new(), 4);
}

#[test]
fn a_backup_under_load_is_of_one_moment_on_postgres() {
    under_load(WorldOver::<Postgres>::new(), 2);
}

fn under_load<E: Engine + Sync>(world: WorldOver<E>, backups: usize) {
    let vault = open(&world);
    let (ended, enrolled) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (world, vault, ended, enrolled) = (&world, &vault, &ended, &enrolled);
            scope.spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    let call = Call { id: IdempotencyId::random(&*world.randomness), body_sha256: [writer; 32] };
                    vault.enroll(&kiosk(), &call, &world.request(true)).expect("enrolled");
                    enrolled.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..backups {
            let until = enrolled.load(Ordering::SeqCst) + 25;
            while enrolled.load(Ordering::SeqCst) < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            let before = enrolled.load(Ordering::SeqCst);
            let info = vault.back_up().expect("backed up");
            made.push((info, before, enrolled.load(Ordering::SeqCst)));
        }
        ended.store(true, Ordering::SeqCst);
    });
    assert!(made.iter().any(|(_, before, after)| after > before), "nobody enrolled while a backup was made");
    drop(vault);
    // Every one of them, into sled.
    lose(&world);
    let world = world.with(Sled);
    for (info, before, after) in &made {
        restore_with(&world, &With { at: Some(&info.id), ..With::newest(&world) }).expect("restored");
        let vault = world.open();
        let head = vault.status(&operator()).expect("readable")[0].head;
        assert_eq!((head.pending, head.last_sequence), (info.subjects, info.subjects));
        // Three more may have been acknowledged and not yet counted.
        assert!((*before..=after + 3).contains(&head.pending), "{before} {head:?} {after}");
        let items = vault.events(&matcher(), &members(), Shard::WHOLE, 1, usize::MAX).expect("readable").0;
        assert_eq!(items.len() as u64, head.pending);
        for item in items {
            let News::Enrolled { palms, probes: Some(probes), .. } = &item.news else { panic!("{:?}", item.news) };
            assert_eq!((palms.len(), probes.probes.len()), (2, 2));
        }
        drop(vault);
        lose(&world);
    }
}

/// The moment is gone with the connection that it was read through: no half backup is left behind, and the next is whole.
#[test]
fn a_backup_whose_connection_is_cut_is_none() {
    let world = WorldOver::<Postgres>::new();
    let vault = open(&world);
    for _ in 0..60 {
        world.member(&vault);
    }
    let database = world.engine().0.url.rsplit('/').next().expect("a name");
    let victims = format!("FROM pg_stat_activity WHERE datname = '{database}' AND xact_start IS NOT NULL");
    let (ended, until) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(60));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) && Instant::now() < until {
                server::shared().sql("postgres", &format!("SELECT count(pg_terminate_backend(pid)) {victims}"));
            }
        });
        let cut = loop {
            match vault.back_up() {
                Ok(_) => assert!(Instant::now() < until, "no backup was cut"),
                Err(error) => break error,
            }
        };
        ended.store(true, Ordering::SeqCst);
        assert!(matches!(cut, VaultError::Store(StoreError::Unavailable { .. })), "{cut:?}");
    });
    world.member(&vault);
    let made = vault.back_up().expect("backed up");
    let there = vault.backup_status().expect("readable").backups;
    assert_eq!(there.last().map(|backup| &backup.id), Some(&made.id));
    for backup in &there {
        assert_eq!(vault.verify_backup(Some(&backup.id)).expect("whole").rows, backup.rows);
    }
    drop(vault);
    lose(&world);
    let world = world.with(Sled);
    assert_eq!(restore_with(&world, &With::newest(&world)).expect("restored").subjects, 61);
}
