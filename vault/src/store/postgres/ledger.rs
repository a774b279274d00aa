//! What is being written, in memory: bodies of transactions run one after another against what is committed and what is
//! about to be, and their writes gather in a batch, which the [writer](super::writer) commits for all at once.
//!
//! ```text
//! bodies ──▶ gathering ──▶ flying ──▶ database
//!            (next batch)  (being committed)
//! ```
//!
//! Of several vaults over one database one at a time has the [`Pen`]. Whoever has not gathers nothing, so that what gathers
//! was read while nobody else wrote.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::failure::Failure;
use crate::store::Table;

/// A table's number and a key.
pub(super) type Place = (usize, Vec<u8>);
/// A row's value; `None` is no row.
pub(super) type Value = Option<Arc<[u8]>>;
/// Writes, the last one of each place.
pub(super) type Writes = HashMap<Place, Value>;

/// Committed batches whose places are remembered: bodies that began before them notice that they read what has changed
/// since. A body that is older runs again.
const REMEMBERED: usize = 64;

/// Writes that are committed together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) writes: Writes,
    /// When its first write came.
    pub(super) begun: Instant,
    outcome: Arc<Outcome>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    ended: Mutex<Option<Result<(), Failure>>>,
    changed: Condvar,
}

impl Outcome {
    fn end(&self, how: Result<(), Failure>) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(how);
        self.changed.notify_all();
    }

    /// Waits until the batch is committed or given up; past `until` its outcome is unknown.
    pub(super) fn wait(&self, until: Instant) -> Result<(), Failure> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(how) = &*ended {
                return how.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Unknown);
            }
            ended = self.changed.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether this vault may write. One that has the database to itself always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pen {
    /// Another vault may be writing: nothing gathers and nothing flies.
    Away,
    /// Nobody else writes: writes gather.
    Held,
    /// Nobody else writes yet: what has gathered is committed, and nothing more gathers.
    Leaving,
}

/// The batches under way. Every change of them happens under its lock.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Tells the writer that there is something to do.
    pub(super) work: Notify,
    /// Tells bodies that the pen is there, or never will be.
    pens: Condvar,
}

/// The state behind the lock; who holds it runs alone.
#[derive(Debug)]
pub(super) struct State {
    committed: u64,
    recent: VecDeque<HashSet<Place>>,
    flying: Option<Arc<Batch>>,
    gathering: Batch,
    pen: Pen,
    /// Bodies that wait for the pen.
    wanted: usize,
    /// Ends of feeds as committed: every writer reads one, and nobody else writes them while the pen is here.
    heads: HashMap<Vec<u8>, Value>,
    /// Why nothing is written any more.
    broken: Option<Failure>,
    pub(super) closing: bool,
}

impl Ledger {
    /// After batch number `committed`.
    pub(super) fn new(committed: u64, pen: Pen) -> Self {
        let state = State {
            committed,
            recent: VecDeque::new(),
            flying: None,
            gathering: Batch::new(committed + 1),
            pen,
            wanted: 0,
            heads: HashMap::new(),
            broken: None,
            closing: false,
        };
        Self { state: Mutex::new(state), work: Notify::new(), pens: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Changes of the state are made whole by calls that cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch to commit, if there is one; from then on it flies.
    pub(super) fn take(&self) -> Option<Arc<Batch>> {
        let mut state = self.lock();
        if state.flying.is_some() || state.gathering.writes.is_empty() {
            return None;
        }
        let next = Batch::new(state.gathering.number + 1);
        let batch = Arc::new(std::mem::replace(&mut state.gathering, next));
        state.flying = Some(batch.clone());
        Some(batch)
    }

    /// Waits until writes may gather, until `until` at most.
    pub(super) fn pen<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Instant,
    ) -> Result<MutexGuard<'a, State>, Failure> {
        while state.pen != Pen::Held {
            state.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Unavailable("it did not become this vault's turn to write".into()));
            }
            state.wanted += 1;
            self.work.notify_one();
            state = self.pens.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.wanted -= 1;
            // The pen is passed on also if nothing comes to be written with it.
            self.work.notify_one();
        }
        Ok(state)
    }

    /// The pen is here; the last batch of all is number `last`.
    pub(super) fn hold(&self, last: u64) {
        let mut state = self.lock();
        state.observe(last);
        state.pen = Pen::Held;
        drop(state);
        self.pens.notify_all();
    }

    /// Nothing more gathers until the pen has been passed on and is here again.
    pub(super) fn begin_to_leave(&self) {
        let mut state = self.lock();
        if state.pen == Pen::Held {
            state.pen = Pen::Leaving;
        }
    }

    /// Lets go of the pen if nothing is under way, nobody is about to write, and it is here; tells whether it did.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.lock();
        let idle = state.pen == Pen::Leaving || state.pen == Pen::Held && state.wanted == 0;
        idle && state.let_go()
    }

    /// Whether writes are under way that were gathered with the pen here, where it is passed on.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.flying.is_some() || !state.gathering.writes.is_empty()
    }

    /// The same though somebody may be about to write: the connection that held the pen is gone.
    pub(super) fn lose(&self) {
        self.lock().let_go();
    }

    /// Others have written up to batch `last` while this vault thought that the pen was here: what is under way was built on
    /// what has changed, and its bodies run again.
    pub(super) fn overtaken(&self, last: u64) {
        let mut state = self.lock();
        let given_up = state.give_up_all();
        state.let_go();
        state.observe(last);
        drop(state);
        given_up.iter().for_each(|outcome| outcome.end(Err(Failure::Overtaken)));
    }

    /// The flying batch is committed.
    pub(super) fn committed(&self) {
        let mut state = self.lock();
        let Some(batch) = state.flying.take() else { return };
        state.committed = batch.number;
        for ((table, key), value) in &batch.writes {
            if *table == Table::Heads as usize {
                state.heads.insert(key.clone(), value.clone());
            }
        }
        state.recent.push_back(batch.writes.keys().cloned().collect());
        if state.recent.len() > REMEMBERED {
            state.recent.pop_front();
        }
        drop(state);
        batch.outcome.end(Ok(()));
    }

    /// The flying batch is surely not committed and is given up, and with it what was built on it.
    pub(super) fn give_up(&self, failure: &Failure) {
        let mut state = self.lock();
        let given_up = state.give_up_all();
        drop(state);
        given_up.iter().for_each(|outcome| outcome.end(Err(failure.clone())));
    }

    /// Gives up what waits behind the flying batch if it has waited for longer than `patience`.
    pub(super) fn give_up_late(&self, patience: Duration, failure: &Failure) {
        let mut state = self.lock();
        if !state.gathering.writes.is_empty() && state.gathering.begun.elapsed() > patience {
            let outcome = state.give_up_gathering();
            drop(state);
            outcome.end(Err(failure.clone()));
        }
    }

    /// Nothing is written any more. What became of the flying batch is unknown unless `failure` says it.
    pub(super) fn broke(&self, failure: &Failure) {
        let mut state = self.lock();
        state.broken = Some(failure.clone());
        let flying = state.flying.take();
        let gathering = state.give_up_gathering();
        drop(state);
        flying.iter().for_each(|batch| batch.outcome.end(Err(failure.clone())));
        gathering.end(Err(failure.clone()));
        self.pens.notify_all();
    }
}

impl State {
    /// Number of the last committed batch: what the database shows, at least.
    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// Number of the last batch that may be seen in the database, if only this vault writes.
    pub(super) fn last_number(&self) -> u64 {
        self.flying.as_ref().map_or(self.committed, |batch| batch.number)
    }

    /// Whether another vault may be writing.
    pub(super) fn pen_is_away(&self) -> bool {
        self.pen == Pen::Away
    }

    /// Whether bodies wait for the pen.
    pub(super) fn wants_pen(&self) -> bool {
        self.pen == Pen::Away && self.wanted > 0
    }

    /// Takes over that batch `last` is committed, another vault's perhaps.
    pub(super) fn observe(&mut self, last: u64) {
        if self.pen == Pen::Away && last > self.committed {
            self.committed = last;
            self.gathering.number = last + 1;
            // What others wrote is not known: everything may have changed.
            self.recent.clear();
        }
    }

    fn let_go(&mut self) -> bool {
        let quiet = self.flying.is_none() && self.gathering.writes.is_empty() && self.pen != Pen::Away;
        if quiet {
            self.pen = Pen::Away;
            self.heads.clear();
        }
        quiet
    }

    /// Refuses when nothing is written any more.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// What is about to be at `place`; `None` if no batch under way writes it.
    pub(super) fn pending(&self, place: &Place) -> Option<&Value> {
        let flying = || self.flying.as_ref().and_then(|batch| batch.writes.get(place));
        self.gathering.writes.get(place).or_else(flying)
    }

    /// What is known to be committed at `place` without asking.
    pub(super) fn remembered(&self, place: &Place) -> Option<&Value> {
        if place.0 == Table::Heads as usize { self.heads.get(&place.1) } else { None }
    }

    /// Remembers what was read from the database while nobody else could write.
    pub(super) fn remember(&mut self, place: &Place, value: &Value) {
        if place.0 == Table::Heads as usize {
            self.heads.insert(place.1.clone(), value.clone());
        }
    }

    /// Whether a batch after `base`, committed or under way, writes `place`.
    pub(super) fn changed_since(&self, base: u64, place: &Place) -> bool {
        let newer = self.committed.saturating_sub(base) as usize;
        newer > self.recent.len()
            || self.pending(place).is_some()
            || self.recent.iter().rev().take(newer).any(|places| places.contains(place))
    }

    /// Takes the writes of a body that has succeeded into the next batch.
    pub(super) fn gather(&mut self, writes: Writes) {
        if writes.is_empty() {
            return;
        }
        if self.gathering.writes.is_empty() {
            self.gathering.begun = Instant::now();
        }
        self.gathering.writes.extend(writes);
    }

    /// What to wait for so that everything seen so far is durable; `None` if it is.
    pub(super) fn last(&self) -> Option<Arc<Outcome>> {
        if !self.gathering.writes.is_empty() {
            return Some(self.gathering.outcome.clone());
        }
        self.flying.as_ref().map(|batch| batch.outcome.clone())
    }

    /// Gives up the flying batch, which is surely not committed, and what was built on it.
    fn give_up_all(&mut self) -> Vec<Arc<Outcome>> {
        let flying = self.flying.take().map(|batch| batch.outcome.clone());
        let gathering = self.give_up_gathering();
        // Nothing has used their numbers.
        self.gathering.number = self.committed + 1;
        flying.into_iter().chain([gathering]).collect()
    }

    fn give_up_gathering(&mut self) -> Arc<Outcome> {
        let next = Batch::new(self.gathering.number);
        std::mem::replace(&mut self.gathering, next).outcome
    }
}

impl Batch {
    fn new(number: u64) -> Self {
        Self { number, writes: Writes::new(), begun: Instant::now(), outcome: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        (Table::Feed as usize, name.as_bytes().to_vec())
    }

    fn write(ledger: &Ledger, name: &str) -> Arc<Outcome> {
        let mut state = ledger.lock();
        state.gather(Writes::from([(place(name), Some(b"v".as_slice().into()))]));
        state.last().expect("something gathers")
    }

    fn ended(outcome: &Outcome) -> Result<(), Failure> {
        outcome.wait(Instant::now())
    }

    #[test]
    fn a_batch_is_acknowledged_when_it_is_committed() {
        let ledger = Ledger::new(7, Pen::Held);
        let one = write(&ledger, "a");
        let batch = ledger.take().expect("a batch");
        assert_eq!(batch.number, 8);
        let two = write(&ledger, "b");
        assert!(ledger.take().is_none(), "one batch flies at a time");
        assert_eq!(ended(&one), Err(Failure::Unknown));
        ledger.committed();
        assert_eq!(ended(&one), Ok(()));
        assert_eq!(ended(&two), Err(Failure::Unknown));
        assert_eq!(ledger.take().expect("the next").number, 9);
    }

    #[test]
    fn what_changed_since_is_known() {
        let ledger = Ledger::new(0, Pen::Held);
        write(&ledger, "a");
        assert!(ledger.lock().changed_since(0, &place("a")));
        ledger.take().expect("a batch");
        assert!(ledger.lock().changed_since(0, &place("a")));
        ledger.committed();
        assert!(ledger.lock().changed_since(0, &place("a")));
        assert!(!ledger.lock().changed_since(1, &place("a")));
        assert!(!ledger.lock().changed_since(0, &place("b")));
        for _ in 0..REMEMBERED {
            write(&ledger, "c");
            ledger.take().expect("a batch");
            ledger.committed();
        }
        assert!(ledger.lock().changed_since(0, &place("b")), "too long ago to know");
    }

    #[test]
    fn what_was_built_on_a_batch_falls_with_it() {
        let ledger = Ledger::new(0, Pen::Held);
        let one = write(&ledger, "a");
        ledger.take().expect("a batch");
        let two = write(&ledger, "b");
        let failure = Failure::Unavailable("gone".into());
        ledger.give_up(&failure);
        assert_eq!((ended(&one), ended(&two)), (Err(failure.clone()), Err(failure)));
        assert!(ledger.lock().pending(&place("a")).is_none());
        write(&ledger, "c");
        assert_eq!(ledger.take().expect("the next").number, 1);
    }
}
