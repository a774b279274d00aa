//! What every engine must do. An engine's test calls [`check`] with a way to open it, again and again, on one place.

use super::{Store, StoreError, Table};

/// Runs the whole suite; panics with the broken rule. `open` opens the same store each time it is called, after the
/// one before was dropped.
pub fn check<S: Store>(mut open: impl FnMut() -> S) {
    rows_read_back_and_survive(&mut open);
    a_refused_transaction_leaves_nothing(&mut open);
    a_transaction_sees_its_own_writes(&mut open);
    scans_are_ordered_and_bounded(&mut open);
    tables_are_apart(&mut open);
    concurrent_counters_lose_nothing(&mut open);
    blobs_read_back_and_survive(&mut open);
}

fn rows_read_back_and_survive<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    put(&store, Table::Feed, b"k", b"one");
    put(&store, Table::Feed, b"k", b"two");
    put(&store, Table::Feed, b"empty", b"");
    put(&store, Table::Feed, b"gone", b"x");
    transact(&store, |transaction| transaction.remove(Table::Feed, b"gone"));
    drop(store);
    let store = open();
    assert_eq!(read(&store, Table::Feed, b"k").as_deref(), Some(b"two".as_slice()), "the last value wins");
    assert_eq!(read(&store, Table::Feed, b"empty").as_deref(), Some(b"".as_slice()), "an empty value is a value");
    assert_eq!(read(&store, Table::Feed, b"gone"), None, "removed is removed");
    assert_eq!(read(&store, Table::Feed, b"never"), None);
}

fn a_refused_transaction_leaves_nothing<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    put(&store, Table::Heads, b"a", b"before");
    let refused = store.transact(&mut |transaction| {
        transaction.put(Table::Heads, b"a", b"after")?;
        transaction.put(Table::Claims, b"b", b"after")?;
        Ok(false)
    });
    assert!(refused.is_ok(), "a body that refuses is no failure of the store");
    let failed = store.transact(&mut |transaction| {
        transaction.put(Table::Heads, b"a", b"after")?;
        Err(StoreError::SyncFailed { path: "x".into() })
    });
    assert!(matches!(failed, Err(StoreError::SyncFailed { .. })), "the body's error comes back");
    assert_eq!(read(&store, Table::Heads, b"a").as_deref(), Some(b"before".as_slice()));
    assert_eq!(read(&store, Table::Claims, b"b"), None);
}

fn a_transaction_sees_its_own_writes<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    transact(&store, |transaction| {
        transaction.put(Table::Heads, b"own", b"1")?;
        assert_eq!(transaction.read(Table::Heads, b"own")?.as_deref(), Some(b"1".as_slice()));
        transaction.remove(Table::Heads, b"own")?;
        assert_eq!(transaction.read(Table::Heads, b"own")?, None);
        Ok(())
    });
}

fn scans_are_ordered_and_bounded<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    for key in ["p\0b", "p\0a", "p\0c", "p", "o\0z", "q\0a"] {
        put(&store, Table::States, key.as_bytes(), key.as_bytes());
    }
    let scan = |from: &str, limit| -> Vec<String> {
        let rows = store.scan(Table::States, b"p\0", from.as_bytes(), limit).expect("readable");
        rows.into_iter().map(|(key, _)| String::from_utf8(key).expect("text")).collect()
    };
    assert_eq!(scan("", 10), ["p\0a", "p\0b", "p\0c"]);
    assert_eq!(scan("p\0b", 10), ["p\0b", "p\0c"]);
    assert_eq!(scan("", 2), ["p\0a", "p\0b"]);
    assert!(scan("p\0d", 10).is_empty());
    let mut seen = 0;
    let whole: &dyn Store = &store;
    whole
        .for_each(Table::States, b"p\0", |_, _| {
            seen += 1;
            Ok(())
        })
        .expect("readable");
    assert_eq!(seen, 3);
}

fn tables_are_apart<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    for (number, table) in Table::ALL.into_iter().enumerate() {
        put(&store, table, b"same", &[number as u8]);
    }
    drop(store);
    let store = open();
    for (number, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(read(&store, table, b"same"), Some(vec![number as u8]), "{table:?}");
    }
}

fn concurrent_counters_lose_nothing<S: Store>(open: &mut impl FnMut() -> S) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let store = open();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    transact(&store, |transaction| {
                        let count = number(transaction.read(Table::Meta, b"count")?) + 1;
                        transaction.put(Table::Meta, b"count", &count.to_be_bytes())?;
                        transaction.put(Table::Feed, &count.to_be_bytes(), b"event")
                    });
                }
            });
        }
    });
    store.settle().expect("durable");
    drop(store);
    let store = open();
    assert_eq!(number(read(&store, Table::Meta, b"count")), WRITERS * EACH);
    for count in 1..=WRITERS * EACH {
        assert!(read(&store, Table::Feed, &count.to_be_bytes()).is_some(), "a gap at {count}");
    }
}

fn blobs_read_back_and_survive<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    let large = vec![7; 300_000];
    store.put_blob("one", &large).expect("writable");
    store.put_blob("two", b"2").expect("writable");
    drop(store);
    let store = open();
    assert_eq!(store.blob("one").expect("readable"), Some(large));
    store.remove_blob("one").expect("writable");
    store.remove_blob("one").expect("removing none is no error");
    assert_eq!(store.blob("one").expect("readable"), None);
    assert_eq!(store.blobs().expect("readable"), ["two"]);
    store.remove_blob("two").expect("writable");
}

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

fn read<S: Store>(store: &S, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    store.read(table, key).expect("readable")
}

fn put<S: Store>(store: &S, table: Table, key: &[u8], value: &[u8]) {
    transact(store, |transaction| transaction.put(table, key, value));
}

fn transact<S: Store>(store: &S, mut body: impl FnMut(&dyn super::Transaction) -> Result<(), StoreError>) {
    store.transact(&mut |transaction| body(transaction).map(|()| true)).expect("a working store");
}
