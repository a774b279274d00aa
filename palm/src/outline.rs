//! Where the hand is in a frame, for drawing over a live picture.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in a frame's coordinates: pixels right and down from the top left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// What was found in a frame. Shows the shape of a hand, so it prints nothing and belongs in no log.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// The hand's contour, a closed polygon.
    pub contour: Vec<Point>,
    /// The palm square's corners: index side top, little side top, little side bottom, index side bottom.
    pub palm_square: Option<[Point; 4]>,
    /// Index-middle and ring-little valleys.
    pub valleys: Option<[Point; 2]>,
}

impl fmt::Debug for Outline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Outline({} points)", self.contour.len())
    }
}
