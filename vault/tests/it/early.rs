//! A store from before tenant keys had versions: it opens, keeps what it holds and what its people are called, and goes
//! on.

use std::sync::Arc;

use volar_core::ticket::Purpose;
use volar_vault::format::v2::Placement;
use volar_vault::format::{self, Binding};
use volar_vault::keys::{KeyFile, KeyHolder, KeyTable, Ring};
use volar_vault::store::{SledStore, Store, Table};

use crate::world::{World, checkout, members, payment, slug};

/// What a vault of that time leaves behind before it enrols anybody.
fn early_world() -> World {
    let world = World::new();
    let holder = KeyFile::open(&world.path("vault.key")).expect("readable");
    let store: Box<dyn Store> = Box::new(SledStore::open(&world.path("store"), 64 << 20, true).expect("new"));
    KeyTable::create(&world.path("keys"), [7; 16], holder.id()).expect("new");
    store
        .write(|transaction| {
            transaction.put(Table::Meta, b"store", &[7; 16])?;
            transaction.put(Table::Meta, b"key", holder.id().as_bytes())?;
            Ok(transaction.put(Table::Meta, b"format", &1_u32.to_be_bytes())?)
        })
        .expect("written");
    world
}

fn meta_format(world: &World) -> Vec<u8> {
    let store: Box<dyn Store> = Box::new(SledStore::open(&world.path("store"), 64 << 20, true).expect("closed"));
    store.read(Table::Meta, b"format").expect("readable").expect("there")
}

#[test]
fn an_early_store_goes_on_under_its_own_keys_and_counts_as_new_from_then_on() {
    let world = early_world();
    let vault = world.open();
    let subject = world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let claimed = vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
    drop(vault);
    assert_eq!(meta_format(&world), 2_u32.to_be_bytes());

    // Everything about nobody is under the key that the file's gives by derivation, as that vault had it.
    let root =
        KeyFile::open(&world.path("vault.key")).expect("readable").early(&slug("acme")).expect("a key file has it");
    let store = SledStore::open(&world.path("store"), 64 << 20, true).expect("closed");
    let row = [b"acme\0".as_slice(), subject.as_bytes()].concat();
    let sealed = volar_vault::store::Rows::read(&store, Table::Placements, &row).expect("readable").expect("there");
    let tenant = slug("acme");
    let binding = Binding { tenant: &tenant, subject: None, id: &row, key_version: 1 };
    let key = root.derive("volar.v1 tenant records", &[]);
    let placement = format::open::<Placement>(&sealed, &key, binding).expect("the derived key");
    assert_eq!(placement.memberships[0].gallery, members());
    drop(store);

    // Its tenant keys are made again by the derivation while the store says that it is early: a crash may come between.
    std::fs::remove_file(Ring::path_beside(&world.path("keys"))).expect("there");
    let error = world.try_open().map(drop).expect_err("a store that had them misses them");
    assert!(error.to_string().contains("tenant keys"), "{error}");
    let store: Box<dyn Store> = Box::new(SledStore::open(&world.path("store"), 64 << 20, true).expect("closed"));
    store.write(|transaction| Ok(transaction.put(Table::Meta, b"format", &1_u32.to_be_bytes())?)).expect("written");
    drop(store);
    let vault = world.open();
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let again = vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
    assert_eq!(again.pseudonym, claimed.pseudonym);
    assert!(again.payment == payment());
}

#[test]
fn a_vault_of_another_time_is_told_so() {
    let world = World::new();
    drop(world.open());
    let store: Box<dyn Store> = Box::new(SledStore::open(&world.path("store"), 64 << 20, true).expect("closed"));
    store.write(|transaction| Ok(transaction.put(Table::Meta, b"format", &3_u32.to_be_bytes())?)).expect("written");
    drop(store);
    let error = world.try_open().map(drop).expect_err("newer");
    assert!(error.to_string().contains("run a newer one"), "{error}");
    let _ = Arc::new(world);
}
