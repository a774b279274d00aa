//! A clock that jumps, back an hour or forward a day, while people are on their way: nothing acknowledged is lost, no
//! ticket is claimed twice, no call has its effect twice, and what is refused is refused by name.

use std::time::Duration;

use volar_core::clock::{Clock, Timestamp};
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, TicketError};
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::format::v1::State;
use volar_vault::vault::{Call, Vault};

use crate::world::{World, checkout, kiosk, matcher, members, operator, payment};

const HOUR: i64 = 3_600;

/// Seconds that the clock jumps by.
const JUMPS: [i64; 6] = [-24 * HOUR, -HOUR, -1, 1, HOUR, 24 * HOUR];

fn jump(world: &World, seconds: i64) {
    let now = world.clock.now().unix_milliseconds();
    let by = seconds.unsigned_abs() * 1_000;
    world.clock.set(Timestamp::from_unix_milliseconds(if seconds < 0 { now - by } else { now + by }));
}

fn housekeeping(vault: &Vault) -> usize {
    vault.forget_old().expect("swept");
    vault.run_retention_for_all().expect("run");
    vault.sweep().expect("swept")
}

#[test]
fn a_call_and_its_repeat_have_one_effect_on_both_sides_of_a_jump() {
    for seconds in JUMPS {
        let world = World::new();
        let vault = world.open();
        let (call, request) = (world.call(0), world.request(false));
        let enrollment = vault.enroll(&kiosk(), &call, &request).expect("enrolled");
        jump(&world, seconds);
        housekeeping(&vault);
        assert_eq!(vault.enroll(&kiosk(), &call, &request).expect("a repeat"), enrollment, "{seconds}");
        jump(&world, -seconds);
        housekeeping(&vault);
        assert_eq!(vault.enroll(&kiosk(), &call, &request).expect("a repeat"), enrollment, "{seconds}");
        assert_eq!(world.feed(&vault).len(), 1, "{seconds}");
        drop(vault);
        let vault = world.open();
        assert_eq!(vault.standing(&kiosk(), enrollment).expect("known").state, Some(State::Pending), "{seconds}");
    }
}

/// Claimed before the jump or after it: once. Only a jump past its end makes a ticket useless, and says so.
#[test]
fn a_ticket_is_claimed_once_on_both_sides_of_a_jump() {
    for seconds in JUMPS {
        for before in [true, false] {
            let world = World::new();
            let vault = world.open();
            let subject = world.member(&vault);
            let ticket = world.sealed(&vault, subject, Purpose::Admission);
            let call = world.call(0);
            let claim = |call: &Call| vault.claim(&checkout(), call, &ticket).map(drop);
            if before {
                claim(&call).expect("good");
            }
            jump(&world, seconds);
            housekeeping(&vault);
            let expired = seconds >= 900;
            // A ticket from a day ahead is of a key that no matcher can have yet.
            let unborn = seconds <= -24 * HOUR;
            match (before, claim(&call)) {
                (true, repeat) => repeat.expect("a repeat is answered as before"),
                (false, Err(VaultError::Ticket(TicketError::Expired))) if expired => {}
                (false, Err(VaultError::Ticket(TicketError::Forged))) if unborn => {}
                (false, first) => {
                    first.unwrap_or_else(|error| panic!("{seconds}: {error}"));
                    assert!(!expired && !unborn, "{seconds}");
                }
            }
            jump(&world, -seconds);
            housekeeping(&vault);
            // Whoever had it refused by a wrong clock has it taken by the right one.
            if !before && (expired || unborn) {
                claim(&call).unwrap_or_else(|error| panic!("{seconds}: {error}"));
            }
            claim(&call).expect("a repeat");
            let again = claim(&world.call(0));
            assert!(matches!(again, Err(VaultError::TicketAlreadyClaimed)), "{seconds}: {again:?}");
        }
    }
}

/// Back in time nobody's visit is over early, and it is over in the end; forward in time only unfinished ones are.
#[test]
fn a_jump_ends_no_visit_but_those_whose_time_it_passes() {
    for seconds in JUMPS {
        let world = World::new();
        let vault = world.open();
        let member = world.member(&vault);
        let (unpaid, _, _) = world.enroll(&vault);
        jump(&world, seconds);
        let over = usize::from(seconds >= 900);
        assert_eq!(housekeeping(&vault), over, "{seconds}");
        let state = vault.standing(&kiosk(), unpaid).expect("known").state;
        assert_eq!(state.is_none(), over == 1, "{seconds}");
        jump(&world, -seconds);
        world.clock.advance(world.settings.payment_deadline + Duration::from_secs(1));
        assert_eq!(housekeeping(&vault), 1 - over, "{seconds}");
        let ticket = world.sealed(&vault, member, Purpose::Admission);
        vault.claim(&checkout(), &world.call(0), &ticket).expect("a member stays one");
    }
}

/// The hours between midnights: a ticket of the last moment of a day, or of the first of the next, opens on both sides.
#[test]
fn a_jump_over_midnight_keeps_tickets_good() {
    let midnight = 1_790_035_200_000;
    for (made_at, seconds) in [(midnight - 1_000, 60), (midnight + 1_000, -60), (midnight + 1_000, -HOUR / 15)] {
        let world = World::new();
        let vault = world.open();
        let subject = world.member(&vault);
        world.clock.set(Timestamp::from_unix_milliseconds(made_at));
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        jump(&world, seconds);
        vault.claim(&checkout(), &world.call(0), &ticket).unwrap_or_else(|error| panic!("{seconds}: {error}"));
    }
}

/// Somebody erased stays so, their release is as old as it is, and the kiosk whose clock is ahead is told.
#[tokio::test]
async fn an_erasure_stays_and_new_people_come_after_a_jump() {
    for seconds in JUMPS {
        let world = World::new();
        let vault = std::sync::Arc::new(world.open());
        let subject = world.member(&vault);
        let ticket = world.sealed(&vault, subject, Purpose::Admission);
        let connected = vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");
        let request = world.request(true);
        jump(&world, seconds);
        housekeeping(&vault);
        let again = vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("known");
        assert_eq!(again.id, connected.id, "one erasure has one receipt");
        assert!(vault.claim(&checkout(), &world.call(0), &ticket).is_err(), "{seconds}");
        let call = world.call(0);
        let enrolled = vault.enroll(&kiosk(), &call, &request);
        match enrolled {
            Err(VaultError::Field { field: "consent.given_at_unix_ms", .. }) => assert!(seconds < -300, "{seconds}"),
            other => {
                let enrollment = other.unwrap_or_else(|error| panic!("{seconds}: {error}"));
                let sequence = world.feed(&vault).pop().expect("an event").sequence;
                vault
                    .report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, None)
                    .expect("taken");
                vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
            }
        }
        // The log's head may be dated before an older one; what it holds goes on from it.
        let head = vault.audit_head(&operator(), 0).expect("signed").head;
        assert!(head.head().size > 0);
    }
}
