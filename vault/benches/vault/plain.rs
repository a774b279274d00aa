//! The same bytes without a vault: one durable transaction for each enrolment's rows, through as many connections as the
//! store uses.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use sled::transaction::{ConflictableTransactionError, Transactional};
use tokio_postgres::NoTls;
use volar_core::randomness::Randomness;
use volar_service::system::SystemRandomness;
use volar_vault::store::Table;

use crate::engines::{Engine, Place};
use crate::load::{Pace, pace};
use crate::recorder::Written;
use crate::{Size, server};

/// As many tables as the store has, and one for blobs.
const TABLES: usize = Table::ALL.len() + 1;

pub(crate) fn inserts(place: &Place, written: &Written, size: Size) -> Pace {
    match place.engine {
        Engine::Sled => into_sled(written, size),
        Engine::Postgres => into_postgres(written, size, place.connections()),
    }
}

/// Keys of the same lengths, of nobody else's. Their order is kept: a random number takes the place of the last bytes.
fn keys(written: &Written) -> Vec<Vec<u8>> {
    let randomness: &dyn Randomness = &SystemRandomness;
    let fresh = |key: &[u8]| {
        let random: [u8; 8] = randomness.bytes();
        let mut key = key.to_vec();
        let fresh = random.len().min(key.len());
        let kept = key.len() - fresh;
        key[kept..].copy_from_slice(&random[..fresh]);
        key
    };
    written.rows.iter().map(|(_, key, _)| fresh(key)).collect()
}

/// A transaction over every tree, and a flush that waits for the disk as sled understands it: without the fdatasync that
/// the vault adds, and with what would be a blob as a row.
fn into_sled(written: &Written, size: Size) -> Pace {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = sled::Config::new().path(folder.path()).cache_capacity(256 << 20).open().expect("opens");
    let trees: Vec<_> = (0..TABLES).map(|table| database.open_tree(table.to_string()).expect("opens")).collect();
    pace(size.clients, size.people, |_| {
        let keys = keys(written);
        let inserted = trees.as_slice().transaction(|trees| {
            for ((table, _, value), key) in written.rows.iter().zip(&keys) {
                trees[*table].insert(key.as_slice(), value.as_slice())?;
            }
            Ok::<_, ConflictableTransactionError<()>>(())
        });
        inserted.expect("inserted");
        database.flush().expect("flushed");
    })
}

/// One prepared `INSERT` a row between `BEGIN` and `COMMIT`, all sent at once.
fn into_postgres(written: &Written, size: Size, connections: usize) -> Pace {
    let url = server::shared().database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(url.parse().expect("an address"), NoTls, manager);
    let pool =
        Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1).build().expect("a runtime is named");
    runtime.block_on(async {
        let client = pool.get().await.expect("connects");
        for table in 0..TABLES {
            let table = format!(
                "CREATE TABLE rows{table} (key bytea PRIMARY KEY, value bytea NOT NULL); \
                 ALTER TABLE rows{table} ALTER COLUMN value SET STORAGE EXTERNAL"
            );
            client.batch_execute(&table).await.expect("made");
        }
    });
    pace(size.clients, size.people, |_| {
        let keys = keys(written);
        runtime.block_on(async {
            let client = pool.get().await.expect("connects");
            let mut statements = Vec::with_capacity(keys.len());
            for (table, ..) in &written.rows {
                let text = format!("INSERT INTO rows{table} (key, value) VALUES ($1, $2)");
                statements.push(client.prepare_cached(&text).await.expect("prepared"));
            }
            let rows = written.rows.iter().zip(&keys).zip(&statements);
            let inserts = rows.map(|(((_, _, value), key), statement)| {
                let client = &client;
                async move { client.execute(statement, &[key, value]).await }
            });
            let (begun, inserted, committed) = tokio::join!(
                biased;
                client.batch_execute("BEGIN"),
                futures::future::try_join_all(inserts),
                client.batch_execute("COMMIT"),
            );
            begun.expect("begun");
            inserted.expect("inserted");
            committed.expect("committed");
        });
    })
}
