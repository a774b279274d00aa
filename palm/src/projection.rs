//! The linear map from line features to embeddings, fitted by `cargo run --release -p volar-palm --example
//! fit_embedding` on made-up palms only.
//!
//! `projection.bin`, little-endian: 256 offsets (f32), 256 scales (f32), 256 rows of [`LINE_FEATURES`] weights (i8).
//! Rounding the weights to 8 bits moved no error rate.

use volar_core::template::EMBEDDING_DIMENSIONS;

use crate::line_features::LINE_FEATURES;

/// Bytes of the offsets, and of the scales.
const FLOATS: usize = 4 * EMBEDDING_DIMENSIONS;
static FITTED: &[u8; 2 * FLOATS + EMBEDDING_DIMENSIONS * LINE_FEATURES] = include_bytes!("projection.bin");

/// Dimension `dimension` of the projection of `features`, of which there are [`LINE_FEATURES`].
pub(crate) fn onto(dimension: usize, features: &[f32]) -> f32 {
    let start = 2 * FLOATS + dimension * LINE_FEATURES;
    let weights: &[i8] = bytemuck::cast_slice(&FITTED[start..start + LINE_FEATURES]);
    // Twelve lanes that the compiler turns into vector instructions; in whole numbers of them.
    const LANES: usize = 12;
    const _: () = assert!(LINE_FEATURES.is_multiple_of(LANES));
    let mut sums = [0.0; LANES];
    for (weights, features) in weights.chunks_exact(LANES).zip(features.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += f32::from(weights[lane]) * features[lane];
        }
    }
    float(FLOATS + 4 * dimension) * sums.iter().sum::<f32>() - float(4 * dimension)
}

fn float(at: usize) -> f32 {
    f32::from_le_bytes(FITTED[at..at + 4].try_into().expect("four bytes"))
}
