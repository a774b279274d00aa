//! Notes what is written while a copy of the whole store is made, so that the copy can be brought to one moment.
//!
//! A copy reads every row while others write: it is of no moment. What was written meanwhile is read again, a few times,
//! until little is left; that is read while writers wait, a few milliseconds. From then on the copy is the store as it
//! was at that moment, whatever the engine.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Body, Compacted, Row, Rows, Store, StoreError, Table, Transaction};

/// Rows that were written.
pub(crate) type Changed = BTreeSet<(Table, Vec<u8>)>;

/// What is known of the writers of a [`watched`] store.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Writers hold it together, whoever has them wait holds it alone.
    gate: RwLock<()>,
    changed: Mutex<Option<Changed>>,
}

impl Watch {
    /// Notes every write from now on; whoever writes when this returns is noted.
    pub(crate) fn begin(&self) {
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        *self.changed() = Some(Changed::new());
    }

    /// Rows written since the beginning or the last time. Their writers may not have ended yet; those rows come again.
    pub(crate) fn take(&self) -> Changed {
        self.changed().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Has writers wait while `work` looks at what was written last, then notes no more.
    pub(crate) fn finish<T>(&self, work: impl FnOnce(Changed) -> T) -> T {
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let last = self.changed().take().unwrap_or_default();
        work(last)
    }

    /// Notes no more.
    pub(crate) fn end(&self) {
        *self.changed() = None;
    }

    fn changed(&self) -> MutexGuard<'_, Option<Changed>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same store, its writes noted by the watch.
pub(crate) fn watched(inner: Box<dyn Store>) -> (Box<dyn Store>, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    (Box::new(Watched { inner, watch: watch.clone() }), watch)
}

struct Watched {
    inner: Box<dyn Store>,
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

    fn is_wasteful(&self) -> bool {
        self.inner.is_wasteful()
    }

    fn compact(&self, stop: &dyn Fn() -> bool) -> Result<Option<Compacted>, StoreError> {
        self.inner.compact(stop)
    }
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
