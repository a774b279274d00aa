use std::path::Path;
use std::time::{Duration, Instant};

use volar_vault::store::{SledStore, StoreError, conformance};

#[test]
fn sled_is_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conformance::check(|| opened_again(folder.path()));
}

/// sled lets go of its lock on a thread of its own, a moment after the store is dropped.
fn opened_again(folder: &Path) -> SledStore {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match SledStore::open(folder, 64 << 20, true) {
            Err(StoreError::InUse { .. }) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            opened => return opened.expect("opens"),
        }
    }
}

#[test]
fn a_store_is_open_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _one = SledStore::open(folder.path(), 64 << 20, true).expect("opens");
    assert!(matches!(SledStore::open(folder.path(), 64 << 20, true), Err(StoreError::InUse { .. })));
}
