//! Commits batches, one after another, on the one [`Session`]. When the connection is lost in mid-commit, the writer
//! row tells after reconnecting whether the batch was committed: only then is it acknowledged, or sent again as it is.
//! Nobody else can have written meanwhile, so that what the bodies read still holds and none runs again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::types::ToSql;

use super::failure::{Failure, Trouble};
use super::ledger::{Batch, Ledger};
use super::schema::BLOBS;
use super::session::{Mark, Refusal, Session};
use super::settings::Access;

/// Between tries to reach the server: short at first, for one that is only restarted.
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Rows are sent in statements of about this many bytes.
const STATEMENT_BYTES: usize = 8 << 20;

/// The writer of one open store.
pub(super) struct Writer {
    pub(super) access: Access,
    pub(super) ledger: Arc<Ledger>,
    pub(super) owner: [u8; 16],
    /// Number of the last batch that is surely committed.
    pub(super) batch: u64,
    pub(super) session: Option<Session>,
    pub(super) lost: Arc<Notify>,
}

/// Why a batch is not committed.
enum Stop {
    /// Surely not committed; others may be.
    GivenUp(Failure),
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
                Err(Stop::Broken(failure)) => {
                    let error = failure.at(&self.access.place);
                    tracing::error!(%error, "nothing is written to the database any more");
                    return self.ledger.broke(&failure);
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Arc<Batch>> {
        loop {
            if let Some(batch) = self.ledger.take() {
                return Some(batch);
            }
            if self.ledger.lock().closing {
                return None;
            }
            let away = self.session.is_none();
            tokio::select! {
                () = self.ledger.work.notified() => {}
                // The lock went with the connection: it is taken again before somebody else does.
                () = self.lost.notified() => {
                    self.session.take_if(|session| session.client.is_closed());
                    self.reconnect().await;
                }
                // And reads go where the writer is: to a promoted standby before anything is written.
                () = tokio::time::sleep(WAIT_MAX), if away => self.reconnect().await,
            }
        }
    }

    /// Tries once to get a connection back while nothing waits to be written.
    async fn reconnect(&mut self) {
        if self.session.is_some() {
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
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let session = Session::open(&self.access, self.lost.clone()).await?;
                match session.mark().await? {
                    Mark { owner, .. } if owner != self.owner => return Err(Attempt::Broken(Failure::TakenOver)),
                    // The lock was free, so whatever was sent before has ended: this is how.
                    mark if mark.batch == batch.number && *sent == Sent::Perhaps => {
                        session.confirm(&self.owner, batch.number).await?;
                        self.session = Some(session);
                        return Ok(());
                    }
                    mark if mark.batch < self.batch => {
                        let (found, acknowledged) = (mark.batch, self.batch);
                        return Err(Attempt::Broken(Failure::Lost { found, acknowledged }));
                    }
                    mark if mark.batch > self.batch => return Err(Attempt::Broken(Failure::TakenOver)),
                    _ => *sent = Sent::No,
                }
                none.insert(session)
            }
        };
        send(session, &self.owner, self.batch, batch, sent).await
    }
}

/// Why a try failed.
enum Attempt {
    Trouble(Trouble),
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
async fn send(session: &Session, owner: &[u8; 16], before: u64, batch: &Batch, sent: &mut Sent) -> Result<(), Attempt> {
    let (client, statements) = (&session.client, &session.statements);
    let owner = owner.as_slice();
    let number = |batch: u64| i64::try_from(batch).expect("batches are counted one by one");
    let (before, after) = (number(before), number(batch.number));
    let chunks = chunks(batch);
    let writes = chunks.iter().map(|chunk| async move {
        match chunk {
            Chunk::Put(table, keys, values) => client.execute(&statements.put[*table], &[keys, values]).await,
            Chunk::Remove(table, keys) => client.execute(&statements.remove[*table], &[keys]).await,
        }
    });
    let advance: [&(dyn ToSql + Sync); 3] = [&owner, &before, &after];
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
            Err(Attempt::Broken(Failure::TakenOver))
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
