//! Palms that are not sure enough, and the digits that make up for it.

use std::time::Duration;

use tonic::Code;
use volar_core::challenge::Challenge;
use volar_core::clock::Clock;
use volar_core::id::{IdempotencyId, SubjectId};
use volar_core::randomness::SeededRandomness;
use volar_core::ticket::{Purpose, Ticket};
use volar_matcher::decision::Decision;
use volar_matcher::identify::Answer;
use volar_matcher::testing::subject;
use volar_proto::v1;
use volar_proto::v1::check_second_factor_response::Outcome;
use volar_service::fault::Fault;
use volar_service::identity::{Peer, Role};

use crate::sharding::Cluster;
use crate::vault::{Factor, opening_key};
use crate::world::{World, peer};

/// A matcher and two people with one palm, so that every capture of it is unsure.
async fn twins(seed: u64) -> (World, v1::IdentifyRequest) {
    let mut world = World::ready(seed).await;
    let palm = world.palms.template();
    for number in [1, 2] {
        world.admit(number, &palm).await;
    }
    let request = world.request(&palm, "a");
    (world, request)
}

fn factor(id: u64, challenge: &[u8]) -> v1::VerifySecondFactorRequest {
    v1::VerifySecondFactorRequest {
        idempotency_id: IdempotencyId::random(&SeededRandomness::new(id)).to_string(),
        challenge: challenge.to_vec(),
        digits: "8074".to_owned(),
    }
}

fn matched(subject: SubjectId) -> Factor {
    Factor::Is(Some(Outcome::Matched(v1::FactorMatched { subject_id: subject.as_bytes().to_vec() })))
}

impl World {
    async fn challenge(&self, request: v1::IdentifyRequest) -> Vec<u8> {
        let answer = self.send(request).await.expect("an answer");
        assert_eq!((answer.decision, answer.reason.as_str()), (Decision::StepUp, "CLOSE_SECOND"));
        answer.challenge.expect("a challenge")
    }

    async fn verify(&self, request: v1::VerifySecondFactorRequest) -> Result<Answer, Fault> {
        self.matcher.verify_second_factor(peer(Role::Gate), request).await
    }

    fn vault_says(&self, factor: Factor) {
        self.vault.books().factor = factor;
    }
}

#[tokio::test]
async fn a_challenge_names_both_candidates_and_comes_back_as_a_ticket() {
    let (world, request) = twins(70).await;
    let sealed = world.challenge(request).await;
    let challenge = Challenge::open(&sealed, world.now(), opening_key).expect("a challenge");
    let mut named: Vec<SubjectId> = challenge.candidates().map(|candidate| candidate.subject).collect();
    named.sort();
    assert_eq!(named, [subject(1), subject(2)]);
    assert_eq!((challenge.device.as_str(), challenge.lane.as_str()), ("one", "a"));

    world.vault_says(matched(subject(2)));
    let answer = world.verify(factor(1, &sealed)).await.expect("an answer");
    assert_eq!((answer.decision, answer.reason.as_str()), (Decision::Admitted(subject(2)), "SECOND_FACTOR"));
    let (id, ticket) = answer.ticket.expect("a ticket");
    let ticket = Ticket::open(&ticket, world.now(), opening_key).expect("a good ticket");
    assert_eq!((ticket.id, ticket.subject, ticket.purpose), (id, subject(2), Purpose::Admission));
    assert_eq!((ticket.device.as_str(), ticket.lane.as_str()), ("one", "a"));
    assert_eq!(ticket.id, challenge.id, "whichever matcher makes it, it is claimed once");
    let checks = world.vault.books().checks.clone();
    assert_eq!((checks.len(), checks[0].digits.as_str()), (1, "8074"));
    assert_eq!(checks[0].challenge, sealed);
    assert_eq!(checks[0].idempotency_id, factor(1, &sealed).idempotency_id, "the gate's own, however often it asks");
}

#[tokio::test]
async fn a_repeat_is_no_second_guess() {
    let (world, request) = twins(71).await;
    let sealed = world.challenge(request).await;
    world.vault_says(Factor::Is(Some(Outcome::Refused(v1::FactorRefused {}))));
    let first = world.verify(factor(1, &sealed)).await.expect("an answer");
    assert_eq!((first.decision, first.reason.as_str()), (Decision::Rejected, "SECOND_FACTOR_REFUSED"));
    assert_eq!((first.ticket.is_some(), first.retry_after), (false, None));
    world.vault_says(matched(subject(1)));
    let other = v1::VerifySecondFactorRequest { digits: "9631".to_owned(), ..factor(1, &sealed) };
    assert_eq!(world.verify(other).await.expect("an answer"), first);
    assert_eq!(world.vault.books().checks.len(), 1);
}

#[tokio::test]
async fn a_lane_that_is_locked_says_for_how_long() {
    let (world, request) = twins(72).await;
    let sealed = world.challenge(request).await;
    world.vault_says(Factor::Is(Some(Outcome::LockedOut(v1::FactorLockedOut { retry_after_ms: 29_001 }))));
    let answer = world.verify(factor(1, &sealed)).await.expect("an answer");
    assert_eq!((answer.decision, answer.reason.as_str()), (Decision::Rejected, "LOCKED_OUT"));
    assert_eq!(answer.retry_after, Some(Duration::from_millis(29_001)));
}

#[tokio::test]
async fn a_vault_out_of_reach_is_said_so_and_asked_again() {
    let (mut world, request) = twins(73).await;
    let sealed = world.challenge(request).await;
    let fails = |fault: Fault| {
        assert_eq!((fault.code, fault.reason), (Code::Unavailable, "SECOND_FACTOR_UNAVAILABLE"), "{fault}");
        assert!(fault.message.contains("ask staff") && fault.retry_after.is_some());
    };
    world.vault_says(Factor::Fails(Code::Unavailable, "SEALED"));
    fails(world.verify(factor(1, &sealed)).await.expect_err("sealed"));
    world.vault_says(Factor::Silent);
    fails(world.verify(factor(1, &sealed)).await.expect_err("silent"));
    world.vault.go_away().await;
    fails(world.verify(factor(1, &sealed)).await.expect_err("gone"));
    world.vault.come_back().await;
    world.vault_says(matched(subject(1)));
    for _ in 0..200 {
        // The channel finds its way back by itself.
        match world.verify(factor(1, &sealed)).await {
            Ok(answer) => return assert_eq!(answer.decision, Decision::Admitted(subject(1))),
            Err(fault) => fails(fault),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the vault was not asked again");
}

#[tokio::test]
async fn what_the_vault_should_not_say_admits_nobody() {
    let (world, request) = twins(74).await;
    let sealed = world.challenge(request).await;
    let short = v1::FactorMatched { subject_id: vec![1; 15] };
    for (said, reason) in [
        (matched(subject(3)), "SECOND_FACTOR_FAILED"),
        (Factor::Is(Some(Outcome::Matched(short))), "SECOND_FACTOR_FAILED"),
        (Factor::Is(None), "SECOND_FACTOR_FAILED"),
        (Factor::Fails(Code::PermissionDenied, "ROLE_NOT_ALLOWED"), "SECOND_FACTOR_FAILED"),
        (Factor::Fails(Code::AlreadyExists, "CHALLENGE_ANSWERED"), "CHALLENGE_ANSWERED"),
    ] {
        world.vault_says(said.clone());
        let fault = world.verify(factor(1, &sealed)).await.expect_err("nobody");
        assert_eq!(fault.reason, reason, "{said:?}");
    }
}

#[tokio::test]
async fn only_the_gate_that_got_a_challenge_may_answer_it_and_in_time() {
    let (world, request) = twins(75).await;
    let sealed = world.challenge(request.clone()).await;
    world.vault_says(matched(subject(1)));
    let refused = |peer: Peer, request| {
        let matcher = world.matcher.clone();
        async move { matcher.verify_second_factor(peer, request).await.expect_err("refused").reason }
    };
    let named = |text: &str| text.parse::<Peer>().expect("a name");
    for name in ["spiffe://volar/acme/north/gate/two", "spiffe://volar/acme/south/gate/one"] {
        assert_eq!(refused(named(name), factor(1, &sealed)).await, "CHALLENGE_FORGED", "{name}");
    }
    let other = named("spiffe://volar/other/north/gate/one");
    assert_eq!(refused(other, factor(1, &sealed)).await, "TENANT_NOT_SERVED");
    let gate = || peer(Role::Gate);
    assert_eq!(refused(gate(), factor(1, &sealed[..9])).await, "CHALLENGE_MALFORMED");
    let mut altered = sealed.clone();
    altered[30] ^= 1;
    assert_eq!(refused(gate(), factor(1, &altered)).await, "CHALLENGE_FORGED");
    for digits in ["", "807", "807451290", "80a4"] {
        let request = v1::VerifySecondFactorRequest { digits: digits.to_owned(), ..factor(1, &sealed) };
        assert_eq!(refused(gate(), request).await, "FIELD_INVALID", "{digits}");
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(refused(gate(), factor(1, &sealed)).await, "CHALLENGE_EXPIRED");
    assert!(world.vault.books().checks.is_empty(), "the vault was asked about none of them");
}

#[tokio::test]
async fn a_ticket_is_no_challenge_and_a_kiosk_gets_none() {
    let (mut world, request) = twins(76).await;
    let own = world.palms.template();
    world.admit(3, &own).await;
    let (_, ticket) = world.identify(&own, "a").await.expect("an answer").ticket.expect("a ticket");
    let fault = world.verify(factor(1, &ticket)).await.expect_err("no challenge");
    assert_eq!(fault.reason, "CHALLENGE_FORGED");
    let withdrawal = v1::IdentifyRequest { purpose: v1::Purpose::Withdrawal.into(), ..request };
    let answer = world.matcher.identify(peer(Role::Kiosk), withdrawal).await.expect("an answer");
    assert_eq!((answer.decision, answer.challenge), (Decision::StepUp, None), "digits have nobody erased");
}

#[tokio::test]
async fn a_router_hands_out_challenges_and_takes_them_back() {
    let mut cluster = Cluster::start(77).await;
    let templates = cluster.admit(4).await;
    let twin = cluster.whole.palms.mate(&templates[0]);
    cluster.whole.admit(5, &twin).await;
    let gate = peer(Role::Gate);
    let mut tries = 0;
    let sealed = loop {
        // The shards may not have met the twin yet, and are asked again as a gate asks.
        let request = cluster.whole.request(&twin, "a");
        if let Ok(Answer { decision: Decision::StepUp, challenge, .. }) =
            cluster.router.identify(gate.clone(), request).await
        {
            break challenge.expect("a challenge");
        }
        tries += 1;
        assert!(tries < 500, "no step-up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let challenge = Challenge::open(&sealed, cluster.whole.clock.now(), opening_key).expect("a challenge");
    let mut named: Vec<SubjectId> = challenge.candidates().map(|candidate| candidate.subject).collect();
    named.sort();
    assert_eq!(named, [subject(1), subject(5)]);
    cluster.whole.vault_says(matched(subject(5)));
    let answer = cluster.router.verify_second_factor(gate.clone(), factor(1, &sealed)).await.expect("an answer");
    assert_eq!(answer.decision, Decision::Admitted(subject(5)));
    // Another matcher of the tenant knows no less.
    let answer = cluster.whole.matcher.verify_second_factor(gate, factor(2, &sealed)).await.expect("an answer");
    assert_eq!(answer.ticket.map(|(id, _)| id), Some(challenge.id));
}
