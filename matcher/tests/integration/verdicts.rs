//! Words on new enrolments.

use volar_core::id::SubjectId;
use volar_matcher::testing::subject;
use volar_proto::v1;
use volar_proto::v1::feed_event::Change;
use volar_proto::v1::report_verdict_request::Verdict;

use crate::vault::enrolled;
use crate::world::{World, eventually};

/// What was reported: numbers, and of whom each is suspected to be a duplicate.
fn findings(world: &World) -> Vec<(u64, Option<SubjectId>)> {
    let books = world.vault.books();
    let finding = |request: &v1::ReportVerdictRequest| match request.verdict.as_ref().expect("a verdict") {
        Verdict::Clear(_) => (request.sequence, None),
        Verdict::SuspectedDuplicate(suspected) => {
            let id: [u8; 16] = suspected.of_subject_id.as_slice().try_into().expect("16 bytes");
            assert!(suspected.score > 0.0);
            (request.sequence, Some(SubjectId::from_bytes(id)))
        }
    };
    let mut findings: Vec<_> = books.verdicts.iter().map(finding).collect();
    // Several are on their way at once.
    findings.sort_unstable();
    findings
}

async fn reported(world: &World, expected: &[(u64, Option<SubjectId>)]) {
    eventually("reported", || world.vault.books().verdicts.len() >= expected.len()).await;
    assert_eq!(findings(world), expected);
}

#[tokio::test]
async fn the_second_of_two_simultaneous_enrolments_is_flagged() {
    let mut world = World::new(30).await;
    let (anna, bert) = (world.palms.template(), world.palms.template());
    let again = world.palms.mate(&anna);
    // All three are in the feed before the matcher sees the first.
    world.vault.enroll(subject(1), &[world.palms.reference(&anna)], &world.palms.probe(&anna));
    world.vault.enroll(subject(2), &[world.palms.reference(&bert)], &world.palms.probe(&bert));
    world.vault.enroll(subject(3), &[world.palms.reference(&again)], &world.palms.probe(&again));
    world.becomes_ready().await;
    reported(&world, &[(1, None), (2, None), (3, Some(subject(1)))]).await;
}

#[tokio::test]
async fn held_and_active_subjects_are_searched_too() {
    let mut world = World::ready(31).await;
    let (anna, bert) = (world.palms.template(), world.palms.template());
    world.admit(1, &anna).await;
    let held = world.enroll(2, &bert).await;
    world.change(held, Change::Held(v1::SubjectHeld {})).await;
    let (anna, bert) = (world.palms.mate(&anna), world.palms.mate(&bert));
    world.enroll(3, &anna).await;
    world.enroll(4, &bert).await;
    reported(&world, &[(1, None), (3, None), (5, Some(subject(1))), (6, Some(subject(2)))]).await;
}

#[tokio::test]
async fn an_erased_palm_may_enrol_anew() {
    let mut world = World::ready(32).await;
    let anna = world.palms.template();
    let first = world.admit(1, &anna).await;
    world.change(first, Change::Erased(v1::SubjectErased {})).await;
    world.enroll(2, &anna).await;
    reported(&world, &[(1, None), (4, None)]).await;
}

#[tokio::test]
async fn no_verdict_is_given_unasked() {
    let mut world = World::ready(33).await;
    let anna = world.palms.template();
    world.change(subject(1), enrolled(&[world.palms.reference(&anna)], None)).await;
    world.enroll(2, &anna).await;
    reported(&world, &[(2, Some(subject(1)))]).await;
}

#[tokio::test]
async fn a_verdict_is_repeated_under_one_id_until_it_is_taken() {
    let mut world = World::ready(34).await;
    let anna = world.palms.template();
    world.vault.books().verdicts_refused = 3;
    world.enroll(1, &anna).await;
    reported(&world, &[(1, None), (1, None), (1, None), (1, None)]).await;
    world.enroll(2, &anna).await;
    reported(&world, &[(1, None), (1, None), (1, None), (1, None), (2, Some(subject(1)))]).await;
    let books = world.vault.books();
    assert!(books.verdicts[..4].iter().all(|repeat| repeat == &books.verdicts[0]));
    assert_ne!(books.verdicts[0].idempotency_id, books.verdicts[4].idempotency_id);
}

#[tokio::test]
async fn a_restarted_matcher_says_the_same_again() {
    let mut world = World::ready(35).await;
    let (anna, bert) = (world.palms.template(), world.palms.template());
    world.enroll(1, &anna).await;
    world.enroll(2, &bert).await;
    world.enroll(3, &anna).await;
    reported(&world, &[(1, None), (2, None), (3, Some(subject(1)))]).await;
    let mut world = world.restart_matcher().await;
    world.becomes_ready().await;
    eventually("reported again", || world.vault.books().verdicts.len() >= 6).await;
    let mut words = world.vault.books().verdicts.clone();
    words[..3].sort_unstable_by_key(|report| report.sequence);
    words[3..].sort_unstable_by_key(|report| report.sequence);
    assert!(words[..3] == words[3..], "the same words under the same ids");
}
