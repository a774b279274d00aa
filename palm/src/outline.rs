//! Where the hand is in a frame, for drawing over a live picture.

use std::fmt;
use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

/// A point in a frame's coordinates: pixels right and down, pixel centres at whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

impl Point {
    pub(crate) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    pub(crate) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Positive where `other` lies clockwise of this on a screen.
    pub(crate) fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }

    pub(crate) fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Of length one; the zero vector stays as it is.
    pub(crate) fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    /// A quarter turn.
    pub(crate) fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }

    pub(crate) fn middle(self, other: Self) -> Self {
        (self + other) * 0.5
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

/// What was found in a frame. Shows the shape of a hand, so it prints nothing and belongs in no log.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// The hand's contour, a closed polygon.
    pub contour: Vec<Point>,
    /// The palm square's corners: at the fingers on the thumb's side, at the fingers on the little finger's side, at
    /// the wrist on the little finger's side, at the wrist on the thumb's side.
    pub palm_square: Option<[Point; 4]>,
    /// Index-middle and ring-little valleys.
    pub valleys: Option<[Point; 2]>,
}

impl fmt::Debug for Outline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Outline({} points)", self.contour.len())
    }
}
