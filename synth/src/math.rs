//! Small mathematics that gives the same bits on every machine.
//!
//! The platform's `sin`, `exp` and the like differ in the last bit from one C library to another; the few functions
//! needed here are built from operations that IEEE 754 fixes exactly (`+ - * /` and the square root).

use std::ops::{Add, Mul, Neg, Sub};

const HALF_PI: f64 = std::f64::consts::FRAC_PI_2;

/// A point or displacement in the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

impl Point {
    /// The point (`x`, `y`).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Scalar product.
    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Distance from the origin.
    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// In this direction, of length one; zero stays zero.
    pub fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    /// A quarter turn clockwise as seen with y down.
    pub fn quarter_turn(self) -> Self {
        Self::new(-self.y, self.x)
    }

    /// Turned by `radians`, clockwise as seen with y down.
    pub fn turned(self, radians: f32) -> Self {
        let (sine, cosine) = sin_cos(radians);
        Self::new(self.x * cosine - self.y * sine, self.x * sine + self.y * cosine)
    }

    /// `self` at 0, `other` at 1.
    pub fn mix(self, other: Self, share: f32) -> Self {
        self + (other - self) * share
    }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

impl Neg for Point {
    type Output = Self;
    fn neg(self) -> Self {
        self * -1.0
    }
}

/// Sine and cosine of an angle in radians; error below 1e-6 for angles below a thousand turns.
pub(crate) fn sin_cos(radians: f32) -> (f32, f32) {
    let quarters = (f64::from(radians) / HALF_PI).round();
    let rest = f64::from(radians) - quarters * HALF_PI;
    let square = rest * rest;
    let sine = rest * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))));
    let cosine = 1.0
        - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0 * (1.0 - square / 90.0))));
    let (sine, cosine) = (sine as f32, cosine as f32);
    match (quarters as i64).rem_euclid(4) {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

/// Sine of an angle in radians.
pub(crate) fn sin(radians: f32) -> f32 {
    sin_cos(radians).0
}

/// e to the power `x`; relative error below 1e-6, zero below -80.
pub(crate) fn exp(x: f32) -> f32 {
    if x < -80.0 {
        return 0.0;
    }
    // Halved until small, then squared back: each step exact to rounding in double precision.
    let small = f64::from(x.min(80.0)) / 1024.0;
    let mut value = 1.0 + small * (1.0 + small / 2.0 * (1.0 + small / 3.0 * (1.0 + small / 4.0)));
    for _ in 0..10 {
        value *= value;
    }
    value as f32
}

/// Natural logarithm of a positive number, by the exponent and a series for the mantissa; error below 1e-6.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = f64::from(x.max(f32::MIN_POSITIVE)).to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    // atanh series around the middle of [1, 2): ln(m) = ln(√2) + 2 atanh((m-√2)/(m+√2)).
    let t = (mantissa - std::f64::consts::SQRT_2) / (mantissa + std::f64::consts::SQRT_2);
    let square = t * t;
    let series = t * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0))));
    (std::f64::consts::LN_2 * (f64::from(exponent) + 0.5) + 2.0 * series) as f32
}

/// Direction of `p` in degrees clockwise from up, -180 to 180; zero for no direction.
pub(crate) fn degrees_from_up(p: Point) -> f32 {
    // Bisection on the exact-enough sine and cosine: called once a hand, so speed does not matter.
    let unit = p.unit();
    let side = if unit.x < 0.0 { -1.0 } else { 1.0 };
    let (mut low, mut high) = (0.0f32, std::f32::consts::PI);
    for _ in 0..24 {
        let middle = 0.5 * (low + high);
        if sin_cos(middle).1 > -unit.y {
            low = middle;
        } else {
            high = middle;
        }
    }
    if unit == Point::default() { 0.0 } else { side * low.to_degrees() }
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_near_the_true_ones() {
        for step in -4000..4000 {
            let x = step as f32 * 0.01;
            let (sine, cosine) = sin_cos(x);
            assert!((sine - x.sin()).abs() < 2e-6 && (cosine - x.cos()).abs() < 2e-6, "at {x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-5, "exp({x})");
            let positive = exp(x * 0.5);
            assert!((ln(positive) - x * 0.5).abs() < 1e-5, "ln({positive})");
        }
    }
}
