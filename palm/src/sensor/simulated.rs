//! Rendered hands as if a camera delivered them.

use std::sync::Arc;

use volar_core::clock::{Clock, Timestamp};
use volar_synth::Simulator;

use super::pacer::Pacer;
use super::{Scene, Sensor, SensorError, Stage};
use crate::frame::Frame;

pub(super) struct Simulated {
    simulator: Simulator,
    size: (u32, u32),
    stage: Stage,
    pacer: Pacer,
    /// The stage's change that is being shown, and since when.
    shown: Option<(u64, Timestamp)>,
}

impl Simulated {
    pub(super) fn open(
        seed: u64,
        width: u32,
        height: u32,
        frame_rate: f64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SensorError> {
        let simulator = Simulator::new(width as usize, height as usize, seed)
            .map_err(|error| SensorError::Simulation { reason: error.to_string() })?;
        let stage = Stage::new(Scene::Simulated(volar_synth::Scene::Empty));
        Ok(Self { simulator, size: (width, height), stage, pacer: Pacer::new(frame_rate, clock)?, shown: None })
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.clone()
    }
}

impl Sensor for Simulated {
    fn next_frame(&mut self) -> Result<Frame, SensorError> {
        let (captured_at, sequence) = self.pacer.wait();
        let (scene, change) = self.stage.snapshot();
        let began = match self.shown {
            Some((shown, began)) if shown == change => began,
            _ => captured_at,
        };
        self.shown = Some((change, began));
        let scene = match scene {
            Scene::Simulated(scene) => scene,
            Scene::Unplugged => return Err(SensorError::Unplugged { sensor: self.description() }),
            Scene::Files { .. } => return Err(SensorError::WrongStage { sensor: "simulated" }),
        };
        let elapsed = captured_at.since(began).as_millis();
        let picture = self.simulator.render(&scene, u64::try_from(elapsed).unwrap_or(u64::MAX));
        let (width, height) = self.size;
        Frame::new(width, height, picture.pixels, captured_at, sequence)
            .map_err(|source| SensorError::Frame { origin: self.description(), source })
    }

    fn description(&self) -> String {
        format!("simulated sensor, {}x{}", self.size.0, self.size.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use volar_core::clock::ManualClock;
    use volar_core::template::Position;
    use volar_synth::Condition;

    #[test]
    fn the_stage_decides_and_time_starts_with_each_scene() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(5_000)));
        let mut sensor = Simulated::open(1, 320, 240, 120.0, clock.clone()).expect("a fair size");
        let hand =
            volar_synth::Scene::Hand { person: 3, position: Position::Left, sample: 0, condition: Condition::Good };
        let bright = |frame: &Frame| frame.pixels().iter().filter(|&&pixel| pixel > 60).count();
        let empty = bright(&sensor.next_frame().expect("a frame"));
        sensor.stage().set(Scene::Simulated(hand));
        sensor.next_frame().expect("a frame");
        clock.advance(Duration::from_secs(3));
        let hovering = sensor.next_frame().expect("a frame");
        assert!(bright(&hovering) > empty + 320 * 240 / 10, "{} {}", bright(&hovering), empty);
        let mut expected = Simulator::new(320, 240, 1).expect("a fair size");
        assert_eq!(hovering.pixels(), expected.render(&hand, 3_000).pixels);
        sensor.stage().set(Scene::Unplugged);
        assert!(matches!(sensor.next_frame(), Err(SensorError::Unplugged { .. })));
        sensor.stage().set(Scene::Files { paths: Vec::new() });
        assert_eq!(sensor.next_frame().expect_err("no files"), SensorError::WrongStage { sensor: "simulated" });
        sensor.stage().set(Scene::Simulated(volar_synth::Scene::Empty));
        assert_eq!(bright(&sensor.next_frame().expect("a frame")), empty);
    }

    #[test]
    fn a_size_that_cannot_be_rendered_is_refused() {
        let clock = || Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(0)));
        assert!(matches!(Simulated::open(1, 10, 10, 25.0, clock()), Err(SensorError::Simulation { .. })));
    }
}
