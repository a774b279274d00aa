//! What the servers answer. An answer to a session that has ended changes nothing, except that an enrollment which
//! nobody will finish is cancelled.

use volar_core::clock::Timestamp;
use volar_core::id::EnrollmentId;

use super::phase::{Effect, FactorStep, Identified, Outcome, PaymentStep, Phase, Receipt, RemovalStep, Standing};
use super::{Capturing, Missing, Session};
use crate::parameters::{REMOVAL_TRIES_MAX, VERDICT_PATIENCE};
use crate::payment::{Begun, PaymentError, PaymentReference};

impl Session {
    /// A server that session `number` needs does not answer, or answers again.
    pub fn waits_for(&mut self, number: u64, missing: Option<Missing>) {
        if number == self.number {
            self.waiting_for = missing;
        }
    }

    /// The vault has stored the enrollment of session `number`.
    pub fn enrolled(&mut self, number: u64, stored: EnrollmentId, now: Timestamp) {
        match &mut self.phase {
            Phase::Enrolling { enrollment, since } if number == self.number => {
                *enrollment = Some(stored);
                *since = now;
                self.waiting_for = None;
                self.effects.push(Effect::Follow(stored));
            }
            _ => self.effects.push(Effect::Cancel(stored)),
        }
    }

    /// The vault refuses what session `number` asked, for a reason in UPPER_SNAKE_CASE.
    pub fn refused(&mut self, number: u64, reason: String, now: Timestamp) {
        if number != self.number {
            return;
        }
        let enrollment = match &self.phase {
            Phase::Enrolling { enrollment, .. } => *enrollment,
            Phase::SecondFactor { enrollment, .. } | Phase::Payment { enrollment, .. } => Some(*enrollment),
            Phase::Removal { .. } => return self.conclude(Outcome::RemovalFailed(reason), None, now),
            _ => return,
        };
        self.effects.extend(enrollment.map(Effect::Cancel));
        self.conclude(Outcome::Failed(reason), None, now);
    }

    /// Where the enrollment of session `number` stands. Returns whether to keep asking.
    pub fn stands(&mut self, number: u64, now_stands: Standing, now: Timestamp) -> bool {
        if number != self.number {
            return false;
        }
        self.waiting_for = None;
        let pending = now_stands == Standing::Pending;
        match &mut self.phase {
            Phase::Enrolling { enrollment: Some(enrollment), since } => {
                if now_stands == Standing::Erased {
                    self.conclude(Outcome::Enrolled(Standing::Erased), None, now);
                    return false;
                }
                if pending && now.since(*since) < VERDICT_PATIENCE {
                    return true;
                }
                let enrollment = *enrollment;
                if self.rules.second_factor {
                    let step = FactorStep::Asking;
                    self.phase = Phase::SecondFactor { enrollment, standing: now_stands, step, error: None };
                    self.touch(now);
                } else {
                    self.ask_payment(enrollment, now_stands, now);
                }
                pending
            }
            Phase::SecondFactor { standing, .. } | Phase::Payment { standing, .. } => {
                *standing = now_stands;
                pending
            }
            Phase::Result { outcome: outcome @ Outcome::Enrolled(_), .. } => {
                *outcome = Outcome::Enrolled(now_stands);
                pending
            }
            _ => false,
        }
    }

    /// What the payment screen of session `number` is to show.
    pub fn payment_begun(&mut self, number: u64, begun: Result<Begun, PaymentError>, now: Timestamp) {
        let Phase::Payment { step: step @ PaymentStep::Preparing, .. } = &mut self.phase else { return };
        if number != self.number {
            return;
        }
        match begun {
            Ok(begun) => *step = PaymentStep::Asking(begun),
            Err(error) => self.refused(number, error.reason().to_owned(), now),
        }
    }

    /// What the provider says to the answer given in session `number`.
    pub fn payment_checked(&mut self, number: u64, checked: Result<PaymentReference, PaymentError>, now: Timestamp) {
        let Phase::Payment { enrollment, step, error, .. } = &mut self.phase else { return };
        let PaymentStep::Checking(begun) = step else { return };
        if number != self.number {
            return;
        }
        match checked {
            Ok(reference) => {
                *step = PaymentStep::Binding(begun.clone());
                self.effects.push(Effect::Bind(*enrollment, Some(reference)));
            }
            Err(refused) => {
                *step = PaymentStep::Asking(begun.clone());
                *error = Some(refused);
            }
        }
        self.touch(now);
    }

    /// The vault has bound the payment of session `number`, or refuses it.
    pub fn bound(&mut self, number: u64, bound: Result<Standing, PaymentError>, now: Timestamp) {
        let Phase::Payment { enrollment, standing, step, error } = &mut self.phase else { return };
        let PaymentStep::Binding(begun) = step else { return };
        if number != self.number {
            return;
        }
        self.waiting_for = None;
        match bound {
            Ok(now_stands) => {
                // The verdict may have come while the payment was bound.
                let stands = if now_stands == Standing::Pending { *standing } else { now_stands };
                let enrollment = *enrollment;
                self.conclude(Outcome::Enrolled(stands), Some(enrollment), now);
            }
            Err(refused) if refused.may_retry() => {
                *step = PaymentStep::Asking(begun.clone());
                *error = Some(refused);
                self.touch(now);
            }
            Err(gone) => self.conclude(Outcome::Failed(gone.reason().to_owned()), None, now),
        }
    }

    /// Whose palm a matcher says it is that session `number` wants removed.
    pub fn identified(&mut self, number: u64, identified: Identified, now: Timestamp) {
        let Phase::Removal { step: step @ RemovalStep::Identifying, tries } = &mut self.phase else { return };
        if number != self.number {
            return;
        }
        self.waiting_for = None;
        let outcome = match identified {
            Identified::Recognized(ticket) => {
                *step = RemovalStep::Withdrawing;
                self.effects.push(Effect::Withdraw(ticket));
                return;
            }
            Identified::Retry if *tries < REMOVAL_TRIES_MAX => {
                let tries = *tries + 1;
                let step = RemovalStep::Capture(Capturing::once(self.next_capture()));
                self.phase = Phase::Removal { step, tries };
                self.touch(now);
                return;
            }
            Identified::Retry | Identified::NotSure => Outcome::NotSure,
            Identified::NotRecognized => Outcome::NotRecognized,
            Identified::LockedOut { seconds } => Outcome::LockedOut { seconds },
        };
        self.conclude(outcome, None, now);
    }

    /// The vault has erased the person of session `number`.
    pub fn withdrawn(&mut self, number: u64, receipt: Receipt, now: Timestamp) {
        let Phase::Removal { step: RemovalStep::Withdrawing, .. } = self.phase else { return };
        if number == self.number {
            self.waiting_for = None;
            self.touch(now);
            self.phase = Phase::Removed { receipt };
        }
    }

    pub(super) fn conclude(&mut self, outcome: Outcome, enrollment: Option<EnrollmentId>, now: Timestamp) {
        self.waiting_for = None;
        self.touch(now);
        self.phase = Phase::Result { outcome, enrollment };
    }
}
