//! Failures in a row, of a lane and of a subject, and the delay that follows (NIST SP 800-63B-4, section 3.2.2: no more
//! than five, then a delay of 30 s and more that grows). Kept in the store, so that a restart forgets none.

use std::time::Duration;

use volar_core::clock::Timestamp;

use crate::format::second_factor::FactorTries;
use crate::parameters::{FACTOR_DELAY_FIRST, FACTOR_DELAY_LONGEST, FACTOR_FAILURES_MAX};

impl FactorTries {
    /// How long no digits are compared; `None` if they are.
    pub(super) fn delay_left(&self, now: Timestamp) -> Option<Duration> {
        let further = self.failures.checked_sub(FACTOR_FAILURES_MAX)?;
        let delay = FACTOR_DELAY_FIRST.saturating_mul(1_u32.checked_shl(further).unwrap_or(u32::MAX));
        // A clock that was set back must not delay for longer.
        let left = delay.min(FACTOR_DELAY_LONGEST).saturating_sub(now.since(self.at.min(now)));
        (!left.is_zero()).then_some(left)
    }

    /// With one more.
    pub(super) fn failed(self, now: Timestamp) -> Self {
        Self { failures: self.failures.saturating_add(1), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_milliseconds(1_000_000 + seconds * 1_000)
    }

    #[test]
    fn the_fifth_failure_delays_and_each_further_one_doubles() {
        let mut tries = FactorTries::default();
        for _ in 0..4 {
            tries = tries.failed(at(0));
            assert_eq!(tries.delay_left(at(0)), None);
        }
        for seconds in [30, 60, 120, 240, 480, 900, 900] {
            tries = tries.failed(at(0));
            assert_eq!(tries.delay_left(at(0)), Some(Duration::from_secs(seconds)));
            assert_eq!(tries.delay_left(at(seconds - 1)), Some(Duration::from_secs(1)));
            assert_eq!(tries.delay_left(at(seconds)), None);
        }
        let many = FactorTries { failures: u32::MAX, at: at(0) };
        assert_eq!(many.failed(at(0)).delay_left(at(0)), Some(FACTOR_DELAY_LONGEST));
    }

    #[test]
    fn a_clock_set_back_does_not_delay_for_longer() {
        let tries = FactorTries { failures: 5, at: at(3_600) };
        assert_eq!(tries.delay_left(at(0)), Some(FACTOR_DELAY_FIRST));
    }
}
