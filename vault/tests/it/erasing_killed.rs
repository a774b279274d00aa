//! `kill -9` at every step of an erasure, and at every step of going on with it: an acknowledged one stays, one that
//! was not acknowledged is not begun or wholly done at the next start, and its repeat gets one receipt.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use volar_core::id::SubjectId;
use volar_core::ticket::Purpose;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::vault::{Call, Vault};

use crate::kill::example;
use crate::world::{World, checkout, members, operator};

/// More moments than an erasure or an opening has; reaching it means that nothing counts any more.
const MOMENTS_MAX: u64 = 64;
/// Marking, settling, destroying the key, removing rows, removing probes and noting the followers lie between this many
/// at least.
const MOMENTS_MIN: u64 = 10;

#[tokio::test]
async fn an_erasure_killed_at_any_step_is_whole_or_can_be_repeated() {
    for pending in [false, true] {
        let world = World::new();
        let bystander = world.member(&world.open());
        let (mut moment, mut begun, mut not_begun) = (1, 0, 0);
        loop {
            assert!(moment < MOMENTS_MAX, "the erasure never ended");
            let (subject, call) = (person(&world, pending), world.call(0));
            let child = erase(&world, subject, &call, moment);
            let acknowledged = acknowledged(&child, moment);
            let vault = world.open();
            if is_erased(&world, &vault, subject) {
                begun += 1;
                gone(&world, &vault, subject);
            } else {
                assert!(acknowledged.is_none(), "an acknowledged erasure came undone");
                not_begun += 1;
                whole(&world, &vault, subject, pending);
            }
            repeated(&world, &vault, subject, call, acknowledged.as_deref()).await;
            claimable(&world, &vault, bystander);
            if acknowledged.is_some() {
                break;
            }
            moment += 1;
        }
        assert!(moment > MOMENTS_MIN, "only {moment} moments: the erasure writes less than it must");
        assert!(begun > not_begun && not_begun > 0, "{begun} begun, {not_begun} not: no kill met the middle");
    }
}

#[tokio::test]
async fn going_on_with_an_erasure_may_be_killed_at_any_step_too() {
    let world = World::new();
    let bystander = world.member(&world.open());
    // The first moment at which the erasure is marked and nothing else is done, then later ones.
    for moment in 2..=7 {
        let (subject, call) = (person(&world, true), world.call(0));
        let child = erase(&world, subject, &call, moment);
        assert_eq!(acknowledged(&child, moment), None);
        let opened = (1..MOMENTS_MAX).find(|moment| {
            let child = run(&world, &["resume", &moment.to_string()]);
            child.status.signal() != Some(9) && child.status.success()
        });
        let kills = opened.expect("the vault opens at last") - 1;
        assert!(kills >= 4, "only {kills} kills at opening");
        let vault = world.open();
        gone(&world, &vault, subject);
        repeated(&world, &vault, subject, call, None).await;
        claimable(&world, &vault, bystander);
    }
}

/// Somebody with a payment reference, or somebody whose probes still wait for a verdict.
fn person(world: &World, pending: bool) -> SubjectId {
    let vault = world.open();
    if pending { world.enroll(&vault).1 } else { world.member(&vault) }
}

fn erase(world: &World, subject: SubjectId, call: &Call, moment: u64) -> Output {
    let (subject, id) = (hex::encode(subject.as_bytes()), hex::encode(call.id.as_bytes()));
    run(world, &[&subject, &id, &moment.to_string()])
}

fn run(world: &World, words: &[&str]) -> Output {
    let folder = world.folder.path();
    Command::new(example("erase")).arg(folder).args(words).output().expect("cargo builds the example before the tests")
}

/// The receipt that the child printed; `None` if it was killed before.
fn acknowledged(child: &Output, moment: u64) -> Option<String> {
    let errors = String::from_utf8_lossy(&child.stderr);
    let ended = child.status.signal() == Some(9) || child.status.success();
    assert!(ended, "moment {moment}: {}: {errors}", child.status);
    let said = String::from_utf8_lossy(&child.stdout);
    child.status.success().then(|| said.trim().to_owned())
}

fn is_erased(world: &World, vault: &Vault, subject: SubjectId) -> bool {
    let events = world.feed(vault);
    let erased = events.iter().filter(|item| item.subject == subject && matches!(item.news, News::Erased)).count();
    // Everything about the erased is told as an erasure, their enrollment included.
    assert!(erased == 0 || erased >= 2, "an erasure without its event");
    erased > 0
}

/// Nothing of the person is left: no key, no probes, no row that names them but the tombstone.
fn gone(world: &World, vault: &Vault, subject: SubjectId) {
    let keys = std::fs::read(world.path("keys")).expect("readable");
    assert!(!keys.windows(16).any(|window| window == subject.as_bytes()), "the key's slot is still theirs");
    let probes = format!("probes-{}", hex::encode(subject.as_bytes()));
    assert!(!world.path("store/blobs").join(probes).exists(), "probes outlive their person");
    let listed = vault.subjects(&operator(), &members(), None, 0, "").expect("readable").subjects;
    assert!(listed.iter().all(|(listed, _)| *listed != subject), "an erased person is listed");
    let ticket = world.sealed(vault, subject, Purpose::Admission);
    assert!(matches!(vault.claim(&checkout(), &world.call(0), &ticket), Err(VaultError::SubjectErased)));
}

/// Nothing of the person is missing.
fn whole(world: &World, vault: &Vault, subject: SubjectId, pending: bool) {
    if pending {
        let items = world.feed(vault);
        let item = items.iter().find(|item| item.subject == subject).expect("their enrollment");
        assert!(
            matches!(&item.news, News::Enrolled { palms, probes: Some(_), .. } if palms.len() == 2),
            "half a person"
        );
    } else {
        claimable(world, vault, subject);
    }
}

fn claimable(world: &World, vault: &Vault, subject: SubjectId) {
    let ticket = world.sealed(vault, subject, Purpose::Admission);
    vault.claim(&checkout(), &world.call(0), &ticket).expect("nobody else is touched");
}

/// The same call again, twice, and another operator's: one receipt, one event, everything gone.
async fn repeated(
    world: &World,
    vault: &std::sync::Arc<Vault>,
    subject: SubjectId,
    call: Call,
    acknowledged: Option<&str>,
) {
    let receipt = vault.erase(&operator(), call, Erase::Subject(subject)).await.expect("a repeat is answered");
    let again = vault.erase(&operator(), call, Erase::Subject(subject)).await.expect("and again");
    let other = vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("by another call too");
    assert!(receipt == again && receipt == other, "two receipts for one erasure");
    assert!(acknowledged.is_none_or(|id| id == hex::encode(receipt.id)), "another receipt than was acknowledged");
    gone(world, vault, subject);
    for (item, sequence) in world.feed(vault).iter().zip(1..) {
        assert_eq!(item.sequence, sequence, "the feed has a gap");
    }
    let head = vault.status(&operator()).expect("readable")[0].head;
    let slots = std::fs::read(world.path("keys")).expect("readable");
    let used = slots[4096..].chunks(128).filter(|slot| slot.iter().any(|&byte| byte != 0)).count() as u64;
    assert_eq!(used, head.pending + head.active + head.in_review, "keys and people differ in number");
}
