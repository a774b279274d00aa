//! What one enrolment writes, so that the same bytes can be written plainly.

use std::sync::{Arc, Mutex};

use volar_vault::store::{Body, Row, Rows, Store, StoreError, Table, Transaction};

use crate::engines::{Engine, Place};
use crate::load::Load;
use crate::{Size, load};

/// Rows by table number; the blobs' is one past the tables'.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) rows: Vec<(usize, Vec<u8>, Vec<u8>)>,
}

/// Enrols one person and returns what was written for it.
pub(crate) fn one_enrolment() -> Written {
    let place = Place::new(Engine::Sled);
    let heard = Arc::new(Mutex::new(Written::default()));
    let store = Box::new(Recorder { inner: place.store(), heard: heard.clone() });
    let load = Load::over(&place, store, Size { people: 1, clients: 1 });
    // The first of a vault writes more: its galleries, its store's id.
    heard.lock().expect("no panic").rows.clear();
    load::enroll_one(&load.vault, &load.requests[0]);
    heard.lock().expect("no panic").clone()
}

struct Recorder {
    inner: Box<dyn Store>,
    heard: Arc<Mutex<Written>>,
}

impl Recorder {
    fn hear(&self, table: usize, key: &[u8], value: &[u8]) {
        self.heard.lock().expect("no panic").rows.push((table, key.to_vec(), value.to_vec()));
    }
}

impl Rows for Recorder {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read(table, key)
    }
}

impl Store for Recorder {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, prefix, from, limit)
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError> {
        self.inner.transact(&mut |transaction| body(&Hearing { recorder: self, inner: transaction }))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.inner.barrier()
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle()
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.hear(Table::ALL.len(), name.as_bytes(), bytes);
        self.inner.put_blob(name, bytes)
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.blob(name)
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
}

struct Hearing<'a> {
    recorder: &'a Recorder,
    inner: &'a dyn Transaction,
}

impl Rows for Hearing<'_> {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read(table, key)
    }
}

impl Transaction for Hearing<'_> {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.recorder.hear(table as usize, key, value);
        self.inner.put(table, key, value)
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.inner.remove(table, key)
    }
}
