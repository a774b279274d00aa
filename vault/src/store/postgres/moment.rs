//! The database as it was at one moment: one transaction whose reads are all of the same snapshot.

use std::sync::Arc;

use super::reader::Snapshot;
use super::schema::BLOBS;
use super::{PostgresStore, Row, StoreError, Table};
use crate::store::Moment;

/// Lasts as long as its connection, which is its own.
pub(super) struct PostgresMoment<'a> {
    store: &'a PostgresStore,
    snapshot: Arc<Snapshot>,
}

impl<'a> PostgresMoment<'a> {
    /// The moment that is now, of everything that this store has acknowledged; `None` where several servers have the
    /// tables, which have none in common.
    pub(super) fn now(store: &'a PostgresStore) -> Result<Option<Self>, StoreError> {
        let committed = store.ledger.lock().committed();
        let snapshot = store.ask(|reader| reader.snapshot(committed))?;
        Ok(snapshot.map(|snapshot| Self { store, snapshot: Arc::new(snapshot) }))
    }
}

impl Moment for PostgresMoment<'_> {
    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let (snapshot, from) = (self.snapshot.clone(), from.to_vec());
        self.store.ask(|_| async move { snapshot.rest(table as usize, from, limit).await })
    }

    fn blobs(&self) -> Result<Vec<String>, StoreError> {
        let snapshot = self.snapshot.clone();
        let names = self.store.ask(|_| async move { snapshot.keys(BLOBS).await })?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (snapshot, name) = (self.snapshot.clone(), name.as_bytes().to_vec());
        let found = self.store.ask(|_| async move { snapshot.one(BLOBS, name).await })?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }
}
