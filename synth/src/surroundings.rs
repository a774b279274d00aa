//! What the sensor sees without a hand: a dark housing with faint walls, and bright bits at the border where light
//! from outside comes in.

use crate::dice::{Dice, Purpose, noise};
use crate::math::{Point, smoothstep};

/// Grey levels of the empty view, row by row. `arm` points from the frame's middle to where arms come in.
pub(crate) fn empty_view(width: usize, height: usize, seed: u64, arm: Point) -> Vec<f32> {
    let mut dice = Dice::new(seed, Purpose::Surroundings);
    let (base, slope, grain) = (dice.uniform(7.0, 11.0), dice.uniform(-2.0, 2.0), dice.bits());
    let wall = Point::new(dice.uniform(0.03, 0.06), dice.uniform(0.03, 0.06));
    let short = width.min(height) as f32;
    let mut view = Vec::with_capacity(width * height);
    for row in 0..height {
        for column in 0..width {
            let share = Point::new(column as f32 / width as f32, row as f32 / height as f32);
            let inset = (share.x.min(1.0 - share.x) - wall.x).min(share.y.min(1.0 - share.y) - wall.y);
            let housing = 5.0 * (1.0 - smoothstep(-0.008, 0.004, inset));
            let patches = 1.5 * noise(grain, column as f32 / short * 6.0, row as f32 / short * 6.0);
            view.push(base + slope * (share.y - 0.5) + housing + patches);
        }
    }
    let mut spot = |middle: Point, radius: f32, level: f32| brighten(&mut view, width, height, middle, radius, level);
    // Screws and reflections of the lamps in the housing's corners.
    for corner in 0..4 {
        let inset = Point::new(dice.uniform(0.05, 0.08), dice.uniform(0.05, 0.09));
        let x = if corner % 2 == 0 { inset.x } else { 1.0 - inset.x } * width as f32;
        let y = if corner / 2 == 0 { inset.y } else { 1.0 - inset.y } * height as f32;
        spot(Point::new(x, y), short * dice.uniform(0.012, 0.025), dice.uniform(6.0, 28.0));
    }
    // Light from outside, beside the opening for the arm.
    let (middle, half) = (Point::new(width as f32, height as f32) * 0.5, Point::new(width as f32, height as f32) * 0.5);
    let reach = if arm.x.abs() * half.y > arm.y.abs() * half.x { half.x / arm.x.abs() } else { half.y / arm.y.abs() };
    let (opening, along) = (middle + arm * reach, arm.quarter_turn());
    for _ in 0..dice.count(1, 3) {
        let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
        let at = opening + along * (side * dice.uniform(0.34, 0.46) * short);
        spot(at, short * dice.uniform(0.012, 0.04), dice.uniform(90.0, 235.0));
    }
    view
}

/// Adds a soft-edged, roughly polygonal spot.
fn brighten(view: &mut [f32], width: usize, height: usize, middle: Point, radius: f32, level: f32) {
    let span = |centre: f32, count: usize| {
        let low = (centre - 1.6 * radius).max(0.0) as usize;
        let high = ((centre + 1.6 * radius).max(0.0) as usize + 1).min(count);
        (low, high)
    };
    let ((left, right), (top, bottom)) = (span(middle.x, width), span(middle.y, height));
    for row in top..bottom {
        for column in left..right {
            let away = Point::new(column as f32, row as f32) - middle;
            // Between a disc and a square: what a gap beside an arm looks like.
            let reach = 0.5 * (away.length() + away.x.abs().max(away.y.abs() * 1.4));
            view[row * width + column] += level * (1.0 - smoothstep(0.85 * radius, 1.05 * radius, reach));
        }
    }
}
