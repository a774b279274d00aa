//! The second factor's screen: after the palms are stored, before the payment.

use volar_core::clock::Timestamp;

use super::Session;
use super::phase::{Effect, FactorStep, OrderError, Outcome, PaymentStep, Phase, Standing};
use crate::second_factor::{Chosen, FactorError};

impl Session {
    /// second-factor: keeps what the person chose, or says why that cannot be.
    pub fn choose_factor(&mut self, chosen: Result<Chosen, FactorError>, now: Timestamp) -> Result<(), OrderError> {
        self.asks_factor(now)?;
        let Phase::SecondFactor { enrollment, step, error, .. } = &mut self.phase else {
            unreachable!("asks_factor() saw the screen")
        };
        match chosen {
            Ok(chosen) => {
                (*step, *error) = (FactorStep::Keeping, None);
                self.effects.push(Effect::KeepFactor(*enrollment, chosen));
            }
            Err(refused) => *error = Some(refused),
        }
        Ok(())
    }

    /// second-factor -> payment: the person goes without.
    pub fn skip_factor(&mut self, now: Timestamp) -> Result<(), OrderError> {
        self.asks_factor(now)?;
        self.go_to_payment(now);
        Ok(())
    }

    /// The vault has kept the second factor of session `number`, or does not take it.
    pub fn factor_kept(&mut self, number: u64, kept: Result<Standing, FactorError>, now: Timestamp) {
        let Phase::SecondFactor { standing, step, error, .. } = &mut self.phase else { return };
        if number != self.number || *step != FactorStep::Keeping {
            return;
        }
        self.waiting_for = None;
        match kept {
            Ok(now_stands) => {
                // The verdict may have come meanwhile.
                if now_stands != Standing::Pending {
                    *standing = now_stands;
                }
                self.go_to_payment(now);
            }
            Err(refused) if refused.may_retry() => {
                (*step, *error) = (FactorStep::Asking, Some(refused));
                self.touch(now);
            }
            Err(gone) => self.conclude(Outcome::Failed(gone.reason().to_owned()), None, now),
        }
    }

    fn asks_factor(&mut self, now: Timestamp) -> Result<(), OrderError> {
        let Phase::SecondFactor { step, .. } = &self.phase else { return Err(self.wrong_screen("second-factor")) };
        if *step == FactorStep::Keeping {
            return Err(OrderError::SecondFactorBusy);
        }
        self.touch(now);
        Ok(())
    }

    fn go_to_payment(&mut self, now: Timestamp) {
        let Phase::SecondFactor { enrollment, standing, .. } = self.phase else { return };
        self.ask_payment(enrollment, standing, now);
    }

    /// enrolling, or second-factor -> payment.
    pub(super) fn ask_payment(&mut self, enrollment: volar_core::id::EnrollmentId, standing: Standing, now: Timestamp) {
        self.effects.push(Effect::BeginPayment(enrollment));
        self.phase = Phase::Payment { enrollment, standing, step: PaymentStep::Preparing, error: None };
        self.touch(now);
    }
}
