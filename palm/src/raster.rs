//! Grey pictures between the steps, as OpenCV holds them: zeroed on drop, because they show a hand.

use opencv::core::{Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;

use crate::frame::Frame;

/// A continuous 8-bit picture of one channel.
pub(crate) struct Raster(Mat);

impl Raster {
    /// Takes over `mat`, which must be 8-bit with one channel.
    pub(crate) fn new(mat: Mat) -> Self {
        let mat = if mat.is_continuous() { mat } else { mat.clone() };
        Self(mat)
    }

    /// A copy of a frame.
    pub(crate) fn of(frame: &Frame) -> Self {
        Self::from_pixels(frame.width(), frame.height(), frame.pixels())
    }

    /// A copy of `pixels`, `width` x `height` of them.
    pub(crate) fn from_pixels(width: u32, height: u32, pixels: &[u8]) -> Self {
        let view = Mat::new_rows_cols_with_data(height as i32, width as i32, pixels)
            .expect("callers pass width times height pixels");
        Self(view.try_clone().expect("OpenCV copies any picture that fits in memory"))
    }

    /// Grey of a blue-green-red picture.
    pub(crate) fn from_colour(colour: Mat) -> Self {
        if colour.channels() != 3 {
            return Self::new(colour);
        }
        let mut grey = Mat::default();
        imgproc::cvt_color_def(&colour, &mut grey, imgproc::COLOR_BGR2GRAY).expect("three channels become one");
        Self::new(grey)
    }

    pub(crate) fn mat(&self) -> &Mat {
        &self.0
    }

    pub(crate) fn width(&self) -> u32 {
        self.0.cols() as u32
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.rows() as u32
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.data_bytes().expect("a raster is continuous")
    }

    /// Resampled by area, which neither aliases nor overshoots.
    pub(crate) fn resized(&self, width: u32, height: u32) -> Self {
        let mut to = Mat::default();
        let size = Size::new(width as i32, height as i32);
        imgproc::resize(&self.0, &mut to, size, 0.0, 0.0, imgproc::INTER_AREA)
            .expect("OpenCV resizes any picture to a size of at least one pixel");
        Self::new(to)
    }
}

impl Drop for Raster {
    fn drop(&mut self) {
        if let Ok(bytes) = self.0.data_bytes_mut() {
            zeroize::Zeroize::zeroize(bytes);
        }
    }
}
