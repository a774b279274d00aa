//! Notes what is written while a copy of the whole store is made, so that the copy can be brought to one moment.
//!
//! A copy reads every row while others write: it is of no moment. What was written meanwhile is read again, a few times,
//! until little is left; that is read while writers wait, a few milliseconds. From then on the copy is the store as it
//! was at that moment, whatever the engine. Where it is to go on in the store's place, nobody writes to the store any more.
//!
//! Of vaults that share a store it also keeps those from writing that have not heard of the latest change of keys: every body
//! reads how many changes there were, and counts for nothing where that is not what its vault [keeps to](Watch::keep_to).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Body, Compacted, Moment, Row, Rows, Store, StoreError, Table, Transaction};

/// Where it is counted how often vaults that share a store have changed keys.
pub(crate) const META_KEY_CHANGES: &[u8] = b"key changes";

/// Rows that were written.
pub(crate) type Changed = BTreeSet<(Table, Vec<u8>)>;

/// What is known of the writers of a [`watched`] store.
pub(crate) struct Watch {
    inner: Arc<dyn Store>,
    /// Writers hold it together, whoever has them wait holds it alone.
    gate: RwLock<()>,
    changed: Mutex<Option<Changed>>,
    /// One copy is made at a time.
    copying: Mutex<()>,
    /// Another store goes on in this one's place.
    moved: AtomicBool,
    /// Changes of keys that this vault has taken up.
    changes: AtomicU64,
}

/// Notes what is written while it lives.
pub(crate) struct Copying<'a> {
    watch: &'a Watch,
    _alone: MutexGuard<'a, ()>,
}

impl Watch {
    /// Notes every write from now on; whoever writes when this returns is noted. Waits for another copy to be made.
    pub(crate) fn begin(&self) -> Copying<'_> {
        let alone = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        *self.changed() = Some(Changed::new());
        Copying { watch: self, _alone: alone }
    }

    /// Changes of keys that this vault has taken up.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// From now on bodies count where there have been `changes` of keys, all of which must be taken up.
    pub(crate) fn keep_to(&self, changes: u64) {
        self.changes.store(changes, Ordering::SeqCst);
    }

    fn changed(&self) -> MutexGuard<'_, Option<Changed>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copying<'_> {
    /// Rows written since the beginning or the last time. Their writers may not have ended yet; those rows come again.
    pub(crate) fn take(&self) -> Changed {
        self.watch.changed().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Has writers wait while `work` looks at what was written last, then notes no more.
    pub(crate) fn finish<T>(self, work: impl FnOnce(Changed) -> T) -> T {
        let _gate = self.watch.gate.write().unwrap_or_else(PoisonError::into_inner);
        work(self.take())
    }

    /// The same; if `work`, which may still write to the store, succeeds, nobody else ever does again.
    pub(crate) fn hand_over<T, E>(self, work: impl FnOnce(Changed, &dyn Store) -> Result<T, E>) -> Result<T, E> {
        let _gate = self.watch.gate.write().unwrap_or_else(PoisonError::into_inner);
        let ended = work(self.take(), &*self.watch.inner);
        self.watch.moved.store(ended.is_ok(), Ordering::SeqCst);
        ended
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        *self.watch.changed() = None;
    }
}

/// The same store, its writes noted by the watch.
pub(crate) fn watched(inner: Arc<dyn Store>) -> (Box<dyn Store>, Arc<Watch>) {
    let watch = Arc::new(Watch {
        inner: inner.clone(),
        gate: RwLock::default(),
        changed: Mutex::default(),
        copying: Mutex::default(),
        moved: AtomicBool::default(),
        changes: AtomicU64::default(),
    });
    (Box::new(Watched { inner, watch: watch.clone() }), watch)
}

struct Watched {
    inner: Arc<dyn Store>,
    watch: Arc<Watch>,
}

impl Rows for Watched {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read(table, key)
    }

    fn read_many(&self, places: &[(Table, Vec<u8>)]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.read_many(places)
    }
}

impl Store for Watched {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, prefix, from, limit)
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError> {
        let _open = self.watch.gate.read().unwrap_or_else(PoisonError::into_inner);
        if self.watch.moved.load(Ordering::SeqCst) {
            return Err(StoreError::Moved);
        }
        let shared = self.inner.is_shared();
        let body: &mut Body<'_> = &mut |transaction| {
            if shared && changes_of_keys(transaction)? != self.watch.changes() {
                return Err(StoreError::Outdated);
            }
            body(transaction)
        };
        if self.watch.changed().is_none() {
            return self.inner.transact(body);
        }
        let written = RefCell::new(Vec::new());
        let ended = self.inner.transact(&mut |transaction| {
            written.borrow_mut().clear();
            body(&Noting { transaction, written: &written })
        });
        // Also when it failed: whether it was committed may not be known.
        if let Some(changed) = self.watch.changed().as_mut() {
            changed.extend(written.into_inner());
        }
        ended
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.inner.barrier()
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle()
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.put_blob(name, bytes)
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.blob(name)
    }

    fn read_blobs(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.read_blobs(names)
    }

    fn remove_blob(&self, name: &str) -> Result<(), StoreError> {
        self.inner.remove_blob(name)
    }

    fn blobs(&self) -> Result<Vec<String>, StoreError> {
        self.inner.blobs()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn moment(&self) -> Result<Option<Box<dyn Moment + '_>>, StoreError> {
        self.inner.moment()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn is_wasteful(&self) -> bool {
        self.inner.is_wasteful()
    }

    fn compact(&self, stop: &dyn Fn() -> bool) -> Result<Option<Compacted>, StoreError> {
        self.inner.compact(stop)
    }
}

/// How many times vaults that share the store have changed keys.
pub(crate) fn changes_of_keys<R: Rows + ?Sized>(rows: &R) -> Result<u64, StoreError> {
    let found = rows.read(Table::Meta, META_KEY_CHANGES)?;
    Ok(found.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
}

struct Noting<'a> {
    transaction: &'a dyn Transaction,
    written: &'a RefCell<Vec<(Table, Vec<u8>)>>,
}

impl Rows for Noting<'_> {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.transaction.read(table, key)
    }

    fn read_many(&self, places: &[(Table, Vec<u8>)]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.transaction.read_many(places)
    }
}

impl Transaction for Noting<'_> {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.written.borrow_mut().push((table, key.to_vec()));
        self.transaction.put(table, key, value)
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.written.borrow_mut().push((table, key.to_vec()));
        self.transaction.remove(table, key)
    }
}
