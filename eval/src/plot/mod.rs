//! Plots as SVG, and as PNG for documents that cannot hold an SVG.

mod chart;
mod draw;
mod png;
mod scale;

pub use draw::{Plot, of_identification, of_verification};
pub use png::PlotError;
