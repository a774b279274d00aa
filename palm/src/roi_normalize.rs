//! Local normalisation: takes away the light and leaves creases, veins and ridges at one contrast everywhere.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::embedding::EmbeddingError;
use crate::roi::{ROI_SIDE, RegionOfInterest};
use crate::template_parameters::{CLIP, CONTRAST_FLOOR, CONTRAST_MIN, CONTRAST_SIGMA, MEAN_SIGMA};

/// A region of interest of local mean 0 and local standard deviation about 1, clipped to ±3: row-major,
/// [`ROI_SIDE`] x [`ROI_SIDE`]. Creases and veins are negative.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NormalizedRoi(Box<[f32]>);

impl NormalizedRoi {
    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// Subtracts a Gaussian mean and divides by a Gaussian standard deviation, floored at a share of the whole region's.
///
/// The result does not change when the region's brightness or contrast does. A region without any contrast is an
/// [`EmbeddingError::Featureless`].
pub fn normalize(roi: &RegionOfInterest) -> Result<NormalizedRoi, EmbeddingError> {
    let mut grey: Vec<f32> = roi.pixels().iter().map(|&pixel| f32::from(pixel)).collect();
    let mut mean = blur(&grey, MEAN_SIGMA);
    let mut detail: Vec<f32> = grey.iter().zip(&mean).map(|(pixel, mean)| pixel - mean).collect();
    let mut square: Vec<f32> = detail.iter().map(|value| value * value).collect();
    let contrast = (square.iter().sum::<f32>() / square.len() as f32).sqrt();
    let mut variance = blur(&square, CONTRAST_SIGMA);
    for (value, variance) in detail.iter_mut().zip(&variance) {
        *value = (*value / variance.max(0.0).sqrt().max(CONTRAST_FLOOR * contrast)).clamp(-CLIP, CLIP);
    }
    [&mut grey, &mut mean, &mut square, &mut variance].into_iter().for_each(Zeroize::zeroize);
    let normalized = NormalizedRoi(detail.into_boxed_slice());
    if contrast < CONTRAST_MIN { Err(EmbeddingError::Featureless { contrast }) } else { Ok(normalized) }
}

/// Gaussian blur of a square picture, to four standard deviations, mirrored at the edges.
fn blur(picture: &[f32], sigma: f32) -> Vec<f32> {
    let reach = (4.0 * sigma).ceil() as usize;
    let mut weights: Vec<f32> =
        (0..=2 * reach).map(|i| (-0.5 * ((i as f32 - reach as f32) / sigma).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);

    let mut down = vec![0.0; picture.len()];
    for (row, to) in down.chunks_exact_mut(ROI_SIDE).enumerate() {
        for (i, weight) in weights.iter().enumerate() {
            let from = mirrored(row as isize + i as isize - reach as isize, ROI_SIDE) * ROI_SIDE;
            add_scaled(to, &picture[from..from + ROI_SIDE], *weight);
        }
    }
    let mut across = vec![0.0; picture.len()];
    let mut wide = vec![0.0; ROI_SIDE + 2 * reach];
    for (from, to) in down.chunks_exact(ROI_SIDE).zip(across.chunks_exact_mut(ROI_SIDE)) {
        for (i, value) in wide.iter_mut().enumerate() {
            *value = from[mirrored(i as isize - reach as isize, ROI_SIDE)];
        }
        for (i, weight) in weights.iter().enumerate() {
            add_scaled(to, &wide[i..i + ROI_SIDE], *weight);
        }
    }
    wide.zeroize();
    down.zeroize();
    across
}

fn add_scaled(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

/// The index within 0..`side` that mirrors `at` at the edge pixels' centres; `at` within one `side` of them.
pub(crate) fn mirrored(at: isize, side: usize) -> usize {
    let last = side as isize - 1;
    let folded = if at < 0 { -at } else { at };
    (if folded > last { 2 * last - folded } else { folded }) as usize
}
