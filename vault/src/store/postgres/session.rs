//! The one connection that writes: it holds the database's lock, and knows that what it commits stays.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket, Statement};

use super::failure::{Failure, Trouble};
use super::schema::{self, BLOBS};
use super::settings::{Access, PROBE_EVERY, SILENCE_MAX};
use super::timeline;

/// Of the advisory lock that one vault holds in a database: "volar" in ASCII.
const LOCK: i64 = 0x0076_6f6c_6172;

/// A connection that holds the lock.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// Whether the server has warned since the last question.
    warned: Arc<AtomicBool>,
}

/// Prepared once for each connection.
pub(super) struct Statements {
    pub(super) advance: Statement,
    pub(super) put: Vec<Statement>,
    pub(super) remove: Vec<Statement>,
}

/// Why no session comes about.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another process holds the lock.
    InUse,
    /// The tables are a newer vault's.
    Newer { found: u32 },
    /// Anything else.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// What the writer row says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) owner: Vec<u8>,
    pub(super) batch: u64,
}

impl Session {
    /// Connects, checks that a commit is durable, and takes the lock. `lost` is told when the connection ends.
    pub(super) async fn open(access: &Access, lost: Arc<Notify>) -> Result<Self, Refusal> {
        let (mut client, connection) = access.config.connect(access.tls.clone()).await?;
        let warned = Arc::new(AtomicBool::new(false));
        tokio::spawn(speak(connection, Arc::clone(&warned), lost));
        keep_what_is_committed(&client).await?;
        notice_a_lost_vault(&client).await?;
        // Before the lock: a former primary has a lock of its own, which says nothing.
        let timeline = timeline::of(&client).await?;
        access.timeline.check_not_behind(timeline)?;
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?;
        if !row.get::<_, bool>(0) {
            return Err(Refusal::InUse);
        }
        access.timeline.meet(timeline, Instant::now())?;
        let found = schema::version(&client).await?;
        if found > schema::VERSION {
            return Err(Refusal::Newer { found });
        }
        schema::migrate(&mut client, found).await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, statements, warned })
    }

    /// Who writes to this database, and how far they came.
    pub(super) async fn mark(&self) -> Result<Mark, Trouble> {
        let row = self.client.query_one("SELECT owner, batch FROM volar.writer WHERE id = 1", &[]).await?;
        let batch = row.get::<_, i64>(1);
        Ok(Mark { owner: row.get(0), batch: u64::try_from(batch).unwrap_or_default() })
    }

    /// Has batch `number` of `owner` be what the server has promised to keep, and not only what it shows. A batch whose
    /// session was cut while it waited for the standbys is shown, though none of them may have it; a further commit is
    /// acknowledged only when they have this one too, for it comes after it.
    pub(super) async fn confirm(&self, owner: &[u8], number: u64) -> Result<(), Trouble> {
        let number = i64::try_from(number).expect("batches are counted one by one");
        let text = "UPDATE volar.writer SET owner = owner WHERE id = 1 AND owner = $1 AND batch = $2";
        self.warned();
        let moved = self.client.execute(text, &[&owner, &number]).await?;
        if moved != 1 || self.warned() {
            return Err(Trouble::Passing("it does not confirm what it committed".to_owned()));
        }
        Ok(())
    }

    /// Whether the server has warned since this was last asked. A commit that waits for standbys and is told to stop
    /// waiting (`pg_cancel_backend`) is acknowledged with a warning, though no standby has it.
    pub(super) fn warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// Makes `owner` the one who writes. Whoever wrote before cannot any more.
    pub(super) async fn take_over(&self, owner: &[u8]) -> Result<Mark, Trouble> {
        self.client.execute("UPDATE volar.writer SET owner = $1 WHERE id = 1", &[&owner]).await?;
        self.mark().await
    }
}

/// Carries a connection's messages until it ends, and notes warnings before the answers that come after them.
async fn speak<S>(mut connection: Connection<Socket, S>, warned: Arc<AtomicBool>, lost: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whoever uses the connection hears of its end by every call on it.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notice(notice) if *notice.code() == SqlState::WARNING => {
                tracing::warn!(message = notice.message(), "the database warns");
                warned.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
    }
    drop(connection);
    lost.notify_one();
}

/// A vault whose machine or network went away holds the lock until the server has noticed: not for the hours that a system
/// takes by itself; over a socket's folder this is no question. Warnings are wanted, see [`Session::warned`].
async fn notice_a_lost_vault(client: &Client) -> Result<(), tokio_postgres::Error> {
    let (silence, every) = (SILENCE_MAX.as_secs(), PROBE_EVERY.as_secs());
    let (idle, count) = (silence / 2, silence / 2 / every);
    let text = format!(
        "SET tcp_keepalives_idle = {idle}; SET tcp_keepalives_interval = {every}; SET tcp_keepalives_count = {count}; \
         SET tcp_user_timeout = {milliseconds}; SET client_min_messages = warning",
        milliseconds = silence * 1_000
    );
    client.batch_execute(&text).await
}

/// Acknowledged means on the disk: the settings that promise it, for this session and the server.
async fn keep_what_is_committed(client: &Client) -> Result<(), Trouble> {
    let settings = "SELECT current_setting('fsync'), current_setting('full_page_writes')";
    let row = client.query_one(settings, &[]).await?;
    for (number, name) in ["fsync", "full_page_writes"].into_iter().enumerate() {
        if row.get::<_, &str>(number) != "on" {
            let reason =
                format!("its setting {name} is off, so that a crash could lose what was acknowledged; set it on");
            return Err(Trouble::Lasting(reason));
        }
    }
    wait_for_the_disk(client).await?;
    let row = client.query_one("SELECT current_setting('synchronous_commit')", &[]).await?;
    if !["on", "remote_apply"].contains(&row.get::<_, &str>(0)) {
        return Err(Trouble::Lasting("it does not let this session set synchronous_commit to on".to_owned()));
    }
    // A standby that is being promoted, or a batch that hangs, is noticed by the vault's own patience.
    Ok(client.batch_execute("SET idle_in_transaction_session_timeout = '10s'").await?)
}

/// Has every commit of a connection wait for the disk. A server that waits for its standbys to have applied a commit
/// promises more than asked, and goes on to.
pub(super) async fn wait_for_the_disk(client: &Client) -> Result<(), tokio_postgres::Error> {
    let text = "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
                WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)";
    client.query_one(text, &[]).await.map(drop)
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Trouble> {
        // Dividing by zero undoes the batch of whoever is not, or no longer, the one who writes.
        let advance = "WITH moved AS (UPDATE volar.writer SET batch = $3 WHERE id = 1 AND owner = $1 AND batch = $2 \
                       RETURNING 1) SELECT 1 / count(*) FROM moved";
        let advance = client.prepare(advance).await?;
        let (mut put, mut remove) = (Vec::with_capacity(BLOBS), Vec::with_capacity(BLOBS));
        for table in 0..BLOBS {
            let name = schema::name(table);
            let upsert = format!(
                "INSERT INTO {name} (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                 ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
            );
            put.push(client.prepare(&upsert).await?);
            remove.push(client.prepare(&format!("DELETE FROM {name} WHERE key = ANY($1)")).await?);
        }
        Ok(Self { advance, put, remove })
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InUse => Self::Unavailable("another process holds its lock".into()),
            Refusal::Newer { found } => {
                Self::Refused(format!("its tables have become those of version {found}").into())
            }
            Refusal::Trouble(trouble) => trouble.into(),
        }
    }
}
