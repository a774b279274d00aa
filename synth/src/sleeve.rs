//! A bright sleeve over the wrist.

use crate::dice::noise;
use crate::math::Point;

/// Cloth from a hem near the wrist down the arm.
pub(crate) struct Sleeve {
    seed: u32,
    hem: f32,
    half: f32,
    brightness: f32,
}

impl Sleeve {
    pub(crate) fn new(seed: u64, arm: [f32; 2]) -> Self {
        let bits = (seed ^ (seed >> 32)) as u32;
        let share = |shift: u32| ((bits >> shift) & 0xff) as f32 / 255.0;
        Self { seed: bits, hem: 58.0 + 14.0 * share(0), half: arm[0] + 8.0, brightness: 1.15 + 0.5 * share(8) }
    }

    /// Brightness of the cloth and share of the texel that it covers.
    pub(crate) fn at(&self, p: Point, texel_mm: f32) -> (f32, f32) {
        let hem = self.hem + 2.0 * noise(self.seed, p.x / 22.0, 0.5) + 0.0012 * p.x * p.x;
        let half = self.half + 0.09 * (p.y - self.hem).max(0.0) + 3.0 * noise(self.seed ^ 1, p.y / 24.0, 0.5);
        let inside = (p.y - hem).min(half - p.x.abs());
        let folds = noise(self.seed ^ 2, p.x / 15.0 + 0.3 * p.y / 15.0, p.y / 42.0);
        let weave = noise(self.seed ^ 3, p.x / 0.9, p.y / 0.9);
        let rounded = 0.7 + 0.3 * (inside / 9.0).clamp(0.0, 1.0);
        (self.brightness * rounded * (1.0 + 0.22 * folds + 0.04 * weave), (0.5 + inside / texel_mm).clamp(0.0, 1.0))
    }
}
