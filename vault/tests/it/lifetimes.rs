//! What is kept for a time only, with a clock that is stepped: a repeat gets its answer until then, and is refused by
//! name afterwards; a ticket is never claimed twice.

use std::time::Duration;

use volar_core::clock::Clock;
use volar_core::id::SubjectId;
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, TicketError};
use volar_vault::admin::ReviewDecision;
use volar_vault::config::Config;
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::format::v1::State;
use volar_vault::parameters::CLOCK_DIFFERENCE_MAX;

use super::World;
use crate::world::{checkout, kiosk, matcher, members, operator, payment, suspicion};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn an_answer_is_repeated_until_its_time_is_over_and_forgotten_then() {
    let world = World::new();
    let vault = world.open();
    let (call, request) = (world.call(0), world.request(false));
    let enrollment = vault.enroll(&kiosk(), &call, &request).expect("enrolled");
    world.clock.advance(world.settings.answer_lifetime - MOMENT);
    assert_eq!(vault.forget_old().expect("swept"), 0);
    assert_eq!(vault.enroll(&kiosk(), &call, &request).expect("a repeat"), enrollment);
    world.clock.advance(MOMENT);
    assert_eq!(vault.forget_old().expect("swept"), 1);
    assert_eq!(vault.forget_old().expect("swept"), 0);
    drop(vault);
    let vault = world.open();
    let again = vault.enroll(&kiosk(), &call, &request);
    assert!(matches!(again, Err(VaultError::ConsentStale { hours: 72 })), "{again:?}");
    assert_eq!(vault.standing(&kiosk(), enrollment).expect("known").state, Some(State::Pending), "it enrolled once");
    assert_eq!(world.feed(&vault).len(), 1);
}

/// Every other writing call, repeated after its answer is forgotten.
#[tokio::test]
async fn a_repeat_too_late_meets_the_rule_of_its_call() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, subject, sequence) = world.enroll(&vault);
    let (verdict, bind, review) = (world.call(0), world.call(0), world.call(0));
    let report = || {
        vault.report_verdict(
            &matcher(),
            &verdict,
            &members(),
            sequence,
            Shard::WHOLE,
            Some(suspicion(SubjectId::from_bytes([1; 16]))),
        )
    };
    assert_eq!(report().expect("taken"), Some(State::InReview));
    let by = operator();
    let decide = || vault.decide_review(&by, review, subject, ReviewDecision::DifferentPerson);
    assert_eq!(decide().await.expect("decided"), Some(State::Active));
    vault.bind_payment(&kiosk(), &bind, enrollment, &payment()).expect("bound");
    let (claim, ticket) = (world.call(0), world.sealed(&vault, subject, Purpose::Admission));
    vault.claim(&checkout(), &claim, &ticket).expect("claimed");

    world.clock.advance(world.settings.answer_lifetime);
    assert_eq!(vault.forget_old().expect("swept"), 5, "four answers here, and that of the enrollment");
    let events = world.feed(&vault).len();
    assert_eq!(report().expect("nothing is left to judge"), Some(State::Active));
    assert!(matches!(decide().await, Err(VaultError::NotInReview)));
    let bound = vault.bind_payment(&kiosk(), &bind, enrollment, &payment());
    assert!(matches!(bound, Err(VaultError::PaymentAlreadyBound)));
    let claimed = vault.claim(&checkout(), &claim, &ticket);
    assert!(matches!(claimed, Err(VaultError::Ticket(TicketError::Expired))), "{claimed:?}");
    assert_eq!(world.feed(&vault).len(), events, "a repeat too late changes nothing");

    let (erase, withdrawal) = (world.call(0), world.sealed(&vault, subject, Purpose::Withdrawal));
    let receipt = vault.erase(&operator(), erase, Erase::Subject(subject)).await.expect("erased");
    world.clock.advance(world.settings.answer_lifetime);
    vault.forget_old().expect("swept");
    let again = vault.erase(&operator(), erase, Erase::Subject(subject)).await.expect("the tombstone stays");
    assert_eq!(again, receipt);
    let withdrawn = vault.erase(&kiosk(), world.call(0), Erase::Withdraw(withdrawal)).await;
    assert!(matches!(withdrawn, Err(VaultError::Ticket(TicketError::Expired))));
}

/// At every step of a clock that runs far past all lifetimes, and that is wrong by a day to either side now and then.
#[test]
fn a_ticket_is_never_claimed_twice_whatever_is_forgotten() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let made_at = world.clock.now();
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let first = world.call(0);
    vault.claim(&checkout(), &first, &ticket).expect("claimed");
    let other = || vault.claim(&checkout(), &world.call(0), &ticket).expect_err("claimed before");
    let kept = world.settings.ticket_lifetime + CLOCK_DIFFERENCE_MAX + world.settings.answer_lifetime;
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    for hours in 0..kept.as_secs() / 3_600 {
        let now = made_at.after(hour * u32::try_from(hours).expect("few"));
        world.clock.set(now);
        vault.forget_old().expect("swept");
        let refused = other();
        let expired = matches!(refused, VaultError::Ticket(TicketError::Expired));
        assert!(expired || matches!(refused, VaultError::TicketAlreadyClaimed), "after {hours} h: {refused}");
        // Set right again after a day ahead: what is forgotten meanwhile must not be missing now.
        if now.since(made_at) + day < kept {
            world.clock.set(now.after(day));
            vault.forget_old().expect("swept");
            world.clock.set(made_at);
            assert!(matches!(other(), VaultError::TicketAlreadyClaimed), "after {hours} h and a day ahead");
        }
    }
    world.clock.set(made_at.after(kept - MOMENT));
    vault.forget_old().expect("swept");
    world.clock.set(made_at);
    assert!(matches!(other(), VaultError::TicketAlreadyClaimed), "kept to the last moment");
    world.clock.set(made_at.after(kept));
    assert_eq!(vault.forget_old().expect("swept"), 1, "the claim itself");
    assert!(matches!(other(), VaultError::Ticket(TicketError::Expired)));
}

#[test]
fn thousands_of_records_are_forgotten_at_once() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    vault.forget_old().expect("swept");
    for _ in 0..600 {
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
    }
    world.clock.advance(world.settings.answer_lifetime * 2);
    assert_eq!(
        vault.forget_old().expect("swept"),
        2 * 600 + 3,
        "answers and claims, and those of the member's own visit"
    );
    assert_eq!(vault.forget_old().expect("swept"), 0);
}

#[test]
fn no_configuration_forgets_answers_before_their_tickets_end() {
    let text = volar_vault::config::DEFAULTS.replace("lifetime_seconds = 900", "lifetime_seconds = 86400");
    for hours in [24, 25, 720, 721] {
        let text = text.replace("lifetime_hours = 72", &format!("lifetime_hours = {hours}"));
        let config: Config = toml::from_str(&text).expect("valid");
        match config.settings() {
            Ok(settings) => assert!(settings.answer_lifetime > settings.ticket_lifetime + CLOCK_DIFFERENCE_MAX),
            Err(error) => assert!(!(25..=720).contains(&hours), "{hours}: {error}"),
        }
    }
}
