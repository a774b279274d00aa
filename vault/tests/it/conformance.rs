use volar_vault::store::{SledStore, StoreError, conformance};

#[test]
fn sled_is_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conformance::check(|| SledStore::open(folder.path(), 64 << 20, true).expect("opens"));
}

#[test]
fn a_store_is_open_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _one = SledStore::open(folder.path(), 64 << 20, true).expect("opens");
    assert!(matches!(SledStore::open(folder.path(), 64 << 20, true), Err(StoreError::InUse { .. })));
}
