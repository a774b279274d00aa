//! The simulated infrared sensor.

use std::sync::Arc;

use volar_core::template::Position;

use crate::camera::Camera;
use crate::error::SynthError;
use crate::hand::{PresentedHand, texel_mm};
use crate::image::GreyImage;
use crate::math::Point;
use crate::motion::Motion;
use crate::parameters::{FACE_SCALE, FRAME_SIDE_MAX, FRAME_SIDE_MIN, KEPT_HANDS, READ_NOISE};
use crate::presentation::Presentation;
use crate::scene::Scene;
use crate::sensor::{Exposure, Grain, Lighting, covered_area};
use crate::shown::{Shown, face_placement, shown_hands};
use crate::sprite::Sprite;
use crate::surroundings::empty_view;
use crate::truth::HandTruth;

/// A near-infrared camera that looks at made-up hands. Deterministic: the same size, seed, mounting, scene and time
/// give the same pixels on every machine.
///
/// The first frame of a hand makes its palm (some 150 ms); those after it take a few milliseconds.
pub struct Simulator {
    width: usize,
    height: usize,
    fingers_degrees: f32,
    seed: u64,
    view: Vec<f32>,
    grain: Grain,
    hands: Vec<Arc<PresentedHand>>,
    face: Option<(u64, Sprite)>,
}

impl Simulator {
    /// A sensor of `width` x `height` pixels, each [`FRAME_SIDE_MIN`] to [`FRAME_SIDE_MAX`]; `seed` fixes its
    /// surroundings and its noise. People's fingers point up.
    pub fn new(width: usize, height: usize, seed: u64) -> Result<Self, SynthError> {
        let fits = FRAME_SIDE_MIN..=FRAME_SIDE_MAX;
        if !fits.contains(&width) || !fits.contains(&height) {
            return Err(SynthError::FrameSize { width, height });
        }
        let sensor = Self {
            width,
            height,
            fingers_degrees: 0.0,
            seed,
            view: Vec::new(),
            grain: Grain::new(seed, width),
            hands: Vec::new(),
            face: None,
        };
        Ok(sensor.with_fingers_towards(0.0))
    }

    /// The same sensor mounted so that people's fingers point to `degrees`, clockwise: 0 is up, 90 to the right.
    /// Anything but a finite number counts as 0.
    pub fn with_fingers_towards(mut self, degrees: f32) -> Self {
        self.fingers_degrees = if degrees.is_finite() { degrees % 360.0 } else { 0.0 };
        self.view = empty_view(self.width, self.height, self.seed, self.arm());
        self.hands.clear();
        self
    }

    /// The frame at `milliseconds` after the scene began. A hand comes in from the edge in the first 600 ms and then
    /// hovers.
    pub fn render(&mut self, scene: &Scene, milliseconds: u64) -> GreyImage {
        self.render_in(scene, Motion::default(), milliseconds)
    }

    /// As [`Simulator::render`], for a visit that takes another course.
    pub fn render_in(&mut self, scene: &Scene, motion: Motion, milliseconds: u64) -> GreyImage {
        if let Scene::Face { seed } = *scene {
            return self.render_face(seed, motion, milliseconds);
        }
        self.render_hands(&shown_hands(scene), motion, milliseconds)
    }

    /// A hand hovering in any `presentation`, with its ground truth.
    pub fn capture(
        &mut self,
        person: u64,
        position: Position,
        presentation: &Presentation,
        milliseconds: u64,
    ) -> (GreyImage, HandTruth) {
        let shown = Shown { person, position, presentation: *presentation };
        let there = Motion::already_there();
        (self.render_hands(&[shown], there, milliseconds), self.truth_of(&shown, there, milliseconds))
    }

    /// Where the hands of that frame are, exactly: none, one or two.
    pub fn truth(&mut self, scene: &Scene, milliseconds: u64) -> Vec<HandTruth> {
        self.truth_in(scene, Motion::default(), milliseconds)
    }

    /// As [`Simulator::truth`], for a visit that takes another course.
    pub fn truth_in(&mut self, scene: &Scene, motion: Motion, milliseconds: u64) -> Vec<HandTruth> {
        shown_hands(scene).iter().map(|shown| self.truth_of(shown, motion, milliseconds)).collect()
    }

    fn render_hands(&mut self, hands: &[Shown], motion: Motion, milliseconds: u64) -> GreyImage {
        let mut exposure = Exposure::of_view(self.width, self.height, &self.view);
        let mut noise = READ_NOISE;
        for shown in hands {
            let hand = self.hand(shown);
            let camera = self.camera(&hand, shown, motion, milliseconds);
            exposure.add(hand.sprite(motion.travels(milliseconds)), &camera, self.lighting(&hand));
            noise = hand.presentation.noise;
        }
        exposure.developed(&self.grain, milliseconds, noise)
    }

    fn render_face(&mut self, seed: u64, motion: Motion, milliseconds: u64) -> GreyImage {
        if self.face.as_ref().is_none_or(|(kept, _)| *kept != seed) {
            let texel = texel_mm(self.width, self.height, FACE_SCALE);
            self.face = Some((seed, crate::face::sprite(seed, texel)));
        }
        let mut exposure = Exposure::of_view(self.width, self.height, &self.view);
        if let Some((_, sprite)) = &self.face {
            let size = (self.width, self.height);
            let placement = face_placement(seed, size, self.fingers_degrees, motion, milliseconds);
            let lighting = Lighting { exposure: 1.0, falloff: 0.3, middle: self.middle() };
            exposure.add(sprite, &Camera::new(self.width, self.height, &placement), lighting);
        }
        exposure.developed(&self.grain, milliseconds, READ_NOISE)
    }

    fn truth_of(&mut self, shown: &Shown, motion: Motion, milliseconds: u64) -> HandTruth {
        let hand = self.hand(shown);
        let camera = self.camera(&hand, shown, motion, milliseconds);
        hand.truth(&camera, covered_area(self.width, self.height, hand.sprite(false), &camera))
    }

    /// The hand as presented, made on first sight and kept for a while.
    fn hand(&mut self, shown: &Shown) -> Arc<PresentedHand> {
        if let Some(at) = self.hands.iter().position(|hand| hand.is(shown)) {
            let hand = self.hands.remove(at);
            self.hands.push(Arc::clone(&hand));
            return hand;
        }
        // Another presentation of a known palm needs no new skin.
        let known = self.hands.iter().find(|hand| hand.has_palm_of(shown)).map(|hand| hand.palm());
        let hand = Arc::new(PresentedHand::new(shown, known, self.width, self.height));
        if self.hands.len() >= KEPT_HANDS {
            self.hands.remove(0);
        }
        self.hands.push(Arc::clone(&hand));
        hand
    }

    fn camera(&self, hand: &PresentedHand, shown: &Shown, motion: Motion, milliseconds: u64) -> Camera {
        let size = (self.width, self.height);
        let placement = hand.placement(shown, size, self.fingers_degrees, motion, milliseconds);
        Camera::new(self.width, self.height, &placement)
    }

    fn lighting(&self, hand: &PresentedHand) -> Lighting {
        let presentation = &hand.presentation;
        let towards = Point::new(0.0, -1.0).turned(presentation.light_degrees.to_radians());
        let short = self.width.min(self.height) as f32;
        Lighting {
            exposure: presentation.exposure,
            falloff: presentation.falloff,
            middle: self.middle() + towards * (0.2 * presentation.light_slant * short),
        }
    }

    fn middle(&self) -> Point {
        Point::new(self.width as f32, self.height as f32) * 0.5
    }

    /// From the frame's middle to where arms come in.
    fn arm(&self) -> Point {
        Point::new(0.0, 1.0).turned(self.fingers_degrees.to_radians())
    }
}

/// A scene with its course through time: frames on demand.
pub struct SimulatedScene {
    simulator: Simulator,
    scene: Scene,
    motion: Motion,
}

impl SimulatedScene {
    /// `scene` before `simulator`, taking the course `motion`.
    pub fn new(simulator: Simulator, scene: Scene, motion: Motion) -> Self {
        Self { simulator, scene, motion }
    }

    /// The frame at `milliseconds` after the beginning.
    pub fn frame_at(&mut self, milliseconds: u64) -> GreyImage {
        self.simulator.render_in(&self.scene, self.motion, milliseconds)
    }

    /// The ground truth of that frame.
    pub fn truth_at(&mut self, milliseconds: u64) -> Vec<HandTruth> {
        self.simulator.truth_in(&self.scene, self.motion, milliseconds)
    }
}
