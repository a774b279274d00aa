//! From a frame to a template, or to what the person can do better. The whole of it reads on this page.

use serde::{Deserialize, Serialize};
use volar_core::id::ModelId;
use volar_core::template::{Position, Quality, Template};

use crate::blob::{Blob, blobs};
use crate::contour::Contour;
use crate::digits::digits;
use crate::embedding::{Embedder, EmbeddingError};
use crate::frame::Frame;
use crate::guidance::Guidance;
use crate::layout::layout;
use crate::no_open_hand::no_open_hand;
use crate::orientation::orientation_fields;
use crate::outline::{Outline, Point};
use crate::palm_size::palm_size;
use crate::parameters::{DIGITS_MAX, SECOND_HAND_DIGITS, SECOND_HAND_RADIUS, WORKING_SIDE};
use crate::quality::measure;
use crate::raster::Raster;
use crate::roi::RegionOfInterest;
use crate::segment::segment;
use crate::square::{Square, scaled};

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
    ///
    /// Holds OpenCV to the calling thread, for the whole process: frames are small, and waking threads for them costs
    /// more than they save.
    pub fn new(embedder: Box<dyn Embedder>, config: PipelineConfig) -> Self {
        opencv::core::set_num_threads(1).expect("OpenCV accepts any number of threads");
        Self { embedder, config }
    }

    /// Which model makes the embeddings.
    pub fn model(&self) -> ModelId {
        self.embedder.model()
    }

    /// Examines one frame.
    pub fn process(&self, frame: &Frame) -> Outcome {
        let picture = Raster::of(frame);
        let working = picture.shrunk(WORKING_SIDE);
        let scale = picture.width() as f32 / working.width() as f32;
        let Some(segmented) = segment(&working) else { return Outcome::NoHand };
        let blobs = blobs(&segmented.mask);
        let Some(blob) = blobs.first() else { return Outcome::NoHand };

        let contour = Contour::smoothed(&blob.contour);
        let digits = digits(blob, &contour);
        let mut outline = Outline { contour: drawable(&contour, scale), ..Outline::default() };
        if is_second_hand(&blobs) || digits.len() > DIGITS_MAX {
            return Outcome::Guidance { reason: Guidance::OneHand, outline };
        }
        let Some(layout) = layout(blob, &contour, &digits) else {
            let reason = no_open_hand(&working, &segmented, blob, &contour, &digits);
            return reason.map_or(Outcome::NoHand, |reason| Outcome::Guidance { reason, outline });
        };

        let own_square = Square::below(&layout, &palm_size(blob, &layout));
        let square = own_square.scaled(scale);
        outline.palm_square = Some(square.corners());
        outline.valleys = Some([layout.valleys[1], layout.valleys[3]].map(|valley| scaled(valley, scale)));
        let region = square.cut(&picture);
        let measures = measure(&working, &segmented, blob, &contour, &layout, &own_square, scale, &region);
        if let Some(reason) = measures.guidance() {
            return Outcome::Guidance { reason, outline };
        }
        let quality = Quality::new(measures.quality()).expect("a share of one hundred");
        if quality.value() < self.config.quality_min {
            return Outcome::Guidance { reason: measures.worst(), outline };
        }

        let position = layout.position(self.config.mirrored);
        match self.template(&region, position, quality) {
            Ok(template) => Outcome::Captured(Capture { template, quality, outline, region }),
            // A palm without a single line is one that the sensor cannot see.
            Err(_) => Outcome::Guidance { reason: Guidance::TooDark, outline },
        }
    }

    fn template(
        &self,
        region: &RegionOfInterest,
        position: Position,
        quality: Quality,
    ) -> Result<Template, EmbeddingError> {
        let embedding = self.embedder.embed(region)?;
        let orientations = orientation_fields(region)?;
        Ok(Template { position, quality, embedding, orientations })
    }
}

/// Whether another region than the first has fingers too.
fn is_second_hand(blobs: &[Blob]) -> bool {
    let large = |blob: &&Blob| blob.radius >= SECOND_HAND_RADIUS * blobs[0].radius;
    let fingers = |blob: &Blob| digits(blob, &Contour::smoothed(&blob.contour)).len();
    blobs.iter().skip(1).filter(large).any(|blob| fingers(blob) >= SECOND_HAND_DIGITS)
}

/// Every second point of a contour, in a frame `scale` times as large: fine enough to draw.
fn drawable(contour: &Contour, scale: f32) -> Vec<Point> {
    contour.points().iter().step_by(2).map(|&point| scaled(point, scale)).collect()
}
