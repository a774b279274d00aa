//! From the hand's plane to the frame and back.

use volar_core::template::Position;

use crate::math::{Point, sin_cos};
use crate::parameters::{FIELD_MM, HAND_MIDDLE_Y, PALM_SQUARE_GAP, PALM_SQUARE_SIDE, STANDOFF_MM};

/// A projective map of the plane; row by row, the last number 1 after scaling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projection([[f64; 3]; 3]);

impl Projection {
    pub(crate) fn apply(&self, p: Point) -> Point {
        let [a, b, c] = self.0.map(|row| row[0] * f64::from(p.x) + row[1] * f64::from(p.y) + row[2]);
        Point::new((a / c) as f32, (b / c) as f32)
    }

    /// The nine numbers.
    pub(crate) fn rows(&self) -> [[f64; 3]; 3] {
        self.0
    }

    fn inverted(&self) -> Self {
        let m = &self.0;
        let minor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let determinant: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
        Self(std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / determinant)))
    }
}

/// How the hand lies before the sensor at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    pub(crate) position: Position,
    /// Size of the person's hand times apparent size.
    pub(crate) scale: f32,
    /// Direction of the fingers: degrees clockwise from up.
    pub(crate) degrees: f32,
    pub(crate) tilt_degrees: Point,
    /// Where the hand's middle lies, in pixels.
    pub(crate) middle: Point,
}

/// Both directions between a hand's plane in millimetres and a frame in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Camera {
    pub(crate) to_frame: Projection,
    pub(crate) to_hand: Projection,
    /// Pixels for a millimetre at the hand's middle.
    pub(crate) pixels_per_mm: f32,
}

impl Camera {
    /// A camera whose frame's shorter side shows [`FIELD_MM`] at the right distance.
    pub(crate) fn new(width: usize, height: usize, placement: &Placement) -> Self {
        let per_mm = width.min(height) as f32 / FIELD_MM;
        let mirror = match placement.position {
            Position::Right => 1.0,
            Position::Left => -1.0,
        };
        let double = |(sine, cosine): (f32, f32)| (f64::from(sine), f64::from(cosine));
        let (sz, cz) = double(sin_cos(placement.degrees.to_radians()));
        let (sx, cx) = double(sin_cos(placement.tilt_degrees.x.to_radians()));
        let (sy, cy) = double(sin_cos(placement.tilt_degrees.y.to_radians()));
        let scale = f64::from(placement.scale);
        let standoff = f64::from(STANDOFF_MM);
        let focal = f64::from(per_mm) * standoff;
        // Tilt about the hand's own axes first, then the turn in the image plane.
        let basis = |x: f64, y: f64| {
            let (tx, ty, tz) = (x * cy + y * sx * sy, y * cx, -x * sy + y * sx * cy);
            [(tx * cz - ty * sz) * scale, (tx * sz + ty * cz) * scale, tz * scale]
        };
        let (across, along) = (basis(mirror, 0.0), basis(0.0, 1.0));
        let (u, v) = (f64::from(placement.middle.x), f64::from(placement.middle.y));
        let middle_y = f64::from(HAND_MIDDLE_Y);
        let row = |i: usize, centre: f64| {
            let (x, y) = (focal * across[i] + centre * across[2], focal * along[i] + centre * along[2]);
            [x, y, centre * standoff - y * middle_y]
        };
        let to_frame = Projection([row(0, u), row(1, v), [across[2], along[2], standoff - along[2] * middle_y]]);
        Self { to_frame, to_hand: to_frame.inverted(), pixels_per_mm: per_mm * placement.scale }
    }
}

/// The palm square below the line between two valleys, all in pixels: at the fingers on the little finger's side, at
/// the fingers on the thumb's side, at the wrist on the thumb's side, at the wrist on the little finger's side.
pub(crate) fn palm_square(index_middle: Point, ring_little: Point, palm: Point) -> [Point; 4] {
    let line = index_middle - ring_little;
    let middle = index_middle.mix(ring_little, 0.5);
    let below = line.quarter_turn();
    let down = if below.dot(palm - middle) < 0.0 { -below } else { below };
    let half = line * (0.5 * PALM_SQUARE_SIDE);
    let top = middle + down * PALM_SQUARE_GAP;
    let bottom = top + down * PALM_SQUARE_SIDE;
    [top - half, top + half, bottom + half, bottom - half]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        Placement {
            position: Position::Left,
            scale: 1.05,
            degrees: 31.0,
            tilt_degrees: Point::new(12.0, -20.0),
            middle: Point::new(300.0, 200.0),
        }
    }

    #[test]
    fn there_and_back_is_where_it_began() {
        let camera = Camera::new(640, 480, &placement());
        for p in [Point::new(0.0, 0.0), Point::new(-40.0, -120.0), Point::new(90.0, 60.0)] {
            let back = camera.to_hand.apply(camera.to_frame.apply(p));
            assert!((back - p).length() < 1e-3, "{p:?} came back as {back:?}");
        }
    }

    #[test]
    fn the_hand_s_middle_stays_where_it_is_placed() {
        let camera = Camera::new(640, 480, &placement());
        let middle = camera.to_frame.apply(Point::new(0.0, HAND_MIDDLE_Y));
        assert!((middle - Point::new(300.0, 200.0)).length() < 1e-3);
    }

    #[test]
    fn a_level_hand_has_the_stated_size() {
        let level = Placement { scale: 1.0, degrees: 0.0, tilt_degrees: Point::default(), ..placement() };
        let camera = Camera::new(640, 480, &level);
        let width = camera.to_frame.apply(Point::new(-10.0, 0.0)) - camera.to_frame.apply(Point::new(10.0, 0.0));
        assert!((width.x - 20.0 * 480.0 / FIELD_MM).abs() < 1e-2, "a left hand's thumb side is on the left");
    }
}
