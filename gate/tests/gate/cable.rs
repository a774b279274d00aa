//! A camera whose cable is pulled in mid-capture, with the real guide behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use volar_gate::eye::GuidedSensor;
use volar_gate::screen::Screen;
use volar_palm::embedding::shipped;
use volar_palm::frame::{Frame, FrameError};
use volar_palm::guided::{Guide, GuideConfig};
use volar_palm::pipeline::{Pipeline, PipelineConfig};
use volar_palm::sensor::{self, Camera, Opened, Pluggable, Scene, Sensor, SensorConfig, SensorError, Stage};
use volar_service::system::SystemClock;

use crate::support::{Gate, Setting, eye};

/// A simulated sensor at the end of a cable.
#[derive(Clone)]
struct Cable {
    plugged: Arc<AtomicBool>,
    sensor: Arc<Mutex<Box<dyn Sensor>>>,
}

impl Camera for Cable {
    fn deliver(&mut self, _: u64) -> Option<Result<Frame, FrameError>> {
        let frame = self.sensor.lock().expect("nobody panics here").next_frame().expect("a simulation delivers");
        self.plugged.load(Ordering::SeqCst).then_some(Ok(frame))
    }
}

fn cable() -> (Cable, Stage) {
    let simulated = SensorConfig::Simulated { seed: 1, width: 640, height: 480, frame_rate: 12.0 };
    let Opened { sensor, stage } = sensor::open(&simulated, Arc::new(SystemClock)).expect("a fair size");
    let cable = Cable { plugged: Arc::new(AtomicBool::new(true)), sensor: Arc::new(Mutex::new(sensor)) };
    (cable, stage.expect("a simulation has a stage"))
}

fn pluggable(cable: &Cable) -> Pluggable {
    let cable = cable.clone();
    let connect = move || match cable.plugged.load(Ordering::SeqCst) {
        true => Ok(Box::new(cable.clone()) as Box<dyn Camera>),
        false => Err(SensorError::Missing { device: "/dev/video0".into() }),
    };
    Pluggable::open("a camera on a cable".to_owned(), Box::new(connect)).expect("plugged in")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_pulled_in_mid_capture_is_said_and_the_hand_is_admitted_once_it_is_back() {
    let (cable, stage) = cable();
    let pipeline = Pipeline::new(shipped(), PipelineConfig::default());
    let guide = Guide::new(Arc::new(pipeline), GuideConfig::default());
    let eye = GuidedSensor::over(Box::new(pluggable(&cable)), guide);
    let mut gate = Gate::watching(Setting::default(), eye, eye::scripted().1).await;
    let hand = r#"{"show": "hand", "person": 5, "position": "left"}"#;
    stage.set(Scene::Simulated(serde_json::from_str(hand).expect("a scene")));
    gate.event("hand").await;

    cable.plugged.store(false, Ordering::SeqCst);
    let lost = gate.event("sensor").await;
    assert_eq!((&lost["state"], &lost["reason"]), (&"lost".into(), &"unplugged".into()));
    gate.screen(Screen::Sensor).await;
    assert_eq!(gate.event("sensor").await["reason"], "missing");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(gate.servers.asked().is_empty(), "nothing of a capture cut short is sent");
    assert_eq!(gate.display.state().screen, Screen::Sensor);

    cable.plugged.store(true, Ordering::SeqCst);
    assert_eq!(gate.event("sensor").await["state"], "back");
    assert_eq!(gate.event("decision").await["decision"], "admitted");
    assert_eq!(gate.servers.asked().len(), 1);
}
