//! What the embedding is projected from: how strongly dark and bright lines of each orientation run through each
//! part of the palm.

use std::sync::LazyLock;

use volar_core::template::{FIELD_SIDE, ORIENTATIONS};
use zeroize::{Zeroize, Zeroizing};

use crate::embedding::EmbeddingError;
use crate::orientation::{HalfPicture, LineResponses};
use crate::roi::RegionOfInterest;
use crate::roi_normalize::{mirrored, normalize};
use crate::template_parameters::{POOL_SIDE, POOL_SIGMA, RESPONSE_FLOOR};

const CHANNELS: usize = 2 * ORIENTATIONS as usize;
/// Length of [`line_features`].
pub const LINE_FEATURES: usize = CHANNELS * POOL_SIDE * POOL_SIDE;

/// The features of a region, 0 to about 1: six orientations of dark lines, then of bright ones, each a grid of
/// Gaussian means. For fitting the projection; recognition goes through [`crate::embedding::Embedder`].
///
/// Each cell's responses are divided by their common length first, so that a faint wrinkle says as much about its
/// direction as a deep line; means over a fifteenth of the palm bear the shifts and turns of a hand in the air.
pub fn line_features(roi: &RegionOfInterest) -> Result<Zeroizing<Vec<f32>>, EmbeddingError> {
    let responses = LineResponses::new(&HalfPicture::new(&normalize(roi)?));
    let mut features = Zeroizing::new(Vec::with_capacity(LINE_FEATURES));
    let lengths: Vec<f32> = responses
        .cells()
        .iter()
        .map(|cell| (cell.iter().map(|response| response * response).sum::<f32>() + RESPONSE_FLOOR).sqrt())
        .collect();
    let mut map = Zeroizing::new(vec![0.0; FIELD_SIDE * FIELD_SIDE]);
    for channel in 0..CHANNELS {
        let (orientation, sign) =
            (channel % usize::from(ORIENTATIONS), if channel < CHANNELS / 2 { 1.0 } else { -1.0 });
        for ((value, cell), length) in map.iter_mut().zip(responses.cells()).zip(&lengths) {
            *value = (sign * cell[orientation]).max(0.0) / length;
        }
        pool(&map, &mut features);
    }
    Ok(features)
}

/// Appends the grid of Gaussian means of one map.
fn pool(map: &[f32], features: &mut Vec<f32>) {
    let mut columns = [0.0; FIELD_SIDE];
    for weights_down in POOLING.iter() {
        columns.fill(0.0);
        for (row, weight) in map.chunks_exact(FIELD_SIDE).zip(weights_down) {
            columns.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        let across = |weights: &[f32; FIELD_SIDE]| {
            columns.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f32>()
        };
        features.extend(POOLING.iter().map(across));
    }
    columns.zeroize();
}

/// Weight of each cell in each mean along one side: Gaussians at even distances, mirrored at the edges.
static POOLING: LazyLock<[[f32; FIELD_SIDE]; POOL_SIDE]> = LazyLock::new(|| {
    std::array::from_fn(|place| {
        let centre = (place as f32 + 0.5) / POOL_SIDE as f32 * FIELD_SIDE as f32 - 0.5;
        let reach = (4.0 * POOL_SIGMA).ceil() as isize + 1;
        let mut weights = [0.0; FIELD_SIDE];
        for at in centre as isize - reach..=centre as isize + reach {
            weights[mirrored(at, FIELD_SIDE)] += (-0.5 * ((at as f32 - centre) / POOL_SIGMA).powi(2)).exp();
        }
        let sum: f32 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    })
});
