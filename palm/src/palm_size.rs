//! How large the palm is, told by what does not change when fingers spread.
//!
//! The line between the valleys lengthens by a fifth when a person spreads the fingers. The largest circle in the palm
//! and the palm's breadth below the fingers hardly do; each errs where the other does not (the circle with the thumb,
//! the breadth with the skin between the fingers), so their geometric mean is taken.

use crate::blob::Blob;
use crate::layout::Layout;
use crate::outline::Point;
use crate::parameters::{BREADTH_LEVELS, PALM_REACH};

/// A palm's measures, in the working picture's pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PalmSize {
    /// Centre of the largest circle in the palm.
    pub(crate) centre: Point,
    /// Half of the palm's size: mean of that circle's radius and half the breadth.
    pub(crate) unit: f32,
}

/// Measures the palm of a hand that has been laid out.
pub(crate) fn palm_size(blob: &Blob, layout: &Layout) -> PalmSize {
    let (centre, radius) = inscribed(blob, layout);
    let middle = layout.valleys[1].middle(layout.valleys[3]);
    let breadths = BREADTH_LEVELS.map(|level| {
        let from = middle + layout.wrist * (level * radius);
        reach(blob, from, layout.across) + reach(blob, from, layout.across * -1.0)
    });
    let breadth = breadths.iter().sum::<f32>() / breadths.len() as f32;
    PalmSize { centre, unit: (radius * breadth / 2.0).sqrt() }
}

/// The largest circle with its centre below the fingers: a sleeve may hold a larger one.
fn inscribed(blob: &Blob, layout: &Layout) -> (Point, f32) {
    let width = blob.filled.width() as usize;
    let place = |i: usize| Point::new((i % width) as f32, (i / width) as f32);
    let near = |i: &usize| {
        let own = layout.own(place(*i));
        (-0.3..=1.3).contains(&own.x) && (0.0..=PALM_REACH).contains(&own.y)
    };
    let deep = (0..blob.depths.len()).filter(|&i| blob.depths[i] > 0.4 * blob.radius).filter(near);
    deep.max_by(|&a, &b| blob.depths[a].total_cmp(&blob.depths[b]))
        .map_or((blob.centre, blob.radius), |i| (place(i), blob.depths[i]))
}

/// How far the hand goes on from a point in a direction.
fn reach(blob: &Blob, from: Point, direction: Point) -> f32 {
    let step = 0.5;
    let steps = (0..).take_while(|&i| blob.contains(from + direction * (i as f32 * step))).count();
    steps as f32 * step
}
