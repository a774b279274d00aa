//! Backups of vaults that share a store: one copy of keys that all follow, one backup of what all of them did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use volar_core::id::SubjectId;
use volar_vault::backup::BackupConfig;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::format::v1::State;
use volar_vault::keys::KeyTableError;
use volar_vault::vault::Vault;

use super::{config, lose, restore_newest, wrapped_key};
use crate::scan::search;
use crate::world::{SharedPostgres, Sled, WorldOver, kiosk, operator};

type World = WorldOver<SharedPostgres>;

const VAULTS: usize = 3;

fn vaults(world: &World) -> Vec<Arc<Vault>> {
    (0..VAULTS).map(|_| super::open(world)).collect()
}

fn copied(world: &World) {
    let same = |name: &str| std::fs::read(world.path(name)).expect("readable");
    assert!(same("keys") == same("copy-of-keys"), "the copy of the keys is behind");
    assert!(same("keys.tenants") == same("copy-of-keys.tenants"));
}

/// People come and go at every vault while one of them makes a backup; whoever was there before it and stays is restored,
/// whoever goes is gone from the copy of the keys, whichever vault erased them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_all_of_them_did_comes_back_and_who_was_erased_does_not() {
    let world = Arc::new(World::new());
    let vaults = vaults(&world);
    let people: Vec<SubjectId> = (0..9).map(|number| world.member(&vaults[number % VAULTS])).collect();
    let ended = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for at in 0..VAULTS {
        let (world, ended) = (world.clone(), ended.clone());
        let (here, there) = (vaults[at].clone(), vaults[(at + 1) % VAULTS].clone());
        tasks.push(tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                let (call, request, asked) = (world.call(0), world.request(false), here.clone());
                let enrollment = tokio::task::spawn_blocking(move || asked.enroll(&kiosk(), &call, &request));
                let enrollment = enrollment.await.expect("no panic").expect("enrolled");
                let call = world.call(0);
                there.erase(&kiosk(), call, Erase::Cancel(enrollment)).await.expect("erased");
            }
        }));
    }
    for (number, vault) in vaults.iter().cloned().enumerate() {
        let made = tokio::task::spawn_blocking(move || vault.back_up()).await.expect("no panic").expect("backed up");
        assert_eq!(made.id[..7], *format!("{:06}-", number + 1), "one folder, one order");
        assert!(made.subjects >= 9, "{made:?}");
    }
    ended.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("no panic");
    }
    let vault = vaults[1].clone();
    tokio::task::spawn_blocking(move || vault.verify_backup(None)).await.expect("no panic").expect("whole");
    copied(&world);
    let needles: Vec<_> =
        people[..VAULTS].iter().map(|subject| ("wrapped key", wrapped_key(&world, *subject))).collect();
    for (at, gone) in people[..VAULTS].iter().enumerate() {
        // Not by the vault that enrolled them.
        let vault = &vaults[(at + 1) % VAULTS];
        vault.erase(&operator(), world.call(0), Erase::Subject(*gone)).await.expect("erased");
    }
    copied(&world);
    search(world.folder.path(), &needles);
    drop(vaults);

    let world = Arc::into_inner(world).expect("nobody else has it").with(Sled);
    lose(&world);
    restore_newest(&world);
    let vault = world.open();
    let feed = world.feed(&vault);
    for (number, subject) in people.iter().enumerate() {
        let news: Vec<_> = feed.iter().filter(|item| item.subject == *subject).map(|item| &item.news).collect();
        let stays = number >= VAULTS;
        assert_eq!(news.iter().any(|news| matches!(news, News::Erased)), !stays, "{news:?}");
        assert_eq!(news.iter().any(|news| matches!(news, News::Enrolled { .. })), stays, "{news:?}");
    }
}

#[test]
fn a_backup_that_is_due_is_made_by_one_of_them() {
    let world = World::new();
    let daily = BackupConfig { every_hours: 24, ..config(&world) };
    let vaults: Vec<_> = (0..VAULTS).map(|_| world.open_with(Some(daily.clone()))).collect();
    world.member(&vaults[0]);
    let made = || -> Vec<_> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = vaults.iter().map(|vault| scope.spawn(|| vault.back_up_if_due())).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic").expect("no error")).collect()
        })
    };
    assert_eq!(made().len(), 1);
    assert_eq!(made().len(), 0, "it is not due again");
    world.clock.advance(std::time::Duration::from_secs(24 * 3_600));
    assert_eq!(made().len(), 1);
    assert!(vaults.iter().all(|vault| vault.backup_status().expect("readable").backups.len() == 2));
}

/// Erased by one that copies no keys, or copies them elsewhere, somebody would stay in the others' copy.
#[test]
fn all_of_them_copy_keys_to_one_file_or_none_does() {
    let world = World::new();
    let elsewhere = BackupConfig { keys: world.path("elsewhere"), ..config(&world) };
    let first = super::open(&world);
    let without = world.try_open().map(drop);
    assert!(matches!(without, Err(VaultError::BackupsDiffer { here: false })), "{without:?}");
    let apart = |refused: Result<Vault, VaultError>| {
        let refused = refused.map(drop);
        assert!(matches!(refused, Err(VaultError::KeyTable(KeyTableError::Apart { .. }))), "{refused:?}");
    };
    apart(world.try_open_with(Some(elsewhere.clone())));
    assert!(!elsewhere.keys.exists(), "nothing was copied there");
    // A copy that was the others' once.
    std::fs::copy(world.path("copy-of-keys"), &elsewhere.keys).expect("copied");
    apart(world.try_open_with(Some(elsewhere.clone())));
    let second = super::open(&world);
    drop(first);
    let third = super::open(&world);
    world.member(&third);
    copied(&world);
    drop((second, third));

    // The next to come first may do otherwise, and whoever joins it does the same.
    let first = world.open();
    let with = world.try_open_with(Some(config(&world))).map(drop);
    assert!(matches!(with, Err(VaultError::BackupsDiffer { here: true })), "{with:?}");
    let enrollment = first.enroll(&kiosk(), &world.call(0), &world.request(true)).expect("enrolled");
    drop(first);
    let vault = world.open_with(Some(elsewhere));
    assert_eq!(vault.standing(&kiosk(), enrollment).expect("readable").state, Some(State::Pending));
    assert!(
        std::fs::read(world.path("keys")).expect("there") == std::fs::read(world.path("elsewhere")).expect("there")
    );
}

/// A vault that is to be refused finishes no erasure on its way: it would do so in the table alone.
#[tokio::test]
async fn one_that_is_refused_erases_nobody_from_the_table_alone() {
    let world = World::new();
    let vault = super::open(&world);
    let anna = world.member(&vault);
    let needle = [("wrapped key", wrapped_key(&world, anna))];
    {
        // Never asked again it gets no further than the mark.
        let peer = operator();
        let mut erasing = Box::pin(vault.erase(&peer, world.call(0), Erase::Subject(anna)));
        assert!(futures::poll!(&mut erasing).is_pending());
        let begun = std::time::Instant::now();
        while !world.feed(&vault).iter().any(|item| matches!(item.news, News::Erased)) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "never marked");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    let refused = world.try_open().map(drop);
    assert!(matches!(refused, Err(VaultError::BackupsDiffer { here: false })), "{refused:?}");
    copied(&world);
    vault.sweep().expect("swept");
    copied(&world);
    search(world.folder.path(), &needle);
}

/// One is killed between writing the key table and its copy; the next to join makes them equal, and what goes on is right.
#[tokio::test]
async fn a_copy_that_a_dead_vault_left_behind_catches_up() {
    let world = World::new();
    let first = super::open(&world);
    let anna = world.member(&first);
    let needle = [("wrapped key", wrapped_key(&world, anna))];
    let before = std::fs::read(world.path("copy-of-keys")).expect("readable");
    first.erase(&operator(), world.call(0), Erase::Subject(anna)).await.expect("erased");
    {
        // As if the last write had never reached it.
        use std::os::unix::fs::FileExt;
        let copy = std::fs::File::options().write(true).open(world.path("copy-of-keys")).expect("there");
        copy.write_all_at(&before, 0).expect("writable");
    }
    let second = super::open(&world);
    copied(&world);
    search(world.folder.path(), &needle);
    world.member(&second);
    copied(&world);
}
