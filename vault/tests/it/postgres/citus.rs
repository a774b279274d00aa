//! Over a cluster of Citus, which Debian does not have: `cargo xtask soak citus`, where it is installed for Debian's
//! PostgreSQL, runs these tests, and those of the vault over PostgreSQL in a database that is spread over three servers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use volar_service::system::SystemRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, Rows, Store, StoreError, Table, Transaction, conformance};

use super::server::Server;

/// The coordinator first.
const NODES: usize = 3;
const SETTINGS: [&str; 4] = [
    "shared_preload_libraries = 'citus'",
    "max_prepared_transactions = 300",
    "citus.shard_count = 8",
    "citus.node_conninfo = 'sslmode=disable'",
];
/// Keys that are counted together; their rows lie on both workers.
const KEYS: u8 = 8;

struct Cluster {
    nodes: Vec<Server>,
    /// How many there are; two that are made at once would be in each other's way.
    databases: Mutex<u64>,
}

impl Cluster {
    fn start() -> Self {
        Self { nodes: (0..NODES).map(|_| Server::start(&SETTINGS)).collect(), databases: Mutex::default() }
    }

    /// The address of a fresh database whose tables lie on the workers.
    fn database(&self) -> String {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("spread{databases}");
        *databases += 1;
        for node in &self.nodes {
            node.sql("postgres", &format!("CREATE DATABASE {name}"));
            node.sql(&name, "CREATE EXTENSION citus");
        }
        let (coordinator, workers) = self.nodes.split_first().expect("three");
        let place = |node: &Server| format!("'{}', 5432", node.folder().display());
        coordinator.sql(&name, &format!("SELECT citus_set_coordinator_host({})", place(coordinator)));
        for worker in workers {
            coordinator.sql(&name, &format!("SELECT citus_add_node({})", place(worker)));
        }
        let url = coordinator.url(&name);
        drop(open(&url));
        let spread = "SELECT create_distributed_table(format('volar.%I', tablename), 'key', colocate_with => 'none') \
                      FROM pg_tables WHERE schemaname = 'volar' AND tablename NOT IN ('schema', 'writer', 'writers')";
        coordinator.sql(&name, spread);
        url
    }
}

/// The address of a fresh database of the cluster that this process's tests share, if they are to run over one.
pub(crate) fn database() -> Option<String> {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let wanted = std::env::var_os("VOLAR_CITUS").is_some();
    wanted.then(|| CLUSTER.get_or_init(Cluster::start).database())
}

fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&PostgresConfig::at(url), &SystemRandomness).expect("opens")
}

#[test]
#[ignore = "takes Citus: cargo xtask soak citus"]
fn a_spread_postgres_is_a_store() {
    let cluster = Cluster::start();
    let url = cluster.database();
    conformance::check(|| open(&url));
}

/// Reads there are of a moment each: a backup watches what is written, and nobody shares.
#[test]
#[ignore = "takes Citus: cargo xtask soak citus"]
fn what_takes_one_moment_is_done_without_or_refused() {
    let cluster = Cluster::start();
    let url = cluster.database();
    let store = open(&url);
    assert!(store.moment().expect("readable").is_none(), "a backup would be of several moments");
    count_together(&store).expect("written");
    assert!(store.size_bytes() > 8 * 8192, "what the workers have is not counted");
    drop(store);
    let shared = PostgresConfig { shared: true, patience_seconds: 1, ..PostgresConfig::at(&url) };
    let refused = PostgresStore::open(&shared, &SystemRandomness).map(drop);
    assert!(matches!(&refused, Err(error) if error.to_string().contains("store.postgres.shared")), "{refused:?}");
    cluster.nodes[2].sql("postgres", "ALTER SYSTEM SET fsync = off");
    cluster.nodes[2].sql("postgres", "SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_secs(1));
    let refused = PostgresStore::open(&PostgresConfig::at(&url), &SystemRandomness).map(drop);
    assert!(matches!(&refused, Err(error) if error.to_string().contains("fsync")), "{refused:?}");
}

/// Coordinator and workers are killed in turn under load: what was acknowledged is there, once and everywhere, also in the
/// moments after it, when a server that comes back still shows what it had before a commit of two phases.
#[test]
#[ignore = "takes Citus: cargo xtask soak citus"]
fn nothing_acknowledged_is_lost_when_servers_of_a_cluster_die() {
    let cluster = Cluster::start();
    let store = open(&cluster.database());
    let (done, acknowledged, unknown) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    match count_together(&store) {
                        Ok(()) => acknowledged.fetch_add(1, Ordering::SeqCst),
                        Err(error) if error.may_have_written() => unknown.fetch_add(1, Ordering::SeqCst),
                        Err(StoreError::Unavailable { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
        let more = |than: u64| {
            let end = Instant::now() + Duration::from_secs(90);
            while acknowledged.load(Ordering::SeqCst) <= than {
                assert!(Instant::now() < end, "nothing is written any more after {than}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        for round in 0..crate::kill::kills(12) {
            more(acknowledged.load(Ordering::SeqCst) + 20);
            let node = &cluster.nodes[round % NODES];
            node.kill();
            node.run();
        }
        more(acknowledged.load(Ordering::SeqCst) + 20);
        done.store(true, Ordering::SeqCst);
    });
    let (acknowledged, unknown) = (acknowledged.into_inner(), unknown.into_inner());
    let found: Vec<u64> = (0..KEYS).map(|key| number(store.read(Table::Heads, &[key]).expect("readable"))).collect();
    assert!(found.iter().all(|count| *count == found[0]), "a write was half applied: {found:?}");
    let written = acknowledged..=acknowledged + unknown;
    assert!(written.contains(&found[0]), "{}: {acknowledged}, and {unknown} unknown", found[0]);
}

/// Adds one to every key at once; all must be as far.
fn count_together(store: &PostgresStore) -> Result<(), StoreError> {
    store.transact(&mut |transaction: &dyn Transaction| {
        let counts = (0..KEYS).map(|key| Ok(number(transaction.read(Table::Heads, &[key])?)));
        let counts = counts.collect::<Result<Vec<u64>, StoreError>>()?;
        for (key, count) in (0..KEYS).zip(&counts) {
            transaction.put(Table::Heads, &[key], &(count + 1).to_be_bytes())?;
        }
        Ok(true)
    })
}

fn number(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}
