//! The bright regions of a picture, one of which should be the hand.

use opencv::core::{self, Mat, Scalar, Vector};
use opencv::imgproc;

use crate::outline::Point;
use crate::parameters::BLOB_RADIUS_MIN;
use crate::raster::Raster;

/// One connected region, its holes filled.
pub(crate) struct Blob {
    /// Its part of the picture, from [`Blob::corner`] on: 255 inside, 0 outside.
    pub(crate) filled: Raster,
    /// Column and row of the upper left of `filled` in the picture.
    corner: core::Point,
    /// Columns and rows of the picture.
    picture: core::Size,
    /// Its boundary pixels in order, each beside the next.
    pub(crate) contour: Vec<Point>,
    /// Centre of the largest circle inside: the middle of the palm, if it is a hand.
    pub(crate) centre: Point,
    /// Radius of that circle.
    pub(crate) radius: f32,
    /// Distance of each pixel of `filled` from the outside.
    pub(crate) depths: Vec<f32>,
}

impl Blob {
    /// Whether `point` is inside the region.
    pub(crate) fn contains(&self, point: Point) -> bool {
        self.index(point).is_some_and(|index| self.filled.bytes()[index] > 0)
    }

    /// The place of a `point` of the picture in `filled` and `depths`.
    pub(crate) fn index(&self, point: Point) -> Option<usize> {
        let (x, y) = (point.x.round() - self.corner.x as f32, point.y.round() - self.corner.y as f32);
        let (width, height) = (self.filled.width(), self.filled.height());
        let within = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        within.then_some(y as usize * width as usize + x as usize)
    }

    /// Length of the contour that runs along the picture's edge, in pixels.
    pub(crate) fn edge_length(&self) -> f32 {
        self.contour.iter().filter(|&&point| self.is_at_edge(point)).count() as f32
    }

    /// Greatest distance of the contour from the centre, not counting where it leaves the picture.
    pub(crate) fn inner_reach(&self) -> f32 {
        let inner = self.contour.iter().filter(|&&point| !self.is_at_edge(point));
        inner.map(|&point| (point - self.centre).length()).fold(0.0, f32::max)
    }

    fn is_at_edge(&self, point: Point) -> bool {
        let (right, bottom) = (self.picture.width as f32 - 2.0, self.picture.height as f32 - 2.0);
        point.x <= 1.0 || point.y <= 1.0 || point.x >= right || point.y >= bottom
    }
}

/// The regions of `mask` that are large enough to be a hand, the one with the largest inscribed circle first.
pub(crate) fn blobs(mask: &Raster) -> Vec<Blob> {
    let mut contours: Vector<Vector<core::Point>> = Vector::new();
    imgproc::find_contours_def(mask.mat(), &mut contours, imgproc::RETR_EXTERNAL, imgproc::CHAIN_APPROX_NONE)
        .expect("an 8-bit picture of one channel has contours");
    let radius_min = mask.width().min(mask.height()) as f32 * BLOB_RADIUS_MIN;
    // What is smaller than the smallest circle cannot hold it.
    let area_min = f64::from(std::f32::consts::PI * radius_min * radius_min);
    let area = |i: usize| contours.get(i).and_then(|contour| imgproc::contour_area_def(&contour)).unwrap_or(0.0);
    let mut blobs: Vec<Blob> = (0..contours.len())
        .filter(|&i| area(i) >= area_min)
        .map(|i| blob(mask, &contours, i))
        .filter(|blob| blob.radius >= radius_min)
        .collect();
    blobs.sort_by(|a, b| b.radius.total_cmp(&a.radius));
    blobs
}

fn blob(mask: &Raster, contours: &Vector<Vector<core::Point>>, i: usize) -> Blob {
    let contour = contours.get(i).expect("the index counts contours");
    let bounds = imgproc::bounding_rect(&contour).expect("a contour has points");
    let black = Scalar::all(0.0);
    // Only the region's own part of the picture, so that what is worked out of it costs no more than it must.
    let mut filled = Mat::new_rows_cols_with_default(bounds.height, bounds.width, core::CV_8UC1, black)
        .expect("a part of the picture fits in memory");
    let white = Scalar::all(255.0);
    imgproc::draw_contours(
        &mut filled,
        contours,
        i as i32,
        white,
        imgproc::FILLED,
        imgproc::LINE_8,
        &core::no_array(),
        0,
        core::Point::new(-bounds.x, -bounds.y),
    )
    .expect("the contours are of this picture");
    let filled = Raster::new(filled);
    let depths = filled.depths(true);
    let deepest = (0..depths.len()).max_by(|&a, &b| depths[a].total_cmp(&depths[b])).unwrap_or(0);
    let (row, column) = (deepest as i32 / bounds.width, deepest as i32 % bounds.width);
    Blob {
        contour: contour.iter().map(|p| Point::new(p.x as f32, p.y as f32)).collect(),
        centre: Point::new((bounds.x + column) as f32, (bounds.y + row) as f32),
        radius: depths[deepest],
        filled,
        corner: bounds.tl(),
        picture: core::Size::new(mask.width() as i32, mask.height() as i32),
        depths,
    }
}
