//! What is being written, in memory: bodies of transactions run one after another against what is committed and what is
//! about to be, and their writes gather in a batch, which the [writer](super::writer) commits for all at once.
//!
//! ```text
//! bodies ──▶ gathering ──▶ flying ──▶ database
//!            (next batch)  (being committed)
//! ```

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

/// The batches under way. Every change of them happens under its lock.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Tells the writer that there is something to do.
    pub(super) work: Notify,
}

/// The state behind the lock; who holds it runs alone.
#[derive(Debug)]
pub(super) struct State {
    committed: u64,
    recent: VecDeque<HashSet<Place>>,
    flying: Option<Arc<Batch>>,
    gathering: Batch,
    /// Ends of feeds as committed: every writer reads one, and nobody else writes them.
    heads: HashMap<Vec<u8>, Value>,
    /// Why nothing is written any more.
    broken: Option<Failure>,
    pub(super) closing: bool,
}

impl Ledger {
    /// After batch number `committed`.
    pub(super) fn new(committed: u64) -> Self {
        let state = State {
            committed,
            recent: VecDeque::new(),
            flying: None,
            gathering: Batch::new(committed + 1),
            heads: HashMap::new(),
            broken: None,
            closing: false,
        };
        Self { state: Mutex::new(state), work: Notify::new() }
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
        let flying = state.flying.take();
        let gathering = state.give_up_gathering();
        // Nothing has used their numbers.
        state.gathering.number = state.committed + 1;
        drop(state);
        for outcome in flying.iter().map(|batch| &batch.outcome).chain([&gathering]) {
            outcome.end(Err(failure.clone()));
        }
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
    }
}

impl State {
    /// Number of the last committed batch: what the database shows, at least.
    pub(super) fn committed(&self) -> u64 {
        self.committed
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
        let newer = (self.committed - base) as usize;
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
        let ledger = Ledger::new(7);
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
        let ledger = Ledger::new(0);
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
        let ledger = Ledger::new(0);
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
