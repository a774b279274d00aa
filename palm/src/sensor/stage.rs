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
