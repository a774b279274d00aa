use volar_core::randomness::SeededRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, Store, StoreError, conformance};

use super::server;

#[test]
fn postgres_is_a_store() {
    let config = PostgresConfig::at(server::shared().database());
    let open = || PostgresStore::open(&config, &SeededRandomness::new(1)).expect("opens");
    conformance::check(open);
    assert!(open().moment().expect("readable").is_some(), "a backup reads one");
}

#[test]
fn a_store_is_open_once() {
    let config = PostgresConfig { patience_seconds: 1, ..PostgresConfig::at(server::shared().database()) };
    let _one = PostgresStore::open(&config, &SeededRandomness::new(1)).expect("opens");
    let second = PostgresStore::open(&config, &SeededRandomness::new(2)).map(drop);
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
}
