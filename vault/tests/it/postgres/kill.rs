//! The server and the vault killed in mid-work, again and again: no acknowledged write is lost, none is half applied,
//! none is applied twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use volar_core::id::EnrollmentId;
use volar_core::shard::Shard;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::format::v1::State;
use volar_vault::store::{PostgresConfig, PostgresStore, Rows, Store, StoreError, Table};
use volar_vault::vault::Vault;

use super::server::{self, Server};
use crate::kill::{acknowledged_until_killed, in_turns, kills};
use crate::world::{Postgres, SharedPostgres, WorldOver, kiosk, matcher, members, operator};

const SERVER_KILLS: usize = 12;
const VAULT_KILLS: usize = 8;
const WRITERS: u64 = 6;

/// Counters in one row and a row for each count, while the server dies under them.
#[test]
fn a_store_keeps_what_it_acknowledged_whenever_the_server_is_killed() {
    let server = Server::start(&[]);
    let config = PostgresConfig::at(server.database());
    let store = PostgresStore::open(&config, &volar_service::system::SystemRandomness).expect("opens");
    let (stop, acknowledged, unknown) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let mut mine = 0;
                    let ended = store.transact(&mut |transaction| {
                        mine = number(transaction.read(Table::Meta, b"count")?) + 1;
                        transaction.put(Table::Feed, &mine.to_be_bytes(), b"event")?;
                        transaction.put(Table::Meta, b"count", &mine.to_be_bytes())?;
                        Ok(true)
                    });
                    match ended {
                        Ok(()) => {
                            assert!(acknowledged.lock().expect("no panic").insert(mine), "{mine} given out twice")
                        }
                        Err(StoreError::OutcomeUnknown { .. }) => drop(unknown.fetch_add(1, Ordering::SeqCst)),
                        Err(StoreError::Unavailable { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        let _stopping = Stopping(&stop);
        kill_again_and_again(&server, SERVER_KILLS);
    });
    drop(store);
    let acknowledged = acknowledged.into_inner().expect("no panic");
    let store = PostgresStore::open(&config, &volar_service::system::SystemRandomness).expect("opens");
    let count = number(store.read(Table::Meta, b"count").expect("readable"));
    let rows = store.scan(Table::Feed, &[], &[], usize::MAX).expect("readable");
    let rows: Vec<u64> = rows.into_iter().map(|(key, _)| number(Some(key))).collect();
    assert!(rows.iter().copied().eq(1..=count), "a write was half applied");
    assert!(acknowledged.iter().all(|number| *number <= count), "an acknowledged write was lost");
    let unacknowledged = count - acknowledged.len() as u64;
    assert!(unacknowledged <= unknown.into_inner(), "a write was applied twice, or one that had failed was");
    assert!(acknowledged.len() > SERVER_KILLS, "the load wrote nothing");
}

/// Kiosks that repeat a call until it is answered, as real ones do.
#[test]
fn everybody_is_enrolled_once_whenever_the_server_is_killed() {
    in_turns(kills(SERVER_KILLS), |kills| {
        let server = Server::start(&[]);
        let world = WorldOver::over(Postgres(PostgresConfig::at(server.database())));
        let vault = world.open();
        let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let (call, request) = (world.call(0), world.request(true));
                        let enrollment = answered(|| vault.enroll(&kiosk(), &call, &request));
                        assert!(acknowledged.lock().expect("no panic").insert(enrollment));
                    }
                });
            }
            let _stopping = Stopping(&stop);
            kill_again_and_again(&server, kills);
        });
        let acknowledged = acknowledged.into_inner().expect("no panic");
        whole(&vault, &acknowledged, true);
        drop(vault);
        // And after a start of the vault, which looks for keys and probes without a person.
        let vault = world.open();
        whole(&vault, &acknowledged, true);
        alike(&world.path("keys"), &world.engine().0, &vault);
    });
}

#[test]
fn no_acknowledged_enrollment_is_lost_when_the_vault_is_killed() {
    in_turns(kills(VAULT_KILLS), |kills| {
        let world = WorldOver::<Postgres>::new();
        let mut acknowledged = BTreeSet::new();
        for _ in 0..kills {
            acknowledged.extend(enroll_until_killed(&world));
            let vault = world.open();
            whole(&vault, &acknowledged, false);
            alike(&world.path("keys"), &world.engine().0, &vault);
        }
        assert!(acknowledged.len() > kills, "the load enrolled nobody");
    });
}

/// One of two vaults over one database and one key table is killed under load, again and again; the other goes on.
#[test]
fn no_acknowledged_enrollment_is_lost_when_one_of_several_vaults_is_killed() {
    in_turns(kills(VAULT_KILLS), |kills| {
        let world = WorldOver::<SharedPostgres>::new();
        let vault = world.open();
        let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let enrollment = vault.enroll(&kiosk(), &world.call(0), &world.request(true));
                        acknowledged.lock().expect("no panic").insert(enrollment.expect("it goes on"));
                    }
                });
            }
            let _stopping = Stopping(&stop);
            let ours = || acknowledged.lock().expect("no panic").len();
            for kill in 0..kills {
                let theirs = acknowledged_until_killed(&world, &["4", "60", "3", &world.engine().0.url, "shared"]);
                let (killed, before) = (Instant::now(), ours());
                while ours() == before {
                    assert!(
                        killed.elapsed() < Duration::from_secs(30),
                        "the other vault stands still after kill {kill}"
                    );
                    std::thread::sleep(Duration::from_millis(5));
                }
                acknowledged.lock().expect("no panic").extend(theirs);
            }
        });
        let acknowledged = acknowledged.into_inner().expect("no panic");
        whole(&vault, &acknowledged, false);
        drop(vault);
        // Whoever comes first destroys the keys of those whom a killed vault did not get enrolled.
        let vault = world.open();
        whole(&vault, &acknowledged, false);
        alike(&world.path("keys"), &world.engine().0, &vault);
    });
}

/// The lock is the connection's: cut, the vault connects and locks again by itself.
#[test]
fn a_second_vault_on_one_database_is_refused_and_the_first_goes_on() {
    let world = WorldOver::over(Postgres(PostgresConfig {
        patience_seconds: 1,
        ..PostgresConfig::at(server::shared().database())
    }));
    let vault = world.open();
    let second = world.try_open().map(drop);
    assert!(matches!(second, Err(VaultError::Store(StoreError::InUse { .. }))), "{second:?}");
    world.enroll(&vault);
    // Its connection cut, it takes the lock again before anybody else can be sure of it.
    let database = world.engine().0.url.rsplit('/').next().expect("a name").to_owned();
    server::shared().sql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"),
    );
    world.enroll(&vault);
    assert_eq!(world.feed(&vault).len(), 2);
}

/// What the lock is for, if it should ever fail: the one that came later writes, the other never again.
#[test]
fn a_vault_that_lost_its_place_writes_nothing_more() {
    let world = WorldOver::<Postgres>::new();
    let vault = world.open();
    world.enroll(&vault);
    let database = world.engine().0.url.rsplit('/').next().expect("a name").to_owned();
    server::shared().sql(&database, "UPDATE volar.writer SET owner = 'another'");
    for _ in 0..2 {
        let refused = vault.enroll(&kiosk(), &world.call(0), &world.request(true));
        assert!(matches!(refused, Err(VaultError::Store(StoreError::TakenOver { .. }))), "{refused:?}");
    }
    assert_eq!(server::shared().sql(&database, "SELECT count(*) FROM volar.feed"), "1");
}

/// Ends the load, after a failure too.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Half of the kills end every process at once, half as the server itself ends when one of them crashes.
fn kill_again_and_again(server: &Server, kills: usize) {
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(100 + 37 * (kill as u64 % 7)));
        if kill % 2 == 0 {
            server.kill()
        } else {
            server.stop("immediate")
        }
        server.run();
    }
    std::thread::sleep(Duration::from_millis(300));
}

fn answered<T>(call: impl Fn() -> Result<T, VaultError>) -> T {
    loop {
        match call() {
            Ok(answer) => return answer,
            Err(VaultError::Store(StoreError::OutcomeUnknown { .. } | StoreError::Unavailable { .. })) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Everybody acknowledged is there, everybody there is whole, and the feed is gapless.
fn whole(vault: &Vault, acknowledged: &BTreeSet<EnrollmentId>, nobody_else: bool) {
    for enrollment in acknowledged {
        let standing = vault.standing(&kiosk(), *enrollment).expect("acknowledged, so known");
        assert_eq!(standing.state, Some(State::Pending));
    }
    let head = vault.status(&operator()).expect("readable")[0].head;
    assert!(head.pending >= acknowledged.len() as u64);
    assert!(!nobody_else || head.pending == acknowledged.len() as u64, "somebody is enrolled twice");
    assert_eq!(head.pending, head.last_sequence);
    let items = vault.events(&matcher(), &members(), Shard::WHOLE, 1, usize::MAX).expect("every event is readable").0;
    assert_eq!(items.len() as u64, head.pending);
    for (item, sequence) in items.iter().zip(1..) {
        assert_eq!(item.sequence, sequence);
        match &item.news {
            News::Enrolled { palms, probes: Some(probes), .. } => {
                assert_eq!((palms.len(), probes.probes.len()), (2, 2));
            }
            other => panic!("half enrolled: {other:?}"),
        }
    }
}

/// As many keys and probes as people.
fn alike(keys: &Path, config: &PostgresConfig, vault: &Vault) {
    let pending = vault.status(&operator()).expect("readable")[0].head.pending;
    let keys = std::fs::read(keys).expect("readable");
    let used = keys[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count();
    assert_eq!(used as u64, pending, "keys without a person");
    let database = config.url.rsplit_once('/').expect("an address");
    let blobs = psql(database.0, database.1, "SELECT count(*) FROM volar.blobs");
    assert_eq!(blobs, pending.to_string(), "probes without a person");
}

/// Asks whichever server has the database.
fn psql(host: &str, database: &str, sql: &str) -> String {
    let output = Command::new("psql").args(["-X", "-A", "-t", &format!("{host}/{database}"), "-c", sql]).output();
    let output = output.expect("PostgreSQL's client is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn enroll_until_killed(world: &WorldOver<Postgres>) -> Vec<EnrollmentId> {
    acknowledged_until_killed(world, &["6", "60", "3", &world.engine().0.url])
}

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}
