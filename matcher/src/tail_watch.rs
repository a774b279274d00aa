//! Whether strangers score as the score model says. In every search the second-best subject is a stranger, whoever came
//! first; so how often a second reaches the step-up point shows, while the doors work, how often a stranger would.

use std::sync::{Mutex, PoisonError};

use volar_core::score::TargetFpir;

use crate::parameters::{TAIL_EVENTS, TAIL_FALSE_ALARMS};

/// Counts one gallery's searches, a window after the other.
pub struct TailWatch {
    target: f64,
    /// Searches in a window.
    window: u32,
    /// Seconds that reach the step-up point in a window; more of them are an alarm.
    limit: u32,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    searches: u32,
    reached: u32,
}

/// What a window showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Share of searches whose second-best subject reached the step-up point.
    pub share: f64,
    /// Whether that is more than the model allows for, and not by chance.
    pub alarm: bool,
}

impl TailWatch {
    /// A watch for a step-up point that strangers should reach in `target` of the searches at most.
    pub fn new(target: TargetFpir) -> Self {
        let target = target.value();
        let window = (TAIL_EVENTS / target).ceil().min(f64::from(u32::MAX)) as u32;
        Self { target, window, limit: limit(target * f64::from(window)), counts: Mutex::default() }
    }

    /// Takes in a search. At the end of a window, says what it showed.
    pub fn observe(&self, second_reached: bool) -> Option<Window> {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.searches += 1;
        counts.reached += u32::from(second_reached);
        if counts.searches < self.window {
            return None;
        }
        let Counts { searches, reached } = std::mem::take(counts);
        Some(Window { share: f64::from(reached) / f64::from(searches), alarm: reached > self.limit })
    }

    /// The share that should not be exceeded.
    pub fn target(&self) -> f64 {
        self.target
    }
}

/// The number that a Poisson variable of mean `expected` exceeds in [`TAIL_FALSE_ALARMS`] of all windows at most.
fn limit(expected: f64) -> u32 {
    let (mut chance, mut beyond, mut count) = ((-expected).exp(), 1.0, 0);
    loop {
        beyond -= chance;
        if beyond <= TAIL_FALSE_ALARMS {
            return count;
        }
        count += 1;
        chance *= expected / f64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of_alarms(watch: &TailWatch, share: f64, windows: usize) -> f64 {
        let (mut state, mut alarms, mut seen) = (1_u64, 0, 0);
        while seen < windows {
            // Numerical Recipes' generator; its upper bits are even enough.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if let Some(window) = watch.observe(((state >> 11) as f64) < share * (1_u64 << 53) as f64) {
                seen += 1;
                alarms += usize::from(window.alarm);
            }
        }
        alarms as f64 / windows as f64
    }

    #[test]
    fn strangers_as_expected_are_quiet_and_twice_as_many_are_not() {
        let watch = TailWatch::new(TargetFpir::new(1e-2).expect("a rate"));
        assert_eq!(watch.window, 2_000);
        assert_eq!(share_of_alarms(&watch, 1e-2, 500), 0.0);
        assert!(share_of_alarms(&watch, 2e-2, 500) > 0.5);
        assert_eq!(share_of_alarms(&watch, 4e-2, 100), 1.0);
    }

    #[test]
    fn a_window_says_what_it_saw() {
        let watch = TailWatch::new(TargetFpir::new(0.1).expect("a rate"));
        let windows: Vec<_> = (0..400).filter_map(|number| watch.observe(number < 200 && number % 2 == 0)).collect();
        assert_eq!(windows, [Window { share: 0.5, alarm: true }, Window { share: 0.0, alarm: false }]);
    }

    #[test]
    fn the_limit_is_poissons() {
        // With a mean of 20, more than 39 come in 0.0053 % of all cases, more than 38 in 0.0109 %.
        assert_eq!(limit(20.0), 39);
        assert_eq!(limit(1e-9), 0);
    }
}
