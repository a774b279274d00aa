//! Several vaults' stores over one database at the same time.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use volar_service::system::SystemRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, Rows, Store, StoreError, Table, Transaction, conformance};

use super::server::{self, Server};

const STORES: usize = 3;
const THREADS: usize = 4;
/// Of the lock that vaults pass on.
const PEN: i64 = 0x766f_6c61_7270_656e;

fn sharing(url: &str) -> PostgresConfig {
    PostgresConfig { shared: true, connections: 4, ..PostgresConfig::at(url) }
}

fn open(config: &PostgresConfig) -> PostgresStore {
    PostgresStore::open(config, &SystemRandomness).expect("opens")
}

#[test]
fn a_shared_postgres_is_a_store() {
    let config = sharing(&server::shared().database());
    conformance::check(|| open(&config));
}

/// Every rule of a store, with another in the way that writes all the time.
#[test]
fn a_shared_postgres_is_a_store_beside_a_busy_one() {
    let config = sharing(&server::shared().database());
    let (other, done) = (open(&config), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                add(&other, Table::Meta, b"busy", 1).expect("written");
            }
        });
        // Also when a rule is broken: the other would go on for ever.
        let checked = std::panic::catch_unwind(|| conformance::check(|| open(&config)));
        done.store(true, Ordering::SeqCst);
        checked.unwrap_or_else(|broken| std::panic::resume_unwind(broken));
    });
}

#[test]
fn only_those_who_say_so_share() {
    let url = server::shared().database();
    let hasty = |shared| PostgresConfig { patience_seconds: 1, shared, ..PostgresConfig::at(&url) };
    let refused = |shared| {
        let refused = PostgresStore::open(&hasty(shared), &SystemRandomness).map(drop);
        assert!(matches!(refused, Err(StoreError::InUse { .. })), "{refused:?}");
    };
    let one = open(&hasty(true));
    refused(false);
    drop(one);
    let one = open(&hasty(false));
    refused(true);
    drop(one);
    open(&hasty(true));
}

/// What one has been told is written, the others read at once, and build upon.
#[test]
fn what_one_wrote_the_others_see() {
    let config = sharing(&server::shared().database());
    let stores: Vec<_> = (0..STORES).map(|_| open(&config)).collect();
    for round in 0..60 {
        let (writer, reader) = (&stores[round % STORES], &stores[(round + 1) % STORES]);
        assert_eq!(add(writer, Table::Heads, b"k", 1).expect("written"), round as u64 + 1);
        assert_eq!(count(reader.read(Table::Heads, b"k").expect("readable")), round as u64 + 1);
        let mut seen = None;
        let looked = reader.transact(&mut |transaction| {
            seen = transaction.read(Table::Heads, b"k")?;
            Ok(false)
        });
        looked.expect("readable");
        assert_eq!(count(seen), round as u64 + 1);
    }
}

#[test]
fn concurrent_stores_lose_nothing_and_see_no_half() {
    let config = sharing(&server::shared().database());
    let stores: Vec<_> = (0..STORES).map(|_| open(&config)).collect();
    std::thread::scope(|scope| {
        for store in &stores {
            for _ in 0..THREADS {
                scope.spawn(move || (0..50).for_each(|_| both(store).expect("written")));
            }
        }
    });
    let total = (STORES * THREADS * 50) as u64;
    for (table, key) in [(Table::Heads, b"one"), (Table::Feed, b"two")] {
        assert_eq!(count(stores[0].read(table, key).expect("readable")), total);
    }
}

/// Connections are cut and the server is killed under all of them: what was acknowledged is there, once.
#[test]
fn nothing_acknowledged_is_lost_when_connections_and_the_server_die() {
    let server = Server::start(&[]);
    let config = sharing(&server.database());
    let stores: Vec<_> = (0..STORES).map(|_| open(&config)).collect();
    let (done, acknowledged, unknown) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for store in &stores {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        match both(store) {
                            Ok(()) => acknowledged.fetch_add(1, Ordering::SeqCst),
                            Err(error) if error.may_have_written() => unknown.fetch_add(1, Ordering::SeqCst),
                            Err(StoreError::Unavailable { .. }) => 0,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
        }
        let written = || acknowledged.load(Ordering::SeqCst);
        let more = |than: u64| {
            let end = Instant::now() + Duration::from_secs(60);
            while written() <= than {
                assert!(Instant::now() < end, "nothing is written any more after {than}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        for round in 0..30 {
            more(written() + 20);
            if round % 6 == 5 {
                server.kill();
                server.run();
            } else {
                let victims = "FROM pg_stat_activity WHERE application_name = 'volar-vault' AND random() < 0.4";
                server.sql("postgres", &format!("SELECT count(pg_terminate_backend(pid)) {victims}"));
            }
        }
        more(written() + 20);
        done.store(true, Ordering::SeqCst);
    });
    let found = count(stores[0].read(Table::Heads, b"one").expect("readable"));
    let (acknowledged, unknown) = (acknowledged.into_inner(), unknown.into_inner());
    assert!((acknowledged..=acknowledged + unknown).contains(&found), "{found}: {acknowledged}, and {unknown} unknown");
    assert_eq!(count(stores[0].read(Table::Feed, b"two").expect("readable")), found);
}

/// A vault whose process is stopped while it has the pen does not stop the others.
#[test]
fn a_pen_that_nobody_uses_is_taken_away() {
    let server = server::shared();
    let url = server.database();
    let store = open(&PostgresConfig { patience_seconds: 1, ..sharing(&url) });
    add(&store, Table::Heads, b"k", 1).expect("written");
    let mut holder = Holder::new(server, url.rsplit('/').next().expect("a name"));
    holder.say(&format!("SELECT pg_advisory_lock({PEN});"));
    let held = "SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'psql' AND l.mode = 'ExclusiveLock'";
    let end = Instant::now() + Duration::from_secs(20);
    while server.sql("postgres", held) != "t" {
        assert!(Instant::now() < end, "the pen was not taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(add(&store, Table::Heads, b"k", 1).expect("written all the same"), 2);
}

/// A session that keeps what it was given.
struct Holder(Child);

impl Holder {
    fn new(server: &Server, database: &str) -> Self {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-d"]).arg(server.url(database));
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql runs"))
    }

    fn say(&mut self, sql: &str) {
        writeln!(self.0.stdin.as_mut().expect("piped"), "{sql}").expect("psql listens");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It ends with its input, or was cut off.
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends");
    }
}

/// Adds one to two rows that must always be equal.
fn both(store: &PostgresStore) -> Result<(), StoreError> {
    store.transact(&mut |transaction| {
        let (one, two) = (bump(transaction, Table::Heads, b"one", 1)?, bump(transaction, Table::Feed, b"two", 1)?);
        assert_eq!(one, two, "half of another's change is seen");
        Ok(true)
    })
}

fn add(store: &PostgresStore, table: Table, key: &[u8], by: u64) -> Result<u64, StoreError> {
    let mut sum = 0;
    store.transact(&mut |transaction| {
        sum = bump(transaction, table, key, by)?;
        Ok(true)
    })?;
    Ok(sum)
}

fn bump(transaction: &dyn Transaction, table: Table, key: &[u8], by: u64) -> Result<u64, StoreError> {
    let sum = count(transaction.read(table, key)?) + by;
    transaction.put(table, key, &sum.to_be_bytes())?;
    Ok(sum)
}

fn count(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}
