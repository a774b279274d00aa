//! From a frame to a template, or to what the person can do better. The whole of it reads on this page.

use serde::{Deserialize, Serialize};
use volar_core::id::ModelId;
use volar_core::template::{Quality, Template};

use crate::blob::{Blob, blobs};
use crate::contour::Contour;
use crate::digits;
use crate::embedding::{Embedded, Embedder};
use crate::frame::Frame;
use crate::guidance::Guidance;
use crate::hand::{Found, HandFinder};
use crate::landmarks::Landmarks;
use crate::no_open_hand::no_open_hand;
use crate::orientation::orientation_fields;
use crate::outline::{Outline, Point};
use crate::parameters::{ON_HAND_MIN, OPENNESS_TOUCHING, WORKING_SIDE};
use crate::quality::{measure, sharpness};
use crate::raster::Raster;
use crate::roi::RegionOfInterest;
use crate::segment::{Segmented, segment};
use crate::square::{Square, scaled};

/// How a sensor is mounted and how strict captures are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Whether the sensor delivers mirror images. Without mirroring, a right hand that shows its palm with the
    /// fingers up has its thumb on the right.
    pub mirrored: bool,
    /// Whether a person is there who can do better: then a hand too near, too far, tilted, in motion or badly lit
    /// yields guidance. Otherwise, as with recorded pictures, every palm that is found for certain and lies in the
    /// frame is captured, and its quality says how good it is.
    pub guided: bool,
    /// Lowest quality of a capture, 0 to 100; frames below it yield guidance.
    pub quality_min: u8,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { mirrored: false, guided: true, quality_min: 30 }
    }
}

/// Turns frames into templates. Holds no state between frames, so one serves any number of threads.
pub struct Pipeline {
    finder: HandFinder,
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
        Self { finder: HandFinder::new(), embedder, config }
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
        match self.finder.find(&working) {
            Found::Several => Outcome::Guidance { reason: Guidance::OneHand, outline: Outline::default() },
            Found::One(landmarks) => self.capture(&picture, &working, scale, &landmarks),
            Found::None => what_instead(&working, scale),
        }
    }

    /// The template of the hand with these `landmarks` in the `working` picture, or what to do better.
    fn capture(&self, picture: &Raster, working: &Raster, scale: f32, landmarks: &Landmarks) -> Outcome {
        let own_square = Square::below(landmarks);
        let square = own_square.scaled(scale);
        let edge = if self.config.guided { Edge::of(working) } else { None };
        let edge = edge.filter(|edge| edge.is_around(&own_square));
        let outline = Outline {
            contour: edge.as_ref().map(|edge| drawable(&edge.contour, scale)).unwrap_or_default(),
            palm_square: Some(square.corners()),
            valleys: Some([landmarks.valleys[0], landmarks.valleys[2]].map(|valley| scaled(valley, scale))),
        };
        let region = square.cut(picture);
        let size = (picture.width() as f32, picture.height() as f32);
        // Only a hand brighter than what is behind it has an edge that can be judged.
        let sharpness = edge.as_ref().map_or(1.0, |edge| sharpness(working, &edge.contour));
        // Digits that are counted tell closed fingers from a palm turned about its length, where it may be either.
        let unclear = edge.as_ref().filter(|_| landmarks.openness() < OPENNESS_TOUCHING);
        let digits = unclear.map(|edge| digits::count(&edge.blob, &edge.contour));
        let measures = measure(size, landmarks, &square, &region, sharpness, digits);
        if let Some(reason) = measures.guidance(self.config.guided) {
            return Outcome::Guidance { reason, outline };
        }
        let seen = self.embedder.embed(&region).and_then(|embedded| Ok((embedded, orientation_fields(&region)?)));
        let Ok((Embedded { embedding, clarity }, orientations)) = seen else {
            // A palm without a single line is one that the sensor cannot see.
            return Outcome::Guidance { reason: Guidance::TooDark, outline };
        };
        let quality = Quality::new(measures.quality(clarity)).expect("a share of one hundred");
        if quality.value() < self.config.quality_min {
            return Outcome::Guidance { reason: measures.worst(), outline };
        }
        let position = landmarks.position(self.config.mirrored);
        let template = Template { position, quality, embedding, orientations };
        Outcome::Captured(Capture { template, quality, outline, region })
    }
}

/// What a bright region looks like from outside.
struct Edge {
    segmented: Segmented,
    blob: Blob,
    contour: Contour,
}

impl Edge {
    /// Of the largest bright region; `None` if nothing is bright.
    fn of(working: &Raster) -> Option<Self> {
        let segmented = segment(working)?;
        let blob = blobs(&segmented.mask).into_iter().next()?;
        let contour = Contour::smoothed(&blob.contour);
        Some(Self { segmented, blob, contour })
    }

    /// Whether the region is the hand of this square, and not a bright background or a part of a hand.
    fn is_around(&self, square: &Square) -> bool {
        let sides = |i: usize| (i % 16) as f32 / 16.0;
        let edge = (0..64).map(|i| match i / 16 {
            0 => square.at(sides(i), 0.0),
            1 => square.at(1.0, sides(i)),
            2 => square.at(1.0 - sides(i), 1.0),
            _ => square.at(0.0, 1.0 - sides(i)),
        });
        let on_hand = edge.filter(|&point| self.blob.contains(point)).count() as f32 / 64.0;
        on_hand >= ON_HAND_MIN && self.blob.radius <= square.side()
    }
}

/// What to tell a person where no open hand is.
fn what_instead(working: &Raster, scale: f32) -> Outcome {
    let Some(Edge { segmented, blob, contour }) = Edge::of(working) else { return Outcome::NoHand };
    let digits = digits::count(&blob, &contour);
    let outline = Outline { contour: drawable(&contour, scale), ..Outline::default() };
    let reason = no_open_hand(working, &segmented, &blob, &contour, digits);
    reason.map_or(Outcome::NoHand, |reason| Outcome::Guidance { reason, outline })
}

/// Every second point of a contour, in a frame `scale` times as large: fine enough to draw.
fn drawable(contour: &Contour, scale: f32) -> Vec<Point> {
    contour.points().iter().step_by(2).map(|&point| scaled(point, scale)).collect()
}
