//! Made-up palms and a simulated near-infrared sensor that looks at them.
//!
//! No picture of a person went into this: hands follow published anthropometry, palms follow published
//! parametrisations of principal lines and descriptions of what else a palm shows. Everything is fixed by seeds and
//! has the same bits on every machine.

pub mod error;
pub mod image;
pub mod math;
pub mod parameters;
pub mod scene;
pub mod simulator;
pub mod truth;

pub use error::SynthError;
pub use image::GreyImage;
pub use scene::{Condition, Scene};
pub use simulator::Simulator;
pub use truth::HandTruth;
