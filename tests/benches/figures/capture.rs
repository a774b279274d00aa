//! From a frame to a template, on one core.

use std::sync::Arc;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use volar_palm::embedding;
use volar_palm::pipeline::{Outcome, Pipeline, PipelineConfig};
use volar_palm::sensor::{Scene, SensorConfig, open};
use volar_service::system::SystemClock;

use crate::report::Report;

const HANDS: u64 = 40;
/// Frames of each hand, once it hovers.
const FRAMES_A_HAND: usize = 5;

/// Simulated hands at 640 x 480; only frames that give a template count, they take the longest.
pub(crate) fn frame_to_template(report: &mut Report) {
    let everywhere = sched_getaffinity(None).expect("Linux says it");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::MAX_CPU).find(|&core| everywhere.is_set(core)).expect("this runs on some core");
    one.set(first);
    // Threads that OpenCV starts from now on share this one core.
    sched_setaffinity(None, &one).expect("a process may restrict itself");
    let config = SensorConfig::Simulated { seed: 7, width: 640, height: 480, frame_rate: 120.0 };
    let mut opened = open(&config, Arc::new(SystemClock)).expect("the simulation starts");
    let stage = opened.stage.take().expect("simulations can be staged");
    let pipeline = Pipeline::new(embedding::shipped(), PipelineConfig::default());
    let mut times = Vec::new();
    for person in 0..HANDS {
        let json = serde_json::json!({"show": "hand", "person": person, "position": "left"});
        stage.set(serde_json::from_value::<Scene>(json).expect("a scene"));
        let mut taken = 0;
        // 600 ms of coming in at 120 frames a second, then as many frames as are wanted; some may be refused.
        for _ in 0..150 {
            let frame = opened.sensor.next_frame().expect("simulations deliver");
            let started = Instant::now();
            let outcome = pipeline.process(&frame);
            let took = started.elapsed();
            if matches!(outcome, Outcome::Captured(_)) {
                times.push(took);
                taken += 1;
            }
            if taken == FRAMES_A_HAND {
                break;
            }
        }
    }
    sched_setaffinity(None, &everywhere).expect("back to where it was");
    report.times("frame to template, 640 x 480, one core", times, Some(30.0));
}
