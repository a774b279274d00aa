//! Whether a palm is where it was in the frame before.

use volar_core::template::Position;
use zeroize::Zeroizing;

use crate::outline::Point;
use crate::parameters::{STILL_BLOCK, STILL_CHANGE, STILL_GROWTH, STILL_SHIFT};
use crate::pipeline::Capture;
use crate::roi::ROI_SIDE;

/// Where a palm was, and how it looked from afar.
pub(crate) struct Stance {
    position: Position,
    centre: Point,
    side: f32,
    blocks: Zeroizing<Vec<f32>>,
}

impl Stance {
    /// The stance of a capture.
    pub(crate) fn of(capture: &Capture) -> Self {
        let [thumb, little, _, wrist] = capture.outline.palm_square.unwrap_or_default();
        Self {
            position: capture.template.position,
            centre: little.middle(wrist),
            side: (thumb - little).length(),
            blocks: Zeroizing::new(blocks(capture)),
        }
    }

    /// Whether the same palm stayed in place until `later`.
    pub(crate) fn is_still(&self, later: &Self) -> bool {
        let shift = (later.centre - self.centre).length() / self.side.max(1.0);
        let growth = (later.side / self.side.max(1.0) - 1.0).abs();
        let mean = |blocks: &[f32]| blocks.iter().sum::<f32>() / blocks.len().max(1) as f32;
        let (before, after) = (mean(&self.blocks).max(1.0), mean(&later.blocks).max(1.0));
        let changes = self.blocks.iter().zip(later.blocks.iter());
        let change = changes.map(|(a, b)| (a / before - b / after).abs()).sum::<f32>() / self.blocks.len() as f32;
        self.position == later.position && shift <= STILL_SHIFT && growth <= STILL_GROWTH && change <= STILL_CHANGE
    }
}

/// Mean grey of each block of a region.
fn blocks(capture: &Capture) -> Vec<f32> {
    let across = ROI_SIDE / STILL_BLOCK;
    let block = |i: usize| {
        let (top, left) = (i / across * STILL_BLOCK, i % across * STILL_BLOCK);
        let pixels = (0..STILL_BLOCK * STILL_BLOCK)
            .map(|j| f32::from(capture.region.pixel(top + j / STILL_BLOCK, left + j % STILL_BLOCK)));
        pixels.sum::<f32>() / (STILL_BLOCK * STILL_BLOCK) as f32
    };
    (0..across * across).map(block).collect()
}
