//! Which digit is which: every run of five digits, taken from either end, is held against a hand's proportions, and
//! the best fit wins. So the thumb is told from the little finger and clutter at the wrist from digits.

use volar_core::template::Position;

use crate::blob::Blob;
use crate::contour::Contour;
use crate::digits::{Digit, between};
use crate::outline::Point;
use crate::parameters::{FIT_MAX, PROPORTIONS, Proportion};
use crate::valleys::{bottom, deepest, tangent};

/// Where a hand's parts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Tips: thumb, index, middle, ring, little.
    pub(crate) tips: [Point; 5],
    /// Valleys: thumb-index, index-middle, middle-ring, ring-little.
    pub(crate) valleys: [Point; 4],
    /// From the index-middle to the ring-little valley, of length one.
    pub(crate) across: Point,
    /// At right angles to that, towards the wrist.
    pub(crate) wrist: Point,
    /// Distance between those two valleys, which hand proportions are measured in.
    pub(crate) scale: f32,
    /// Mean square deviation from average proportions, in standard deviations.
    pub(crate) misfit: f32,
}

/// The best reading of `digits` as an open hand; `None` if none is plausible.
pub(crate) fn layout(blob: &Blob, contour: &Contour, digits: &[Digit]) -> Option<Layout> {
    let count = digits.len();
    if count < 5 {
        return None;
    }
    let runs = (0..count).map(|first| std::array::from_fn::<Digit, 5, _>(|i| digits[(first + i) % count]));
    runs.flat_map(|run| [reading(blob, contour, run, false), reading(blob, contour, run, true)])
        .flatten()
        .filter(|layout| layout.misfit <= FIT_MAX)
        .min_by(|a, b| a.misfit.total_cmp(&b.misfit))
}

/// `run` read with the thumb first, or last if `reversed`.
fn reading(blob: &Blob, contour: &Contour, run: [Digit; 5], reversed: bool) -> Option<Layout> {
    let mut gaps: [Vec<Point>; 4] = std::array::from_fn(|i| between(contour, &run[i], &run[i + 1]));
    let mut run = run;
    if reversed {
        run.reverse();
        gaps.reverse();
    }
    let centre = blob.centre;
    let approximate = [deepest(&gaps[1], centre)?, deepest(&gaps[3], centre)?];
    let [index_middle, ring_little] = tangent([&gaps[1], &gaps[3]], approximate, centre)?;
    let line = ring_little - index_middle;
    let (across, scale) = (line.unit(), line.length());
    let normal = across.turned();
    let wrist = if normal.dot(centre - index_middle) >= 0.0 { normal } else { normal * -1.0 };
    let middle_ring = bottom(&gaps[2], wrist, 0.0)?;
    let layout = Layout {
        tips: run.map(|digit| contour.at(digit.tip)),
        valleys: [deepest(&gaps[0], centre)?, index_middle, middle_ring, ring_little],
        across,
        wrist,
        scale,
        misfit: 0.0,
    };
    let misfit = layout.misfit(blob)?;
    Some(Layout { misfit, ..layout })
}

impl Layout {
    /// A place in the hand's own frame: from the index-middle valley, towards the little finger and towards the
    /// wrist, in valley lines.
    pub(crate) fn own(&self, point: Point) -> Point {
        let from = point - self.valleys[1];
        Point::new(from.dot(self.across), from.dot(self.wrist)) * (1.0 / self.scale)
    }

    /// Which hand, given that its palm faces the sensor.
    pub(crate) fn position(&self, mirrored: bool) -> Position {
        // With fingers up, a right palm's little finger is on the left: from there, the wrist is a quarter turn
        // against the clock of a screen.
        let right = self.across.cross(self.wrist) < 0.0;
        if right != mirrored { Position::Right } else { Position::Left }
    }

    /// Mean square deviation from [`PROPORTIONS`]; `None` where one is beyond all plausibility.
    fn misfit(&self, blob: &Blob) -> Option<f32> {
        if !self.scale.is_normal() {
            return None;
        }
        let tips = self.tips.map(|tip| self.own(tip));
        let valleys = self.valleys.map(|valley| self.own(valley));
        let centre = self.own(blob.centre);
        let measured = [
            self.scale / blob.radius,
            centre.x,
            centre.y,
            valleys[0].x,
            valleys[0].y,
            valleys[2].x,
            valleys[2].y,
            tips[0].x,
            tips[0].y,
            tips[1].y,
            tips[2].y,
            tips[3].y,
            tips[4].x,
            tips[4].y,
        ];
        let deviations = measured
            .iter()
            .zip(&PROPORTIONS)
            .map(|(measured, Proportion { mean, deviation })| (measured - mean) / deviation);
        let mut sum = 0.0;
        for deviation in deviations {
            if deviation.abs() > 4.0 {
                return None;
            }
            sum += deviation * deviation;
        }
        Some(sum / measured.len() as f32)
    }
}
