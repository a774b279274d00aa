//! Every tuned number, with where it comes from.
//!
//! Lengths on the hand are in millimetres. Anthropometry: ANSUR II (US Army, 2012) and NASA-STD-3000 give hand
//! length 193 ± 10 mm (men) and 181 ± 10 mm (women), breadth across the knuckles 88 ± 5 and 79 ± 4 mm.

/// Least pixels along a frame's side.
pub const FRAME_SIDE_MIN: usize = 120;
/// Most pixels along a frame's side.
pub const FRAME_SIDE_MAX: usize = 4096;
/// Least pixels along a crop's side.
pub const CROP_SIDE_MIN: usize = 32;
/// Most pixels along a crop's side.
pub const CROP_SIDE_MAX: usize = 512;

/// Side of the palm square, in widths of the line from the index-middle to the ring-little valley.
pub const PALM_SQUARE_SIDE: f32 = 1.5;
/// Gap between that line and the palm square's upper side, in the same widths.
pub const PALM_SQUARE_GAP: f32 = 0.2;
