//! Reads of what is committed, and blobs, on a pool of connections; tried again while the server is away.
//!
//! A blob is kept before anything refers to it and removed after everything has stopped to: it needs no place in a batch,
//! and many are written beside each other where the batches' one connection would write one after another. Keeping one
//! twice is keeping it once, so that a try whose answer was lost is simply made again.
//!
//! Every connection is to the primary that the writer's is to: when the writer has moved to a promoted standby, those to
//! the former one are given up, for what they show is out of date.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};

use super::failure::{Failure, Trouble};
use super::ledger::Value;
use super::schema::{self, BLOBS, TABLES};
use super::session::wait_for_the_disk;
use super::settings::Access;
use super::{spread, timeline};
use crate::store::Row;

/// Keys are few and tables may be freshly made: every read is by its primary key, whatever the statistics say.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off";

/// A transaction that is only ever read in, between whose reads the copy is written.
const MOMENT: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Bytes of every table of ours.
const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'volar' AND c.relkind = 'r'";

/// Waits between tries: short at first, for a server that is only restarted.
pub(super) fn waits(patience: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(500))
        .with_jitter()
        .without_max_times()
        .with_total_delay(Some(patience))
}

/// Reads rows. Cloning shares the connections.
#[derive(Clone)]
pub(super) struct Reader {
    pool: Pool,
    patience: Duration,
    statements: Arc<[Texts]>,
}

/// SQL of one table.
struct Texts {
    one: String,
    dated: String,
    many: String,
    range: String,
    rest: String,
    keys: String,
}

impl Reader {
    pub(super) fn new(access: &Access) -> Self {
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(access.config.clone(), access.tls.clone(), manager);
        let (created, recycled) = (Arc::clone(&access.timeline), Arc::clone(&access.timeline));
        let pool = Pool::builder(manager)
            .max_size(access.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(access.patience))
            .post_create(Hook::async_fn(move |client, _| {
                let newest = Arc::clone(&created);
                Box::pin(async move {
                    let found = timeline::of(client).await.map_err(HookError::Backend)?;
                    newest.check(found).map_err(|trouble| HookError::message(trouble.to_string()))?;
                    client.batch_execute(SETTINGS).await.map_err(HookError::Backend)?;
                    wait_for_the_disk(client).await.map_err(HookError::Backend)
                })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                let outdated = recycled.outdates(metrics.created);
                if outdated { Err(HookError::message("the primary has changed")) } else { Ok(()) }
            }))
            .build()
            .expect("a runtime is named for the time-outs");
        Self { pool, patience: access.patience, statements: (0..TABLES).map(Texts::of).collect() }
    }

    /// The value at one place.
    pub(super) async fn one(self, table: usize, key: Vec<u8>) -> Result<Value, Failure> {
        self.retry(|client| {
            let (texts, key) = (&self.statements[table], &key);
            async move { texts.one(&client, key).await }
        })
        .await
    }

    /// The value at one place, and the number of the batch that it is as of: of one moment, whoever writes.
    pub(super) async fn dated(self, table: usize, key: Vec<u8>) -> Result<(u64, Value), Failure> {
        self.retry(|client| {
            let (text, key) = (&self.statements[table].dated, &key);
            async move {
                let statement = client.prepare_cached(text).await?;
                let row = client.query_one(&statement, &[key]).await?;
                let value = row.get::<_, Option<&[u8]>>(1).map(Into::into);
                Ok((row.get::<_, i64>(0).unsigned_abs(), value))
            }
        })
        .await
    }

    /// The rows of `keys` that are there, of several tables in one round trip.
    pub(super) async fn many(self, wanted: Vec<(usize, Vec<Vec<u8>>)>) -> Result<Vec<Vec<Row>>, Failure> {
        self.retry(|client| {
            let (statements, wanted) = (&self.statements, &wanted);
            async move {
                let tables = wanted.iter().map(|(table, keys)| {
                    let client = &client;
                    async move {
                        let statement = client.prepare_cached(&statements[*table].many).await?;
                        rows(client.query(&statement, &[keys]).await?)
                    }
                });
                futures::future::try_join_all(tables).await
            }
        })
        .await
    }

    /// Up to `limit` rows from `from` on and below `to`, in order.
    pub(super) async fn range(
        self,
        table: usize,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<Row>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.retry(|client| {
            let (texts, from, to) = (&self.statements[table], &from, &to);
            async move {
                let Some(to) = to else { return texts.rest(&client, from, limit).await };
                let statement = client.prepare_cached(&texts.range).await?;
                rows(client.query(&statement, &[from, to, &limit]).await?)
            }
        })
        .await
    }

    /// Keeps a blob, durably.
    pub(super) async fn put_blob(self, name: Vec<u8>, bytes: Vec<u8>) -> Result<(), Failure> {
        let table = schema::name(BLOBS);
        let text = format!(
            "INSERT INTO {table} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
        );
        self.retry(|client| {
            let (text, name, bytes) = (&text, &name, &bytes);
            async move {
                let statement = client.prepare_cached(text).await?;
                client.execute(&statement, &[name, bytes]).await?;
                Ok(())
            }
        })
        .await
    }

    /// Removes a blob, durably.
    pub(super) async fn remove_blob(self, name: Vec<u8>) -> Result<(), Failure> {
        let text = format!("DELETE FROM {} WHERE key = $1", schema::name(BLOBS));
        self.retry(|client| {
            let (text, name) = (&text, &name);
            async move {
                let statement = client.prepare_cached(text).await?;
                client.execute(&statement, &[name]).await?;
                Ok(())
            }
        })
        .await
    }

    /// Every key of a table.
    pub(super) async fn keys(self, table: usize) -> Result<Vec<Vec<u8>>, Failure> {
        self.retry(|client| {
            let texts = &self.statements[table];
            async move { texts.keys(&client).await }
        })
        .await
    }

    /// A connection of its own on which everything is as of one moment, that of batch `least` or a later one; `None` if
    /// no moment is every table's.
    pub(super) async fn snapshot(self, least: u64) -> Result<Option<Snapshot>, Failure> {
        let client = self.retry(|client| async move {
            // Given up when it is dropped, and the transaction with it.
            let client = Object::take(client);
            client.batch_execute(MOMENT).await?;
            // The first read is what makes the moment.
            let row = client.query_one("SELECT batch FROM volar.writer WHERE id = 1", &[]).await?;
            match row.get::<_, i64>(0).unsigned_abs() {
                batch if batch < least => Err(Trouble::Passing("the primary has changed".to_owned())),
                _ => Ok((!spread::is_spread(&client).await?).then_some(client)),
            }
        });
        let client = client.await?;
        Ok(client.map(|client| Snapshot { client, patience: self.patience, statements: self.statements }))
    }

    /// Bytes that every table takes up, indices included.
    pub(super) async fn size(self) -> Result<u64, Failure> {
        self.retry(|client| async move {
            let all = if spread::is_spread(&client).await? { spread::SIZE } else { SIZE };
            let bytes: i64 = client.query_one(all, &[]).await?.get(0);
            Ok(bytes.unsigned_abs())
        })
        .await
    }

    async fn retry<T, F>(&self, work: impl Fn(Object) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let once = || async { work(self.pool.get().await?).await };
        let answered = once.retry(waits(self.patience)).when(Trouble::passes);
        // A server that is there but silent.
        match tokio::time::timeout(self.patience * 2, answered).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Unavailable("it does not answer".into())),
        }
    }
}

/// The database as it was at one moment. What goes wrong is not tried again: the moment is gone with its connection.
pub(super) struct Snapshot {
    client: ClientWrapper,
    patience: Duration,
    statements: Arc<[Texts]>,
}

impl Snapshot {
    /// The value at one place.
    pub(super) async fn one(&self, table: usize, key: Vec<u8>) -> Result<Value, Failure> {
        self.once(self.statements[table].one(&self.client, &key)).await
    }

    /// Up to `limit` rows from `from` on, in order.
    pub(super) async fn rest(&self, table: usize, from: Vec<u8>, limit: usize) -> Result<Vec<Row>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.once(self.statements[table].rest(&self.client, &from, limit)).await
    }

    /// Every key of a table.
    pub(super) async fn keys(&self, table: usize) -> Result<Vec<Vec<u8>>, Failure> {
        self.once(self.statements[table].keys(&self.client)).await
    }

    async fn once<T>(&self, read: impl Future<Output = Result<T, Trouble>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.patience * 2, read).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Unavailable("it does not answer".into())),
        }
    }
}

fn rows(found: Vec<tokio_postgres::Row>) -> Result<Vec<Row>, Trouble> {
    Ok(found.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

impl Texts {
    fn of(table: usize) -> Self {
        let name = schema::name(table);
        Self {
            one: format!("SELECT value FROM {name} WHERE key = $1"),
            dated: format!("SELECT batch, (SELECT value FROM {name} WHERE key = $1) FROM volar.writer WHERE id = 1"),
            many: format!("SELECT key, value FROM {name} WHERE key = ANY($1)"),
            range: format!("SELECT key, value FROM {name} WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3"),
            rest: format!("SELECT key, value FROM {name} WHERE key >= $1 ORDER BY key LIMIT $2"),
            keys: format!("SELECT key FROM {name}"),
        }
    }

    async fn one(&self, client: &ClientWrapper, key: &[u8]) -> Result<Value, Trouble> {
        let statement = client.prepare_cached(&self.one).await?;
        let row = client.query_opt(&statement, &[&key]).await?;
        Ok(row.map(|row| row.get::<_, &[u8]>(0).into()))
    }

    async fn rest(&self, client: &ClientWrapper, from: &[u8], limit: i64) -> Result<Vec<Row>, Trouble> {
        let statement = client.prepare_cached(&self.rest).await?;
        rows(client.query(&statement, &[&from, &limit]).await?)
    }

    async fn keys(&self, client: &ClientWrapper) -> Result<Vec<Vec<u8>>, Trouble> {
        Ok(client.query(&self.keys, &[]).await?.iter().map(|row| row.get(0)).collect())
    }
}
