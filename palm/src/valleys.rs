//! The valleys between digits, placed between pixels.

use crate::outline::Point;
use crate::parameters::VALLEY_DEPTH;

/// Rounds of the tangent's search; it stands still after two or three.
const TANGENT_ROUNDS: usize = 5;

/// The point of `stretch`, a contour from tip to tip, that lies deepest below the line between the tips. `None` if
/// the stretch has no inside.
pub(crate) fn deepest(stretch: &[Point], centre: Point) -> Option<Point> {
    let (first, last) = (*stretch.first()?, *stretch.last()?);
    let normal = (last - first).unit().turned();
    let towards = if normal.dot(centre - first) >= 0.0 { normal } else { normal * -1.0 };
    farthest(stretch, towards)
}

/// The points where the common tangent of two valleys touches them (Zhang et al. 2003), from approximate ones.
///
/// Along the tangent each is the middle between the valley's two sides a little above its bottom, because a flat
/// bottom does not tell where its middle is.
pub(crate) fn tangent(stretches: [&[Point]; 2], approximate: [Point; 2], centre: Point) -> Option<[Point; 2]> {
    let mut valleys = approximate;
    for _ in 0..TANGENT_ROUNDS {
        let line = valleys[1] - valleys[0];
        let normal = line.unit().turned();
        let wrist = if normal.dot(centre - valleys[0]) >= 0.0 { normal } else { normal * -1.0 };
        let depth = VALLEY_DEPTH * line.length();
        valleys = [bottom(stretches[0], wrist, depth)?, bottom(stretches[1], wrist, depth)?];
    }
    Some(valleys)
}

/// Bottom of the valley that `stretch` runs through, where down is `wrist`.
pub(crate) fn bottom(stretch: &[Point], wrist: Point, depth: f32) -> Option<Point> {
    let height = |i: usize| wrist.dot(stretch[i]);
    let lowest = (0..stretch.len()).max_by(|&a, &b| height(a).total_cmp(&height(b)))?;
    let level = height(lowest) - depth;
    let crossing = |inner: usize, outer: usize| {
        let share = (height(inner) - level) / (height(inner) - height(outer)).max(f32::EPSILON);
        stretch[inner] + (stretch[outer] - stretch[inner]) * share
    };
    let before = (0..lowest).rev().find(|&i| height(i) <= level)?;
    let after = (lowest + 1..stretch.len()).find(|&i| height(i) <= level)?;
    let middle = crossing(before + 1, before).middle(crossing(after - 1, after));
    // From the middle of the two sides straight down to the height of the bottom.
    Some(middle + wrist * (height(lowest) - wrist.dot(middle)))
}

fn farthest(stretch: &[Point], direction: Point) -> Option<Point> {
    stretch.iter().copied().max_by(|a, b| direction.dot(*a).total_cmp(&direction.dot(*b)))
}
