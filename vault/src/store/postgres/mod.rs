//! PostgreSQL: rows and blobs in tables, many writers' work in one commit.
//!
//! - Bodies of transactions run in this process ([`view`]), against what is committed and what is about to be
//!   ([`ledger`]); one connection commits their writes in batches ([`writer`]). Nothing is acknowledged before the server
//!   says that the commit is on its disk.
//! - That one connection holds an advisory lock, and every batch moves a row that names its writer ([`session`]): a
//!   second vault is refused, and one that lost its place writes nothing more. Vaults that say so share the database: each
//!   commits its batches while it has the pen, which they pass on, and the same row tells each of them that others wrote.
//! - Reads are by primary key on a pool of connections ([`reader`]), always of what is committed. Blobs are written there
//!   too, before anything refers to them.
//! - A server that restarts or fails over is waited for, for a bounded time; a commit whose answer was lost is looked up.
//!   Of several servers the one on the highest timeline counts ([`timeline`]): a former primary is neither written to nor
//!   read from, should it still run.
//! - Tables may lie on several servers, by Citus ([`spread`]): then one vault writes, and no read is of one moment.
//!
//! Connections live on threads of the store's own, so that any thread may call it, one that runs futures included.

mod failure;
mod ledger;
mod moment;
mod reader;
mod schema;
mod session;
mod settings;
mod spread;
mod timeline;
mod view;
mod writer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use volar_core::randomness::Randomness;

use super::{Body, Moment, Row, Rows, Store, StoreError, Table};
use failure::Failure;
use ledger::{Ledger, Pen, Place, Value};
use moment::PostgresMoment;
use reader::Reader;
use schema::BLOBS;
use session::{Refusal, Session, Writing};
use settings::Access;
pub use settings::{PostgresConfig, PostgresConfigError};
use view::{Alone, Beside};
use writer::Writer;

/// Threads that speak to the server.
const THREADS: usize = 2;
/// Blobs that are read in one round trip.
const BLOBS_AT_ONCE: usize = 16;
/// Before a body runs again because other vaults were first: the writer hears of it meanwhile.
const OVERTAKEN_WAIT: Duration = Duration::from_millis(2);

/// An open PostgreSQL store.
pub struct PostgresStore {
    place: String,
    patience: Duration,
    shared: bool,
    ledger: Arc<Ledger>,
    reader: Reader,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
    /// Answers when the writer has ended.
    ended: Mutex<mpsc::Receiver<()>>,
    /// Read by every body while it runs, so that whoever writes it has waited for all.
    running: RwLock<()>,
}

/// A body's word, and what to wait for.
type Ran = (Result<bool, StoreError>, Option<Arc<ledger::Outcome>>);

impl PostgresStore {
    /// Opens the store in the database that `config` names, and makes or updates its tables. `randomness` names this
    /// writer.
    ///
    /// Refuses a database that another vault has open, unless both share it, one whose tables are a newer vault's, and a server that would not
    /// keep what it acknowledges.
    pub fn open(config: &PostgresConfig, randomness: &dyn Randomness) -> Result<Self, StoreError> {
        let access = config.access().map_err(StoreError::Postgres)?;
        let place = access.place.clone();
        let failed = |failure: Failure| failure.at(&place);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("volar-postgres")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Io { path: access.place.clone().into(), error })?;
        let who = Writing { me: randomness.bytes(), shared: access.shared };
        let lost = Arc::new(Notify::new());
        let opening = open_session(access.clone(), who, lost.clone());
        let opened = on(&runtime, opening).unwrap_or_else(|| Err(Refusal::InUse));
        let (session, batch) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                runtime.shutdown_background();
                return Err(match refusal {
                    Refusal::InUse => StoreError::InUse { path: access.place.into() },
                    Refusal::Newer { found } => {
                        StoreError::Format { path: access.place.into(), found, known: schema::VERSION }
                    }
                    Refusal::Trouble(trouble) => failed(trouble.into()),
                });
            }
        };
        let ledger = Arc::new(Ledger::new(batch, if who.shared { Pen::Away } else { Pen::Held }));
        let reader = Reader::new(&access);
        let (ending, ended) = mpsc::channel();
        let patience = access.patience;
        let (session, turn) = (Some(session), Instant::now());
        let writer = Writer { access, ledger: ledger.clone(), who, batch, seen: batch, turn, session, lost };
        let handle = runtime.handle().clone();
        // On a thread of its own: it waits for bodies that run alone, and those for the runtime's threads.
        let thread = std::thread::Builder::new().name("volar-postgres-writer".to_owned()).spawn(move || {
            handle.block_on(writer.run());
            // The store may have stopped waiting.
            let _ = ending.send(());
        });
        thread.map_err(|error| StoreError::Io { path: place.clone().into(), error })?;
        Ok(Self {
            place,
            patience,
            shared: who.shared,
            ledger,
            reader,
            runtime: Some(runtime),
            ended: Mutex::new(ended),
            running: RwLock::default(),
        })
    }

    fn failed(&self, failure: &Failure) -> StoreError {
        failure.at(&self.place)
    }

    /// Runs a read on the store's own threads.
    fn ask<T, F>(&self, read: impl FnOnce(Reader) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().expect("open until dropped");
        match on(runtime, read(self.reader.clone())) {
            Some(answer) => answer.map_err(|failure| self.failed(&failure)),
            None => Err(self.failed(&Failure::Unavailable("the reading thread failed".into()))),
        }
    }

    /// What is committed at one place.
    fn one(&self, place: &Place) -> Result<Value, StoreError> {
        let (table, key) = place.clone();
        self.ask(|reader| reader.one(table, key))
    }

    /// The same, and the number of the batch that it is as of.
    fn dated(&self, place: &Place) -> Result<(u64, Value), StoreError> {
        let (table, key) = place.clone();
        self.ask(|reader| reader.dated(table, key))
    }

    /// Runs `body`, alone if it must be, and hands its writes on when it may write, which is by `until`; returns its word
    /// and what to wait for.
    fn run(&self, body: &mut Body<'_>, until: Instant) -> Result<Ran, Failure> {
        let base = {
            let state = self.ledger.lock();
            state.check()?;
            state.committed()
        };
        let beside = Beside::new(self, base);
        let mut word = body(&beside);
        let (mut trace, counts) = beside.end();
        let base = trace.base;
        let mut state = self.ledger.lock();
        state.check()?;
        let stands =
            |state: &ledger::State| counts && !trace.reads.keys().any(|place| state.changed_since(base, place));
        let writes = matches!(word, Ok(true)) && !trace.writes.is_empty();
        if writes || !stands(&state) {
            state = self.ledger.pen(state, until)?;
        }
        if !stands(&state) {
            let mut known = std::mem::take(&mut trace.reads);
            known.retain(|place, _| !state.changed_since(base, place));
            let alone = Alone::new(self, &mut state, known);
            word = body(&alone);
            trace.writes = alone.end().ok_or(Failure::Overtaken)?;
        }
        if matches!(word, Ok(true)) {
            state.gather(trace.writes);
        }
        let outcome = state.last();
        drop(state);
        self.ledger.work.notify_one();
        Ok((word, outcome))
    }

    /// Refuses when another vault has taken the database over.
    fn check(&self) -> Result<(), StoreError> {
        self.ledger.lock().check().map_err(|failure| self.failed(&failure))
    }

    fn wait(&self, outcome: Option<Arc<ledger::Outcome>>) -> Result<(), Failure> {
        let Some(outcome) = outcome else { return Ok(()) };
        // The writer gives up within its patience what it has not sent; longer means that it does not know.
        outcome.wait(Instant::now() + self.patience * 3)
    }
}

/// Connects within the time allowed; a vault that was just killed may hold the lock for a moment longer.
async fn open_session(access: Access, who: Writing, lost: Arc<Notify>) -> Result<(Session, u64), Refusal> {
    use backon::Retryable;
    let once = || async {
        let session = Session::open(&access, lost.clone()).await?;
        let mark = session.take_over(&who).await?;
        Ok((session, mark.batch))
    };
    let passes = |refusal: &Refusal| match refusal {
        Refusal::InUse => true,
        Refusal::Newer { .. } => false,
        Refusal::Trouble(trouble) => trouble.passes(),
    };
    once.retry(reader::waits(access.patience)).when(passes).await
}

/// Waits on this thread for work on the runtime's; `None` if it panicked.
fn on<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Only a panic of the waiting thread takes the receiver away.
        let _ = sender.send(work.await);
    });
    receiver.recv().ok()
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.ledger.lock().closing = true;
        self.ledger.work.notify_one();
        // What was handed on without waiting is committed still, if the server is there.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(self.patience * 2);
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads is not allowed on a thread that runs futures.
            runtime.shutdown_background();
        }
    }
}

impl Rows for PostgresStore {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.one(&(table as usize, key.to_vec()))?.map(|bytes| bytes.to_vec()))
    }

    fn read_many(&self, places: &[(Table, Vec<u8>)]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut tables: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
        for (table, key) in places {
            let table = *table as usize;
            match tables.iter_mut().find(|(number, _)| *number == table) {
                Some((_, keys)) => keys.push(key.clone()),
                None => tables.push((table, vec![key.clone()])),
            }
        }
        let numbers: Vec<usize> = tables.iter().map(|(number, _)| *number).collect();
        let found = self.ask(|reader| reader.many(tables))?;
        let found: HashMap<Place, Vec<u8>> = numbers
            .into_iter()
            .zip(found)
            .flat_map(|(table, rows)| rows.into_iter().map(move |(key, value)| ((table, key), value)))
            .collect();
        Ok(places.iter().map(|(table, key)| found.get(&(*table as usize, key.clone())).cloned()).collect())
    }
}

impl Store for PostgresStore {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let from = from.max(prefix).to_vec();
        let to = after(prefix);
        self.ask(|reader| reader.range(table as usize, from, to, limit))
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError> {
        let _running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + self.patience * 3;
        loop {
            let ended = self.run(body, until).and_then(|(word, outcome)| self.wait(outcome).map(|()| word));
            match ended {
                Err(Failure::Overtaken) if Instant::now() < until => std::thread::sleep(OVERTAKEN_WAIT),
                ended => return ended.map_err(|failure| self.failed(&failure))?.map(drop),
            }
        }
    }

    fn barrier(&self) -> Result<(), StoreError> {
        drop(self.running.write().unwrap_or_else(PoisonError::into_inner));
        self.check()
    }

    /// Reads see nothing that is not durable.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        let (name, bytes) = (name.as_bytes().to_vec(), bytes.to_vec());
        self.ask(|reader| reader.put_blob(name, bytes))
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.one(&(BLOBS, name.as_bytes().to_vec()))?.map(|bytes| bytes.to_vec()))
    }

    fn read_blobs(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut blobs = Vec::with_capacity(names.len());
        for names in names.chunks(BLOBS_AT_ONCE) {
            let keys = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            let found = self.ask(|reader| reader.many(vec![(BLOBS, keys)]))?;
            let mut found: HashMap<Vec<u8>, Vec<u8>> = found.into_iter().flatten().collect();
            blobs.extend(names.iter().map(|name| found.remove(name.as_bytes())));
        }
        Ok(blobs)
    }

    fn remove_blob(&self, name: &str) -> Result<(), StoreError> {
        self.check()?;
        let name = name.as_bytes().to_vec();
        self.ask(|reader| reader.remove_blob(name))
    }

    fn blobs(&self) -> Result<Vec<String>, StoreError> {
        let names = self.ask(|reader| reader.keys(BLOBS))?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    fn size_bytes(&self) -> u64 {
        self.ask(Reader::size).unwrap_or_default()
    }

    fn moment(&self) -> Result<Option<Box<dyn Moment + '_>>, StoreError> {
        Ok(PostgresMoment::now(self)?.map(|moment| Box::new(moment) as Box<dyn Moment>))
    }

    fn is_shared(&self) -> bool {
        self.shared
    }
}

/// The least key above every key that starts with `prefix`; `None` if there is none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_prefix() {
        assert_eq!(after(b"a\0"), Some(b"a\x01".to_vec()));
        assert_eq!(after(&[7, 0xFF, 0xFF]), Some(vec![8]));
        assert_eq!(after(&[0xFF]), None);
        assert_eq!(after(b""), None);
    }
}
