//! What a caller can get wrong.

use crate::parameters::{CROP_SIDE_MAX, CROP_SIDE_MIN, FRAME_SIDE_MAX, FRAME_SIDE_MIN};

/// Why nothing was rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SynthError {
    /// A side outside [`FRAME_SIDE_MIN`] to [`FRAME_SIDE_MAX`].
    #[error(
        "a frame of {width}x{height} pixels cannot be rendered: each side must have {FRAME_SIDE_MIN} to \
         {FRAME_SIDE_MAX} pixels"
    )]
    FrameSize {
        /// Pixels across, as asked for.
        width: usize,
        /// Pixels down, as asked for.
        height: usize,
    },
    /// A side outside [`CROP_SIDE_MIN`] to [`CROP_SIDE_MAX`].
    #[error("a palm crop of {side} pixels cannot be rendered: its side must have {CROP_SIDE_MIN} to {CROP_SIDE_MAX}")]
    CropSide {
        /// Side in pixels, as asked for.
        side: usize,
    },
}
