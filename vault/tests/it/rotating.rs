//! New versions of a tenant's keys: while people come and go, and while the vault is killed again and again. Afterwards
//! everything opens, nothing is under the old version, and its wrapped keys are nowhere in the files.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use volar_core::id::{SubjectId, TenantId};
use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::format::v1::State;
use volar_vault::vault::{Call, Vault};

use crate::kill::example;
use crate::world::{World, checkout, matcher, members, operator, payment, slug};

const PEOPLE: usize = 2_000;
const KILLS: usize = 4;

fn acme() -> TenantId {
    slug("acme")
}

fn rotated(vault: &Vault, from: u32) {
    vault.begin_rotation(&acme(), from).expect("begun");
    vault.finish_rotation(&acme()).expect("finished");
}

/// The wrapped keys of slots in use, as the key table and the tenant keys have them now.
fn wrapped_keys(world: &World) -> Vec<Vec<u8>> {
    let table = std::fs::read(world.path("keys")).expect("readable");
    let subjects = table[4096..].chunks(128).filter(|slot| slot[0] != 0).map(|slot| slot[20..80].to_vec());
    let ring = std::fs::read(world.path("keys.tenants")).expect("readable");
    let own = b"acme";
    let tenants = ring[4096..].chunks(512).filter(|slot| &slot[14..18] == own).map(|slot| slot[144..300].to_vec());
    subjects.chain(tenants).collect()
}

fn nowhere(world: &World, needles: &[Vec<u8>]) {
    let starts: BTreeSet<&[u8]> = needles.iter().map(|needle| &needle[..16]).collect();
    for name in ["keys", "keys.tenants", "store/rows/db"] {
        let bytes = std::fs::read(world.path(name)).expect("readable");
        assert!(!bytes.windows(16).any(|window| starts.contains(window)), "{name} holds an old wrapped key");
    }
}

#[tokio::test]
async fn what_outlives_a_version_is_the_same_under_the_next() {
    let world = World::new();
    let vault = world.open();
    let (stays, goes) = (world.member(&vault), world.member(&vault));
    let ticket = world.sealed(&vault, stays, Purpose::Admission);
    let later = world.sealed(&vault, stays, Purpose::Admission);
    let call = world.call(7);
    let before = vault.claim(&checkout(), &call, &ticket).expect("claimed");
    let old = wrapped_keys(&world);
    assert_eq!(old.len(), 3);
    rotated(&vault, 1);
    nowhere(&world, &old);
    let keys = vault.keys(&operator(), true).expect("readable");
    assert_eq!((keys.versions.len(), keys.versions[0].version, keys.rotation), (1, 2, None));
    let used = keys.versions[0].used.expect("counted");
    assert!(used.subject_keys == 2 && used.records > 10, "{used:?}");

    // The repeat gets its answer, the request with another body is known as another, the old ticket is claimed.
    let repeat = vault.claim(&checkout(), &call, &ticket).expect("the same answer");
    assert_eq!((repeat.claimed_at, &repeat.pseudonym), (before.claimed_at, &before.pseudonym));
    let other = Call { body_sha256: [8; 32], ..call };
    assert!(matches!(vault.claim(&checkout(), &other, &ticket), Err(VaultError::IdempotencyConflict)));
    let claimed = vault.claim(&checkout(), &world.call(0), &later).expect("sealed before, claimed after");
    assert!(claimed.pseudonym == before.pseudonym && claimed.payment == payment());

    // Asking twice for the same rotation is asking once; asking for what is not there is refused.
    rotated(&vault, 1);
    assert_eq!(vault.keys(&operator(), false).expect("readable").versions[0].version, 2);
    for wrong in [0, 3] {
        assert!(matches!(vault.begin_rotation(&acme(), wrong), Err(VaultError::Field { .. })), "{wrong}");
    }
    vault.erase(&operator(), world.call(0), Erase::Subject(goes)).await.expect("erased");
    drop(vault);
    let vault = world.open();
    rotated(&vault, 2);
    assert!(vault.claim(&checkout(), &call, &ticket).expect("still").pseudonym == before.pseudonym);
    world.member(&vault);
    // The other tenant's keys are its own.
    let bolt = "spiffe://volar/bolt/north/operator/ops-1".parse().expect("a peer's name");
    assert_eq!(vault.keys(&bolt, false).expect("readable").versions[0].version, 1);
}

#[test]
fn a_crash_between_making_a_version_and_the_work_is_gone_on_from() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    vault.begin_rotation(&acme(), 1).expect("begun");
    drop(vault);
    let vault = world.open();
    assert!(vault.keys(&operator(), false).expect("readable").rotation.is_some(), "it is known to be under way");
    let newcomer = world.member(&vault);
    vault.finish_rotation(&acme()).expect("finished");
    for subject in [subject, newcomer] {
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        assert!(vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed").payment == payment());
    }
    assert_eq!(vault.keys(&operator(), true).expect("readable").versions.len(), 1);
}

#[test]
fn in_the_background_it_ends_by_itself_and_a_closing_vault_stops_it() {
    let world = World::new();
    let vault = world.open();
    for _ in 0..20 {
        world.member(&vault);
    }
    vault.rotate_keys(&operator(), 1).expect("begun");
    while vault.keys(&operator(), false).expect("readable").rotation.is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    vault.close();
    vault.begin_rotation(&acme(), 2).expect("begun");
    assert!(matches!(vault.finish_rotation(&acme()), Err(VaultError::Closing)));
    let rotation = vault.keys(&operator(), false).expect("readable").rotation.expect("under way");
    assert!(rotation.stopped.is_some_and(|reason| reason.contains("goes on")));
    drop(vault);
    let vault = world.open();
    vault.resume_rotations().expect("resumed");
    while vault.keys(&operator(), false).expect("readable").rotation.is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(vault.keys(&operator(), true).expect("readable").versions[0].version, 3);
}

#[test]
fn a_rotation_under_load_may_be_killed_at_any_time() {
    let world = World::new();
    let filled = example_run(&world, &["fill", &PEOPLE.to_string(), "16"]).wait_with_output().expect("it ends");
    assert!(filled.status.success());
    let vault = world.open();
    let before: BTreeSet<SubjectId> = everyone(&vault);
    assert_eq!(before.len(), PEOPLE);
    drop(vault);
    let old = wrapped_keys(&world);
    let (mut members, mut erased) = (before, BTreeSet::new());
    for kill in 0..=KILLS {
        let mut child = example_run(&world, &["run", "2"]);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("rotating"));
        let ending = (kill < KILLS).then(|| {
            let [random]: [u8; 1] = world.randomness.bytes();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(u64::from(random) / 2));
                // The rotation may be over already, on a fast machine.
                let _ = child.kill();
                child.wait().expect("ended");
            })
        });
        let mut done = false;
        for line in lines {
            match line.split_once(' ') {
                Some(("member", subject)) => drop(members.insert(subject.parse().expect("an id"))),
                Some(("erased", subject)) => {
                    let subject = subject.parse().expect("an id");
                    members.remove(&subject);
                    erased.insert(subject);
                }
                Some(("done", _)) => done = true,
                _ => {}
            }
        }
        match ending {
            Some(ending) => ending.join().expect("no panic"),
            None => assert!(done, "the last run was not killed"),
        }
    }
    assert!(!erased.is_empty(), "nobody was erased meanwhile");
    let vault = world.open();
    let keys = vault.keys(&operator(), true).expect("readable");
    assert_eq!(keys.versions.len(), 1, "{keys:?}");
    assert!(keys.versions[0].version >= 2);
    nowhere(&world, &old);
    let now = everyone(&vault);
    let lost: Vec<_> = members.iter().filter(|subject| !now.contains(subject)).collect();
    // An erasure may have been begun and killed before it was acknowledged; then it is finished, not undone.
    assert!(lost.len() <= 2 * KILLS, "{} acknowledged members are gone", lost.len());
    assert!(lost.iter().all(|subject| !erased.contains(subject)));
    assert!(erased.iter().all(|subject| !now.contains(subject)), "somebody erased is back");
    for &subject in now.iter().take(300) {
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket).expect("everything opens");
    }
    let items =
        vault.events(&matcher(), &crate::world::members(), Shard::WHOLE, 1, usize::MAX).expect("every event opens").0;
    assert!(items.len() >= 2 * PEOPLE);
    drop(vault);
}

fn everyone(vault: &Arc<Vault>) -> BTreeSet<SubjectId> {
    let (mut found, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = vault.subjects(&operator(), &members(), Some(State::Active), 1_000, &token).expect("readable");
        found.extend(page.subjects.iter().map(|(subject, _)| *subject));
        token = page.next;
        if token.is_empty() {
            return found;
        }
    }
}

fn example_run(world: &World, arguments: &[&str]) -> std::process::Child {
    Command::new(example("rotate"))
        .arg(world.folder.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo builds the example before the tests")
}

/// The last step is three writes outside the store; here the second and third never came.
#[test]
fn a_version_marked_empty_is_destroyed_at_the_next_start() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let path = world.path("keys.tenants");
    let slot_of_acme = |bytes: &[u8]| {
        let slots = bytes[4096..].chunks(512);
        let found = slots.enumerate().find(|(_, slot)| slot[0] != 0 && &slot[14..18] == b"acme");
        let (number, slot) = found.expect("a slot of acme's");
        (number, slot.to_vec())
    };
    let (number, mut slot) = slot_of_acme(&std::fs::read(&path).expect("readable"));
    rotated(&vault, 1);
    drop(vault);
    slot[0] = 2;
    let hashed = [(number as u32).to_le_bytes().as_slice(), &slot[..504]].concat();
    let sum = ring::digest::digest(&ring::digest::SHA256, &hashed);
    slot[504..].copy_from_slice(&sum.as_ref()[..8]);
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[4096 + number * 512..][..512].copy_from_slice(&slot);
    std::fs::write(&path, &bytes).expect("writable");

    let vault = world.open();
    let versions = vault.keys(&operator(), false).expect("readable").versions;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2]);
    nowhere(&world, &[slot[144..300].to_vec()]);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    vault.claim(&checkout(), &world.call(0), &ticket).expect("everything opens");
}
