//! Ways out.

use std::time::Duration;

use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::format::v1::State;
use volar_vault::parameters::SCAN_ROWS;

use volar_vault::feed::Wanted;

use crate::world::{World, checkout, kiosk, matcher, members, operator, payment, peer, slug};

#[tokio::test]
async fn an_erased_person_is_gone_and_the_receipt_stays() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let (ticket, late) =
        (world.sealed(&vault, subject, Purpose::Admission), world.sealed(&vault, subject, Purpose::Admission));
    let claimed = world.call(0);
    vault.claim(&checkout(), &claimed, &ticket).expect("claimed");
    let call = world.call(0);
    let receipt = vault.erase(&operator(), call, Erase::Subject(subject)).await.expect("erased");
    let again = vault.erase(&operator(), call, Erase::Subject(subject)).await.expect("the same answer");
    assert_eq!(receipt, again);
    let other = vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased before");
    assert_eq!(receipt, other);
    assert!(matches!(vault.claim(&checkout(), &world.call(0), &late), Err(VaultError::SubjectErased)));
    assert!(matches!(vault.claim(&checkout(), &claimed, &ticket), Err(VaultError::SubjectErased)));
    assert!(vault.subjects(&operator(), &members(), None, 0, "").expect("readable").subjects.is_empty());
    drop(vault);
    let vault = world.open();
    let after = vault.erase(&operator(), call, Erase::Subject(subject)).await.expect("after a restart too");
    assert_eq!(receipt, after);
    let unknown = volar_core::id::SubjectId::from_bytes([1; 16]);
    let refused = vault.erase(&operator(), world.call(0), Erase::Subject(unknown)).await;
    assert!(matches!(refused, Err(VaultError::SubjectUnknown)));
}

#[tokio::test]
async fn an_erasure_waits_for_connected_matchers() {
    let mut world = World::new();
    world.settings.erasure_wait = Duration::from_secs(30);
    let vault = world.open();
    let subject = world.member(&vault);
    let _here = vault.follow(&matcher(), &members(), 1, Wanted::Events(Shard::WHOLE)).expect("followed");
    drop(vault.follow(&peer("matcher", "away"), &members(), 1, Wanted::Events(Shard::WHOLE)).expect("followed"));
    let erasing = tokio::spawn({
        let (vault, call) = (vault.clone(), world.call(0));
        async move { vault.erase(&operator(), call, Erase::Subject(subject)).await }
    });
    while vault.events(&matcher(), &members(), Shard::WHOLE, 3, 1).expect("readable").0.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!erasing.is_finished(), "answered before the matcher had taken it in");
    vault.acknowledge(&matcher(), &members(), 3).expect("taken");
    let receipt = erasing.await.expect("no panic").expect("erased");
    assert_eq!(receipt.confirmed, [slug("matcher-1")]);
    assert_eq!(receipt.pending, [slug("away")]);
}

#[tokio::test]
async fn a_kiosk_cancels_what_it_has_not_finished() {
    let world = World::new();
    let vault = world.open();
    let cancel = |peer, enrollment| {
        let (vault, call) = (vault.clone(), world.call(0));
        async move { vault.erase(&peer, call, Erase::Cancel(enrollment)).await }
    };
    let (enrollment, _, sequence) = world.enroll(&vault);
    let refused = cancel(peer("kiosk", "kiosk-2"), enrollment).await;
    assert!(matches!(refused, Err(VaultError::EnrollmentUnknown)));
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("taken");
    cancel(kiosk(), enrollment).await.expect("active, but payment is to follow");
    assert_eq!(vault.standing(&kiosk(), enrollment).expect("known").state, None);

    let (enrollment, _, sequence) = world.enroll(&vault);
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("taken");
    assert!(matches!(cancel(kiosk(), enrollment).await, Err(VaultError::EnrollmentFinished)));
}

#[tokio::test]
async fn a_palm_withdraws_itself_where_it_asked() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let withdraw = |peer, ticket| {
        let (vault, call) = (vault.clone(), world.call(0));
        async move { vault.erase(&peer, call, Erase::Withdraw(ticket)).await }
    };
    let admission = world.sealed(&vault, subject, Purpose::Admission);
    assert!(matches!(withdraw(kiosk(), admission).await, Err(VaultError::PurposeMismatch { .. })));
    let ticket = world.sealed(&vault, subject, Purpose::Withdrawal);
    let elsewhere = withdraw(peer("kiosk", "kiosk-2"), ticket.clone()).await;
    assert!(matches!(elsewhere, Err(VaultError::TicketOfAnotherDevice)));
    withdraw(kiosk(), ticket).await.expect("erased");
    assert_eq!(vault.status(&operator()).expect("readable")[0].head.active, 0);
}

#[test]
fn enrollments_that_nobody_finishes_are_erased_in_time() {
    let world = World::new();
    let vault = world.open();
    let (abandoned, _, sequence) = world.enroll(&vault);
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("taken");
    let finished = world.member(&vault);
    let without = vault.enroll(&kiosk(), &world.call(0), &world.request(false)).expect("enrolled");
    world.clock.advance(world.settings.payment_deadline - Duration::from_millis(1));
    assert_eq!(vault.sweep().expect("swept"), 0);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(vault.sweep().expect("swept"), 1);
    assert_eq!(vault.sweep().expect("swept"), 0);
    assert_eq!(vault.standing(&kiosk(), abandoned).expect("known").state, None);
    assert_eq!(vault.standing(&kiosk(), without).expect("known").state, Some(State::Pending));
    let active = vault.subjects(&operator(), &members(), Some(State::Active), 0, "").expect("readable").subjects;
    assert_eq!(active.iter().map(|(subject, _)| *subject).collect::<Vec<_>>(), [finished]);
}

#[test]
fn people_of_a_tenant_that_is_not_configured_keep_nobody_else_from_being_swept() {
    let mut world = World::new();
    let vault = world.open();
    let elsewhere = "spiffe://volar/bolt/north/kiosk/kiosk-1".parse().expect("a peer");
    for _ in 0..=SCAN_ROWS {
        vault.enroll(&elsewhere, &world.call(0), &world.request(true)).expect("enrolled");
    }
    world.clock.advance(Duration::from_millis(1));
    world.enroll(&vault);
    drop(vault);
    let bolt = world.settings.tenants.remove(1);
    let vault = world.open();
    world.clock.advance(world.settings.payment_deadline);
    assert_eq!(vault.sweep().expect("swept"), 1);
    drop(vault);
    world.settings.tenants.push(bolt);
    let vault = world.open();
    assert_eq!(vault.sweep().expect("swept"), SCAN_ROWS + 1, "their time is over when the tenant is back");
}

#[tokio::test]
async fn an_enrollment_finished_without_payment_stays() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, _, sequence) = world.enroll(&vault);
    vault.report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None).expect("taken");
    let state = vault.finish_without_payment(&kiosk(), &world.call(0), enrollment).expect("finished");
    assert_eq!(state, Some(State::Active));
    world.clock.advance(world.settings.payment_deadline);
    assert_eq!(vault.sweep().expect("swept"), 0);
    let cancelled = vault.erase(&kiosk(), world.call(0), Erase::Cancel(enrollment)).await;
    assert!(matches!(cancelled, Err(VaultError::EnrollmentFinished)));
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("a payment may still be bound");
    let second = vault.finish_without_payment(&kiosk(), &world.call(0), enrollment);
    assert!(matches!(second, Err(VaultError::PaymentAlreadyBound)));
}

#[tokio::test]
async fn a_slot_of_the_erased_serves_the_next_and_nobody_reads_another() {
    let world = World::new();
    let vault = world.open();
    let first: Vec<_> = (0..4).map(|_| world.member(&vault)).collect();
    let length = || std::fs::metadata(world.path("keys")).expect("there").len();
    let before = length();
    for subject in &first[..2] {
        vault.erase(&operator(), world.call(0), Erase::Subject(*subject)).await.expect("erased");
    }
    let later: Vec<_> = (0..3).map(|_| world.member(&vault)).collect();
    assert_eq!(length(), before);
    drop(vault);
    let vault = world.open();
    for subject in first[2..].iter().chain(&later) {
        let ticket = world.sealed(&vault, *subject, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket).expect("readable");
    }
}
