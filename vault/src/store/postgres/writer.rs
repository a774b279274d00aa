//! Commits batches, one after another, on the one [`Session`]. When the connection is lost in mid-commit, the writer
//! row tells after reconnecting whether the batch was committed: only then is it acknowledged, or sent again as it is.
//! Nobody else can have written meanwhile, so that what the bodies read still holds and none runs again. Where vaults share
//! the database and another has written meanwhile, they do run again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_postgres::types::ToSql;

use super::failure::{Failure, Trouble};
use super::ledger::{Batch, Ledger};
use super::schema::BLOBS;
use super::session::{Mark, Refusal, Session, Writing};
use super::settings::Access;

/// Between tries to reach the server: short at first, for one that is only restarted.
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Rows are sent in statements of about this many bytes.
const STATEMENT_BYTES: usize = 8 << 20;
/// A vault that shares the database passes the pen on after this long, however much it has to write.
const TURN: Duration = Duration::from_millis(20);

/// The writer of one open store.
pub(super) struct Writer {
    pub(super) access: Access,
    pub(super) ledger: Arc<Ledger>,
    pub(super) who: Writing,
    /// Number of the last batch that is surely committed.
    pub(super) batch: u64,
    /// Number of the last batch that was seen, another vault's perhaps.
    pub(super) seen: u64,
    /// When the pen came.
    pub(super) turn: Instant,
    pub(super) session: Option<Session>,
    pub(super) lost: Arc<Notify>,
}

/// Why a batch is not committed.
enum Stop {
    /// Surely not committed; others may be.
    GivenUp(Failure),
    /// Surely not committed: another vault was first.
    Overtaken,
    /// Nothing is committed any more.
    Broken(Failure),
}

/// What is known of a batch that is being sent.
#[derive(PartialEq, Eq)]
enum Sent {
    /// Nothing of it has been committed.
    No,
    /// The server may have committed it.
    Perhaps,
}

impl Writer {
    /// Commits until the ledger is closed.
    pub(super) async fn run(mut self) {
        loop {
            let Some(batch) = self.next().await else { return };
            match self.commit(&batch).await {
                Ok(()) => self.ledger.committed(),
                Err(Stop::GivenUp(failure)) => self.ledger.give_up(&failure),
                Err(Stop::Overtaken) => self.overtaken(),
                Err(Stop::Broken(failure)) => return self.broke(&failure),
            }
            if self.seen > self.batch {
                // Found committed after the connection was lost, and others have written since.
                self.overtaken();
            }
            if self.who.shared && self.turn.elapsed() > TURN {
                self.ledger.begin_to_leave();
            }
        }
    }

    fn overtaken(&mut self) {
        self.batch = self.seen;
        self.ledger.overtaken(self.seen);
        // What was seen was read by a connection that has the pen.
        if self.session.is_some() {
            self.ledger.hold(self.seen);
        }
    }

    fn broke(&self, failure: &Failure) {
        let error = failure.at(&self.access.place);
        tracing::error!(%error, "nothing is written to the database any more");
        self.ledger.broke(failure);
    }

    async fn next(&mut self) -> Option<Arc<Batch>> {
        loop {
            if let Some(batch) = self.ledger.take() {
                return Some(batch);
            }
            if self.ledger.lock().closing {
                return None;
            }
            if self.who.shared {
                match self.pass_the_pen().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(failure) => {
                        self.broke(&failure);
                        return None;
                    }
                }
            }
            let away = self.session.is_none();
            tokio::select! {
                () = self.ledger.work.notified() => {}
                // The lock went with the connection: it is taken again before somebody else does.
                () = self.lost.notified() => {
                    if self.session.take_if(|session| session.client.is_closed()).is_some() && self.who.shared {
                        self.ledger.lose();
                    }
                    self.reconnect().await;
                }
                // And reads go where the writer is: to a promoted standby before anything is written.
                () = tokio::time::sleep(WAIT_MAX), if away => self.reconnect().await,
            }
        }
    }

    /// Lets go of the pen when there is nothing to write, and takes it when there is; tells whether it came.
    async fn pass_the_pen(&mut self) -> Result<bool, Failure> {
        if self.ledger.leave()
            && let Some(session) = &self.session
        {
            let left = tokio::time::timeout(self.access.patience, session.leave_pen()).await;
            if !matches!(left, Ok(Ok(()))) {
                // It goes with the connection.
                self.session = None;
            }
        }
        if !self.ledger.lock().wants_pen() {
            return Ok(false);
        }
        self.reconnect().await;
        let Some(session) = &self.session else { return Ok(false) };
        let taken = tokio::time::timeout(self.access.patience * 2, session.take_pen(&self.who)).await;
        match taken.unwrap_or_else(|_| Err(Trouble::Passing("it does not answer".to_owned()))) {
            Ok(mark) => {
                self.check(&mark)?;
                (self.batch, self.seen, self.turn) = (mark.batch, mark.batch, Instant::now());
                self.ledger.hold(mark.batch);
                Ok(true)
            }
            Err(trouble) => {
                tracing::warn!(error = %Failure::from(trouble).at(&self.access.place), "waiting for the turn to write");
                self.session = None;
                Ok(false)
            }
        }
    }

    /// Refuses a database that is another's now, or has forgotten a batch.
    fn check(&self, mark: &Mark) -> Result<(), Failure> {
        if mark.owner != self.who.owner() {
            return Err(Failure::TakenOver);
        }
        if mark.batch < self.batch {
            return Err(Failure::Lost { found: mark.batch, acknowledged: self.batch });
        }
        Ok(())
    }

    /// Tries once to get a connection back while nothing waits to be written.
    async fn reconnect(&mut self) {
        // With something under way, the batch's own attempt looks first what became of the last one.
        if self.session.is_some() || self.ledger.is_busy() {
            return;
        }
        // A server that hangs must not keep what comes to be written meanwhile waiting for longer.
        let opened = tokio::time::timeout(self.access.patience, Session::open(&self.access, self.lost.clone())).await;
        if let Ok(Ok(session)) = opened {
            self.session = Some(session);
        }
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), Stop> {
        let (mut sent, mut wait) = (Sent::No, WAIT_MIN);
        loop {
            let tried = tokio::time::timeout(self.access.patience * 3, self.attempt(batch, &mut sent)).await;
            let trouble = match tried {
                Ok(Ok(())) => {
                    self.batch = batch.number;
                    return Ok(());
                }
                Ok(Err(Attempt::Broken(failure))) => return Err(Stop::Broken(failure)),
                Ok(Err(Attempt::Overtaken)) => return Err(Stop::Overtaken),
                Ok(Err(Attempt::Trouble(trouble))) => trouble,
                Err(_) => Trouble::Passing("it does not answer".to_owned()),
            };
            self.session = None;
            let late = batch.begun.elapsed() > self.access.patience;
            let passes = trouble.passes();
            let failure = Failure::from(trouble);
            if sent == Sent::No && (late || !passes) {
                return Err(Stop::GivenUp(failure));
            }
            if self.ledger.lock().closing && late {
                return Err(Stop::Broken(Failure::Unknown));
            }
            self.ledger.give_up_late(self.access.patience, &failure);
            tracing::warn!(error = %failure.at(&self.access.place), "trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// One try to have the batch committed, or to learn that it is.
    async fn attempt(&mut self, batch: &Batch, sent: &mut Sent) -> Result<(), Attempt> {
        if self.session.is_none() {
            let session = Session::open(&self.access, self.lost.clone()).await?;
            // Sole, the lock was free; sharing, the pen is: whatever was sent before has ended, and this is how.
            let shared = self.who.shared;
            let mark = if shared { session.take_pen(&self.who).await? } else { session.mark(&self.who).await? };
            self.check(&mark).map_err(Attempt::Broken)?;
            (self.seen, self.turn) = (mark.batch, Instant::now());
            if mark.own == batch.number && *sent == Sent::Perhaps {
                session.confirm(&self.who, batch.number).await?;
                self.session = Some(session);
                return Ok(());
            }
            self.session = Some(session);
            if mark.batch > self.batch {
                return Err(if shared { Attempt::Overtaken } else { Attempt::Broken(Failure::TakenOver) });
            }
            *sent = Sent::No;
        }
        let session = self.session.as_ref().expect("opened above");
        send(session, &self.who, self.batch, batch, sent).await
    }
}

/// Why a try failed.
enum Attempt {
    Trouble(Trouble),
    Overtaken,
    Broken(Failure),
}

impl From<Refusal> for Attempt {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InUse => Self::Trouble(Trouble::Passing("another process holds its lock".to_owned())),
            Refusal::Newer { .. } => Self::Broken(Failure::TakenOver),
            Refusal::Trouble(trouble) => Self::Trouble(trouble),
        }
    }
}

impl<E: Into<Trouble>> From<E> for Attempt {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// Sends the whole transaction at once and waits for all of its answers: one round trip.
async fn send(session: &Session, who: &Writing, before: u64, batch: &Batch, sent: &mut Sent) -> Result<(), Attempt> {
    let (client, statements) = (&session.client, &session.statements);
    let (owner, me) = (who.owner(), who.me.as_slice());
    let number = |batch: u64| i64::try_from(batch).expect("batches are counted one by one");
    let (before, after) = (number(before), number(batch.number));
    let chunks = chunks(batch);
    let writes = chunks.iter().map(|chunk| async move {
        match chunk {
            Chunk::Put(table, keys, values) => client.execute(&statements.put[*table], &[keys, values]).await,
            Chunk::Remove(table, keys) => client.execute(&statements.remove[*table], &[keys]).await,
        }
    });
    let advance: [&(dyn ToSql + Sync); 4] = [&owner, &before, &after, &me];
    *sent = Sent::Perhaps;
    session.warned();
    // Polled in this order, and so sent in it.
    let (begun, advanced, written, committed) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        client.query(&statements.advance, &advance),
        futures::future::join_all(writes),
        client.batch_execute("COMMIT"),
    );
    // A statement that the server refused has undone the transaction, whatever COMMIT was answered; an error that is
    // not the server's, or is COMMIT's own, leaves it open.
    let failed = [begun.err(), advanced.err()].into_iter().chain(written.into_iter().map(Result::err)).flatten().next();
    match failed {
        Some(error) if error.code().is_some_and(|code| code.code() == "22012") => {
            *sent = Sent::No;
            Err(match who.shared {
                // The pen was taken away; looked up on a new connection.
                true => Attempt::Trouble(Trouble::Passing("another vault wrote first".to_owned())),
                false => Attempt::Broken(Failure::TakenOver),
            })
        }
        Some(error) => {
            let refused = error.as_db_error().is_some() && committed.is_ok();
            if refused {
                *sent = Sent::No;
            }
            Err(error.into())
        }
        None => {
            committed?;
            // Committed, and perhaps on this server only: looked up and confirmed on a new connection.
            if session.warned() {
                return Err(Trouble::Passing("it did not wait for its standbys".to_owned()).into());
            }
            Ok(())
        }
    }
}

/// One table's part of a batch: keys and values to put, bytes so far, keys to remove.
type TableWrites<'a> = (Vec<&'a [u8]>, Vec<&'a [u8]>, usize, Vec<&'a [u8]>);

/// What one statement writes.
enum Chunk<'a> {
    Put(usize, Vec<&'a [u8]>, Vec<&'a [u8]>),
    Remove(usize, Vec<&'a [u8]>),
}

fn chunks(batch: &Batch) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut by_table: Vec<TableWrites<'_>> = vec![Default::default(); BLOBS];
    for ((table, key), value) in &batch.writes {
        let (keys, values, bytes, removed) = &mut by_table[*table];
        let Some(value) = value else {
            removed.push(key);
            continue;
        };
        keys.push(key);
        values.push(value);
        *bytes += value.len();
        if *bytes > STATEMENT_BYTES {
            chunks.push(Chunk::Put(*table, std::mem::take(keys), std::mem::take(values)));
            *bytes = 0;
        }
    }
    for (table, (keys, values, _, removed)) in by_table.into_iter().enumerate() {
        if !keys.is_empty() {
            chunks.push(Chunk::Put(table, keys, values));
        }
        if !removed.is_empty() {
            chunks.push(Chunk::Remove(table, removed));
        }
    }
    chunks
}
