//! Repeatable chance: every made-up thing draws from a stream fixed by its seed and its purpose.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::math::{ln, sin_cos};

/// What a stream is for, so that two things made from one seed do not draw the same numbers.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Anatomy = 1,
    Skin = 2,
    Presentation = 3,
    Session = 4,
    Surroundings = 5,
    Motion = 6,
    Face = 7,
    Noise = 8,
    Texture = 9,
}

/// A stream of random numbers.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        Self(ChaCha8Rng::seed_from_u64(mixed(seed, purpose as u64)))
    }

    pub(crate) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Evenly from `low` to below `high`.
    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let share = (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32;
        low + (high - low) * share
    }

    /// Bell-shaped, never further than 3.5 standard deviations from the mean: bodies have limits.
    pub(crate) fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform(0.0, 1.0)).sum();
        mean + deviation * (sum - 2.0) * 3f32.sqrt()
    }

    pub(crate) fn exponential(&mut self, mean: f32) -> f32 {
        -mean * ln(1.0 - self.uniform(0.0, 1.0))
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.uniform(0.0, 1.0) < probability
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        let span = f64::from(high - low + 1);
        low + (f64::from(self.0.next_u32()) / 4_294_967_296.0 * span) as u32
    }

    /// A table of `length` normally distributed numbers (Box-Muller), mean 0, deviation 1.
    pub(crate) fn gaussians(&mut self, length: usize) -> Vec<f32> {
        (0..length)
            .map(|_| {
                let radius = (-2.0 * ln(self.uniform(1e-7, 1.0))).sqrt();
                radius * sin_cos(self.uniform(0.0, std::f32::consts::TAU)).1
            })
            .collect()
    }
}

/// One seed made of two (the finaliser of SplitMix64).
pub(crate) fn mixed(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Smooth noise over the plane, about -1 to 1, with features about one unit apart.
pub(crate) fn noise(seed: u32, x: f32, y: f32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let (dx, dy) = (x - column, y - row);
    let (column, row) = (column as i32, row as i32);
    let corner = |right: i32, down: i32| {
        let mut hash = seed
            ^ (column.wrapping_add(right) as u32).wrapping_mul(0x9e37_79b1)
            ^ (row.wrapping_add(down) as u32).wrapping_mul(0x85eb_ca77);
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
        hash = (hash ^ (hash >> 12)).wrapping_mul(0x297a_2d39);
        let slope = |bits: u32| (bits & 0xff) as f32 * (2.0 / 255.0) - 1.0;
        slope(hash >> 8) * (dx - right as f32) + slope(hash >> 20) * (dy - down as f32)
    };
    let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let (sx, sy) = (fade(dx), fade(dy));
    let upper = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * sx;
    let lower = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * sx;
    1.6 * (upper + (lower - upper) * sy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_purpose_and_repeat() {
        let first = |seed, purpose| Dice::new(seed, purpose).bits();
        assert_eq!(first(1, Purpose::Skin), first(1, Purpose::Skin));
        assert_ne!(first(1, Purpose::Skin), first(2, Purpose::Skin));
        assert_ne!(first(1, Purpose::Skin), first(1, Purpose::Anatomy));
    }

    #[test]
    fn numbers_are_spread_as_they_say() {
        let mut dice = Dice::new(3, Purpose::Skin);
        let moments = |values: &[f32]| {
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
            (mean, variance.sqrt())
        };
        let (mean, deviation) = moments(&(0..20_000).map(|_| dice.normal(5.0, 2.0)).collect::<Vec<_>>());
        assert!((mean - 5.0).abs() < 0.06 && (deviation - 2.0).abs() < 0.06, "{mean} {deviation}");
        let (mean, deviation) = moments(&dice.gaussians(20_000));
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.03, "{mean} {deviation}");
        let (mean, deviation) = moments(&(0..20_000).map(|_| dice.exponential(3.0)).collect::<Vec<_>>());
        assert!((mean - 3.0).abs() < 0.1 && (deviation - 3.0).abs() < 0.2, "{mean} {deviation}");
        assert!((0..1000).all(|_| (2..=4).contains(&dice.count(2, 4))));
    }
}
