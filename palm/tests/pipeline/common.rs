//! Frames of made-up hands.

use volar_core::clock::Timestamp;
use volar_core::template::Position;
use volar_palm::embedding::shipped;
use volar_palm::frame::Frame;
use volar_palm::outline::Point;
use volar_palm::pipeline::{Outcome, Pipeline, PipelineConfig};
use volar_synth::{Condition, Scene, Simulator};

pub(crate) const NOON: Timestamp = Timestamp::from_unix_milliseconds(43_200_000);
/// Long enough for a hand to have arrived.
pub(crate) const ARRIVED_MS: u64 = 3_000;

pub(crate) fn pipeline() -> Pipeline {
    Pipeline::new(shipped(), PipelineConfig::default())
}

/// Even people show their left hand, odd ones their right.
pub(crate) fn hand(person: u64, condition: Condition) -> Scene {
    let position = if person.is_multiple_of(2) { Position::Left } else { Position::Right };
    Scene::Hand { person, position, sample: person % 3, condition }
}

pub(crate) fn position(scene: &Scene) -> Position {
    match scene {
        Scene::Hand { position, .. } => *position,
        other => panic!("{other:?} has no position"),
    }
}

pub(crate) fn simulator(width: usize, height: usize) -> Simulator {
    Simulator::new(width, height, 1).expect("a fair size")
}

pub(crate) fn frame(width: usize, height: usize, pixels: Vec<u8>, milliseconds: u64) -> Frame {
    let captured_at = NOON.after(std::time::Duration::from_millis(milliseconds));
    Frame::new(width as u32, height as u32, pixels, captured_at, milliseconds).expect("a fair size")
}

pub(crate) fn rendered(simulator: &mut Simulator, scene: &Scene) -> Frame {
    let image = simulator.render(scene, ARRIVED_MS);
    frame(image.width, image.height, image.pixels.clone(), 0)
}

/// One word for what came of a frame.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::NoHand => "no-hand",
        Outcome::Guidance { reason, .. } => reason.as_str(),
        Outcome::Captured(_) => "captured",
    }
}

pub(crate) fn distance(a: Point, b: Point) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}
