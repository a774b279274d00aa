//! From a picture to the one hand in it: candidates, then each one's landmarks, from a wide look, a closer one, and one in a
//! mirror.

use crate::hand_finder::{Candidate, FINDER_SIDE, candidates};
use crate::landmarks::{CLOSE_REACH, Landmarks, Placer, View, WIDE_REACH};
use crate::network::{Idle, Network};
use crate::outline::Point;
use crate::parameters::{ASKEW_CHANCE, FIRST_CHANCE_MIN, LOOKS_MAX, LOOKS_MIN, SECOND_CHANCE_MIN};
use crate::raster::Raster;
use crate::square::Square;

pub(crate) static FINDER: &[u8] = include_bytes!("../models/hand-finder-1.onnx");
pub(crate) static LANDMARKS: &[u8] = include_bytes!("../models/palm-landmarks-1.onnx");
pub(crate) static CLOSE_LANDMARKS: &[u8] = include_bytes!("../models/palm-landmarks-close-1.onnx");

/// One picture each.
pub(crate) const FINDER_SHAPE: &[i32] = &[1, 1, FINDER_SIDE as i32, FINDER_SIDE as i32];

/// What was found.
pub(crate) enum Found {
    /// No open palm.
    None,
    /// One.
    One(Landmarks),
    /// Two or more.
    Several,
}

/// The networks, in the order in which they are asked.
struct Networks {
    finder: Network,
    wide: Placer,
    close: Placer,
}

/// Finds hands.
pub(crate) struct HandFinder(Idle<Networks>);

impl HandFinder {
    /// One that has read its models.
    pub(crate) fn new() -> Self {
        Self(Idle::new(Networks::new))
    }

    /// The hand in `picture`, in its coordinates.
    pub(crate) fn find(&self, picture: &Raster) -> Found {
        self.0.with(|networks| networks.find(picture))
    }
}

impl Networks {
    fn new() -> Self {
        Self {
            finder: Network::new(FINDER, FINDER_SHAPE),
            wide: Placer::new(LANDMARKS, WIDE_REACH),
            close: Placer::new(CLOSE_LANDMARKS, CLOSE_REACH),
        }
    }

    fn find(&mut self, picture: &Raster) -> Found {
        let mut certain: Option<(Landmarks, Square)> = None;
        for (rank, candidate) in candidates(&mut self.finder, picture).iter().enumerate() {
            let Some((_, first)) = &certain else {
                certain = self.examine(picture, candidate, rank == 0).map(|palm| (palm, Square::below(&palm)));
                continue;
            };
            let elsewhere = |centre: Point| (centre - first.at(0.5, 0.5)).length() > first.side();
            if candidate.chance >= SECOND_CHANCE_MIN && elsewhere(candidate.centre) {
                let other = self.examine(picture, candidate, false).map(|palm| Square::below(&palm));
                if other.is_some_and(|square| elsewhere(square.at(0.5, 0.5))) {
                    return Found::Several;
                }
            }
        }
        certain.map_or(Found::None, |(landmarks, _)| Found::One(landmarks))
    }

    /// The landmarks of a candidate, if it is a palm. Each look after the first is at the palm as the one before placed
    /// it, so that the same palm is seen in the same way wherever it lies in the frame. `patient` tries other directions.
    fn examine(&mut self, picture: &Raster, candidate: &Candidate, patient: bool) -> Option<Landmarks> {
        let mut look = |up: Point| self.wide.look(picture, &candidate.square(up), View::Plain);
        let mut seen = look(candidate.up);
        if patient && seen.chance < ASKEW_CHANCE {
            // The finder places hands better than it tells where fingers point.
            let [right, down] = [candidate.up.turned(), candidate.up * -1.0];
            let others = [right, down, right * -1.0].map(look);
            seen = others.into_iter().fold(seen, |best, other| if other.chance > best.chance { other } else { best });
        }
        if seen.chance < FIRST_CHANCE_MIN {
            return None;
        }
        let mut look = |square: &Square, view: View| self.close.look(picture, square, view);
        for round in 1..LOOKS_MAX {
            seen = look(&Square::below(&seen), View::Plain);
            if round >= LOOKS_MIN - 1 && seen.are_certain() {
                // The two err each in its own way, and their mean less.
                return Some(seen.mean(&look(&Square::below(&seen), View::Mirrored)));
            }
        }
        None
    }
}

impl Candidate {
    /// The palm square that it suggests, if fingers point `up`.
    fn square(&self, up: Point) -> Square {
        let down = up * -self.side;
        let across = Point::new(down.y, -down.x);
        Square { corner: self.centre - (across + down) * 0.5, across, down }
    }
}
