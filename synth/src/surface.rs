//! The posed, stretched and lit surface of a hand, sampled coarsely: everything that changes slowly over the skin.

use crate::dice::noise;
use crate::math::{Point, exp, sin_cos};
use crate::parameters::{EDGE_ROUNDING_MM, MOUNDS};
use crate::pose::Pose;
use crate::presentation::Presentation;
use crate::raster::Grid;

/// What is at a place of the hand's plane.
#[derive(Clone, Copy)]
pub(crate) struct SurfacePoint {
    /// The same place on the unstretched skin.
    pub(crate) skin: Point,
    /// Distance to the outline, negative inside.
    pub(crate) distance: f32,
    /// Light received, 1 for flat skin that faces the lamp.
    pub(crate) light: f32,
}

/// A coarse grid of [`SurfacePoint`]s.
pub(crate) struct Surface {
    grid: Grid,
    /// Skin x and y, distance, light.
    values: Vec<[f32; 4]>,
}

impl Surface {
    /// Samples the surface on `grid`.
    pub(crate) fn new(pose: &Pose<'_>, presentation: &Presentation, grid: Grid) -> Self {
        let warp = Warp::new(presentation);
        let mut values: Vec<[f32; 4]> = (0..grid.texels())
            .map(|i| {
                let skin = warp.skin(grid.point(i % grid.width, i / grid.width));
                [skin.x, skin.y, pose.distance(skin), 1.0]
            })
            .collect();
        let lamp = Lamp::new(presentation);
        for row in 0..grid.height {
            for column in 0..grid.width {
                let at = |c: usize, r: usize| values[r * grid.width + c][2];
                let right = at((column + 1).min(grid.width - 1), row) - at(column.saturating_sub(1), row);
                let down = at(column, (row + 1).min(grid.height - 1)) - at(column, row.saturating_sub(1));
                let [x, y, distance, _] = values[row * grid.width + column];
                let outwards = Point::new(right, down) * (0.5 / grid.texel);
                values[row * grid.width + column][3] = lamp.light(Point::new(x, y), distance, outwards);
            }
        }
        Self { grid, values }
    }

    #[inline]
    pub(crate) fn at(&self, p: Point) -> SurfacePoint {
        let (at, dx, dy) = self.grid.cell(p);
        let upper = &self.values[at..at + 2];
        let lower = &self.values[at + self.grid.width..at + self.grid.width + 2];
        let mixed: [f32; 4] = std::array::from_fn(|i| {
            let top = upper[0][i] + (upper[1][i] - upper[0][i]) * dx;
            let bottom = lower[0][i] + (lower[1][i] - lower[0][i]) * dx;
            top + (bottom - top) * dy
        });
        SurfacePoint { skin: Point::new(mixed[0], mixed[1]), distance: mixed[2], light: mixed[3] }
    }
}

/// Stretch and bend of the skin: where on the resting hand a place of the posed one comes from.
pub(crate) struct Warp {
    seed: u32,
    stretch: f32,
    cupping: f32,
}

impl Warp {
    pub(crate) fn new(presentation: &Presentation) -> Self {
        Self {
            seed: (presentation.seed ^ (presentation.seed >> 32)) as u32,
            stretch: presentation.stretch_mm,
            cupping: presentation.cupping,
        }
    }

    /// Resting place of the skin at `p`.
    pub(crate) fn skin(&self, p: Point) -> Point {
        let wide = |salt: u32| noise(self.seed ^ salt, p.x / 58.0, p.y / 58.0);
        let narrow = |salt: u32| noise(self.seed ^ salt, p.x / 27.0, p.y / 27.0);
        let stretched = Point::new(wide(1) + 0.3 * narrow(2), wide(3) + 0.3 * narrow(4)) * self.stretch;
        // A hollow hand is seen narrower the further from its middle.
        let hollow = p.x * self.cupping * 0.04 * (p.x * p.x / 1600.0).min(2.0);
        p + stretched + Point::new(hollow, 0.0)
    }

    /// Where the skin that rests at `skin` is seen.
    pub(crate) fn seen(&self, skin: Point) -> Point {
        // The displacement is small and smooth, so substitution converges fast.
        (0..8).fold(skin, |p, _| p + (skin - self.skin(p)))
    }
}

/// Direction and slant of the light, and the relief that it falls on.
struct Lamp {
    towards: Point,
    slant: f32,
    cupping: f32,
}

impl Lamp {
    fn new(presentation: &Presentation) -> Self {
        let (sine, cosine) = sin_cos(presentation.light_degrees.to_radians());
        Self { towards: Point::new(sine, -cosine), slant: presentation.light_slant, cupping: presentation.cupping }
    }

    fn light(&self, skin: Point, distance: f32, outwards: Point) -> f32 {
        let rim = (1.0 + distance / EDGE_ROUNDING_MM).clamp(0.0, 1.0);
        let facing = (1.0 - rim * rim).sqrt();
        let edge = 0.6 + 0.4 * facing + 0.3 * self.slant * rim * rim * outwards.dot(self.towards);
        let (slope, hollow) = self.relief(skin);
        edge * (1.0 - self.slant * slope.dot(self.towards)) * (1.0 - 0.16 * self.cupping * hollow)
    }

    /// Slope of the palm's mounds at `p`, uphill, and how deep in the hollow it lies (0 to 1).
    fn relief(&self, p: Point) -> (Point, f32) {
        let mut slope = Point::default();
        let mut hollow = 0.0;
        for &(x, y, width, height) in &MOUNDS {
            let away = p - Point::new(x, y);
            let bell = exp(-0.5 * away.dot(away) / (width * width));
            let height = if height < 0.0 { height * (1.0 + self.cupping) } else { height };
            slope = slope - away * (height * bell / (width * width));
            if height < 0.0 {
                hollow = bell;
            }
        }
        (slope, hollow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skin_is_seen_where_it_comes_from() {
        let warp = Warp::new(&Presentation { stretch_mm: 2.0, cupping: 0.8, ..Presentation::sample(5) });
        for p in [Point::new(0.0, 0.0), Point::new(30.0, -45.0), Point::new(-38.0, 20.0), Point::new(20.0, -120.0)] {
            assert!((warp.skin(warp.seen(p)) - p).length() < 0.02, "at {p:?}");
        }
    }
}
