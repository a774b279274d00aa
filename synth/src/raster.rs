//! Fields sampled on a regular grid over the hand, in millimetres.

use crate::math::{Point, exp};

/// Where a raster's texels lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Centre of the upper left texel.
    pub(crate) origin: Point,
    /// Distance between neighbouring texels.
    pub(crate) texel: f32,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Grid {
    pub(crate) fn covering(low: Point, high: Point, texel: f32) -> Self {
        let count = |length: f32| (length / texel).ceil() as usize + 1;
        Self { origin: low, texel, width: count(high.x - low.x), height: count(high.y - low.y) }
    }

    /// The same area with texels `factor` times as large.
    pub(crate) fn coarser(&self, factor: f32) -> Self {
        let count = |texels: usize| ((texels - 1) as f32 / factor).ceil() as usize + 1;
        Self { texel: self.texel * factor, width: count(self.width), height: count(self.height), ..*self }
    }

    /// The texels from `low` to `high`, as far as there are any: columns and rows as half-open ranges.
    pub(crate) fn window(&self, low: Point, high: Point) -> [std::ops::Range<usize>; 2] {
        let range = |low: f32, high: f32, origin: f32, count: usize| {
            let first = (((low - origin) / self.texel).floor().max(0.0) as usize).min(count - 2);
            let last = (((high - origin) / self.texel).ceil().max(0.0) as usize + 1).clamp(first + 2, count);
            first..last
        };
        [range(low.x, high.x, self.origin.x, self.width), range(low.y, high.y, self.origin.y, self.height)]
    }

    pub(crate) fn point(&self, column: usize, row: usize) -> Point {
        self.origin + Point::new(column as f32, row as f32) * self.texel
    }

    pub(crate) fn texels(&self) -> usize {
        self.width * self.height
    }

    /// Upper left texel of the four around `point`, held inside the grid, and where `point` lies between them.
    pub(crate) fn cell(&self, point: Point) -> (usize, f32, f32) {
        let x = ((point.x - self.origin.x) / self.texel).clamp(0.0, self.width as f32 - 1.001);
        let y = ((point.y - self.origin.y) / self.texel).clamp(0.0, self.height as f32 - 1.001);
        let (column, row) = (x as usize, y as usize);
        (row * self.width + column, x - column as f32, y - row as f32)
    }
}

/// A number for each texel of a grid.
#[derive(Clone)]
pub(crate) struct Raster {
    pub(crate) grid: Grid,
    pub(crate) values: Vec<f32>,
}

/// A soft line to press into a raster.
pub(crate) struct Stroke<'a> {
    /// Corners of the line.
    pub(crate) path: &'a [Point],
    /// Depth and half-width (standard deviation of the profile) at a share 0 to 1 of the path.
    pub(crate) profile: &'a dyn Fn(f32) -> (f32, f32),
}

impl Raster {
    pub(crate) fn zero(grid: Grid) -> Self {
        Self { grid, values: vec![0.0; grid.texels()] }
    }

    pub(crate) fn from_fn(grid: Grid, mut value: impl FnMut(Point) -> f32) -> Self {
        let mut values = Vec::with_capacity(grid.texels());
        for row in 0..grid.height {
            values.extend((0..grid.width).map(|column| value(grid.point(column, row))));
        }
        Self { grid, values }
    }

    /// Bilinear; beyond the edge, the edge's value.
    #[inline]
    pub(crate) fn sample(&self, point: Point) -> f32 {
        let (at, dx, dy) = self.grid.cell(point);
        let (upper, lower) = (&self.values[at..at + 2], &self.values[at + self.grid.width..at + self.grid.width + 2]);
        let top = upper[0] + (upper[1] - upper[0]) * dx;
        let bottom = lower[0] + (lower[1] - lower[0]) * dx;
        top + (bottom - top) * dy
    }

    /// Presses a line in: each texel keeps the deeper of what it had and the line's bell-shaped profile.
    pub(crate) fn press(&mut self, stroke: &Stroke<'_>) {
        let pieces = stroke.path.len().saturating_sub(1);
        for piece in 0..pieces {
            let share = (piece as f32 + 0.5) / pieces as f32;
            let (depth, width) = (stroke.profile)(share);
            if depth > 0.005 {
                self.press_piece(stroke.path[piece], stroke.path[piece + 1], depth, width);
            }
        }
    }

    fn press_piece(&mut self, from: Point, to: Point, depth: f32, width: f32) {
        let reach = 2.8 * width;
        let along = to - from;
        let square = along.dot(along).max(1e-9);
        let span = |low: f32, high: f32, origin: f32, count: usize| {
            let first = ((low - reach - origin) / self.grid.texel).ceil().max(0.0) as usize;
            let last = ((high + reach - origin) / self.grid.texel).floor();
            (first, if last < 0.0 { 0 } else { (last as usize + 1).min(count) })
        };
        let (left, right) = span(from.x.min(to.x), from.x.max(to.x), self.grid.origin.x, self.grid.width);
        let (top, bottom) = span(from.y.min(to.y), from.y.max(to.y), self.grid.origin.y, self.grid.height);
        for row in top..bottom {
            for column in left..right {
                let here = self.grid.point(column, row) - from;
                let share = (here.dot(along) / square).clamp(0.0, 1.0);
                let off = here - along * share;
                let ratio = off.dot(off) / (width * width);
                if ratio < 7.84 {
                    let value = &mut self.values[row * self.grid.width + column];
                    *value = value.max(depth * exp(-0.5 * ratio));
                }
            }
        }
    }

    /// The same field on another grid.
    pub(crate) fn resampled(&self, grid: Grid) -> Self {
        Self::from_fn(grid, |p| self.sample(p))
    }

    /// Smoothed along both axes by a Gaussian of standard deviation `sigma` millimetres.
    pub(crate) fn blurred(&self, sigma: f32) -> Self {
        let (width, height) = (self.grid.width, self.grid.height);
        Self { grid: self.grid, values: blur_gaussian(&self.values, width, height, sigma / self.grid.texel) }
    }
}

/// A `width` x `height` image smoothed by a Gaussian of standard deviation `sigma` pixels, edges repeated.
pub(crate) fn blur_gaussian(values: &[f32], width: usize, height: usize, sigma: f32) -> Vec<f32> {
    if sigma < 0.15 {
        return values.to_vec();
    }
    let reach = (sigma * 2.6).ceil() as usize;
    let mut kernel: Vec<f32> = (0..=2 * reach)
        .map(|tap| {
            let off = (tap as f32 - reach as f32) / sigma;
            exp(-0.5 * off * off)
        })
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|tap| *tap /= sum);

    let mut across = vec![0.0; values.len()];
    let mut padded = vec![0.0; width + 2 * reach];
    for (from, to) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        padded[..reach].fill(from[0]);
        padded[reach..reach + width].copy_from_slice(from);
        padded[reach + width..].fill(from[width - 1]);
        for (tap, &weight) in kernel.iter().enumerate() {
            to.iter_mut().zip(&padded[tap..]).for_each(|(to, from)| *to += weight * from);
        }
    }
    let mut result = vec![0.0; values.len()];
    for (row, to) in result.chunks_exact_mut(width).enumerate() {
        for (tap, &weight) in kernel.iter().enumerate() {
            let source = (row + tap).saturating_sub(reach).min(height - 1);
            let from = &across[source * width..(source + 1) * width];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::covering(Point::new(-5.0, -5.0), Point::new(5.0, 5.0), 0.25)
    }

    #[test]
    fn samples_a_slope_exactly_and_repeats_its_edges() {
        let slope = Raster::from_fn(grid(), |p| 2.0 * p.x - p.y);
        assert!((slope.sample(Point::new(1.1, -2.3)) - 4.5).abs() < 1e-3);
        assert!((slope.sample(Point::new(99.0, 0.0)) - slope.sample(Point::new(4.999, 0.0))).abs() < 0.02);
    }

    #[test]
    fn a_pressed_line_is_deepest_on_itself() {
        let mut raster = Raster::zero(grid());
        let path = [Point::new(-4.0, 0.0), Point::new(4.0, 0.0)];
        raster.press(&Stroke { path: &path, profile: &|_| (1.0, 0.5) });
        assert!((raster.sample(Point::new(1.0, 0.0)) - 1.0).abs() < 1e-3);
        assert!((raster.sample(Point::new(1.0, 0.5)) - exp(-0.5)).abs() < 0.02);
        assert_eq!(raster.sample(Point::new(0.0, 3.0)), 0.0);
        // A line outside presses nothing and stops nothing.
        raster.press(&Stroke { path: &[Point::new(-90.0, 80.0), Point::new(-80.0, 80.0)], profile: &|_| (1.0, 0.5) });
    }

    #[test]
    fn blurring_keeps_the_sum() {
        let mut raster = Raster::zero(grid());
        let middle = raster.grid.width * 20 + 20;
        raster.values[middle] = 1.0;
        let sum: f32 = raster.blurred(0.5).values.iter().sum();
        assert!((sum - 1.0).abs() < 1e-3);
    }
}
