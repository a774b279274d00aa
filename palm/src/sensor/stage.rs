//! Says what is in front of a sensor that can be told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What a stageable sensor shows until it is told otherwise. In JSON, by `show`: `{"show": "files", "paths": […]}`,
/// `{"show": "unplugged"}`, or any scene of the simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
pub enum Scene {
    /// These pictures in turn, again and again; none at all is a dark frame. A relative path starts at the folder of
    /// the sensor, and each must lie inside it.
    Files {
        /// The pictures.
        paths: Vec<PathBuf>,
    },
    /// The sensor's cable is out.
    Unplugged,
    /// What the simulated sensor renders.
    #[serde(untagged)]
    Simulated(volar_synth::Scene),
}

/// A handle on what is in front of a sensor. Clones share one stage.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    scene: Scene,
    changes: u64,
}

impl Stage {
    pub(crate) fn new(scene: Scene) -> Self {
        Self(Arc::new(Mutex::new(State { scene, changes: 0 })))
    }

    /// Shows `scene` from the next frame on.
    pub fn set(&self, scene: Scene) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.scene = scene;
        state.changes += 1;
    }

    /// What is shown now.
    pub fn scene(&self) -> Scene {
        self.snapshot().0
    }

    /// What is shown now, and how many times it has been changed.
    pub(crate) fn snapshot(&self) -> (Scene, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.scene.clone(), state.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::SensorConfig;

    #[test]
    fn scenes_read_as_documented() {
        let read = |json: &str| serde_json::from_str::<Scene>(json);
        let files = Scene::Files { paths: vec!["a.jpg".into()] };
        assert_eq!(read(r#"{"show":"files","paths":["a.jpg"]}"#).expect("files"), files);
        assert_eq!(read(r#"{"show":"unplugged"}"#).expect("unplugged"), Scene::Unplugged);
        let two = Scene::Simulated(volar_synth::Scene::TwoHands { person: 3 });
        assert_eq!(read(r#"{"show":"two-hands","person":3}"#).expect("rendered"), two);
        for scene in [files, Scene::Unplugged, two] {
            let json = serde_json::to_string(&scene).expect("plain data");
            assert_eq!(read(&json).expect("written by this crate"), scene, "{json}");
        }
        assert!(read(r#"{"show":"foot"}"#).is_err());
        assert!(read(r#"{"show":"files"}"#).is_err());
    }

    #[test]
    fn sensors_read_as_documented() {
        let read = |json: &str| serde_json::from_str::<SensorConfig>(json);
        for config in [
            r#"{"kind":"v4l2","device":"/dev/video0","format":"Y16"}"#,
            r#"{"kind":"folder","path":"frames","frame_rate":10.0,"autoplay":false}"#,
            r#"{"kind":"video","path":"hands.avi"}"#,
            r#"{"kind":"simulated","seed":7}"#,
        ] {
            assert!(read(config).is_ok(), "{config}: {:?}", read(config).err());
        }
        for config in [r#"{"kind":"v4l2"}"#, r#"{"kind":"lidar"}"#, r#"{"kind":"simulated","sed":7}"#] {
            assert!(read(config).is_err(), "{config} must be refused");
        }
    }
}
