//! Where things are in a rendered frame, known exactly.

use volar_core::template::Position;

use crate::math::Point;

/// One rendered hand's ground truth. Points are in pixels of the frame (pixel centres at whole numbers, origin at the
/// upper left, y down) and may lie outside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HandTruth {
    /// Which hand.
    pub position: Position,
    /// Finger tips: thumb, index, middle, ring, little.
    pub finger_tips: [Point; 5],
    /// Valleys, on the hand's boundary, at the middle of each one's floor: thumb-index, index-middle, middle-ring,
    /// ring-little.
    pub valleys: [Point; 4],
    /// Corners of the palm square, as [`PALM_SQUARE_SIDE`](crate::parameters::PALM_SQUARE_SIDE) defines it: at the
    /// fingers on the little finger's side, at the fingers on the thumb's side, at the wrist on the thumb's side, at
    /// the wrist on the little finger's side.
    pub palm_square: [Point; 4],
    /// Centre of the palm square.
    pub palm_centre: Point,
    /// Pixels of the frame that the hand and forearm cover.
    pub visible_area: u32,
    /// Direction of the fingers in degrees: 0 up, 90 to the right.
    pub fingers_degrees: f32,
}
