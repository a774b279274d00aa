//! Made-up palms and a simulated near-infrared sensor that looks at them.
//!
//! No picture of a person went into this: hands follow published anthropometry, palms follow published
//! parametrisations of principal lines and descriptions of what else a palm shows. Everything is fixed by seeds and
//! has the same bits on every machine.

mod anatomy;
mod camera;
mod crop;
mod dice;
pub mod error;
mod face;
mod hand;
pub mod image;
pub mod layer;
pub mod math;
pub mod motion;
pub mod palm;
mod palm_measure;
pub mod parameters;
mod pose;
pub mod presentation;
mod raster;
pub mod scene;
mod sensor;
mod shown;
pub mod simulator;
mod skin;
mod sleeve;
mod sprite;
mod surface;
mod surroundings;
pub mod texture;
pub mod truth;

pub use crop::palm_crop;
pub use error::SynthError;
pub use image::GreyImage;
pub use layer::HandLayer;
pub use math::Point;
pub use motion::Motion;
pub use palm::Palm;
pub use presentation::Presentation;
pub use scene::{Condition, Scene};
pub use simulator::{SimulatedScene, Simulator};
pub use texture::{Capture, Texture};
pub use truth::HandTruth;
