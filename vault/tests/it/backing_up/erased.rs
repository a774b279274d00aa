//! Whoever is erased stays erased: before a backup, between it and a restore, and after.

use std::path::Path;
use std::time::Duration;

use volar_core::id::SubjectId;
use volar_core::ticket::Purpose;
use volar_vault::backup::restore::RestoreError;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::vault::Vault;

use super::{With, config, lose, open, restore_newest, restore_with, wrapped_key};
use crate::scan::search;
use crate::world::{World, checkout, operator};

fn is_gone(world: &World, vault: &Vault, subject: SubjectId) {
    // Tickets of around a restore are refused for that.
    world.clock.advance(Duration::from_secs(301));
    let ticket = world.sealed(vault, subject, Purpose::Admission);
    let claimed = vault.claim(&checkout(), &world.call(0), &ticket);
    assert!(matches!(claimed, Err(VaultError::SubjectErased)), "{claimed:?}");
    let news: Vec<_> = world.feed(vault).into_iter().filter(|item| item.subject == subject).collect();
    assert!(!news.is_empty() && news.iter().all(|item| matches!(item.news, News::Erased)), "{news:?}");
}

async fn erase(world: &World, vault: &std::sync::Arc<Vault>, subject: SubjectId) {
    vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");
}

#[tokio::test]
async fn nobody_who_was_erased_returns() {
    let world = World::new();
    let vault = open(&world);
    let [before, between, after, stays] = std::array::from_fn(|_| world.member(&vault));
    let needles = [before, between, after].map(|subject| ("wrapped key", wrapped_key(&world, subject)));
    erase(&world, &vault, before).await;
    let made = vault.back_up().expect("backed up");
    assert_eq!(made.subjects, 3);
    erase(&world, &vault, between).await;
    // The newcomer gets the slot of somebody erased.
    let newcomer = world.member(&vault);
    drop(vault);
    search(world.folder.path(), &needles[..2]);

    lose(&world);
    let restored = restore_newest(&world);
    assert_eq!((restored.erased, restored.subjects), (1, 2));
    let vault = open(&world);
    for gone in [before, between] {
        is_gone(&world, &vault, gone);
    }
    // Enrolled after the backup: not in it, and their key opens nothing any more.
    let ticket = world.sealed(&vault, newcomer, Purpose::Admission);
    assert!(vault.claim(&checkout(), &world.call(0), &ticket).is_err());
    erase(&world, &vault, after).await;
    is_gone(&world, &vault, after);
    drop(vault);
    search(world.folder.path(), &needles);

    lose(&world);
    let restored = restore_with(&world, &With { at: Some(&made.id), ..With::newest(&world) }).expect("restored");
    assert_eq!((restored.erased, restored.subjects), (2, 1));
    let vault = open(&world);
    for gone in [before, between, after] {
        is_gone(&world, &vault, gone);
    }
    assert!(world.feed(&vault).iter().any(|item| item.subject == stays && matches!(item.news, News::Activated)));
    drop(vault);
    search(world.folder.path(), &needles);
}

#[tokio::test]
async fn an_old_copy_of_the_keys_brings_nobody_back_whom_the_journal_names() {
    let world = World::new();
    let vault = open(&world);
    let (goes, stays) = (world.member(&vault), world.member(&vault));
    let stale = world.path("stale");
    std::fs::copy(world.path("copy-of-keys"), &stale).expect("copied");
    vault.back_up().expect("backed up");
    erase(&world, &vault, goes).await;
    drop(vault);
    lose(&world);
    let restored = restore_with(&world, &With { keys: Some(stale.clone()), ..With::newest(&world) }).expect("restored");
    assert_eq!((restored.erased, restored.subjects), (1, 1));
    let vault = open(&world);
    is_gone(&world, &vault, goes);
    assert!(world.feed(&vault).iter().any(|item| item.subject == stays && matches!(item.news, News::Activated)));
}

#[test]
fn people_without_a_key_are_not_taken_for_erased() {
    let world = World::new();
    let vault = open(&world);
    let early = world.member(&vault);
    let stale = world.path("stale");
    std::fs::copy(world.path("copy-of-keys"), &stale).expect("copied");
    world.member(&vault);
    vault.back_up().expect("backed up");
    drop(vault);
    let both = With { keys: Some(stale.clone()), ..With::newest(&world) };
    std::fs::remove_dir_all(world.path("store")).expect("there");
    let refused = restore_with(&world, &both).expect_err("two copies that differ");
    assert!(matches!(refused, RestoreError::KeysDiffer { .. }), "{refused}");
    lose_keys(&world);
    let refused = restore_with(&world, &both).expect_err("the copy is too old");
    assert!(matches!(refused, RestoreError::Keyless { count: 1 }), "{refused}");
    assert!(matches!(world.try_open().map(drop), Err(VaultError::StoreUnfinished)));
    let restored = restore_with(&world, &With { erase_keyless: true, ..both }).expect("restored");
    assert_eq!((restored.erased, restored.subjects), (1, 1));
    assert!(world.feed(&world.open()).iter().any(|item| item.subject == early && matches!(item.news, News::Activated)));
    lose(&world);
    // With the copy that followed, everybody returns.
    assert_eq!(restore_newest(&world).subjects, 2);
}

fn lose_keys(world: &World) {
    for name in ["keys", "keys.tenants"] {
        std::fs::remove_file(world.path(name)).expect("there");
    }
}

#[tokio::test]
async fn the_copy_of_the_keys_follows_and_is_mended() {
    let world = World::new();
    let same = |path: &Path| {
        let read = |path: &Path| std::fs::read(path).expect("readable");
        read(path) == read(&world.path("copy-of-keys"))
            && read(&world.path("keys.tenants")) == read(&world.path("copy-of-keys.tenants"))
    };
    let keys = world.path("keys");
    let vault = open(&world);
    let anna = world.member(&vault);
    let wrapped = wrapped_key(&world, anna);
    assert!(same(&keys));
    vault.begin_rotation(&"acme".parse().expect("a slug"), 1).expect("begun");
    vault.finish_rotation(&"acme".parse().expect("a slug")).expect("finished");
    assert!(same(&keys));
    search(world.folder.path(), &[("wrapped key", wrapped)]);
    let wrapped = wrapped_key(&world, anna);
    drop(vault);
    // A vault without the copy erases her; when the copy is there again, she is erased in it.
    let vault = world.open();
    erase(&world, &vault, anna).await;
    drop(vault);
    assert!(!same(&keys));
    let vault = open(&world);
    assert!(same(&keys));
    search(world.folder.path(), &[("wrapped key", wrapped)]);
    let journal = std::fs::read_to_string(config(&world).folder.join("erasures")).expect("readable");
    assert!(journal.contains(&hex::encode(anna.as_bytes())), "{journal}");
    drop(vault);
}
