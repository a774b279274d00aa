//! Second factors: chosen once, compared without telling anything but whose they are, and delayed when they are guessed.

use std::time::Duration;

use tonic::Code;
use volar_core::audit::{Action, Leaf};
use volar_core::challenge::{Candidate, Challenge, ChallengeError};
use volar_core::clock::Clock;
use volar_core::id::{IdempotencyId, SubjectId, TicketId};
use volar_core::second_factor::{Digits, Kind};
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, Ticket};
use volar_proto::v1 as wire;
use volar_proto::v1::enrollment_service_server::EnrollmentService;
use volar_proto::v1::second_factor_service_server::SecondFactorService;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::second_factor::Outcome;
use volar_vault::service::{Enrollment, SecondFactor};
use volar_vault::vault::Vault;
use zeroize::Zeroizing;

use crate::services::{from, id, reason};
use crate::world::{
    Engine, Postgres, World, WorldOver, checkout, kiosk, matcher, members, operator, payment, peer, slug,
};

pub(crate) fn digits(text: &str) -> Digits {
    Digits::new(Zeroizing::new(text.to_owned())).expect("digits")
}

impl<E: Engine> WorldOver<E> {
    /// Somebody active, with a payment reference and perhaps a code.
    fn coded(&self, vault: &Vault, code: Option<&str>) -> SubjectId {
        let (enrollment, subject, sequence) = self.enroll(vault);
        if let Some(code) = code {
            let call = self.call(1);
            vault.set_second_factor(&kiosk(), &call, enrollment, Kind::Code, &digits(code)).expect("chosen");
        }
        vault.report_verdict(&matcher(), &self.call(0), &members(), sequence, Shard::WHOLE, None).expect("clear");
        vault.bind_payment(&kiosk(), &self.call(0), enrollment, &payment()).expect("bound");
        subject
    }

    fn challenge(&self, lane: &str, best: SubjectId, second: Option<SubjectId>) -> Challenge {
        let member = |subject| Candidate { subject, gallery: members() };
        Challenge {
            id: TicketId::random(&*self.randomness),
            tenant: slug("acme"),
            best: member(best),
            second: second.map(member),
            site: slug("north"),
            device: slug("gate-1"),
            lane: slug(lane),
            expires_at: self.clock.now().after(Duration::from_secs(60)),
        }
    }

    fn sealed_challenge(&self, vault: &Vault, challenge: &Challenge) -> Vec<u8> {
        challenge.seal(&vault.ticket_key(&matcher()).expect("a key"), &*self.randomness)
    }

    fn idempotency(&self) -> IdempotencyId {
        IdempotencyId::random(&*self.randomness)
    }

    /// Somebody types `code` at `lane`, where `best` was not sure enough.
    fn types(&self, vault: &Vault, lane: &str, best: SubjectId, code: &str) -> Outcome {
        self.types_among(vault, lane, (best, None), code)
    }

    fn types_among(&self, vault: &Vault, lane: &str, whom: (SubjectId, Option<SubjectId>), code: &str) -> Outcome {
        let sealed = self.sealed_challenge(vault, &self.challenge(lane, whom.0, whom.1));
        vault.check_second_factor(&matcher(), self.idempotency(), &sealed, &digits(code)).expect("compared")
    }
}

fn locked(seconds: u64) -> Outcome {
    Outcome::LockedOut(Duration::from_secs(seconds))
}

fn story<E: Engine>(world: &WorldOver<E>) {
    let vault = world.open();
    let (anna, ben) = (world.coded(&vault, Some("8074")), world.coded(&vault, Some("51293")));
    assert_eq!(world.types(&vault, "a", anna, "8074"), Outcome::Matched(anna));
    assert_eq!(world.types(&vault, "a", anna, "51293"), Outcome::Refused, "another's digits");
    assert_eq!(world.types_among(&vault, "a", (anna, Some(ben)), "51293"), Outcome::Matched(ben));
    assert_eq!(world.types_among(&vault, "a", (anna, Some(ben)), "8074"), Outcome::Matched(anna));
    drop(vault);
    let vault = world.open();
    assert_eq!(world.types(&vault, "a", ben, "51293"), Outcome::Matched(ben), "after a restart");
}

#[test]
fn digits_are_whose_they_are() {
    story(&World::new());
}

#[test]
fn digits_are_whose_they_are_on_postgresql() {
    story(&WorldOver::<Postgres>::new());
}

/// Whoever types cannot tell these apart: one answer, and as many hashes.
#[tokio::test]
async fn every_wrong_answer_is_the_same_and_as_much_work() {
    let world = World::new();
    let vault = world.open();
    let (coded, plain) = (world.coded(&vault, Some("8074")), world.coded(&vault, None));
    let gone = world.coded(&vault, Some("8074"));
    vault.erase(&operator(), world.call(0), Erase::Subject(gone)).await.expect("erased");
    let (_, pending, _) = world.enroll(&vault);
    let unknown = SubjectId::random(&*world.randomness);
    let cases = [
        ("wrong digits", (coded, None)),
        ("no factor", (plain, None)),
        ("erased", (gone, None)),
        ("unknown", (unknown, None)),
        ("not active", (pending, None)),
        ("two without", (plain, Some(gone))),
    ];
    for (number, (case, whom)) in cases.into_iter().enumerate() {
        let before = vault.second_factor_hashes();
        assert_eq!(world.types_among(&vault, &format!("lane-{number}"), whom, "9631"), Outcome::Refused, "{case}");
        assert_eq!(vault.second_factor_hashes() - before, 2, "{case}");
    }
    let before = vault.second_factor_hashes();
    assert_eq!(world.types(&vault, "b", coded, "8074"), Outcome::Matched(coded));
    assert_eq!(vault.second_factor_hashes() - before, 2, "no fewer for the right ones");
}

#[test]
fn two_with_the_same_digits_are_not_told_apart_by_them() {
    let world = World::new();
    let vault = world.open();
    let (one, other) = (world.coded(&vault, Some("8074")), world.coded(&vault, Some("8074")));
    for _ in 0..4 {
        assert_eq!(world.types_among(&vault, "a", (one, Some(other)), "8074"), Outcome::Refused);
    }
    assert_eq!(world.types(&vault, "a", one, "8074"), Outcome::Matched(one));
}

#[test]
fn a_lane_that_fails_five_times_waits_and_a_restart_forgets_nothing() {
    let world = World::new();
    let vault = world.open();
    let people: Vec<_> = (0..6).map(|_| world.coded(&vault, Some("8074"))).collect();
    for &person in &people[..5] {
        assert_eq!(world.types(&vault, "a", person, "9631"), Outcome::Refused);
    }
    drop(vault);
    let vault = world.open();
    let before = vault.second_factor_hashes();
    assert_eq!(world.types(&vault, "a", people[5], "8074"), locked(30), "the right digits neither");
    assert_eq!(vault.second_factor_hashes(), before, "nothing is compared");
    assert_eq!(world.types(&vault, "b", people[5], "8074"), Outcome::Matched(people[5]), "another lane goes on");
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(world.types(&vault, "a", people[5], "8074"), locked(1));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.types(&vault, "a", people[5], "9631"), Outcome::Refused);
    assert_eq!(world.types(&vault, "a", people[5], "8074"), locked(60), "it grows");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.types(&vault, "a", people[5], "8074"), Outcome::Matched(people[5]));
    assert_eq!(world.types(&vault, "a", people[5], "9631"), Outcome::Refused, "a success starts over");
    assert_eq!(world.types(&vault, "a", people[5], "8074"), Outcome::Matched(people[5]));
}

#[test]
fn somebody_who_is_guessed_at_on_many_lanes_waits_and_nobody_is_told() {
    let world = World::new();
    let vault = world.open();
    let (anna, ben) = (world.coded(&vault, Some("8074")), world.coded(&vault, Some("51293")));
    for lane in 0..5 {
        assert_eq!(world.types(&vault, &format!("lane-{lane}"), anna, "9631"), Outcome::Refused);
    }
    drop(vault);
    let vault = world.open();
    assert_eq!(world.types(&vault, "a", anna, "8074"), Outcome::Refused, "no word of a delay");
    assert_eq!(world.types_among(&vault, "a", (anna, Some(ben)), "51293"), Outcome::Matched(ben), "others go on");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.types(&vault, "a", anna, "8074"), Outcome::Matched(anna), "tries in the delay prolong nothing");
}

#[test]
fn guessing_in_parallel_gains_nothing() {
    let world = World::new();
    let vault = world.open();
    let anna = world.coded(&vault, Some("8074"));
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let guess = |_| scope.spawn(|| world.types(&vault, "a", anna, "9631"));
        let guesses: Vec<_> = (0..12).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().expect("no panic")).collect()
    });
    let refused = outcomes.iter().filter(|&&outcome| outcome == Outcome::Refused).count();
    assert_eq!((refused, outcomes.len() - refused), (5, 7), "{outcomes:?}");
}

#[test]
fn a_challenge_is_answered_once_and_a_repeat_gets_that_answer() {
    let world = World::new();
    let vault = world.open();
    let anna = world.coded(&vault, Some("8074"));
    let challenge = world.challenge("a", anna, None);
    let (sealed, id) = (world.sealed_challenge(&vault, &challenge), world.idempotency());
    let check = |vault: &Vault, id, code| vault.check_second_factor(&matcher(), id, &sealed, &digits(code));
    assert_eq!(check(&vault, id, "9631").expect("compared"), Outcome::Refused);
    let before = vault.second_factor_hashes();
    assert_eq!(check(&vault, id, "8074").expect("a repeat"), Outcome::Refused, "a repeat is no second guess");
    let again = check(&vault, world.idempotency(), "8074");
    assert!(matches!(again, Err(VaultError::ChallengeAnswered)), "{again:?}");
    assert_eq!(vault.second_factor_hashes(), before);
    drop(vault);
    let vault = world.open();
    let again = check(&vault, world.idempotency(), "8074");
    assert!(matches!(again, Err(VaultError::ChallengeAnswered)), "{again:?}");
    // Known for as long as it opens, by any clock; then it opens no more.
    world.clock.advance(Duration::from_secs(60 + 5 * 60));
    let again = check(&vault, id, "8074");
    assert!(matches!(again, Err(VaultError::Challenge(ChallengeError::Expired))), "{again:?}");
    assert_eq!(vault.forget_old().expect("swept"), 0);
    world.clock.advance(Duration::from_secs(80 * 3_600));
    assert!(vault.forget_old().expect("swept") > 0);
}

#[test]
fn what_is_no_challenge_of_this_tenant_is_refused() {
    let world = World::new();
    let vault = world.open();
    let anna = world.coded(&vault, Some("8074"));
    let refusal = |peer, sealed: &[u8]| {
        let checked = vault.check_second_factor(&peer, world.idempotency(), sealed, &digits("8074"));
        checked.expect_err("refused").to_string()
    };
    let challenge = world.challenge("a", anna, None);
    let sealed = world.sealed_challenge(&vault, &challenge);
    let bolt = "spiffe://volar/bolt/north/matcher/matcher-1".parse().expect("a name");
    assert!(refusal(bolt, &sealed).contains("does not authenticate"));
    let mut altered = sealed.clone();
    altered[40] ^= 1;
    assert!(refusal(matcher(), &altered).contains("does not authenticate"));
    let ticket = world.sealed(&vault, anna, Purpose::Admission);
    assert!(refusal(matcher(), &ticket).contains("does not authenticate"), "a ticket is no challenge");
    let claimed = vault.claim(&checkout(), &world.call(0), &sealed).expect_err("a challenge is no ticket");
    assert!(claimed.to_string().contains("does not authenticate"), "{claimed}");
    // Of a gallery that she is not in.
    let elsewhere = Challenge { best: Candidate { subject: anna, gallery: slug("staff") }, ..challenge };
    let sealed = world.sealed_challenge(&vault, &elsewhere);
    let outcome = vault.check_second_factor(&matcher(), world.idempotency(), &sealed, &digits("8074"));
    assert_eq!(outcome.expect("compared"), Outcome::Refused);
}

/// The ticket that a matcher makes of a match has the challenge's id, so that however often it is made it is claimed once.
#[test]
fn tickets_of_one_challenge_are_claimed_once() {
    let world = World::new();
    let vault = world.open();
    let anna = world.coded(&vault, Some("8074"));
    let challenge = world.challenge("a", anna, None);
    let key = vault.ticket_key(&matcher()).expect("a key");
    let tickets = [(); 2].map(|()| {
        let ticket = Ticket { id: challenge.id, ..world.ticket(anna, Purpose::Admission) };
        ticket.seal(&key, &*world.randomness)
    });
    vault.claim(&checkout(), &world.call(0), &tickets[0]).expect("claimed");
    let again = vault.claim(&checkout(), &world.call(0), &tickets[1]);
    assert!(matches!(again, Err(VaultError::TicketAlreadyClaimed)), "{again:?}");
}

#[test]
fn a_factor_is_chosen_once_before_the_visit_ends() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, _, sequence) = world.enroll(&vault);
    let set = |call: &_, code| vault.set_second_factor(&kiosk(), call, enrollment, Kind::Code, &digits(code));
    let stranger = peer("kiosk", "kiosk-2");
    let call = world.call(1);
    let another = vault.set_second_factor(&stranger, &call, enrollment, Kind::Code, &digits("8074"));
    assert!(matches!(another, Err(VaultError::EnrollmentUnknown)), "{another:?}");
    let weak = set(&call, "1234");
    assert!(matches!(weak, Err(VaultError::Field { field: "second_factor.digits", .. })), "{weak:?}");
    let state = set(&call, "8074").expect("chosen");
    assert_eq!(set(&call, "8074").expect("a repeat"), state);
    let conflict = set(&call, "51293");
    assert!(matches!(conflict, Err(VaultError::IdempotencyConflict)), "other digits: {conflict:?}");
    let twice = set(&world.call(1), "51293");
    assert!(matches!(twice, Err(VaultError::SecondFactorAlreadySet)), "{twice:?}");

    let (late, _, later) = world.enroll(&vault);
    for sequence in [sequence, later] {
        vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("clear");
    }
    vault.bind_payment(&kiosk(), &world.call(0), late, &payment()).expect("bound");
    let finished = vault.set_second_factor(&kiosk(), &world.call(1), late, Kind::Code, &digits("8074"));
    assert!(matches!(finished, Err(VaultError::EnrollmentFinished)), "{finished:?}");
}

#[tokio::test]
async fn every_outcome_is_a_leaf_and_the_export_tells_the_kind_alone() {
    let world = World::new();
    let vault = world.open();
    let (anna, ben) = (world.coded(&vault, Some("8074")), world.coded(&vault, None));
    let begun = vault.audit_head(&operator(), 0).expect("signed").head.head().size;
    world.types(&vault, "a", anna, "9631");
    world.types(&vault, "a", anna, "8074");
    world.types_among(&vault, "a", (anna, Some(ben)), "9631");
    world.types(&vault, "a", SubjectId::random(&*world.randomness), "9631");
    let texts = vault.audit_leaves(&operator(), begun, 100).expect("readable");
    let leaves: Vec<Leaf> = texts.iter().map(|text| Leaf::parse(text).expect("a leaf")).collect();
    let told: Vec<_> = leaves.iter().map(|leaf| (leaf.outcome.as_str(), leaf.subject.is_some())).collect();
    assert_eq!(told, [("refused", true), ("done", true), ("refused", true), ("refused", true), ("refused", false)]);
    for leaf in &leaves {
        assert_eq!((leaf.action, leaf.actor.as_str()), (Action::SecondFactor, "matcher/north/matcher-1"));
        assert_eq!(leaf.detail, "north/a");
    }
    let exported = vault.export_subject(&operator(), &world.call(0), anna, false).expect("exported");
    assert_eq!(exported.second_factor, Some(Kind::Code));
    assert!(exported.leaves.iter().any(|(leaf, _)| leaf.contains("outcome refused")), "she sees who tried");
    let exported = vault.export_subject(&operator(), &world.call(0), ben, false).expect("exported");
    assert_eq!(exported.second_factor, None);
}

#[tokio::test]
async fn the_services_speak_of_second_factors() {
    let world = World::new();
    let vault = world.open();
    let enrolling = Enrollment(vault.clone());
    let (enrollment, subject, sequence) = world.enroll(&vault);
    let request = |digits: &str, kind: wire::SecondFactorKind| wire::SetSecondFactorRequest {
        idempotency_id: id(&world),
        enrollment_id: enrollment.to_string(),
        second_factor: Some(wire::SecondFactor { kind: kind.into(), digits: digits.to_owned() }),
    };
    let kinds = [wire::SecondFactorKind::Unspecified, wire::SecondFactorKind::PhoneDigits];
    for (digits, kind) in [("8074", kinds[0]), ("80745", kinds[1]), ("80", kinds[1]), ("80x4", kinds[1])] {
        let refused = enrolling.set_second_factor(from(kiosk(), request(digits, kind))).await;
        assert_eq!(reason(refused), (Code::InvalidArgument, "FIELD_INVALID".to_owned()), "{digits}");
    }
    let asked = request("8074", kinds[1]);
    enrolling.set_second_factor(from(kiosk(), asked.clone())).await.expect("chosen");
    enrolling.set_second_factor(from(kiosk(), asked.clone())).await.expect("a repeat");
    let factor = Some(wire::SecondFactor { kind: kinds[1].into(), digits: "8075".to_owned() });
    let other = wire::SetSecondFactorRequest { second_factor: factor, ..asked };
    let conflict = enrolling.set_second_factor(from(kiosk(), other)).await;
    assert_eq!(reason(conflict), (Code::AlreadyExists, "IDEMPOTENCY_CONFLICT".to_owned()));

    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("clear");
    let checking = SecondFactor(vault.clone());
    let challenge = world.sealed_challenge(&vault, &world.challenge("a", subject, None));
    let check = |challenge: &[u8], digits: &str| wire::CheckSecondFactorRequest {
        idempotency_id: id(&world),
        challenge: challenge.to_vec(),
        digits: digits.to_owned(),
    };
    for (challenge, digits, code, word) in [
        (&challenge[..], "80", Code::InvalidArgument, "FIELD_INVALID"),
        (&challenge[..9], "8074", Code::InvalidArgument, "CHALLENGE_MALFORMED"),
        (&[1; 80], "8074", Code::PermissionDenied, "CHALLENGE_FORGED"),
    ] {
        let refused = checking.check_second_factor(from(matcher(), check(challenge, digits))).await;
        assert_eq!(reason(refused), (code, word.to_owned()));
    }
    let answer = checking.check_second_factor(from(matcher(), check(&challenge, "8074"))).await.expect("compared");
    let matched = wire::FactorMatched { subject_id: subject.as_bytes().to_vec() };
    assert_eq!(answer.into_inner().outcome, Some(wire::check_second_factor_response::Outcome::Matched(matched)));
    let spent = checking.check_second_factor(from(matcher(), check(&challenge, "8074"))).await;
    assert_eq!(reason(spent), (Code::AlreadyExists, "CHALLENGE_ANSWERED".to_owned()));
}
