//! A new version of a tenant's keys while several vaults serve: one rotates, all take it up, nothing is left under the old
//! one, and whoever has not heard of it writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use volar_core::id::{EnrollmentId, TenantId};
use volar_vault::error::VaultError;
use volar_vault::format::FormatError;
use volar_vault::format::v1::State;
use volar_vault::rotation::KeysStatus;
use volar_vault::store::{PostgresConfig, StoreError};
use volar_vault::vault::Vault;

use crate::world::{Postgres, SharedPostgres, WorldOver, kiosk, look_around_until, operator, slug};

type World = WorldOver<SharedPostgres>;

const VAULTS: usize = 3;

fn acme() -> TenantId {
    slug("acme")
}

fn keys(vault: &Vault) -> KeysStatus {
    vault.keys(&operator(), true).expect("readable")
}

/// The one version there is, with everybody's key under it.
fn is_alone(vault: &Vault, version: u32, people: usize) {
    let status = keys(vault);
    let used = status.versions[0].used.expect("counted");
    assert_eq!((status.versions.len(), status.versions[0].version, status.rotation), (1, version, None));
    assert_eq!(used.subject_keys, people as u64, "somebody is under another version");
}

fn outdated<T>(ended: &Result<T, VaultError>) -> bool {
    matches!(ended, Err(VaultError::Store(StoreError::Outdated)))
}

/// Enrols until told to stop; a call that meets a change of keys is repeated, as kiosks do.
fn enrol(world: &World, vault: &Vault, ended: &AtomicBool) -> Vec<EnrollmentId> {
    let mut enrolled = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let (call, request) = (world.call(0), world.request(false));
        let enrollment = loop {
            let asked = vault.enroll(&kiosk(), &call, &request);
            if !outdated(&asked) {
                break asked.expect("enrolled");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        enrolled.push(enrollment);
    }
    enrolled
}

#[test]
fn one_rotates_while_all_serve() {
    let world = World::new();
    let vaults: Vec<Arc<Vault>> = (0..VAULTS).map(|_| world.open()).collect();
    let ended = AtomicBool::new(false);
    let enrolled: Vec<EnrollmentId> = std::thread::scope(|scope| {
        for vault in &vaults {
            let ended = &ended;
            scope.spawn(move || look_around_until(vault, ended));
        }
        let writers: Vec<_> = vaults.iter().map(|vault| scope.spawn(|| enrol(&world, vault, &ended))).collect();
        std::thread::sleep(Duration::from_millis(200));
        for (number, vault) in vaults.iter().enumerate().take(2) {
            let from = number as u32 + 1;
            // Asked at two vaults it is one rotation.
            vault.begin_rotation(&acme(), from).expect("begun");
            vaults[2].begin_rotation(&acme(), from).expect("begun already");
            vault.finish_rotation(&acme()).expect("finished");
            assert_eq!(keys(vault).versions.iter().map(|keys| keys.version).collect::<Vec<_>>(), [from + 1]);
        }
        std::thread::sleep(Duration::from_millis(200));
        ended.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    assert!(enrolled.len() > 20, "{} enrolled", enrolled.len());
    for vault in &vaults {
        vault.look_around().expect("readable");
        is_alone(vault, 3, enrolled.len());
        for enrollment in &enrolled {
            assert_eq!(vault.standing(&kiosk(), *enrollment).expect("readable").state, Some(State::Pending));
        }
    }
    drop(vaults);
    let alone = Postgres(PostgresConfig { shared: false, ..world.engine().0.clone() });
    let world = world.with(alone);
    let vault = world.open();
    is_alone(&vault, 3, enrolled.len());
    assert_eq!(world.feed(&vault).len(), enrolled.len());
}

#[test]
fn a_vault_that_has_not_heard_of_a_new_version_writes_nothing() {
    let world = World::new();
    let (one, deaf) = (world.open(), world.open());
    let before = deaf.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    one.begin_rotation(&acme(), 1).expect("begun");
    let (call, request) = (world.call(0), world.request(false));
    let refused = deaf.enroll(&kiosk(), &call, &request);
    assert!(outdated(&refused), "{refused:?}");
    // Nor does it take what it cannot open for damaged.
    let newer = one.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    let unknown = deaf.standing(&kiosk(), newer);
    assert!(matches!(unknown, Err(VaultError::Format(FormatError::KeyUnknown { version: 2, .. }))), "{unknown:?}");
    one.finish_rotation(&acme()).expect("finished");
    assert!(outdated(&deaf.enroll(&kiosk(), &call, &request)));
    is_alone(&one, 2, 2);
    deaf.look_around().expect("readable");
    let after = deaf.enroll(&kiosk(), &call, &request).expect("enrolled");
    for (vault, enrollment) in [(&one, after), (&deaf, before), (&deaf, after)] {
        assert_eq!(vault.standing(&kiosk(), enrollment).expect("readable").state, Some(State::Pending));
    }
    is_alone(&deaf, 2, 3);
}

#[test]
fn a_rotation_that_a_dead_vault_began_another_finishes() {
    let world = World::new();
    let (dies, lives) = (world.open(), world.open());
    let enrollment = dies.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    dies.begin_rotation(&acme(), 1).expect("begun");
    drop(dies);
    lives.look_around().expect("readable");
    let joins = world.open();
    assert_eq!(keys(&joins).versions.len(), 2);
    lives.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    lives.resume_rotations().expect("resumed");
    let begun = std::time::Instant::now();
    while keys(&lives).versions.len() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "never finished");
        std::thread::sleep(Duration::from_millis(10));
    }
    joins.look_around().expect("readable");
    for vault in [&lives, &joins] {
        is_alone(vault, 2, 2);
        assert_eq!(vault.standing(&kiosk(), enrollment).expect("readable").state, Some(State::Pending));
    }
}
