//! Where hands may be in a frame: a small network looks at the whole of it.

use zeroize::Zeroizing;

use crate::network::{Network, standardized};
use crate::outline::Point;
use crate::parameters::{CANDIDATE_MIN, CANDIDATES_MAX};
use crate::raster::Raster;

/// Side of the picture that the network looks at.
pub(crate) const FINDER_SIDE: usize = 128;
/// Cells of its output along a side, each of four pixels.
const CELLS: usize = FINDER_SIDE / CELL;
const CELL: usize = 4;

/// A place where a palm may be, in the searched picture's coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Middle of the palm square.
    pub(crate) centre: Point,
    /// From the wrist to the fingers, of length one.
    pub(crate) up: Point,
    /// Side of the palm square in pixels.
    pub(crate) side: f32,
    /// How likely it is a palm, 0 to 1.
    pub(crate) chance: f32,
}

/// The likeliest places, best first; at most [`CANDIDATES_MAX`].
pub(crate) fn candidates(network: &mut Network, picture: &Raster) -> Vec<Candidate> {
    let longest = picture.width().max(picture.height()) as f32;
    let scale = FINDER_SIDE as f32 / longest;
    let shrunk = |length: u32| ((length as f32 * scale).round() as u32).clamp(1, FINDER_SIDE as u32);
    let small = picture.resized(shrunk(picture.width()), shrunk(picture.height()));
    let (width, height) = (small.width() as usize, small.height() as usize);
    let (left, top) = ((FINDER_SIDE - width) / 2, (FINDER_SIDE - height) / 2);
    let mut pixels = Zeroizing::new(vec![None; FINDER_SIDE * FINDER_SIDE]);
    for (row, bytes) in small.bytes().chunks_exact(width).enumerate() {
        let start = (top + row) * FINDER_SIDE + left;
        pixels[start..start + width].iter_mut().zip(bytes).for_each(|(to, &from)| *to = Some(f32::from(from)));
    }
    let output = network.run(&standardized(&pixels)).remove(0);
    let offset = Point::new(left as f32, top as f32);
    let in_picture = |at: Point| {
        let at = at - offset;
        Point::new((at.x + 0.5) / scale - 0.5, (at.y + 0.5) / scale - 0.5)
    };
    let mut found: Vec<Candidate> = peaks(&output)
        .map(|at| {
            let [centre, up] = [place(&output, at), direction(&output, at)];
            let side = channel(&output, 3)[at].clamp(-2.0, 5.0).exp() * CELL as f32 / scale;
            Candidate { centre: in_picture(centre), up, side, chance: chance(output[at]) }
        })
        .collect();
    found.sort_by(|a, b| b.chance.total_cmp(&a.chance));
    found.truncate(CANDIDATES_MAX);
    found
}

fn channel(output: &[f32], number: usize) -> &[f32] {
    &output[number * CELLS * CELLS..(number + 1) * CELLS * CELLS]
}

fn chance(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Cells that are the likeliest of their surroundings of 5 x 5.
fn peaks(output: &[f32]) -> impl Iterator<Item = usize> {
    let logits = channel(output, 0);
    (0..CELLS * CELLS).filter(move |&at| {
        chance(logits[at]) >= CANDIDATE_MIN && around(at, 2).all(|other| logits[other] <= logits[at])
    })
}

/// Cells at most `reach` columns and rows away, itself included.
fn around(at: usize, reach: usize) -> impl Iterator<Item = usize> {
    let (row, column) = (at / CELLS, at % CELLS);
    let range = move |middle: usize| middle.saturating_sub(reach)..(middle + reach + 1).min(CELLS);
    range(row).flat_map(move |row| range(column).map(move |column| row * CELLS + column))
}

/// Mean place of a peak and its neighbours, in the network's pixels.
fn place(output: &[f32], at: usize) -> Point {
    let (mut sum, mut weight) = (Point::default(), 0.0);
    for cell in around(at, 1) {
        let share = chance(output[cell]);
        let centre = |cells: usize| (cells * CELL) as f32 + (CELL - 1) as f32 / 2.0;
        sum = sum + Point::new(centre(cell % CELLS), centre(cell / CELLS)) * share;
        weight += share;
    }
    sum * (1.0 / weight)
}

fn direction(output: &[f32], at: usize) -> Point {
    let up = Point::new(channel(output, 1)[at], channel(output, 2)[at]);
    if up.length() > 0.0 { up.unit() } else { Point::new(0.0, -1.0) }
}
