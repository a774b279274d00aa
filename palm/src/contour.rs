//! A hand's boundary as a smooth closed curve.

use crate::outline::Point;
use crate::parameters::CONTOUR_SIGMA;

/// Closed curve of points about a pixel apart. Indices wrap around.
pub(crate) struct Contour(Vec<Point>);

impl Contour {
    /// Smooths a chain of boundary pixels along its length, which places the boundary between pixels.
    pub(crate) fn smoothed(pixels: &[Point]) -> Self {
        let reach = (3.0 * CONTOUR_SIGMA).ceil() as usize;
        let weight = |step: usize| (-0.5 * (step as f32 / CONTOUR_SIGMA).powi(2)).exp();
        let weights: Vec<f32> = (0..=reach).map(weight).collect();
        let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
        let length = pixels.len();
        let smooth = |i: usize| {
            let around = (1..=reach).map(|step| {
                let before = (i + length * reach - step) % length;
                (pixels[before] + pixels[(i + step) % length]) * weights[step]
            });
            around.fold(pixels[i] * weights[0], |sum, point| sum + point) * (1.0 / sum)
        };
        Self((0..length).map(smooth).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.0
    }

    pub(crate) fn at(&self, index: usize) -> Point {
        self.0[index % self.0.len()]
    }
}
