//! How good a capture is, and what the person can do better.
//!
//! Each property becomes a mark from 0 to 1 between a value that is useless and one that could not be better. The
//! quality is their geometric mean, so that one bad property spoils it; guidance names the worst that a person can
//! change.

use crate::contour::Contour;
use crate::guidance::Guidance;
use crate::landmarks::Landmarks;
use crate::outline::Point;
use crate::parameters::{
    BRIGHT_CLIPPED, CLIPPED, CONTRAST_MIN, DIGITS, EDGE_DIRECTIONS, EDGE_REACH, EDGES_MIN, GRADIENT_MAX, MARKS,
    OPENNESS_MAX, OPENNESS_MIN, OPENNESS_TOUCHING, PALM_GREY_MIN, SHARPNESS_MIN, SIDE_PIXELS_MIN, SIDE_SHARE_MAX,
    SIDE_SHARE_MIN, SQUARE_OUTSIDE_ANYHOW, SQUARE_OUTSIDE_MAX, TIPS, TIPS_CUT_MAX,
};
use crate::raster::Raster;
use crate::roi::{PALM_SIDE, ROI_MARGIN, RegionOfInterest};
use crate::square::Square;

/// What was measured of a capture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measures {
    /// Side of the palm square in pixels of the frame.
    pub(crate) side_pixels: f32,
    /// The same as a share of the frame's shorter side.
    pub(crate) side_share: f32,
    /// How far the palm square reaches out of the frame, in sides.
    pub(crate) outside: f32,
    /// Finger tips outside the frame.
    pub(crate) tips_cut: usize,
    /// Median grey of the palm.
    pub(crate) light: f32,
    /// Share of the palm that is as bright as the sensor can tell.
    pub(crate) clipped: f32,
    /// Change of light from one side of the palm to the other, as a share of the light.
    pub(crate) gradient: f32,
    /// How sudden the hand's edge is, 0 (smeared) to 1; where it is least so.
    pub(crate) sharpness: f32,
    /// Length of the valley line, 1 for an average palm that faces the sensor with its fingers apart.
    pub(crate) openness: f32,
    /// Digits that the hand's edge shows; `None` where it cannot be seen, or fingers are apart anyhow.
    pub(crate) digits: Option<usize>,
    /// Error of the worst landmark that is to be expected, in sides.
    pub(crate) error: f32,
}

/// Measures a capture in the frame's own pixels. `sharpness` and `digits` are those of the hand's edge.
pub(crate) fn measure(
    (width, height): (f32, f32),
    landmarks: &Landmarks,
    square: &Square,
    region: &RegionOfInterest,
    sharpness: f32,
    digits: Option<usize>,
) -> Measures {
    let beyond = |p: Point| (-p.x).max(-p.y).max(p.x - (width - 1.0)).max(p.y - (height - 1.0));
    let tips = TIPS.map(|(right, down)| square.at(right, down));
    Measures {
        side_pixels: square.side(),
        side_share: square.side() / width.min(height),
        outside: square.corners().map(beyond).into_iter().fold(0.0, f32::max) / square.side(),
        tips_cut: tips.into_iter().filter(|&tip| beyond(tip) > 0.0).count(),
        light: median(region),
        clipped: clipped(region),
        gradient: gradient(region),
        sharpness,
        openness: landmarks.openness(),
        digits,
        error: landmarks.error,
    }
}

impl Measures {
    /// What a person should change, the most basic first; `None` if the capture will do. Where nobody is `guided`, any
    /// palm that is in the frame will.
    pub(crate) fn guidance(&self, guided: bool) -> Option<Guidance> {
        if !guided {
            return (self.outside > SQUARE_OUTSIDE_ANYHOW).then_some(Guidance::Centre);
        }
        // A palm turned about its length looks like one with closed fingers, but shows all five.
        let touching = self.digits.is_none_or(|digits| digits < DIGITS);
        let faults = [
            (self.light < PALM_GREY_MIN, Guidance::TooDark),
            (self.clipped > BRIGHT_CLIPPED, Guidance::TooBright),
            (self.side_share > SIDE_SHARE_MAX || self.tips_cut > TIPS_CUT_MAX, Guidance::Further),
            (self.outside > SQUARE_OUTSIDE_MAX, Guidance::Centre),
            (self.side_share < SIDE_SHARE_MIN || self.side_pixels < SIDE_PIXELS_MIN, Guidance::Closer),
            (self.sharpness < SHARPNESS_MIN, Guidance::HoldStill),
            (touching && self.openness < OPENNESS_TOUCHING, Guidance::FingersApart),
            (!self.is_flat(), Guidance::Flatter),
        ];
        faults.into_iter().find_map(|(is_so, reason)| is_so.then_some(reason))
    }

    fn is_flat(&self) -> bool {
        (OPENNESS_MIN..=OPENNESS_MAX).contains(&self.openness) && self.gradient <= GRADIENT_MAX
    }

    /// Quality, 0 to 100, of a capture that says with this `clarity`, 0 to 1, whose palm it is. Clarity counts as much as
    /// all that was measured around it: it predicts errors best.
    pub(crate) fn quality(&self, clarity: f32) -> u32 {
        let marks = self.marks();
        let logarithm = |mark: f32| mark.max(0.01).ln();
        let around = marks.iter().map(|(mark, _)| logarithm(*mark)).sum::<f32>() / marks.len() as f32;
        (100.0 * (0.5 * (around + logarithm(clarity))).exp()).round() as u32
    }

    /// What to change about the property with the lowest mark.
    pub(crate) fn worst(&self) -> Guidance {
        let worst = self.marks().into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        worst.expect("there are seven marks").1
    }

    /// Each property's mark, 0 to 1, and what would better it.
    fn marks(&self) -> [(f32, Guidance); 7] {
        [
            (MARKS.side_pixels.of(self.side_pixels), Guidance::Closer),
            (MARKS.light.of(self.light), Guidance::TooDark),
            (MARKS.clipped.of(self.clipped), Guidance::TooBright),
            (MARKS.gradient.of(self.gradient), Guidance::Flatter),
            (MARKS.sharpness.of(self.sharpness), Guidance::HoldStill),
            (MARKS.openness.of(self.openness.min(1.0 / self.openness)), Guidance::FingersApart),
            (MARKS.certainty.of(self.error), Guidance::Flatter),
        ]
    }
}

/// How evenly sudden the hand's edge is in all directions: the steepness (contrast across two pixels as a share of
/// that across [`EDGE_REACH`] to each side) of the direction in which it is least, over that of the one in which it is
/// most. Hands have edges of every softness, but only motion smears those that lie across it.
pub(crate) fn sharpness(working: &Raster, contour: &Contour) -> f32 {
    let (width, height) = (working.width() as usize, working.height() as usize);
    let bytes = working.bytes();
    let grey = |point: Point| {
        let (x, y) = (point.x.clamp(0.0, width as f32 - 1.001), point.y.clamp(0.0, height as f32 - 1.001));
        let (column, row) = (x as usize, y as usize);
        let (right, down) = (x - column as f32, y - row as f32);
        let at = |row: usize, column: usize| f32::from(bytes[row.min(height - 1) * width + column.min(width - 1)]);
        let upper = at(row, column) * (1.0 - right) + at(row, column + 1) * right;
        let lower = at(row + 1, column) * (1.0 - right) + at(row + 1, column + 1) * right;
        upper * (1.0 - down) + lower * down
    };
    let inner = |p: &Point| {
        let margin = EDGE_REACH + 1.0;
        p.x > margin && p.y > margin && p.x < width as f32 - margin && p.y < height as f32 - margin
    };
    let length = contour.len();
    let mut steepness: [Vec<f32>; EDGE_DIRECTIONS] = Default::default();
    for i in (0..length).step_by(2).filter(|&i| inner(&contour.at(i))) {
        let normal = (contour.at(i + 3) - contour.at(i + length - 3 % length)).unit().turned();
        let across = |reach: f32| (grey(contour.at(i) + normal * reach) - grey(contour.at(i) - normal * reach)).abs();
        let whole = across(EDGE_REACH);
        // Where something bright touches the hand there is no edge to judge.
        if whole >= CONTRAST_MIN / 2.0 {
            let turn = normal.y.atan2(normal.x).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI;
            let direction = (turn * EDGE_DIRECTIONS as f32) as usize % EDGE_DIRECTIONS;
            steepness[direction].push((across(1.0) / whole).min(1.0));
        }
    }
    let medians = steepness.iter_mut().filter(|of| of.len() >= EDGES_MIN).map(|of| {
        let middle = of.len() / 2;
        *of.select_nth_unstable_by(middle, f32::total_cmp).1
    });
    let (least, most) = medians.fold((1.0_f32, 0.0_f32), |(least, most), of| (least.min(of), most.max(of)));
    if most > 0.0 { least / most } else { 0.0 }
}

/// Pixels of the palm square, without its margins, by row and column.
fn palm(region: &RegionOfInterest) -> impl Iterator<Item = (f32, f32, u8)> {
    (0..PALM_SIDE * PALM_SIDE).map(|i| {
        let (row, column) = (i / PALM_SIDE, i % PALM_SIDE);
        (row as f32, column as f32, region.pixel(row + ROI_MARGIN, column + ROI_MARGIN))
    })
}

fn median(region: &RegionOfInterest) -> f32 {
    let mut greys: Vec<u8> = palm(region).map(|(_, _, pixel)| pixel).collect();
    let middle = greys.len() / 2;
    f32::from(*greys.select_nth_unstable(middle).1)
}

fn clipped(region: &RegionOfInterest) -> f32 {
    palm(region).filter(|&(_, _, pixel)| pixel >= CLIPPED).count() as f32 / (PALM_SIDE * PALM_SIDE) as f32
}

/// Slope of the plane that fits the palm's light best, over its mean.
fn gradient(region: &RegionOfInterest) -> f32 {
    let middle = (PALM_SIDE as f32 - 1.0) / 2.0;
    let (mut sum, mut down, mut right) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (row, column, pixel) in palm(region) {
        sum += f64::from(pixel);
        down += f64::from(pixel) * f64::from(row - middle);
        right += f64::from(pixel) * f64::from(column - middle);
    }
    let side = PALM_SIDE as f64;
    // The sum of squared distances from the middle of a row, over all rows.
    let spread = side * side * (side * side - 1.0) / 12.0;
    let mean = (sum / (side * side)).max(1.0);
    ((down / spread).hypot(right / spread) * side / mean) as f32
}
