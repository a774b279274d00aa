//! A hand in a pose: its outline as a signed distance, and where its tips and valleys are.

use crate::anatomy::{Anatomy, Finger};
use crate::math::Point;
use crate::parameters::{APART_DEGREES, FLOOR_MM, PALM_ROUNDING, WEB_MISS_MM, WEB_ROUNDING_MM, WRIST_Y};
use crate::presentation::Presentation;

/// An anatomy with its fingers set.
pub(crate) struct Pose<'a> {
    anatomy: &'a Anatomy,
    /// Direction of each finger.
    headings: [Point; 5],
}

/// A place seen from a finger: how far along it from its joint, how far across.
#[derive(Clone, Copy)]
pub(crate) struct FingerPlace {
    pub(crate) along: f32,
    pub(crate) across: f32,
}

/// Where two fingers meet.
struct Web {
    middle: Point,
    outwards: Point,
}

impl<'a> Pose<'a> {
    pub(crate) fn new(anatomy: &'a Anatomy, presentation: &Presentation) -> Self {
        let mut turns = presentation.finger_degrees.iter();
        let headings = anatomy.fingers.each_ref().map(|finger| {
            let own = turns.next().copied().unwrap_or_default();
            let degrees = finger.degrees + finger.spread_degrees * presentation.spread + own;
            Point::new(0.0, -1.0).turned(degrees.to_radians())
        });
        Self { anatomy, headings }
    }

    pub(crate) fn fingers(&self) -> &'a [Finger; 5] {
        &self.anatomy.fingers
    }

    /// `p` as finger `index` (0 the thumb) sees it.
    pub(crate) fn on_finger(&self, index: usize, p: Point) -> FingerPlace {
        let finger = &self.anatomy.fingers[index];
        let away = p - finger.joint;
        let heading = self.headings[index];
        let along = away.dot(heading);
        let share = (along / finger.length).clamp(0.0, 1.0);
        let across = away.dot(heading.quarter_turn()) - finger.bow * 4.0 * share * (1.0 - share);
        FingerPlace { along, across }
    }

    /// Distance from `p` to the hand's outline in millimetres, negative inside; exact near it.
    pub(crate) fn distance(&self, p: Point) -> f32 {
        let arm = smooth_least(self.palm_distance(p), self.arm_distance(p), 10.0);
        let thumb = smooth_least(arm, self.finger_distance(0, p), 13.0);
        (1..5).fold(thumb, |least, finger| smooth_least(least, self.finger_distance(finger, p), WEB_ROUNDING_MM))
    }

    fn finger_distance(&self, index: usize, p: Point) -> f32 {
        let finger = &self.anatomy.fingers[index];
        let FingerPlace { along, across } = self.on_finger(index, p);
        let tip = finger.length - finger.radii[4];
        if along > tip {
            Point::new(along - tip, across).length() - finger.radii[4]
        } else if along < 0.0 {
            Point::new(along, across).length() - finger.radii[0]
        } else {
            across.abs() - finger.radius(along)
        }
    }

    fn palm_distance(&self, p: Point) -> f32 {
        let outline = &self.anatomy.palm;
        let (mut square, mut inside) = (f32::MAX, false);
        let mut from = outline[outline.len() - 1];
        for &to in outline {
            let edge = to - from;
            let away = p - from;
            let off = away - edge * (away.dot(edge) / edge.dot(edge)).clamp(0.0, 1.0);
            square = square.min(off.dot(off));
            if (from.y > p.y) != (to.y > p.y) && p.x < from.x + edge.x * (p.y - from.y) / edge.y {
                inside = !inside;
            }
            from = to;
        }
        let distance = square.sqrt();
        (if inside { -distance } else { distance }) - PALM_ROUNDING
    }

    /// The forearm: an endless strip from the wrist down that widens over its first 140 mm.
    fn arm_distance(&self, p: Point) -> f32 {
        let [wrist, forearm] = self.anatomy.arm;
        let below = p.y - WRIST_Y;
        let half = wrist + (forearm - wrist) * (below / 140.0).clamp(0.0, 1.0);
        let aside = p.x.abs() - half;
        if below >= 0.0 { aside } else { Point::new(aside.max(0.0), below).length() + aside.min(0.0).max(below) }
    }

    /// Finger tips, thumb first.
    pub(crate) fn tips(&self) -> [Point; 5] {
        std::array::from_fn(|i| self.anatomy.fingers[i].joint + self.headings[i] * self.anatomy.fingers[i].length)
    }

    /// Valleys on the outline: thumb-index, index-middle, middle-ring, ring-little.
    pub(crate) fn valleys(&self) -> [Point; 4] {
        std::array::from_fn(|gap| self.valley(gap))
    }

    /// The middle of the outline's floor between fingers `gap` and `gap + 1`. Where they touch, it lies where it would if
    /// they parted: at their web, and not where the outline first shows a gap.
    pub(crate) fn valley(&self, gap: usize) -> Point {
        let here = self.web(gap);
        let seen = self.floor(gap);
        if gap == 0 {
            return seen.unwrap_or(here.middle);
        }
        let apart = self.apart(gap);
        let there = apart.web(gap);
        let at_web = apart.floor(gap).map_or(here.middle, |floor| {
            let off = floor - there.middle;
            here.middle
                + here.outwards * off.dot(there.outwards)
                + here.outwards.quarter_turn() * off.dot(there.outwards.quarter_turn())
        });
        seen.filter(|&seen| (seen - at_web).length() <= WEB_MISS_MM).unwrap_or(at_web)
    }

    /// The middle of what is deepest of the outline between two fingers, seen from between their tips; none if no gap is
    /// open. Not the deepest point: the floor of a wide valley is almost flat, and which of its ends is the deeper changes
    /// with every degree between the fingers.
    fn floor(&self, gap: usize) -> Option<Point> {
        let Web { middle, outwards } = self.web(gap);
        let (outset, reach) = if gap == 0 { (30.0, 22) } else { (22.0, 12) };
        let seen = |across: f32| self.inwards(middle + outwards * outset + outwards.quarter_turn() * across, -outwards);
        let depths: Vec<(f32, f32)> = (-reach..=reach)
            .map(|step| step as f32 * 0.5)
            .filter_map(|across| Some((across, -(seen(across)? - middle).dot(outwards))))
            .collect();
        let deepest = depths.iter().map(|(_, depth)| *depth).reduce(f32::max)?;
        let (mut sum, mut weight) = (0.0, 0.0);
        for (across, depth) in depths {
            let share = ((depth - deepest) / FLOOR_MM).exp();
            sum += across * share;
            weight += share;
        }
        seen(sum / weight)
    }

    fn web(&self, gap: usize) -> Web {
        let root = |i: usize| {
            let finger = &self.anatomy.fingers[i];
            // The thumb parts from the palm at its middle joint.
            let along = if i == 0 { finger.stations[2] } else { finger.stations[1] };
            finger.joint + self.headings[i] * along
        };
        let outwards = (self.headings[gap] + self.headings[gap + 1]).unit();
        Web { middle: root(gap).mix(root(gap + 1), 0.5), outwards }
    }

    /// The same hand with fingers `gap` and `gap + 1` at least [`APART_DEGREES`] apart.
    fn apart(&self, gap: usize) -> Self {
        let [one, other] = [self.headings[gap], self.headings[gap + 1]];
        let side = (self.anatomy.fingers[gap].spread_degrees - self.anatomy.fingers[gap + 1].spread_degrees).signum();
        let between = side * one.dot(other.quarter_turn()).atan2(one.dot(other)).to_degrees();
        let turn = side * 0.5 * (APART_DEGREES - between).max(0.0).to_radians();
        let mut headings = self.headings;
        headings[gap] = one.turned(turn);
        headings[gap + 1] = other.turned(-turn);
        Self { anatomy: self.anatomy, headings }
    }

    /// The first point of the outline from `start` in direction `heading`; none if `start` is inside.
    fn inwards(&self, start: Point, heading: Point) -> Option<Point> {
        let mut p = start;
        let mut distance = self.distance(p);
        if distance <= 0.2 {
            return None;
        }
        for _ in 0..60 {
            if distance < 0.02 {
                return Some(p);
            }
            p = p + heading * distance.max(0.02);
            distance = self.distance(p);
        }
        Some(p)
    }
}

/// The smaller of two distances, with the corner where they meet filled over `rounding`.
fn smooth_least(a: f32, b: f32, rounding: f32) -> f32 {
    let near = (1.0 - (a - b).abs() / rounding).max(0.0);
    a.min(b) - near * near * rounding * 0.25
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valleys_stay_where_they_are_as_fingers_close() {
        for person in 0..12 {
            let anatomy = Anatomy::of(person);
            let valleys = |step: i32| {
                let spread = step as f32 * 0.02;
                let closed = (-spread).max(0.0);
                let together = [0.0, -4.0, 0.0, 4.0, 9.0].map(|degrees| degrees * closed);
                let presentation = Presentation { spread, finger_degrees: together, ..Presentation::sample(1) };
                Pose::new(&anatomy, &presentation).valleys()
            };
            for gap in 1..4 {
                let places: Vec<Point> = (-35..65).map(|step| valleys(step)[gap]).collect();
                let furthest = places.windows(2).map(|pair| (pair[1] - pair[0]).length()).fold(0.0, f32::max);
                let range = (places[0] - places[99]).length();
                assert!(
                    furthest < 1.5 && range < 9.0,
                    "person {person}, gap {gap}: {furthest} at once, {range} in all"
                );
            }
        }
    }
}
