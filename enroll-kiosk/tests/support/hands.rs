//! A sensor and an observer that see what a test says, so that a visit takes milliseconds and needs no pictures.

#![allow(missing_docs, unreachable_pub)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::MODEL;
use volar_core::clock::Timestamp;
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::score::ScoreModel;
use volar_core::template::{
    EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS, OrientationField, Position, Quality, Template,
};
use volar_kiosk::sensor_loop::Observer;
use volar_palm::frame::{Frame, FrameError};
use volar_palm::guidance::Guidance;
use volar_palm::guided::{Observation, Presence};
use volar_palm::outline::{Outline, Point};
use volar_palm::pipeline::Capture;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_palm::sensor::{Camera, Pluggable, Sensor, SensorError};

/// What is before the sensor now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown {
    Nothing,
    Hand(Position),
    Poorly(Guidance),
    Unplugged,
}

/// The hand of the test, shared by sensor and observer.
#[derive(Clone)]
pub struct Hands(Arc<Mutex<Shown>>);

impl Hands {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Shown::Nothing)))
    }

    pub fn show(&self, shown: Shown) {
        *self.0.lock().expect("nobody panics here") = shown;
    }

    fn shown(&self) -> Shown {
        *self.0.lock().expect("nobody panics here")
    }

    pub fn sensor(&self) -> Box<dyn Sensor> {
        let hands = self.clone();
        let connect = move || match hands.shown() {
            Shown::Unplugged => Err(SensorError::Missing { device: "/dev/video0".into() }),
            _ => Ok(Box::new(Still(hands.clone())) as Box<dyn Camera>),
        };
        Box::new(Pluggable::open("a test's camera".to_owned(), Box::new(connect)).expect("plugged in"))
    }

    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Scripted { hands: self.clone(), views: 0, armed: true })
    }
}

/// A camera on a cable, as a test's sensor.
struct Still(Hands);

impl Camera for Still {
    fn deliver(&mut self, sequence: u64) -> Option<Result<Frame, FrameError>> {
        std::thread::sleep(Duration::from_millis(4));
        let moment = Timestamp::from_unix_milliseconds(sequence);
        let plugged = self.0.shown() != Shown::Unplugged;
        plugged.then(|| Frame::new(160, 120, vec![9; 160 * 120], moment, sequence))
    }
}

struct Scripted {
    hands: Hands,
    views: u64,
    armed: bool,
}

impl Observer for Scripted {
    fn observe(&mut self, frame: &Frame) -> Observation {
        let contour = (0..600).map(|i| Point { x: i as f32 % frame.width() as f32, y: 60.0 }).collect();
        let outline = Outline { contour, ..Outline::default() };
        let seen =
            |presence, guidance, outline| Observation { presence, guidance, outline, captured: None, progress: 0.0 };
        match self.hands.shown() {
            Shown::Hand(position) => {
                let captured = std::mem::take(&mut self.armed).then(|| {
                    self.views += 1;
                    capture(position, self.views)
                });
                let progress = if captured.is_some() { 1.0 } else { 0.5 };
                Observation { captured, progress, ..seen(Presence::Present, None, outline) }
            }
            Shown::Poorly(guidance) => seen(Presence::Present, Some(guidance), outline),
            _ => {
                self.armed = true;
                seen(Presence::Absent, Some(Guidance::ShowHand), Outline::default())
            }
        }
    }

    fn rearm(&mut self) {
        self.armed = true;
    }

    fn reset(&mut self) {
        self.armed = true;
    }
}

/// The calibration of the made-up servers' model.
pub fn scores() -> ScoreModel {
    ScoreModel::for_model(&MODEL.parse().expect("a slug")).expect("calibrated")
}

/// A view of the one palm that there is on each side, a little unlike every other.
fn capture(position: Position, seed: u64) -> Capture {
    let palm = SeededRandomness::new(1_000 + u64::from(position == Position::Left));
    let (mut bytes, mut noise) = ([0; EMBEDDING_DIMENSIONS], [0; EMBEDDING_DIMENSIONS]);
    palm.fill(&mut bytes);
    SeededRandomness::new(seed).fill(&mut noise);
    let values: Vec<f32> = bytes.iter().zip(noise).map(|(&a, b)| f32::from(a) + f32::from(b / 2) - 191.0).collect();
    let mut cells = [0; FIELD_SIDE * FIELD_SIDE];
    palm.fill(&mut cells);
    cells.iter_mut().for_each(|cell| *cell %= ORIENTATIONS);
    let quality = Quality::new(70).expect("0 to 100");
    let template = Template {
        position,
        quality,
        embedding: Embedding::normalized(&values).expect("not zero"),
        orientations: vec![OrientationField::new(&cells).expect("six orientations")],
    };
    let region = RegionOfInterest::new(vec![0; ROI_SIDE * ROI_SIDE]).expect("the right number of pixels");
    Capture { template, quality, outline: Outline::default(), region }
}
