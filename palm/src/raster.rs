//! Grey pictures between the steps, as OpenCV holds them: zeroed on drop, because they show a hand.
//!
//! OpenCV reports faults for shapes and types that do not fit each other. Here they always do, and each `expect`
//! says why; what comes from outside has been checked by [`Frame`].

use opencv::core::{self, Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;

use crate::frame::Frame;
use crate::outline::Point;
use crate::square::scaled;

/// A continuous 8-bit picture of one channel.
pub(crate) struct Raster(Mat);

impl Raster {
    /// Takes over `mat`, which must be 8-bit with one channel.
    pub(crate) fn new(mat: Mat) -> Self {
        Self(if mat.is_continuous() { mat } else { mat.clone() })
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

    /// The same size, each pixel made by `make` of its place in [`Raster::bytes`].
    pub(crate) fn mapped(&self, make: impl FnMut(usize) -> u8) -> Self {
        let pixels: Vec<u8> = (0..self.bytes().len()).map(make).collect();
        Self::from_pixels(self.width(), self.height(), &pixels)
    }

    /// Resampled by area, which neither aliases nor overshoots.
    pub(crate) fn resized(&self, width: u32, height: u32) -> Self {
        let mut to = Mat::default();
        let size = Size::new(width as i32, height as i32);
        imgproc::resize(&self.0, &mut to, size, 0.0, 0.0, imgproc::INTER_AREA)
            .expect("OpenCV resizes any picture to a size of at least one pixel");
        Self::new(to)
    }

    /// Shrunk so that its longest side is at most `side`.
    pub(crate) fn shrunk(&self, side: u32) -> Self {
        let longest = self.width().max(self.height());
        if longest <= side {
            return Self::from_pixels(self.width(), self.height(), self.bytes());
        }
        let scaled = |length: u32| ((length * side + longest / 2) / longest).max(1);
        self.resized(scaled(self.width()), scaled(self.height()))
    }

    /// A square of `side` x `side` pixels, each at the place that `place` gives it and `step` from the next; `None`
    /// outside the picture.
    pub(crate) fn sampled(&self, step: f32, side: usize, place: impl Fn(Point) -> Point) -> Vec<Option<f32>> {
        // What is much finer than the square's pixels would alias, so it is shrunk first.
        let ratio = (1.0 / step.max(f32::EPSILON)).min(1.0);
        let shrunk;
        let (picture, scale) = if ratio < 0.6 {
            let shorter = |length: u32| ((length as f32 * ratio).round() as u32).max(1);
            shrunk = self.resized(shorter(self.width()), shorter(self.height()));
            (&shrunk, shrunk.width() as f32 / self.width() as f32)
        } else {
            (self, 1.0)
        };
        let (width, height, bytes) = (picture.width() as usize, picture.height() as usize, picture.bytes());
        let sample = |at: Point| {
            let at = scaled(at, scale);
            let inside = at.x > -0.5 && at.y > -0.5 && at.x < width as f32 - 0.5 && at.y < height as f32 - 0.5;
            inside.then(|| {
                let (x, y) = (at.x.clamp(0.0, width as f32 - 1.0), at.y.clamp(0.0, height as f32 - 1.0));
                let (column, row) = (x as usize, y as usize);
                let (right, down) = (x - column as f32, y - row as f32);
                let grey =
                    |row: usize, column: usize| f32::from(bytes[row.min(height - 1) * width + column.min(width - 1)]);
                let upper = grey(row, column) * (1.0 - right) + grey(row, column + 1) * right;
                let lower = grey(row + 1, column) * (1.0 - right) + grey(row + 1, column + 1) * right;
                upper * (1.0 - down) + lower * down
            })
        };
        (0..side * side).map(|i| sample(place(Point::new((i % side) as f32, (i / side) as f32)))).collect()
    }

    /// Weighted mean of each pixel's 3 x 3 surroundings.
    pub(crate) fn smoothed(&self) -> Self {
        let mut to = Mat::default();
        imgproc::gaussian_blur_def(&self.0, &mut to, Size::new(3, 3), 0.0).expect("an odd kernel fits any picture");
        Self::new(to)
    }

    /// Mean of each pixel's surroundings of `side` x `side`, an odd number of pixels.
    pub(crate) fn local_means(&self, side: i32) -> Vec<f32> {
        let mut to = Mat::default();
        imgproc::box_filter_def(&self.0, &mut to, core::CV_32F, Size::new(side, side))
            .expect("OpenCV mirrors a picture that is smaller than the window");
        to.data_typed::<f32>().expect("asked for 32-bit floats").to_vec()
    }

    /// Dark lines narrower than `side`, an odd number of pixels, filled in.
    pub(crate) fn bridged(&self, side: i32) -> Self {
        let shape = core::Mat::new_rows_cols_with_default(side, side, core::CV_8UC1, core::Scalar::all(1.0))
            .expect("a small square fits in memory");
        let mut to = Mat::default();
        imgproc::morphology_ex_def(&self.0, &mut to, imgproc::MORPH_CLOSE, &shape)
            .expect("a square of ones is a kernel");
        Self::new(to)
    }

    /// Without what is narrower than three pixels.
    pub(crate) fn opened(&self) -> Self {
        let mut to = Mat::default();
        imgproc::morphology_ex_def(&self.0, &mut to, imgproc::MORPH_OPEN, &Mat::default())
            .expect("an empty kernel is 3 x 3");
        Self::new(to)
    }

    /// Distance of each non-zero pixel from the nearest zero one, in pixels. What lies beyond the picture counts
    /// as zero if `closed`.
    pub(crate) fn depths(&self, closed: bool) -> Vec<f32> {
        let border = i32::from(closed);
        let mut padded = Mat::default();
        let zero = core::Scalar::all(0.0);
        core::copy_make_border(&self.0, &mut padded, border, border, border, border, core::BORDER_CONSTANT, zero)
            .expect("a border of a pixel fits in memory");
        let mut depths = Mat::default();
        imgproc::distance_transform_def(&padded, &mut depths, imgproc::DIST_L2, imgproc::DIST_MASK_PRECISE)
            .expect("an 8-bit picture of one channel has distances");
        let columns = border as usize..(depths.cols() - border) as usize;
        let mut inner = Vec::with_capacity(self.bytes().len());
        for row in border..depths.rows() - border {
            let row = depths.at_row::<f32>(row).expect("distances are 32-bit floats");
            inner.extend_from_slice(&row[columns.clone()]);
        }
        inner
    }
}

impl Drop for Raster {
    fn drop(&mut self) {
        if let Ok(bytes) = self.0.data_bytes_mut() {
            zeroize::Zeroize::zeroize(bytes);
        }
    }
}
