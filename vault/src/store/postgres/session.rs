//! The one connection that writes: it holds the database's lock, and knows that what it commits stays.
//!
//! A vault that has the database to itself holds the lock alone. Those that share it hold it together, each for as long as
//! it lives, and pass a second one on between them: the pen, which whoever commits a batch has.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket, Statement};

use super::failure::{Failure, Trouble};
use super::schema::{self, BLOBS};
use super::settings::{Access, PROBE_EVERY, SILENCE_MAX};
use super::{spread, timeline};

/// Of the advisory lock that one vault holds in a database: "volar" in ASCII.
const LOCK: i64 = 0x0076_6f6c_6172;
/// Of the advisory lock that vaults over one database pass on: "volarpen" in ASCII.
const PEN: i64 = 0x766f_6c61_7270_656e;
/// Whom the writer row names where several vaults write.
const TOGETHER: &[u8] = b"shared";

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writing {
    /// This opening of the store, and no other.
    pub(super) me: [u8; 16],
    /// Whether others write too, by turns.
    pub(super) shared: bool,
}

impl Writing {
    /// Whom the writer row must name.
    pub(super) fn owner(&self) -> &[u8] {
        if self.shared { TOGETHER } else { &self.me }
    }
}

/// A connection that holds the lock.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    patience: Duration,
    /// Whether the server has warned since the last question.
    warned: Arc<AtomicBool>,
}

/// Prepared once for each connection.
pub(super) struct Statements {
    mark: Statement,
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
    /// The last batch, whoever of them committed it.
    pub(super) batch: u64,
    /// The last batch of the one who asks.
    pub(super) own: u64,
}

impl Session {
    /// Connects, checks that a commit is durable, and takes the lock, alone or with others. `lost` is told when the
    /// connection ends.
    pub(super) async fn open(access: &Access, lost: Arc<Notify>) -> Result<Self, Refusal> {
        let (mut client, connection) = access.config.connect(access.tls.clone()).await?;
        let warned = Arc::new(AtomicBool::new(false));
        tokio::spawn(speak(connection, Arc::clone(&warned), lost));
        keep_what_is_committed(&client).await?;
        notice_a_lost_vault(&client).await?;
        // Before the lock: a former primary has a lock of its own, which says nothing.
        let timeline = timeline::of(&client).await?;
        access.timeline.check_not_behind(timeline)?;
        let lock = if access.shared { "pg_try_advisory_lock_shared" } else { "pg_try_advisory_lock" };
        let row = client.query_one(&format!("SELECT {lock}($1)"), &[&LOCK]).await?;
        if !row.get::<_, bool>(0) {
            return Err(Refusal::InUse);
        }
        access.timeline.meet(timeline, Instant::now())?;
        let patience = access.patience;
        client.batch_execute(&format!("SET lock_timeout = {}", patience.as_millis())).await?;
        bring_up_to_date(&mut client).await?;
        if spread::is_spread(&client).await? {
            if access.shared {
                let reason = "its tables are spread over several servers, where one vault writes; set \
                              store.postgres.shared to false";
                return Err(Trouble::Lasting(reason.to_owned()).into());
            }
            warned.store(false, Ordering::SeqCst);
            spread::settle(&client).await?;
            if warned.load(Ordering::SeqCst) {
                return Err(Trouble::Passing("a server of its cluster is away".to_owned()).into());
            }
        }
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, statements, patience, warned })
    }

    /// Who writes to this database, and how far they came.
    pub(super) async fn mark(&self, who: &Writing) -> Result<Mark, Trouble> {
        let row = self.client.query_one(&self.statements.mark, &[&who.me.as_slice()]).await?;
        let number = |column| row.get::<_, i64>(column).unsigned_abs();
        Ok(Mark { owner: row.get(0), batch: number(1), own: number(2) })
    }

    /// Waits for the pen, and says what was written before. In the order of asking; a vault that has had it for longer than a
    /// call may take without using it, because its process is stopped, loses its connection: whatever it goes on to
    /// write is refused by the writer row.
    pub(super) async fn take_pen(&self, who: &Writing) -> Result<Mark, Trouble> {
        let key: [&(dyn ToSql + Sync); 1] = [&PEN];
        let taken = self.client.query_one("SELECT pg_advisory_lock($1)", &key);
        // Sent together, answered in order: the row is read after the pen was taken.
        let (taken, mark) = tokio::join!(biased; taken, self.mark(who));
        match taken {
            Ok(_) => mark,
            Err(error) => {
                if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
                    self.cut_off_idle_holder().await?;
                }
                Err(error.into())
            }
        }
    }

    /// Passes the pen on.
    pub(super) async fn leave_pen(&self) -> Result<(), Trouble> {
        self.client.query_one("SELECT pg_advisory_unlock($1)", &[&PEN]).await?;
        Ok(())
    }

    async fn cut_off_idle_holder(&self) -> Result<(), Trouble> {
        let text = "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
                    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                    AND (l.classid::bigint << 32) | l.objid::bigint = $1 \
                    AND a.state = 'idle' AND a.state_change < now() - $2 * interval '1 millisecond'";
        let patience = self.patience.as_millis() as f64;
        let cut = self.client.query(text, &[&PEN, &patience]).await?;
        if !cut.is_empty() {
            tracing::warn!("a vault that kept others from writing and did not write was cut off from the database");
        }
        Ok(())
    }

    /// Has batch `number` of `owner` be what the server has promised to keep, and not only what it shows. A batch whose
    /// session was cut while it waited for the standbys is shown, though none of them may have it; a further commit is
    /// acknowledged only when they have this one too, for it comes after it.
    pub(super) async fn confirm(&self, who: &Writing, number: u64) -> Result<(), Trouble> {
        let number = i64::try_from(number).expect("batches are counted one by one");
        let text = "UPDATE volar.writers SET at = now() WHERE owner = $1 AND batch = $2";
        self.warned();
        let moved = self.client.execute(text, &[&who.me.as_slice(), &number]).await?;
        if moved != 1 || self.warned() {
            return Err(Trouble::Passing("it does not confirm what it committed".to_owned()));
        }
        Ok(())
    }

    /// Whether the server has warned since this was last asked. A commit that waits for standbys and is told to stop
    /// waiting (`pg_cancel_backend`) is acknowledged with a warning, though no standby has it; so is one that not every
    /// server of a cluster has ended.
    pub(super) fn warned(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }

    /// Makes `who` the one who writes, or one of those. Whoever wrote before cannot any more, unless they share.
    pub(super) async fn take_over(&self, who: &Writing) -> Result<Mark, Trouble> {
        self.client.execute("UPDATE volar.writer SET owner = $1 WHERE id = 1", &[&who.owner()]).await?;
        // Whoever waited for an answer so long has given up.
        self.client.execute("DELETE FROM volar.writers WHERE at < now() - interval '1 day'", &[]).await?;
        self.mark(who).await
    }
}

/// Makes or updates the tables; of several vaults that start together one does.
async fn bring_up_to_date(client: &mut Client) -> Result<(), Refusal> {
    let mut found = schema::version(client).await?;
    if found < schema::VERSION {
        client.query_one("SELECT pg_advisory_lock($1)", &[&PEN]).await?;
        found = schema::version(client).await?;
        schema::migrate(client, found).await?;
        client.query_one("SELECT pg_advisory_unlock($1)", &[&PEN]).await?;
    }
    if found > schema::VERSION { Err(Refusal::Newer { found }) } else { Ok(()) }
}

/// Carries a connection's messages until it ends, and notes warnings before the answers that come after them.
async fn speak<S>(mut connection: Connection<Socket, S>, warned: Arc<AtomicBool>, lost: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whoever uses the connection hears of its end by every call on it.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notice(notice) if notice.parsed_severity() == Some(Severity::Warning) => {
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
                       RETURNING 1), noted AS (INSERT INTO volar.writers (owner, batch) VALUES ($4, $3) \
                       ON CONFLICT (owner) DO UPDATE SET batch = EXCLUDED.batch, at = now()) \
                       SELECT 1 / count(*) FROM moved";
        let mark = "SELECT owner, batch, coalesce((SELECT w.batch FROM volar.writers w WHERE w.owner = $1), 0) \
                    FROM volar.writer WHERE id = 1";
        let mark = client.prepare(mark).await?;
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
        Ok(Self { mark, advance, put, remove })
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
