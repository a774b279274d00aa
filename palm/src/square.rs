//! The palm square: placed by the valleys, cut out of the frame as a region of interest.

use opencv::core::{self, Mat, Scalar, Size};
use opencv::imgproc;

use crate::landmarks::Landmarks;
use crate::outline::Point;
use crate::parameters::{CENTRE_WEIGHT, MIDDLE_VALLEY_WEIGHT, SQUARE_GAP, SQUARE_SIDE};
use crate::raster::Raster;
use crate::roi::{PALM_SIDE, ROI_MARGIN, ROI_SIDE, RegionOfInterest};

/// Where the palm square lies, in a picture's coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Square {
    /// Its corner at the fingers, on the little finger's side: the region of interest's upper left.
    pub(crate) corner: Point,
    /// Along its upper side towards the thumb; its length is the square's side.
    pub(crate) across: Point,
    /// Along its left side towards the wrist; as long.
    pub(crate) down: Point,
}

impl Square {
    /// The square below a hand's valley line: as large as the landmarks say, placed and turned by the valleys.
    pub(crate) fn below(landmarks: &Landmarks) -> Self {
        let [index_middle, middle_ring, ring_little] = landmarks.valleys;
        let side = landmarks.side();
        let line_across = (ring_little - index_middle).unit();
        let normal = line_across.turned();
        let line_wrist = if normal.dot(landmarks.centre - index_middle) >= 0.0 { normal } else { normal * -1.0 };
        let to_centre = (landmarks.centre - middle_ring).unit();
        let wrist = (line_wrist * (1.0 - CENTRE_WEIGHT) + to_centre * CENTRE_WEIGHT).unit();
        let turned = wrist.turned();
        let thumb = if turned.dot(line_across) < 0.0 { turned } else { turned * -1.0 };

        let line_middle = index_middle.middle(ring_little);
        let aside = thumb.dot(middle_ring - line_middle) * MIDDLE_VALLEY_WEIGHT;
        let middle = line_middle + thumb * aside + wrist * (SQUARE_GAP / SQUARE_SIDE * side);
        let (across, down) = (thumb * side, wrist * side);
        Self { corner: middle - across * 0.5, across, down }
    }

    /// A place given in sides from the corner.
    pub(crate) fn at(&self, right: f32, down: f32) -> Point {
        self.corner + self.across * right + self.down * down
    }

    /// Thumb side at the fingers, little side at the fingers, little side at the wrist, thumb side at the wrist.
    pub(crate) fn corners(&self) -> [Point; 4] {
        [self.at(1.0, 0.0), self.at(0.0, 0.0), self.at(0.0, 1.0), self.at(1.0, 1.0)]
    }

    /// The same square in a picture `scale` times as large.
    pub(crate) fn scaled(&self, scale: f32) -> Self {
        // Pixel centres are at whole numbers, so the picture's own corner is at -0.5.
        let corner = scaled(self.corner, scale);
        Self { corner, across: self.across * scale, down: self.down * scale }
    }

    /// Side in pixels.
    pub(crate) fn side(&self) -> f32 {
        self.across.length()
    }

    /// Cuts the square and its margins out of `picture`, turned fingers up and thumb right.
    pub(crate) fn cut(&self, picture: &Raster) -> RegionOfInterest {
        // A picture much finer than the region would alias, so it is shrunk first.
        let ratio = PALM_SIDE as f32 / self.side().max(1.0);
        if ratio < 0.75 {
            let shorter = |length: u32| ((length as f32 * ratio).round() as u32).max(1);
            let small = picture.resized(shorter(picture.width()), shorter(picture.height()));
            return self.scaled(small.width() as f32 / picture.width() as f32).warp(&small);
        }
        self.warp(picture)
    }

    fn warp(&self, picture: &Raster) -> RegionOfInterest {
        let (right, down) = (self.across * (1.0 / PALM_SIDE as f32), self.down * (1.0 / PALM_SIDE as f32));
        // The square's corner is the corner of its first pixel, whose centre is half a pixel further in.
        let first = self.corner + (right + down) * (0.5 - ROI_MARGIN as f32);
        let matrix = [right.x, down.x, first.x, right.y, down.y, first.y].map(f64::from);
        let matrix = Mat::new_rows_cols_with_data(2, 3, &matrix).expect("two rows of three");
        let mut region = Mat::default();
        let size = Size::new(ROI_SIDE as i32, ROI_SIDE as i32);
        let flags = imgproc::INTER_LINEAR | imgproc::WARP_INVERSE_MAP;
        imgproc::warp_affine(
            picture.mat(),
            &mut region,
            &matrix,
            size,
            flags,
            core::BORDER_REPLICATE,
            Scalar::all(0.0),
        )
        .expect("any picture warps by a 2 x 3 matrix");
        let region = Raster::new(region);
        RegionOfInterest::new(region.bytes().to_vec()).expect("warped to the region's size")
    }
}

/// A point of a picture in one `scale` times as large.
pub(crate) fn scaled(point: Point, scale: f32) -> Point {
    Point::new((point.x + 0.5) * scale - 0.5, (point.y + 0.5) * scale - 0.5)
}
