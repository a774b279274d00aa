//! Ways in and through.

use std::time::Duration;

use volar_core::clock::Clock;
use volar_core::id::SubjectId;
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, TicketError, TicketKey};
use volar_vault::admin::ReviewDecision;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::format::v1::State;

use super::World;
use crate::world::{checkout, kiosk, matcher, members, operator, payment, peer, slug, suspicion};

#[test]
fn a_person_enrols_walks_in_and_pays_and_all_of_it_survives_a_restart() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, subject, sequence) = world.enroll(&vault);
    assert_eq!(vault.standing(&kiosk(), enrollment).expect("known").state, Some(State::Pending));
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("reported");
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let call = world.call(0);
    let first = vault.claim(&checkout(), &call, &ticket).expect("claimed");
    assert!(first.payment == payment());
    assert_eq!(first.ticket.lane, slug("lane-1"));
    drop(vault);

    let vault = world.open();
    let standing = vault.standing(&kiosk(), enrollment).expect("known");
    assert_eq!((standing.state, standing.payment_bound), (Some(State::Active), true));
    let again = vault.claim(&checkout(), &call, &ticket).expect("the same call, the same answer");
    assert!(again.payment == payment());
    assert_eq!((again.claimed_at, again.pseudonym), (first.claimed_at, first.pseudonym));
    let news: Vec<_> = world.feed(&vault).into_iter().map(|item| (item.sequence, item.news)).collect();
    assert!(matches!(news[..], [(1, News::Enrolled { probes: None, .. }), (2, News::Activated)]), "{news:?}");
}

#[test]
fn a_ticket_is_claimed_once() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let call = world.call(1);
    vault.claim(&checkout(), &call, &ticket).expect("claimed");
    let claim = |peer, call| vault.claim(&peer, &call, &ticket).expect_err("must be refused");
    assert!(matches!(claim(checkout(), world.call(1)), VaultError::TicketAlreadyClaimed));
    assert!(matches!(claim(peer("checkout", "other"), call), VaultError::TicketAlreadyClaimed));
    let other_body = volar_vault::vault::Call { body_sha256: [2; 32], ..call };
    assert!(matches!(claim(checkout(), other_body), VaultError::IdempotencyConflict));
    // Even after it has expired, the call that claimed it may ask again.
    world.clock.advance(Duration::from_secs(100_000));
    vault.claim(&checkout(), &call, &ticket).expect("the same answer");
}

#[test]
fn only_a_good_ticket_is_claimed() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let key = vault.ticket_key(&matcher()).expect("a key");
    let good = world.ticket(subject, Purpose::Admission);
    let refused = |sealed: &[u8]| vault.claim(&checkout(), &world.call(0), sealed).expect_err("must be refused");

    let sealed = good.seal(&key, &*world.randomness);
    for at in [5, 20, sealed.len() - 1] {
        let mut tampered = sealed.clone();
        tampered[at] ^= 1;
        assert!(matches!(refused(&tampered), VaultError::Ticket(TicketError::Forged)), "byte {at}");
    }
    assert!(matches!(refused(b"ticket"), VaultError::Ticket(TicketError::Malformed)));
    assert!(matches!(refused(&[]), VaultError::Ticket(TicketError::Malformed)));

    // Another tenant's key; and another tenant's name under one's own key.
    let bolt = "spiffe://volar/bolt/north/matcher/matcher-1".parse().expect("a peer");
    let foreign = good.seal(&vault.ticket_key(&bolt).expect("a key"), &*world.randomness);
    assert!(matches!(refused(&foreign), VaultError::Ticket(TicketError::Forged)));
    let mut renamed = good.clone();
    renamed.tenant = slug("bolt");
    assert!(matches!(refused(&renamed.seal(&key, &*world.randomness)), VaultError::Ticket(TicketError::Forged)));

    // An epoch that has not begun, sealed under its right key.
    let mut early = good.clone();
    early.expires_at = early.expires_at.after(TicketKey::EPOCH * 9);
    world.clock.advance(TicketKey::EPOCH * 3);
    let later = vault.ticket_key(&matcher()).expect("a key");
    world.clock.set(good.decided_at);
    assert!(matches!(refused(&early.seal(&later, &*world.randomness)), VaultError::Ticket(TicketError::Forged)));

    let withdrawal = world.sealed(&vault, subject, Purpose::Withdrawal);
    assert!(matches!(refused(&withdrawal), VaultError::PurposeMismatch { .. }));
    let nobody = world.sealed(&vault, SubjectId::from_bytes([9; 16]), Purpose::Admission);
    assert!(matches!(refused(&nobody), VaultError::SubjectUnknown));

    world.clock.advance(world.settings.ticket_lifetime);
    assert!(matches!(refused(&sealed), VaultError::Ticket(TicketError::Expired)));
    // Days later its key is out of use, which is expiry too.
    world.clock.advance(TicketKey::EPOCH * 3);
    assert!(matches!(refused(&sealed), VaultError::Ticket(TicketError::Expired)));
}

#[test]
fn a_ticket_sealed_before_midnight_is_claimed_after() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let day = TicketKey::EPOCH.as_millis() as u64;
    let left = Duration::from_millis(day - world.clock.now().unix_milliseconds() % day);
    world.clock.advance(left - Duration::from_secs(1));
    let before = vault.ticket_key(&matcher()).expect("a key").epoch;
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(vault.ticket_key(&matcher()).expect("a key").epoch, before + 1);
    vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
}

#[test]
fn claims_need_an_active_person_with_a_payment_reference() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, subject, sequence) = world.enroll(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let claim = || vault.claim(&checkout(), &world.call(0), &ticket);
    assert!(matches!(claim(), Err(VaultError::EnrollmentNotActive)));
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("reported");
    assert!(matches!(claim(), Err(VaultError::NoPaymentReference)));
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    claim().expect("a refusal uses the ticket up no more than it must");
}

#[test]
fn pseudonyms_are_stable_at_one_checkout_and_unrelated_between_two() {
    let world = World::new();
    let vault = world.open();
    let (anna, ben) = (world.member(&vault), world.member(&vault));
    let at = |peer, subject| {
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        vault.claim(&peer, &world.call(0), &ticket).expect("claimed").pseudonym
    };
    let first = at(checkout(), anna);
    assert_eq!(first, at(checkout(), anna));
    assert_ne!(first, at(checkout(), ben));
    assert_ne!(first, at(peer("checkout", "checkout-2"), anna));
    assert!(!first.contains(&anna.to_string()[..8]));
}

#[test]
fn every_matcher_must_have_searched_and_one_suspicion_is_enough() {
    let mut world = World::new();
    world.settings.verdicts_required = 2;
    let vault = world.open();
    let report = |device, sequence, duplicate| {
        vault
            .report_verdict(&peer("matcher", device), &world.call(0), &members(), sequence, Shard::WHOLE, duplicate)
            .expect("taken")
    };
    let (_, anna, one) = world.enroll(&vault);
    assert_eq!(report("m-1", one, None), Some(State::Pending));
    assert_eq!(report("m-1", one, None), Some(State::Pending), "one matcher's word counts once");
    assert_eq!(report("m-2", one, None), Some(State::Active));
    let (_, ben, two) = world.enroll(&vault);
    assert_eq!(report("m-1", two, Some(suspicion(anna))), Some(State::InReview));
    assert_eq!(report("m-2", two, None), Some(State::InReview), "a later word does not end a review");
    let page = vault.subjects(&operator(), &members(), Some(State::InReview), 0, "").expect("readable");
    assert_eq!(page.subjects.len(), 1);
    assert_eq!(page.subjects[0].0, ben);
    assert_eq!(page.subjects[0].1.suspicion(), Some(suspicion(anna)), "whom, and by what score");
}

#[tokio::test]
async fn a_review_ends_in_activation_or_erasure() {
    let world = World::new();
    let vault = world.open();
    let anna = world.member(&vault);
    let suspect = || {
        let (enrollment, subject, sequence) = world.enroll(&vault);
        let state =
            vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, Some(suspicion(anna)));
        assert_eq!(state.expect("taken"), Some(State::InReview));
        (enrollment, subject)
    };
    let decide = |subject, decision| {
        let (vault, call) = (vault.clone(), world.call(0));
        async move { vault.decide_review(&operator(), call, subject, decision).await }
    };
    let (_, twin) = suspect();
    assert_eq!(decide(twin, ReviewDecision::DifferentPerson).await.expect("decided"), Some(State::Active));
    let again = decide(twin, ReviewDecision::SamePerson).await;
    assert!(matches!(again, Err(VaultError::NotInReview)));
    let (enrollment, double) = suspect();
    assert_eq!(decide(double, ReviewDecision::SamePerson).await.expect("decided"), None);
    assert_eq!(vault.standing(&kiosk(), enrollment).expect("known").state, None);
    assert_eq!(vault.status(&operator()).expect("readable")[0].head.active, 2);
}

#[test]
fn a_repeated_call_has_one_effect_and_one_answer() {
    let world = World::new();
    let vault = world.open();
    let (call, request) = (world.call(1), world.request(true));
    let enrollment = vault.enroll(&kiosk(), &call, &request).expect("enrolled");
    assert_eq!(vault.enroll(&kiosk(), &call, &request).expect("the same answer"), enrollment);
    let other_body = volar_vault::vault::Call { body_sha256: [2; 32], ..call };
    assert!(matches!(vault.enroll(&kiosk(), &other_body, &request), Err(VaultError::IdempotencyConflict)));
    assert_eq!(world.feed(&vault).len(), 1);
    drop(vault);
    let vault = world.open();
    assert_eq!(vault.enroll(&kiosk(), &call, &request).expect("after a restart too"), enrollment);

    let call = world.call(1);
    vault.bind_payment(&kiosk(), &call, enrollment, &payment()).expect("bound");
    vault.bind_payment(&kiosk(), &call, enrollment, &payment()).expect("the same answer");
    let second = vault.bind_payment(&kiosk(), &world.call(1), enrollment, &payment());
    assert!(matches!(second, Err(VaultError::PaymentAlreadyBound)));

    let call = world.call(1);
    let report = |call, duplicate| vault.report_verdict(&matcher(), call, &members(), 1, Shard::WHOLE, duplicate);
    assert_eq!(report(&call, None).expect("taken"), Some(State::Active));
    assert_eq!(report(&call, None).expect("the same answer"), Some(State::Active));
    let unknown = vault.report_verdict(&matcher(), &world.call(0), &members(), 2, Shard::WHOLE, None);
    assert!(matches!(unknown, Err(VaultError::NotAnEnrollment { sequence: 2 })));
}

#[test]
fn the_same_call_from_many_threads_enrols_once() {
    let world = World::new();
    let vault = world.open();
    let (call, request) = (world.call(1), world.request(true));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| vault.enroll(&kiosk(), &call, &request))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("enrolled")).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.feed(&vault).len(), 1);
}

#[test]
fn every_tenant_and_every_kiosk_sees_its_own_only() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, subject, _) = world.enroll(&vault);
    let bolt = |role: &str| format!("spiffe://volar/bolt/north/{role}/{role}-1").parse().expect("a peer");
    assert!(matches!(vault.standing(&bolt("kiosk"), enrollment), Err(VaultError::EnrollmentUnknown)));
    let other_kiosk = peer("kiosk", "kiosk-2");
    assert!(matches!(vault.standing(&other_kiosk, enrollment), Err(VaultError::EnrollmentUnknown)));
    let bound = vault.bind_payment(&other_kiosk, &world.call(0), enrollment, &payment());
    assert!(matches!(bound, Err(VaultError::EnrollmentUnknown)));
    assert!(vault.events(&bolt("matcher"), &members(), Shard::WHOLE, 1, 10).expect("readable").0.is_empty());
    assert!(vault.subjects(&bolt("operator"), &members(), None, 0, "").expect("readable").subjects.is_empty());
    let (ours, theirs) = (vault.protection(&slug("acme"), &members()), vault.protection(&slug("bolt"), &members()));
    assert_ne!(ours.expect("known").key.expose(), theirs.expect("known").key.expose());
    let nobody = "spiffe://volar/nobody/north/kiosk/kiosk-1".parse().expect("a peer");
    let refused = vault.enroll(&nobody, &world.call(0), &world.request(true));
    assert!(matches!(refused, Err(VaultError::TenantUnknown { .. })));
    assert!(matches!(vault.protection(&slug("acme"), &slug("staff")), Err(VaultError::GalleryUnknown { .. })));
    let _ = subject;
}

#[test]
fn listings_come_in_pages() {
    let world = World::new();
    let vault = world.open();
    let mut all: Vec<_> = (0..3).map(|_| world.member(&vault)).collect();
    all.extend((0..4).map(|_| world.enroll(&vault).1));
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = vault.subjects(&operator(), &members(), None, 2, &token).expect("readable");
        assert!(page.subjects.len() <= 2);
        seen.extend(page.subjects.into_iter().map(|(subject, _)| subject));
        token = page.next;
        if token.is_empty() {
            break;
        }
    }
    seen.sort();
    all.sort();
    assert_eq!(seen, all);
    let active = vault.subjects(&operator(), &members(), Some(State::Active), 0, "").expect("readable");
    assert_eq!(active.subjects.len(), 3);
    let head = vault.status(&operator()).expect("readable")[0].head;
    assert_eq!((head.pending, head.active, head.in_review, head.last_sequence), (4, 3, 0, 10));
    let bad = vault.subjects(&operator(), &members(), None, 0, "zz");
    assert!(matches!(bad, Err(VaultError::Field { field: "page_token", .. })));
    let bad = vault.subjects(&operator(), &members(), None, 1_001, "");
    assert!(matches!(bad, Err(VaultError::Field { field: "page_size", .. })));
}
