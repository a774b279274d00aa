//! `volar-synth hands`: whole hands on nothing with their landmarks, for a training process to read.

use volar_core::template::Position;
use volar_synth::{HandLayer, Palm, Presentation};

use super::arguments::HandsArguments;
use super::ordered::write_blocks;
use super::picture::ToolError;

/// Proportions lie this many times as far from the average as people's do, so that no real hand is beyond them.
const VARIETY: f32 = 2.0;

/// Writes records to standard output, all of one length: columns and rows as 4 bytes each, the landmarks as 32-bit
/// floats in the order of [`volar_synth::layer::Landmarks`], then light and coverage, a byte a texel. All numbers are
/// little-endian; the order is the same for any number of threads.
pub(crate) fn write_hands(arguments: &HandsArguments) -> Result<(), ToolError> {
    let hands = arguments.hands.div_ceil(arguments.poses);
    write_blocks(hands, arguments.threads, |hand| {
        let palm = Palm::varied(arguments.seed + hand, Position::Right, VARIETY);
        let poses = arguments.poses.min(arguments.hands - hand * arguments.poses);
        (0..poses).flat_map(|pose| record(&layer(arguments, &palm, hand, pose))).collect()
    })
}

/// The layer of the `pose`-th presentation of the stream's `hand`-th palm.
pub(crate) fn layer(arguments: &HandsArguments, palm: &Palm, hand: u64, pose: u64) -> HandLayer {
    let presentation = Presentation::any((arguments.seed + hand) * 1_000_003 + pose);
    HandLayer::new(palm, &presentation, arguments.texel)
}

fn record(layer: &HandLayer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * layer.light.len() + 128);
    for side in [layer.width, layer.height] {
        bytes.extend_from_slice(&(side as u32).to_le_bytes());
    }
    for number in layer.landmarks.numbers() {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&layer.light);
    bytes.extend_from_slice(&layer.coverage);
    bytes
}
