//! Holds back what changes too quickly to be read.

use tokio::time::Instant;

use crate::parameters::GUIDANCE_STEADY;

/// A value that is shown once it has lasted.
#[derive(Debug)]
pub(crate) struct Steady<T> {
    shown: Option<T>,
    candidate: Option<(T, Instant)>,
}

impl<T> Default for Steady<T> {
    fn default() -> Self {
        Self { shown: None, candidate: None }
    }
}

impl<T: Copy + PartialEq> Steady<T> {
    /// Takes in the value at `now`; tells it if it is to be shown from now on.
    pub(crate) fn settle(&mut self, value: T, now: Instant) -> Option<T> {
        if self.shown == Some(value) {
            self.candidate = None;
            return None;
        }
        let since = match self.candidate {
            Some((candidate, since)) if candidate == value => since,
            _ => now,
        };
        self.candidate = Some((value, since));
        if now - since < GUIDANCE_STEADY {
            return None;
        }
        self.candidate = None;
        self.shown = Some(value);
        Some(value)
    }

    /// What is shown; `None` before anything lasted.
    pub(crate) fn shown(&self) -> Option<T> {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_what_lasts_is_shown_and_only_once() {
        let mut steady = Steady::default();
        let start = Instant::now();
        let mut at = |milliseconds: u64, value: u8| steady.settle(value, start + Duration::from_millis(milliseconds));
        assert_eq!(at(0, 1), None);
        assert_eq!(at(100, 2), None);
        assert_eq!(at(200, 1), None);
        assert_eq!(at(300, 1), None);
        assert_eq!(at(450, 1), Some(1));
        assert_eq!(at(460, 1), None);
        assert_eq!(at(500, 2), None);
        assert_eq!(at(520, 1), None);
        assert_eq!(at(800, 2), None);
        assert_eq!(at(1_050, 2), Some(2));
        assert_eq!(steady.shown(), Some(2));
    }
}
