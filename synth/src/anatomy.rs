//! A person's hand as bones and outline, before any pose: a right hand, palm to the viewer, fingers up, thumb to the
//! right. Millimetres of an average hand from the middle of the palm, y down; a person's overall size is apart.

use crate::dice::{Dice, Purpose};
use crate::math::Point;
use crate::parameters::{FINGERS, PALM_OUTLINE, SIZE_DEVIATION};

/// Average shape of a finger; see [`FINGERS`].
pub(crate) struct FingerShape {
    /// Where it turns: the knuckle, or the thumb's root.
    pub(crate) joint: Point,
    /// Direction in degrees, 0 up and positive towards the thumb, with fingers neither spread nor closed.
    pub(crate) degrees: f32,
    /// Degrees that a full spread adds.
    pub(crate) spread_degrees: f32,
    /// From joint to tip.
    pub(crate) length: f32,
    /// Half-widths at the joint, at the web, and at the two joints further on, then at the tip's beginning.
    pub(crate) radii: [f32; 5],
    /// Distances from the joint at which those half-widths hold.
    pub(crate) stations: [f32; 5],
    /// Distances from the joint at which creases cross.
    pub(crate) creases: [f32; 3],
}

/// One person's finger.
#[derive(Clone, Debug)]
pub(crate) struct Finger {
    pub(crate) joint: Point,
    pub(crate) degrees: f32,
    pub(crate) spread_degrees: f32,
    pub(crate) length: f32,
    pub(crate) radii: [f32; 5],
    pub(crate) stations: [f32; 5],
    pub(crate) creases: [f32; 3],
    /// How far the middle of the finger stands off its straight axis.
    pub(crate) bow: f32,
}

impl Finger {
    /// Half-width at `along` from the joint, smooth between stations.
    pub(crate) fn radius(&self, along: f32) -> f32 {
        let last = self.stations.len() - 1;
        if along <= self.stations[0] {
            return self.radii[0];
        }
        for i in 0..last {
            if along < self.stations[i + 1] {
                let t = (along - self.stations[i]) / (self.stations[i + 1] - self.stations[i]);
                let smooth = t * t * (3.0 - 2.0 * t);
                return self.radii[i] + (self.radii[i + 1] - self.radii[i]) * smooth;
            }
        }
        self.radii[last]
    }
}

/// One person's hands; left and right have the same outline, mirrored.
#[derive(Clone, Debug)]
pub(crate) struct Anatomy {
    /// Overall size, 1 for the average.
    pub(crate) size: f32,
    /// Thumb, index, middle, ring, little.
    pub(crate) fingers: [Finger; 5],
    /// Closed outline of the palm without fingers, to be rounded outwards by
    /// [`PALM_ROUNDING`](crate::parameters::PALM_ROUNDING).
    pub(crate) palm: Vec<Point>,
    /// Half-widths of the wrist and of the forearm a hand's length below it.
    pub(crate) arm: [f32; 2],
}

impl Anatomy {
    pub(crate) fn of(person: u64) -> Self {
        Self::varied(person, 1.0)
    }

    /// A hand whose proportions lie `variety` times as far from the average as people's do.
    pub(crate) fn varied(person: u64, variety: f32) -> Self {
        let mut dice = Dice::new(person, Purpose::Anatomy);
        let size = dice.normal(1.0, SIZE_DEVIATION);
        let breadth = dice.normal(1.0, 0.035 * variety);
        let reach = dice.normal(1.0, 0.04 * variety);
        let thickness = dice.normal(1.0, 0.03 * variety) * breadth;
        let fingers = FINGERS.each_ref().map(|shape| finger(shape, &mut dice, breadth, reach, thickness));
        let corners: Vec<Point> = PALM_OUTLINE
            .iter()
            .map(|&(x, y)| Point::new(x * breadth + dice.normal(0.0, 0.9), y + dice.normal(0.0, 0.9)))
            .collect();
        let arm = [dice.normal(26.0, 1.2) * breadth, dice.normal(36.0, 2.5) * breadth];
        Self { size, fingers, palm: smooth_outline(&corners), arm }
    }
}

fn finger(shape: &FingerShape, dice: &mut Dice, breadth: f32, reach: f32, thickness: f32) -> Finger {
    let stretch = reach * dice.normal(1.0, 0.02);
    // The knuckle to the web is palm: only what lies beyond stretches with the finger.
    let web = shape.stations[1];
    let stretched = |along: f32| if along > web { web + (along - web) * stretch } else { along };
    let thick = thickness * dice.normal(1.0, 0.02);
    Finger {
        joint: Point::new(shape.joint.x * breadth + dice.normal(0.0, 0.4), shape.joint.y + dice.normal(0.0, 0.8)),
        degrees: shape.degrees + dice.normal(0.0, 0.6),
        spread_degrees: shape.spread_degrees,
        length: stretched(shape.length),
        radii: shape.radii.map(|radius| radius * thick * dice.normal(1.0, 0.015)),
        stations: shape.stations.map(stretched),
        creases: shape.creases.map(|crease| stretched(crease) + dice.normal(0.0, 0.7)),
        bow: dice.normal(0.0, 0.8),
    }
}

/// A closed Catmull-Rom curve through `corners`, three pieces between each two.
fn smooth_outline(corners: &[Point]) -> Vec<Point> {
    let count = corners.len();
    let corner = |i: usize| corners[i % count];
    let mut outline = Vec::with_capacity(3 * count);
    for i in 0..count {
        let (a, b, c, d) = (corner(i + count - 1), corner(i), corner(i + 1), corner(i + 2));
        for step in 0..3 {
            let t = step as f32 / 3.0;
            let point = b * 2.0
                + (c - a) * t
                + (a * 2.0 - b * 5.0 + c * 4.0 - d) * (t * t)
                + (b * 3.0 - a - c * 3.0 + d) * (t * t * t);
            outline.push(point * 0.5);
        }
    }
    outline
}
