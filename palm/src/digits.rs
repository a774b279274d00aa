//! Fingers and thumb: what a disc too wide for them cuts off the hand.

use opencv::core::{self, Mat};
use opencv::imgproc;
use opencv::prelude::*;

use crate::blob::Blob;
use crate::contour::Contour;
use crate::parameters::{DIGIT_LENGTH_MIN, DIGIT_SLENDERNESS_MIN, OPENING_RADIUS};
use crate::raster::Raster;

/// How many digits a hand shows.
pub(crate) fn count(blob: &Blob, contour: &Contour) -> usize {
    let pieces = pieces(blob);
    let mut passed: Vec<Vec<usize>> = Vec::new();
    for (i, &pixel) in blob.contour.iter().enumerate() {
        let piece = blob.index(pixel).map_or(0, |index| pieces.labels[index] as usize);
        passed.resize_with(passed.len().max(piece + 1), Vec::new);
        passed[piece].push(i);
    }
    let long = passed.iter().enumerate().skip(1).filter(|(_, indices)| indices.len() > 2);
    long.filter(|(piece, indices)| is_digit(indices, pieces.areas[*piece], blob, contour)).count()
}

fn is_digit(indices: &[usize], area: f32, blob: &Blob, contour: &Contour) -> bool {
    let (from, steps) = span(indices, contour.len());
    let base = contour.at(from).middle(contour.at(from + steps));
    let reach = |step: &usize| (contour.at(from + step) - base).length();
    let Some(tip) = (0..=steps).max_by(|a, b| reach(a).total_cmp(&reach(b))) else { return false };
    let length = reach(&tip);
    let slenderness = length * length / area.max(1.0);
    let fits = length >= DIGIT_LENGTH_MIN * blob.radius && slenderness >= DIGIT_SLENDERNESS_MIN;
    // A forearm that ends in a point, or clutter that touches it, may reach inwards; a digit never does.
    let outwards = (contour.at(from + tip) - blob.centre).length() > (base - blob.centre).length();
    fits && outwards
}

/// First index and number of steps of the shortest stretch of a closed contour that holds all `indices` (ascending).
fn span(indices: &[usize], length: usize) -> (usize, usize) {
    let gap = |i: usize| (indices[(i + 1) % indices.len()] + length - indices[i]) % length;
    let widest = (0..indices.len()).max_by_key(|&i| gap(i)).unwrap_or(0);
    let from = indices[(widest + 1) % indices.len()];
    (from, (indices[widest] + length - from) % length)
}

/// The connected parts of the hand that an opening removes.
struct Pieces {
    /// Each pixel's part, 0 for none.
    labels: Vec<i32>,
    /// Pixels of each part.
    areas: Vec<f32>,
}

fn pieces(blob: &Blob) -> Pieces {
    let disc = OPENING_RADIUS * blob.radius;
    // Opening by a disc through distances: its cost does not grow with the disc.
    let far_from_core = blob.filled.mapped(|i| if blob.depths[i] > disc { 0 } else { 255 });
    let from_core = far_from_core.depths(false);
    let cut = blob.filled.mapped(|i| if blob.depths[i] > 0.0 && from_core[i] > disc + 1.0 { 255 } else { 0 });
    label(&cut)
}

fn label(cut: &Raster) -> Pieces {
    let (mut labels, mut stats, mut centroids) = (Mat::default(), Mat::default(), Mat::default());
    let count =
        imgproc::connected_components_with_stats(cut.mat(), &mut labels, &mut stats, &mut centroids, 4, core::CV_32S)
            .expect("an 8-bit picture of one channel has components");
    let area = |piece| *stats.at_2d::<i32>(piece, imgproc::CC_STAT_AREA).expect("a row for each piece") as f32;
    Pieces {
        labels: labels.data_typed::<i32>().expect("asked for 32-bit labels").to_vec(),
        areas: (0..count).map(area).collect(),
    }
}
