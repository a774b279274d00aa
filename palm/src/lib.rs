//! From a frame of an infrared sensor to a palm template: find the hand, its finger valleys and an aligned region
//! of interest, judge the quality, say what the person can do better, and make the template.
//!
//! Pixels live here in memory only, and are zeroed when dropped.

mod blob;
mod contour;
mod digits;
pub mod embedding;
pub mod frame;
pub mod guidance;
pub mod guided;
mod hand;
mod hand_finder;
mod landmarks;
mod line_filters;
mod line_means;
#[cfg(test)]
mod made_up;
mod network;
mod no_open_hand;
pub mod orientation;
pub mod outline;
mod palm_lines;
mod parameters;
pub mod pipeline;
mod quality;
mod raster;
pub mod roi;
pub mod roi_normalize;
mod segment;
pub mod sensor;
mod square;
mod stillness;
mod template_parameters;
mod turned;
mod wake;
