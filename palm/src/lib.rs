//! From a frame of an infrared sensor to a palm template: find the hand, its finger valleys and an aligned region
//! of interest, judge the quality, say what the person can do better, and make the template.
//!
//! Pixels live here in memory only, and are zeroed when dropped.

pub mod embedding;
pub mod frame;
pub mod guidance;
pub mod guided;
pub mod orientation;
pub mod outline;
pub mod pipeline;
mod raster;
pub mod roi;
pub mod roi_normalize;
pub mod sensor;
mod template_parameters;
