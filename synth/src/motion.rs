//! How a hand comes, hovers and goes.

use crate::dice::{Dice, Purpose};
use crate::math::{Point, sin};
use crate::parameters::{SWING_HERTZ, SWING_MM};
use crate::presentation::Presentation;

/// The course of a visit. A hand that hovers is never still: it drifts, turns and trembles by a millimetre or so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Time from the frame's edge to its place.
    pub approach_ms: u64,
    /// Time it stays; `None` for ever.
    pub hover_ms: Option<u64>,
    /// Time from its place out of the frame.
    pub leave_ms: u64,
}

impl Default for Motion {
    /// Comes in 600 ms and stays.
    fn default() -> Self {
        Self { approach_ms: 600, hover_ms: None, leave_ms: 500 }
    }
}

impl Motion {
    /// A whole visit: 600 ms in, `hover_ms` there, 500 ms out.
    pub fn visit(hover_ms: u64) -> Self {
        Self { hover_ms: Some(hover_ms), ..Self::default() }
    }

    /// There from the beginning, for ever.
    pub fn already_there() -> Self {
        Self { approach_ms: 0, ..Self::default() }
    }

    /// How far out the hand is at `milliseconds`: 0 in its place, 1 out of the frame.
    pub(crate) fn away(&self, milliseconds: u64) -> f32 {
        let share = |passed: u64, whole: u64| passed as f32 / whole.max(1) as f32;
        if milliseconds < self.approach_ms {
            let left = 1.0 - share(milliseconds, self.approach_ms);
            return left * left;
        }
        let leaves = self.hover_ms.map(|hover| self.approach_ms.saturating_add(hover));
        match leaves {
            Some(moment) if milliseconds >= moment => {
                let gone = share(milliseconds - moment, self.leave_ms).min(1.0);
                gone * gone
            }
            _ => 0.0,
        }
    }

    /// Whether the hand is on its way in or out, so that it smears.
    pub(crate) fn travels(&self, milliseconds: u64) -> bool {
        self.away(milliseconds) > 0.02
    }
}

/// Displacement of a hovering hand from its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drift {
    pub(crate) shift_mm: Point,
    pub(crate) degrees: f32,
    pub(crate) growth: f32,
    pub(crate) tilt_degrees: Point,
}

impl Drift {
    /// At `milliseconds` of the scene.
    pub(crate) fn at(presentation: &Presentation, milliseconds: u64) -> Self {
        let mut dice = Dice::new(presentation.seed, Purpose::Motion);
        // Exact in f32 for hours: periods are folded before they become floats.
        let seconds = (milliseconds % 3_600_000) as f32 / 1000.0;
        let mut wave = |hertz: f32, amplitude: f32| {
            let (hertz, phase) = (hertz * dice.uniform(0.8, 1.25), dice.uniform(0.0, std::f32::consts::TAU));
            let turns = hertz * seconds;
            amplitude * sin((turns - turns.floor()) * std::f32::consts::TAU + phase)
        };
        // Sway below 1 Hz; physiological tremor near 9 Hz (Elble & Koller 1990), far smaller.
        let mut sway = |slow: f32| wave(0.31, slow) + wave(0.83, 0.5 * slow) + wave(9.0, 0.05 * slow);
        let mut shift_mm = Point::new(sway(1.0), sway(1.0));
        let (degrees, growth) = (sway(0.5), sway(0.006));
        let tilt_degrees = Point::new(sway(0.7), sway(0.7));
        if presentation.swinging {
            let turns = SWING_HERTZ * seconds;
            shift_mm.x += SWING_MM * sin((turns - turns.floor()) * std::f32::consts::TAU);
        }
        Self { shift_mm, degrees, growth, tilt_degrees }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_has_three_parts() {
        let visit = Motion::visit(1000);
        assert_eq!(visit.away(0), 1.0);
        assert_eq!(visit.away(600), 0.0);
        assert_eq!(visit.away(1599), 0.0);
        assert!(visit.away(1900) > 0.2 && visit.away(1900) < 0.9);
        assert_eq!(visit.away(60_000), 1.0);
        assert_eq!(Motion::default().away(u64::MAX), 0.0);
    }

    #[test]
    fn a_hovering_hand_moves_by_little_and_a_swinging_one_by_much() {
        let good = Presentation::sample(4);
        let travel = |presentation: &Presentation| {
            (0..100).map(|i| Drift::at(presentation, i * 33).shift_mm.length()).fold(0.0, f32::max)
        };
        assert!((0.2..4.0).contains(&travel(&good)), "{}", travel(&good));
        assert!(travel(&Presentation::moving(4)) > 15.0);
    }
}
