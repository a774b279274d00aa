//! What the body of a transaction sees. It runs first beside others, against what is committed; then, if something that it
//! read has changed since or is about to, alone, against what is about to be. Every read says which batch it is as of, so
//! that what other vaults over the same database write is noticed too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::PostgresStore;
use super::ledger::{Place, State, Value, Writes};
use crate::store::{Rows, StoreError, Table, Transaction};

/// What a run of a body read and wrote.
pub(super) struct Trace {
    /// The batch that its reads are as of.
    pub(super) base: u64,
    pub(super) reads: HashMap<Place, Value>,
    pub(super) writes: Writes,
}

/// Beside others. Every read is as of batch `base`, or the run is void: a body never sees half of a change.
pub(super) struct Beside<'a> {
    store: &'a PostgresStore,
    base: Cell<u64>,
    reads: RefCell<HashMap<Place, Value>>,
    writes: RefCell<Writes>,
    void: Cell<bool>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(store: &'a PostgresStore, base: u64) -> Self {
        let base = Cell::new(base);
        Self { store, base, reads: RefCell::default(), writes: RefCell::default(), void: Cell::new(false) }
    }

    /// What the run did, and whether it counts.
    pub(super) fn end(self) -> (Trace, bool) {
        let (base, reads, writes) = (self.base.get(), self.reads.into_inner(), self.writes.into_inner());
        (Trace { base, reads, writes }, !self.void.get())
    }

    fn read_committed(&self, place: &Place) -> Result<Value, StoreError> {
        let known = {
            let state = self.store.ledger.lock();
            if state.changed_since(self.base.get(), place) {
                return Err(self.end_here());
            }
            state.remembered(place).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let (number, value) = self.store.dated(place)?;
        let mut state = self.store.ledger.lock();
        state.observe(number);
        if state.pen_is_away() && self.reads.borrow().is_empty() {
            // Other vaults have written since the body began, and it has read nothing yet.
            self.base.set(number);
        }
        let of_others = if state.pen_is_away() { number != state.committed() } else { number > state.last_number() };
        if of_others || state.changed_since(self.base.get(), place) {
            return Err(self.end_here());
        }
        Ok(value)
    }

    /// Ends the body; nobody sees the error.
    fn end_here(&self) -> StoreError {
        self.void.set(true);
        StoreError::Unavailable { place: String::new(), reason: "read what is changing".to_owned() }
    }
}

impl Rows for Beside<'_> {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = (table as usize, key.to_vec());
        if let Some(value) = self.writes.borrow().get(&place) {
            return Ok(owned(value));
        }
        if let Some(value) = self.reads.borrow().get(&place) {
            return Ok(owned(value));
        }
        let value = self.read_committed(&place)?;
        let found = owned(&value);
        self.reads.borrow_mut().insert(place, value);
        Ok(found)
    }
}

impl Transaction for Beside<'_> {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.writes.borrow_mut().insert((table as usize, key.to_vec()), Some(value.into()));
        Ok(())
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.writes.borrow_mut().insert((table as usize, key.to_vec()), None);
        Ok(())
    }
}

/// Alone: nobody else's writes join the batch under way until it ends.
pub(super) struct Alone<'a> {
    store: &'a PostgresStore,
    state: RefCell<&'a mut State>,
    /// Read before and not changed since.
    known: HashMap<Place, Value>,
    writes: RefCell<Writes>,
    void: Cell<bool>,
}

impl<'a> Alone<'a> {
    pub(super) fn new(store: &'a PostgresStore, state: &'a mut State, known: HashMap<Place, Value>) -> Self {
        Self { store, state: RefCell::new(state), known, writes: RefCell::default(), void: Cell::new(false) }
    }

    /// What the body wrote, unless another vault wrote meanwhile: the pen was lost, which the writer learns in a moment.
    pub(super) fn end(self) -> Option<Writes> {
        (!self.void.get()).then(|| self.writes.into_inner())
    }
}

impl Rows for Alone<'_> {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = (table as usize, key.to_vec());
        if let Some(value) = self.writes.borrow().get(&place) {
            return Ok(owned(value));
        }
        let mut state = self.state.borrow_mut();
        let known = state.pending(&place).or_else(|| state.remembered(&place)).or_else(|| self.known.get(&place));
        if let Some(value) = known {
            return Ok(owned(value));
        }
        let (number, value) = self.store.dated(&place)?;
        if number > state.last_number() {
            self.void.set(true);
            return Err(StoreError::Unavailable { place: String::new(), reason: "read what is changing".to_owned() });
        }
        state.remember(&place, &value);
        Ok(owned(&value))
    }
}

impl Transaction for Alone<'_> {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.writes.borrow_mut().insert((table as usize, key.to_vec()), Some(value.into()));
        Ok(())
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.writes.borrow_mut().insert((table as usize, key.to_vec()), None);
        Ok(())
    }
}

fn owned(value: &Value) -> Option<Vec<u8>> {
    value.as_ref().map(|bytes| bytes.to_vec())
}
