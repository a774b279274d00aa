//! A look that costs next to nothing, so that a sensor nobody uses does not keep a processor busy.

use volar_core::clock::Timestamp;

use crate::frame::Frame;
use crate::parameters::{WAKE_AFTER_MS, WAKE_GREY, WAKE_SHARE, WAKE_SIDE};
use crate::raster::Raster;

/// What the sensor sees from afar.
pub(crate) struct Thumbnail {
    raster: Raster,
    taken_at: Timestamp,
}

impl Thumbnail {
    /// The thumbnail of a frame.
    pub(crate) fn of(frame: &Frame) -> Self {
        Self { raster: Raster::of(frame).shrunk(WAKE_SIDE), taken_at: frame.captured_at() }
    }

    /// Whether the scene is as good as it was at `earlier`, not long ago.
    pub(crate) fn is_unchanged_since(&self, earlier: &Self) -> bool {
        let (now, then) = (self.raster.bytes(), earlier.raster.bytes());
        let changed = now.iter().zip(then).filter(|(now, then)| now.abs_diff(**then) > WAKE_GREY).count();
        let recent = self.taken_at >= earlier.taken_at
            && self.taken_at.since(earlier.taken_at).as_millis() < u128::from(WAKE_AFTER_MS);
        recent && now.len() == then.len() && (changed as f32) < WAKE_SHARE * now.len() as f32
    }
}
