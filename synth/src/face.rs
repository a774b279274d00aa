//! A face-like blob, for what a hand sensor must not take for a hand.

use crate::dice::{Dice, Purpose, noise};
use crate::math::{Point, exp, smoothstep};
use crate::raster::Grid;
use crate::sprite::Sprite;

/// An oval with eyes, nose and mouth, about 150 x 200 mm, laid out in texels of `texel_mm`.
pub(crate) fn sprite(seed: u64, texel_mm: f32) -> Sprite {
    let mut dice = Dice::new(seed, Purpose::Face);
    let half = Point::new(dice.normal(70.0, 4.0), dice.normal(96.0, 5.0));
    let (eye, eye_y) = (dice.normal(31.0, 2.0), dice.normal(-14.0, 3.0));
    let (mouth, mouth_y) = (dice.normal(24.0, 3.0), dice.normal(48.0, 4.0));
    let (hair, grain) = (dice.normal(-62.0, 6.0), dice.bits());
    let bell = move |p: Point, x: f32, y: f32, across: f32, down: f32| {
        let (dx, dy) = ((p.x - x) / across, (p.y - y) / down);
        exp(-0.5 * (dx * dx + dy * dy))
    };
    let paint = move |p: Point| {
        let ratio = Point::new(p.x / half.x, (p.y - HAND_SHIFT) / half.y).length();
        let p = Point::new(p.x, p.y - HAND_SHIFT);
        let covered = smoothstep(0.0, 1.0, 0.5 + (1.0 - ratio) * half.x / texel_mm);
        let round = (1.0 - ratio * ratio).max(0.0).sqrt();
        let eyes: f32 = [-eye, eye].iter().map(|&x| bell(p, x, eye_y, 10.0, 4.5)).sum();
        let brows: f32 = [-eye, eye].iter().map(|&x| bell(p, x, eye_y - 15.0, 14.0, 2.5)).sum();
        let nose = bell(p, 6.0, 16.0, 4.0, 16.0) * 0.25 + bell(p, 0.0, 27.0, 12.0, 3.5) * 0.4;
        let lips = bell(p, 0.0, mouth_y, mouth, 4.0) * 0.5;
        let cheeks: f32 = [-34.0, 34.0].iter().map(|&x| bell(p, x, 18.0, 16.0, 14.0)).sum();
        let scalp = 1.0 - 0.7 * smoothstep(hair + 5.0, hair - 5.0, p.y + 6.0 * noise(grain, p.x / 20.0, 0.5));
        let skin = 0.55 + 0.45 * round + 0.08 * cheeks - 0.55 * eyes - 0.3 * brows - nose - lips;
        (skin.max(0.05) * scalp * (1.0 + 0.05 * noise(grain ^ 1, p.x / 4.0, p.y / 4.0)), covered)
    };
    let reach = Point::new(95.0, 125.0);
    let middle = Point::new(0.0, HAND_SHIFT);
    Sprite::painted(Grid::covering(middle - reach, middle + reach, texel_mm), paint, 0.5)
}

/// A face is centred where a hand would be.
const HAND_SHIFT: f32 = crate::parameters::HAND_MIDDLE_Y;
