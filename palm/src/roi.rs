//! The region of interest: the square of palm that a template is made of, and only that.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Side of the palm square in pixels.
pub const PALM_SIDE: usize = 128;
/// Pixels beyond the palm square on each of its sides, so that a template can be shifted and turned a little.
pub const ROI_MARGIN: usize = 12;
/// Side of a region of interest in pixels: the palm square and its margins.
pub const ROI_SIDE: usize = PALM_SIDE + 2 * ROI_MARGIN;

/// A palm brought into one frame: 8-bit grey, row-major, [`ROI_SIDE`] x [`ROI_SIDE`], fingers up.
///
/// Always as a right hand whose palm faces the viewer, so the thumb is on the right; left hands come mirrored.
/// The palm square starts [`ROI_MARGIN`] pixels from each edge; its upper edge lies just below the line between
/// the two outer finger valleys.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RegionOfInterest(Box<[u8]>);

impl RegionOfInterest {
    /// A region of exactly [`ROI_SIDE`] x [`ROI_SIDE`] pixels; `None` for another number of them.
    pub fn new(pixels: Vec<u8>) -> Option<Self> {
        let whole = pixels.len() == ROI_SIDE * ROI_SIDE;
        let region = Self(pixels.into_boxed_slice());
        whole.then_some(region)
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.0
    }

    /// The pixel at `row` and `column`, both below [`ROI_SIDE`].
    pub fn pixel(&self, row: usize, column: usize) -> u8 {
        self.0[row * ROI_SIDE + column]
    }
}

impl fmt::Debug for RegionOfInterest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RegionOfInterest(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_right_number_of_pixels_only() {
        assert!(RegionOfInterest::new(vec![7; ROI_SIDE * ROI_SIDE]).is_some());
        assert!(RegionOfInterest::new(vec![7; ROI_SIDE * ROI_SIDE - 1]).is_none());
        assert!(RegionOfInterest::new(Vec::new()).is_none());
    }

    #[test]
    fn prints_no_pixel() {
        let region = RegionOfInterest::new(vec![201; ROI_SIDE * ROI_SIDE]).expect("the right number of pixels");
        assert_eq!(format!("{region:?}"), "RegionOfInterest(secret)");
    }
}
