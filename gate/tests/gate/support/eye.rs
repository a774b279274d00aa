//! A sensor that sees what it is told, two hundred times a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;
use volar_core::template::{
    EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS, OrientationField, Position, Quality, Template,
};
use volar_gate::eye::{Captured, Eye, Look};
use volar_palm::guidance::Guidance;
use volar_palm::guided::Presence;
use volar_palm::sensor::SensorError;

const FRAME: Duration = Duration::from_millis(5);
/// Frames of a still hand that make a capture.
const STILL: u32 = 4;

/// What is in front of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Nothing,
    /// Held well: captured once, until rearmed.
    StillHand,
    /// Held in a way that something can be said about.
    Hand(Guidance),
    Unplugged,
    /// One frame in two is broken.
    Flickering,
}

/// Says what is in front of the sensor.
#[derive(Clone)]
pub(crate) struct Stand(Arc<Mutex<Sight>>);

impl Stand {
    pub(crate) fn show(&self, sight: Sight) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sight;
    }
}

pub(crate) struct Scripted {
    sight: Arc<Mutex<Sight>>,
    present: bool,
    still: u32,
    captured: bool,
    frames: u32,
}

pub(crate) fn scripted() -> (Scripted, Stand) {
    let sight = Arc::new(Mutex::new(Sight::Nothing));
    (Scripted { sight: sight.clone(), present: false, still: 0, captured: false, frames: 0 }, Stand(sight))
}

impl Eye for Scripted {
    fn look(&mut self) -> Result<Look, SensorError> {
        sleep(FRAME);
        self.frames += 1;
        let sight = *self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let (hand, guidance) = match sight {
            Sight::Nothing => (false, Some(Guidance::ShowHand)),
            Sight::StillHand => (true, None),
            Sight::Hand(guidance) => (true, Some(guidance)),
            Sight::Unplugged => return Err(SensorError::Unplugged { sensor: "scripted".to_owned() }),
            Sight::Flickering if self.frames.is_multiple_of(2) => {
                let source = volar_palm::frame::FrameError::Undecodable { bytes: 3 };
                return Err(SensorError::Frame { origin: "scripted".to_owned(), source });
            }
            Sight::Flickering => (false, Some(Guidance::ShowHand)),
        };
        let presence = match (self.present, hand) {
            (false, false) => Presence::Absent,
            (false, true) => Presence::Entered,
            (true, true) => Presence::Present,
            (true, false) => Presence::Left,
        };
        if presence == Presence::Left {
            (self.still, self.captured) = (0, false);
        }
        self.present = hand;
        self.still = if sight == Sight::StillHand { self.still + 1 } else { 0 };
        let done = self.still >= STILL && !self.captured;
        self.captured |= done;
        let now = Instant::now();
        let capture = done.then(|| Captured { template: template(), delivered: now, ready: now });
        let progress = self.still.min(STILL) as f32 / STILL as f32;
        Ok(Look { presence, guidance, progress, capture })
    }

    fn rearm(&mut self) {
        (self.still, self.captured) = (0, false);
    }

    fn reset(&mut self) {
        (self.present, self.still, self.captured) = (false, 0, false);
    }

    fn description(&self) -> String {
        "scripted".to_owned()
    }
}

fn template() -> Template {
    let wave: Vec<f32> = (0..EMBEDDING_DIMENSIONS).map(|i| (i as f32 * 0.7).sin()).collect();
    let cells: Vec<u8> = (0..FIELD_SIDE * FIELD_SIDE).map(|i| (i % usize::from(ORIENTATIONS)) as u8).collect();
    Template {
        position: Position::Left,
        quality: Quality::new(80).expect("below 100"),
        embedding: Embedding::normalized(&wave).expect("a wave has a direction"),
        orientations: vec![OrientationField::new(&cells).expect("cells of six orientations")],
    }
}
