//! Where a palm was not sure enough: asks for digits, and says what comes of them.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use volar_core::second_factor::Digits;

use super::{Agent, Visit, is_hand, milliseconds};
use crate::event::{Decided, Decision, FactorState, Milliseconds, What};
use crate::eye::Sighting;
use crate::identify::{Answer, Challenge, Outcome, Trouble};
use crate::keypad::Typed;
use crate::parameters::{ADMITTED_SHOWN, KEYPAD_TIME_MAX, REFUSED_SHOWN};
use crate::screen::Screen;

impl Agent {
    /// From a challenge to a decision, unless the person leaves the keypad be.
    pub(super) async fn second_factor(&mut self, visit: &mut Visit, challenge: &Challenge) {
        if self.codes_locked_until.is_some_and(|until| until > Instant::now()) {
            // Nothing would be compared: the person is spared the typing.
            return self.show_for(Screen::CodeUnavailable, "LOCKED_OUT", REFUSED_SHOWN);
        }
        let Some(digits) = self.digits(visit, challenge.time).await else { return };
        self.parts.display.show(Screen::Identifying);
        let asked = Instant::now();
        let outcome = self.parts.identifier.verify(challenge, &digits).await;
        drop(digits);
        let took = milliseconds(asked, Instant::now());
        match outcome {
            Outcome::Answered(answer) => self.show_verified(answer, took),
            Outcome::Unreachable(trouble) | Outcome::Refused(trouble) => self.unverified(trouble),
        }
    }

    /// Asks for digits until somebody types them, goes, or time is over. What the sensor sees meanwhile is of no account:
    /// a hand that types passes before it.
    async fn digits(&mut self, visit: &mut Visit, time: Duration) -> Option<Digits> {
        let time = time.min(KEYPAD_TIME_MAX);
        let until_unix_ms = self.parts.clock.now().after(time).unix_milliseconds();
        let mut typed = self.parts.display.ask(until_unix_ms);
        let time_max_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.tell_factor(FactorState::Asked, time_max_ms, None);
        let end = Instant::now() + time;
        let (state, digits) = loop {
            tokio::select! {
                typed = &mut typed => match typed {
                    Ok(Typed::Digits(digits)) => break (FactorState::Typed, Some(digits)),
                    Ok(Typed::Cancelled) | Err(_) => break (FactorState::Cancelled, None),
                },
                sighting = self.parts.watch.next() => match sighting {
                    Some(Sighting::Seen(look)) => visit.gone |= !is_hand(&look),
                    Some(other) => {
                        // The screen then says so, and the keypad is closed.
                        self.note_sensor(other);
                        visit.gone |= !self.seeing;
                    }
                    None => {
                        visit.gone = true;
                        break (FactorState::Cancelled, None);
                    }
                },
                () = sleep_until(end) => break (FactorState::TimedOut, None),
            }
        };
        if visit.gone {
            // A hand that is there now may have been captured while nobody looked.
            self.parts.watch.rearm();
        }
        self.tell_factor(state, None, None);
        if digits.is_none() && self.seeing {
            self.show_for(Screen::StepUp, "SECOND_FACTOR_MISSING", REFUSED_SHOWN);
        }
        digits
    }

    fn show_verified(&mut self, answer: Answer, took: f64) {
        self.recover();
        let Answer { decision, reason, ticket, ticket_id, retry_after_ms, .. } = answer;
        if decision == Decision::Rejected && retry_after_ms > 0 {
            // Palms alone are still admitted: only the keypad is closed.
            self.codes_locked_until = Some(Instant::now() + Duration::from_millis(retry_after_ms));
        }
        let (screen, shown) = match decision {
            Decision::Admitted => (Screen::Admitted, ADMITTED_SHOWN),
            _ if retry_after_ms > 0 => (Screen::CodeUnavailable, REFUSED_SHOWN),
            _ => (Screen::CodeRefused, REFUSED_SHOWN),
        };
        self.show_for(screen, &reason, shown);
        tracing::info!(decision = decision.as_str(), reason, milliseconds = took, "decision on a second factor");
        let milliseconds = Milliseconds { identify: took, total: took, ..Milliseconds::default() };
        self.parts.act.decide(Decided { decision, reason, ticket, ticket_id, milliseconds, retry_after_ms });
    }

    /// Nobody could say whose the digits are. Never opens, whatever the policy for hands is.
    fn unverified(&mut self, trouble: Trouble) {
        tracing::warn!(reason = trouble.reason, message = trouble.message, "a second factor cannot be checked");
        self.show_for(Screen::CodeUnavailable, &trouble.reason, REFUSED_SHOWN);
        self.tell_factor(FactorState::Unchecked, None, Some(trouble));
    }

    fn show_for(&mut self, screen: Screen, reason: &str, shown: Duration) {
        self.shown_until = Some(Instant::now() + shown);
        self.parts.display.show_because(screen, reason);
    }

    fn tell_factor(&self, state: FactorState, time_max_ms: Option<u64>, trouble: Option<Trouble>) {
        metrics::counter!("volar_gate_second_factors_total", "state" => state.as_str()).increment(1);
        let (reason, message) = trouble.map(|Trouble { reason, message }| (reason, message)).unzip();
        self.parts.act.tell(What::SecondFactor { state, time_max_ms, reason, message });
    }
}
