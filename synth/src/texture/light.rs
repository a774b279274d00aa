//! What the light, moisture and things on the skin do to a crop, sampled coarsely where it varies slowly.

use super::capture::Capture;
use crate::dice::{Dice, noise};
use crate::math::{Point, exp, sin_cos};

/// Multiplies the crop's brightness: uneven light, by a slope, wide noise and the fall-off towards a corner.
pub(super) fn shade(values: &mut [f32], side: usize, capture: &Capture) {
    let mut dice = capture.dice(1);
    let (sine, cosine) = sin_cos(capture.light_degrees.to_radians());
    let (slope, bend) = (dice.uniform(0.2, 1.0), dice.uniform(0.0, 0.9));
    let seed = dice.bits();
    let strength = |x: f32, y: f32| {
        let lean = slope * (x * sine - y * cosine);
        (1.0 + capture.shading * (lean + bend * noise(seed, 1.7 * x, 1.7 * y) - 0.3 * (x * x + y * y))).max(0.15)
    };
    // A coarse grid carries it: light has no edges.
    const CELLS: usize = 12;
    let place = |i: usize| 2.0 * i as f32 / CELLS as f32 - 1.0;
    let nodes: Vec<f32> =
        (0..(CELLS + 1) * (CELLS + 1)).map(|i| strength(place(i % (CELLS + 1)), place(i / (CELLS + 1)))).collect();
    for (row, line) in values.chunks_exact_mut(side).enumerate() {
        let (above, dy) = cell(row, side, CELLS);
        for (column, value) in line.iter_mut().enumerate() {
            let (left, dx) = cell(column, side, CELLS);
            let at = above * (CELLS + 1) + left;
            let upper = nodes[at] + (nodes[at + 1] - nodes[at]) * dx;
            let lower = nodes[at + CELLS + 1] + (nodes[at + CELLS + 2] - nodes[at + CELLS + 1]) * dx;
            *value *= upper + (lower - upper) * dy;
        }
    }
}

/// The coarse cell that a pixel lies in, and where in it.
pub(super) fn cell(pixel: usize, side: usize, cells: usize) -> (usize, f32) {
    let at = (pixel as f32 + 0.5) / side as f32 * cells as f32;
    let whole = (at as usize).min(cells - 1);
    (whole, at - whole as f32)
}

/// Soft bright spots on moist skin.
pub(super) fn highlight(values: &mut [f32], side: usize, capture: &Capture) {
    let mut dice = capture.dice(2);
    for _ in 0..capture.highlights {
        let spread = Point::new(dice.uniform(0.01, 0.09), dice.uniform(0.01, 0.05));
        let (centre, turn) = (Point::new(dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0)), dice.uniform(0.0, 3.1));
        let gain = dice.uniform(0.1, 0.6);
        spot(values, side, centre, spread, turn, |value, bell| value + gain * bell);
    }
}

/// Opaque things: plasters and rings' shadows in the palm, the dark behind the hand at a corner.
pub(super) fn cover(values: &mut [f32], side: usize, capture: &Capture) {
    let mut dice = capture.dice(3);
    for _ in 0..capture.covers {
        let tone = if dice.chance(0.6) { dice.uniform(0.02, 0.5) } else { dice.uniform(0.8, 1.5) };
        if dice.chance(0.5) {
            corner(values, side, tone, &mut dice);
        } else {
            let spread = Point::new(dice.uniform(0.03, 0.1), dice.uniform(0.02, 0.06));
            let (centre, turn) = (Point::new(dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0)), dice.uniform(0.0, 3.1));
            spot(values, side, centre, spread, turn, |value, bell| {
                value + (tone - value) * (4.0 * bell - 0.8).clamp(0.0, 1.0)
            });
        }
    }
}

/// Changes the pixels within three spreads of a centre by a bell-shaped share.
fn spot(values: &mut [f32], side: usize, centre: Point, spread: Point, turn: f32, change: impl Fn(f32, f32) -> f32) {
    let reach = 3.0 * spread.x.max(spread.y);
    let pixels = |low: f32, high: f32| {
        ((low * side as f32).max(0.0) as usize).min(side)..((high * side as f32).max(0.0) as usize).min(side)
    };
    for row in pixels(centre.y - reach, centre.y + reach) {
        for column in pixels(centre.x - reach, centre.x + reach) {
            let here = Point::new(column as f32 / side as f32, row as f32 / side as f32) - centre;
            let here = here.turned(turn);
            let (x, y) = (here.x / spread.x, here.y / spread.y);
            let value = &mut values[row * side + column];
            *value = change(*value, exp(-0.5 * (x * x + y * y)));
        }
    }
}

/// What lies beyond the hand's edge, at one corner or side of the square.
fn corner(values: &mut [f32], side: usize, tone: f32, dice: &mut Dice) {
    let outwards = Point::new(0.0, 1.0).turned(dice.uniform(0.0, std::f32::consts::TAU));
    let (from, bow, soft) = (dice.uniform(0.36, 0.62), dice.uniform(-0.5, 0.5), dice.uniform(0.01, 0.05));
    for row in 0..side {
        for column in 0..side {
            let here = Point::new(column as f32, row as f32) * (1.0 / side as f32) - Point::new(0.5, 0.5);
            let aside = here.dot(outwards.quarter_turn());
            let beyond = (here.dot(outwards) + bow * aside * aside - from) / soft;
            if beyond > -1.0 {
                let value = &mut values[row * side + column];
                *value += (tone - *value) * (0.5 + 0.5 * beyond).clamp(0.0, 1.0);
            }
        }
    }
}
