//! From a scene to the hands in it and where they are held.

use volar_core::template::Position;

use crate::camera::Placement;
use crate::math::Point;
use crate::motion::{Drift, Motion};
use crate::parameters::{FACE_SCALE, FIELD_MM, TWO_HANDS_ASIDE, TWO_HANDS_SCALE};
use crate::presentation::Presentation;
use crate::scene::{Condition, Scene};

/// One hand of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) person: u64,
    pub(crate) position: Position,
    pub(crate) presentation: Presentation,
}

pub(crate) fn shown_hands(scene: &Scene) -> Vec<Shown> {
    match *scene {
        Scene::Empty | Scene::Face { .. } => Vec::new(),
        Scene::Hand { person, position, sample, condition } => {
            vec![Shown { person, position, presentation: Presentation::of_scene(person, position, sample, condition) }]
        }
        Scene::TwoHands { person } => [(Position::Left, -TWO_HANDS_ASIDE), (Position::Right, TWO_HANDS_ASIDE)]
            .map(|(position, aside)| {
                let good = Presentation::of_scene(person, position, 0, Condition::Good);
                let presentation =
                    Presentation { scale: TWO_HANDS_SCALE, offset: Point::new(aside, good.offset.y), ..good };
                Shown { person, position, presentation }
            })
            .to_vec(),
    }
}

/// Where a hand with `presentation` lies at a moment. `size` is the person's hand's, 1 the average.
pub(crate) fn placement(
    shown: &Shown,
    size: f32,
    (width, height): (usize, usize),
    fingers_degrees: f32,
    motion: Motion,
    milliseconds: u64,
) -> Placement {
    let presentation = &shown.presentation;
    let drift = Drift::at(presentation, milliseconds);
    let away = motion.away(milliseconds);
    let frame = Point::new(width as f32, height as f32);
    let per_mm = frame.x.min(frame.y) / FIELD_MM;
    let turn = fingers_degrees.to_radians();
    let arm = Point::new(0.0, 1.0).turned(turn);
    let across = arm.quarter_turn();
    let extent = |along: Point| along.x.abs() * frame.x + along.y.abs() * frame.y;
    // Far enough for the finger tips to leave the frame along the arm.
    let out = 0.5 * extent(arm) + 150.0 * per_mm * presentation.scale;
    // The quarter turn of down is left.
    let offset = across * (-presentation.offset.x * extent(across)) + arm * (presentation.offset.y * extent(arm));
    let middle = frame * 0.5 + offset + drift.shift_mm.turned(turn) * per_mm + arm * (out * away);
    Placement {
        position: shown.position,
        scale: size * presentation.scale * (1.0 + drift.growth) * (1.0 - 0.12 * away),
        degrees: fingers_degrees + presentation.rotation_degrees + drift.degrees,
        tilt_degrees: presentation.tilt_degrees + drift.tilt_degrees,
        middle,
    }
}

/// Where a face lies.
pub(crate) fn face_placement(
    seed: u64,
    size: (usize, usize),
    fingers_degrees: f32,
    motion: Motion,
    milliseconds: u64,
) -> Placement {
    let presentation = Presentation { scale: FACE_SCALE, ..Presentation::sample(seed) };
    let shown = Shown { person: seed, position: Position::Right, presentation };
    placement(&shown, 1.0, size, fingers_degrees, motion, milliseconds)
}
