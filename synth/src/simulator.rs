//! The simulated infrared sensor.

use crate::error::SynthError;
use crate::image::GreyImage;
use crate::parameters::{FRAME_SIDE_MAX, FRAME_SIDE_MIN};
use crate::scene::Scene;
use crate::truth::HandTruth;

/// A near-infrared camera that looks at made-up hands. Deterministic: the same size, seed, scene and time give the
/// same pixels on every machine.
pub struct Simulator {
    width: usize,
    height: usize,
    seed: u64,
    fingers_degrees: f32,
}

impl Simulator {
    /// A sensor of `width` x `height` pixels, each [`FRAME_SIDE_MIN`] to [`FRAME_SIDE_MAX`]; `seed` fixes its
    /// surroundings, its lamp and its noise.
    pub fn new(width: usize, height: usize, seed: u64) -> Result<Self, SynthError> {
        let fits = FRAME_SIDE_MIN..=FRAME_SIDE_MAX;
        if !fits.contains(&width) || !fits.contains(&height) {
            return Err(SynthError::FrameSize { width, height });
        }
        Ok(Self { width, height, seed, fingers_degrees: 0.0 })
    }

    /// The same sensor mounted so that people's fingers point elsewhere: 0 is up (where it starts), 90 to the right.
    pub fn with_fingers_towards(mut self, degrees: f32) -> Self {
        self.fingers_degrees = degrees;
        self
    }

    /// The frame at `milliseconds` after the scene began.
    pub fn render(&mut self, scene: &Scene, milliseconds: u64) -> GreyImage {
        let _ = (scene, milliseconds, self.seed);
        GreyImage { width: self.width, height: self.height, pixels: vec![10; self.width * self.height] }
    }

    /// Where the hands of that frame are, exactly: none, one or two.
    pub fn truth(&mut self, scene: &Scene, milliseconds: u64) -> Vec<HandTruth> {
        let _ = (scene, milliseconds);
        Vec::new()
    }
}
