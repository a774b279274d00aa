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
    no_body_sees_half_of_a_change(&mut open);
    refused_bodies_beside_others_leave_nothing(&mut open);
    many_rows_are_read_as_one_by_one(&mut open);
    blobs_read_back_and_survive(&mut open);
    blobs_are_written_beside_each_other(&mut open);
    a_blob_is_listed_whole_or_not_at_all(&mut open);
    a_barrier_waits_for_bodies_under_way(&mut open);
    a_moment_stays_as_it_was(&mut open);
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

/// Money moves between two rows. Whatever a body reads, nothing is under way in it: the sum is always the same.
fn no_body_sees_half_of_a_change<S: Store>(open: &mut impl FnMut() -> S) {
    const SUM: u64 = 1_000;
    let store = open();
    put(&store, Table::Subjects, b"left", &SUM.to_be_bytes());
    put(&store, Table::Heads, b"right", &0_u64.to_be_bytes());
    let both = |transaction: &dyn super::Transaction| {
        let left = number(transaction.read(Table::Subjects, b"left")?);
        let right = number(transaction.read(Table::Heads, b"right")?);
        assert_eq!(left + right, SUM, "a body saw half of another's writes");
        Ok::<_, StoreError>((left, right))
    };
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for step in 0..25_u64 {
                    transact(store, |transaction| {
                        let (left, right) = both(transaction)?;
                        let moved = if (step + writer) % 2 == 0 { left.min(step) } else { 0 };
                        let back = if moved == 0 { right.min(step) } else { 0 };
                        transaction.put(Table::Subjects, b"left", &(left - moved + back).to_be_bytes())?;
                        transaction.put(Table::Heads, b"right", &(right + moved - back).to_be_bytes())
                    });
                }
            });
        }
        scope.spawn(|| (0..100).for_each(|_| transact(&store, |transaction| both(transaction).map(drop))));
    });
    drop(store);
    transact(&open(), |transaction| both(transaction).map(drop));
}

/// Every other body changes its mind after writing, by its word or by an error.
fn refused_bodies_beside_others_leave_nothing<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    std::thread::scope(|scope| {
        for writer in 0..6_u8 {
            let store = &store;
            scope.spawn(move || {
                for step in 0..15_u8 {
                    let ended = store.transact(&mut |transaction| {
                        let count = number(transaction.read(Table::Meta, b"kept")?);
                        transaction.put(Table::Meta, b"kept", &(count + 1).to_be_bytes())?;
                        transaction.put(Table::Tombstones, &[writer, step], b"")?;
                        match step % 3 {
                            0 => Ok(true),
                            1 => Ok(false),
                            _ => Err(StoreError::SyncFailed { path: "x".into() }),
                        }
                    });
                    assert_eq!(ended.is_err(), step % 3 == 2);
                }
            });
        }
    });
    drop(store);
    let store = open();
    assert_eq!(number(read(&store, Table::Meta, b"kept")), 6 * 5);
    let kept = store.scan(Table::Tombstones, &[], &[], 1_000).expect("readable");
    let expected = (0..6).flat_map(|writer| (0..15).step_by(3).map(move |step| vec![writer, step]));
    assert!(expected.eq(kept.into_iter().map(|(key, _)| key).filter(|key| key.len() == 2)));
}

fn many_rows_are_read_as_one_by_one<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    put(&store, Table::Payments, b"a", b"1");
    put(&store, Table::Claims, b"a", b"2");
    put(&store, Table::Payments, b"\xff", b"3");
    let places = [(Table::Payments, "a"), (Table::Claims, "a"), (Table::Payments, "none"), (Table::Payments, "a")]
        .map(|(table, key)| (table, key.as_bytes().to_vec()));
    let places = [&places[..], &[(Table::Payments, vec![0xFF])]].concat();
    let found = store.read_many(&places).expect("readable");
    let one_by_one: Vec<_> = places.iter().map(|(table, key)| read(&store, *table, key)).collect();
    assert_eq!(found, one_by_one);
    assert_eq!(found[0].as_deref(), Some(b"1".as_slice()));
    assert!(store.read_many(&[]).expect("readable").is_empty());
    let from = store.scan(Table::Payments, &[0xFF], &[], 10).expect("readable");
    assert_eq!(from, [(vec![0xFF], b"3".to_vec())], "a prefix that nothing comes after");
}

fn blobs_are_written_beside_each_other<S: Store>(open: &mut impl FnMut() -> S) {
    const WRITERS: u8 = 6;
    let bytes = |writer: u8, step: u8| vec![writer ^ step; 1_000 * usize::from(step + 1)];
    let name = |writer: u8, step: u8| format!("blob-{writer}-{step}");
    let store = open();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for step in 0..6 {
                    store.put_blob(&name(writer, step), &bytes(writer, step)).expect("writable");
                    assert_eq!(store.blob(&name(writer, step)).expect("readable"), Some(bytes(writer, step)));
                    if step % 2 == 1 {
                        store.remove_blob(&name(writer, step)).expect("writable");
                        assert_eq!(store.blob(&name(writer, step)).expect("readable"), None);
                    }
                }
            });
        }
    });
    // Written again under a name that was removed.
    store.put_blob(&name(0, 1), b"again").expect("writable");
    drop(store);
    let store = open();
    let names: Vec<_> = (0..WRITERS).flat_map(|writer| (0..6).map(move |step| (writer, step))).collect();
    let read = store.read_blobs(&names.iter().map(|(writer, step)| name(*writer, *step)).collect::<Vec<_>>());
    for ((writer, step), found) in names.into_iter().zip(read.expect("readable")) {
        match (writer, step) {
            (0, 1) => assert_eq!(found.as_deref(), Some(b"again".as_slice())),
            (_, step) if step % 2 == 1 => assert_eq!(found, None),
            _ => assert_eq!(found, Some(bytes(writer, step))),
        }
    }
    for name in store.blobs().expect("readable") {
        store.remove_blob(&name).expect("writable");
    }
    assert!(store.blobs().expect("readable").is_empty());
}

fn a_blob_is_listed_whole_or_not_at_all<S: Store>(open: &mut impl FnMut() -> S) {
    const BLOBS: usize = 40;
    let store = open();
    let bytes = vec![3; 400_000];
    let name = |number: usize| format!("whole-{number}");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..BLOBS).for_each(|number| store.put_blob(&name(number), &bytes).expect("writable"));
        });
        loop {
            let last = writer.is_finished();
            let listed = store.blobs().expect("readable").into_iter().filter(|name| name.starts_with("whole-"));
            for found in listed {
                assert!(store.blob(&found).expect("readable").as_ref() == Some(&bytes), "{found} is listed by half");
                store.remove_blob(&found).expect("writable");
            }
            if last {
                return;
            }
        }
    });
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

fn a_barrier_waits_for_bodies_under_way<S: Store>(open: &mut impl FnMut() -> S) {
    use std::sync::mpsc;
    let store = open();
    let ((begin, begun), (release, gate), (pass, passed)) = (mpsc::channel(), mpsc::channel::<()>(), mpsc::channel());
    std::thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            transact(store, |transaction| {
                begin.send(()).expect("the test waits");
                // A body that runs again finds the gate open.
                let _ = gate.recv();
                transaction.put(Table::Heads, b"barrier", b"1")
            });
        });
        begun.recv().expect("the body runs");
        scope.spawn(move || {
            store.barrier().expect("the store works");
            pass.send(read(store, Table::Heads, b"barrier")).expect("the test waits");
        });
        assert!(passed.recv_timeout(std::time::Duration::from_millis(50)).is_err(), "a body is still running");
        drop(release);
        let seen = passed.recv().expect("the barrier ends");
        assert_eq!(seen.as_deref(), Some(b"1".as_slice()), "the body's writes are there");
    });
}

fn a_moment_stays_as_it_was<S: Store>(open: &mut impl FnMut() -> S) {
    let store = open();
    let key = |number: u8| [b"moment".as_slice(), &[number]].concat();
    for number in 0..10 {
        put(&store, Table::Palms, &key(number), &[number]);
    }
    store.put_blob("moment", b"then").expect("writable");
    // Not every engine shows one.
    let Some(moment) = store.moment().expect("readable") else { return };
    transact(&store, |transaction| {
        transaction.remove(Table::Palms, &key(3))?;
        transaction.put(Table::Palms, &key(4), b"altered")?;
        transaction.put(Table::Palms, &key(10), b"new")
    });
    store.put_blob("moment", b"now").expect("writable");
    store.put_blob("later", b"now").expect("writable");
    let mut found = moment.scan(Table::Palms, &key(0), 3).expect("readable");
    loop {
        let from = found.last().map(|(last, _)| [last, [0].as_slice()].concat()).expect("rows");
        match moment.scan(Table::Palms, &from, 3).expect("readable") {
            more if more.is_empty() => break,
            more => found.extend(more),
        }
    }
    // The other rules' rows come behind.
    found.retain(|(key, _)| key.starts_with(b"moment"));
    assert_eq!(found, (0..10).map(|number| (key(number), vec![number])).collect::<Vec<_>>(), "rows of the moment");
    assert_eq!(moment.blobs().expect("readable"), ["moment"], "blobs of the moment");
    assert_eq!(moment.blob("moment").expect("readable").as_deref(), Some(b"then".as_slice()));
    assert_eq!(moment.blob("later").expect("readable"), None);
    let now = store.moment().expect("readable").expect("as before");
    assert_eq!(now.blob("moment").expect("readable").as_deref(), Some(b"now".as_slice()), "a later moment is later");
    assert_eq!(now.scan(Table::Palms, &key(10), 1).expect("readable"), [(key(10), b"new".to_vec())]);
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
