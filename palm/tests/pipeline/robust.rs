//! Hands as people really hold them: turned, tilted, closed, dressed, cut off, before anything. Either the valleys are
//! where they are, or there is no capture.

use crate::common::{frame, word};
use volar_core::template::Position;
use volar_palm::embedding::shipped;
use volar_palm::pipeline::{Outcome, Pipeline, PipelineConfig};
use volar_synth::layer::LAYER_SKIN;
use volar_synth::{HandLayer, Palm, Point, Presentation, Simulator};

/// People that no training saw.
const FIRST_PERSON: u64 = 8_000_000;
const CASES: u64 = 60;

fn unguided() -> Pipeline {
    Pipeline::new(shipped(), PipelineConfig { mirrored: false, guided: false, quality_min: 0 })
}

/// Captures held against the truth.
#[derive(Default)]
struct Tally {
    cases: usize,
    placed: usize,
    wrong: Vec<String>,
    missed: Vec<String>,
}

impl Tally {
    fn add(&mut self, what: String, outcome: &Outcome, valleys: [Point; 2], side: f32, position: Position) {
        self.cases += 1;
        let Outcome::Captured(capture) = outcome else {
            return self.missed.push(format!("{what}: {}", word(outcome)));
        };
        let found = capture.outline.valleys.expect("a capture has valleys");
        // The palm is about 1.35 squares broad.
        let off = |i: usize| (found[i].x - valleys[i].x).hypot(found[i].y - valleys[i].y) / (1.35 * side);
        let error = off(0).max(off(1));
        if error < 0.05 && capture.template.position == position {
            self.placed += 1;
        } else {
            self.wrong.push(format!("{what}: {error} as {}", capture.template.position));
        }
    }

    fn at_least(&self, share: f32, wrong_max: usize) {
        let placed = self.placed as f32 / self.cases as f32;
        assert!(placed >= share, "placed {} of {}; {:?} {:?}", self.placed, self.cases, self.missed, self.wrong);
        assert!(self.wrong.len() <= wrong_max, "{:?}", self.wrong);
    }
}

fn position(i: u64) -> Position {
    if i.is_multiple_of(2) { Position::Left } else { Position::Right }
}

#[test]
fn any_open_hand_is_placed_or_refused() {
    let pipeline = unguided();
    let (mut apart, mut together) = (Tally::default(), Tally::default());
    for i in 0..CASES {
        let turned = |step: u64, most: f32| most * ((i * step % 21) as f32 / 10.0 - 1.0);
        let presentation = Presentation {
            rotation_degrees: turned(5, 45.0),
            tilt_degrees: Point::new(turned(8, 14.0), turned(13, 14.0)),
            scale: 0.8 + 0.05 * (i % 5) as f32,
            ..Presentation::any(FIRST_PERSON + i)
        };
        let (width, height) = [(320, 240), (640, 480), (1280, 720)][i as usize % 3];
        let mut simulator =
            Simulator::new(width, height, i).expect("a fair size").with_fingers_towards(90.0 * (i % 4) as f32);
        let (image, truth) = simulator.capture(FIRST_PERSON + i, position(i), &presentation, 1_000);
        let percent = 50 + 25 * (i % 6) as u32;
        let pixels = image.pixels.iter().map(|&pixel| (u32::from(pixel) * percent / 100).min(255) as u8).collect();
        let side = (truth.palm_square[0] - truth.palm_square[1]).length();
        let outcome = pipeline.process(&frame(width, height, pixels, i));
        // Where fingers touch, little shows how far down they part.
        let tally = if presentation.spread < 0.0 { &mut together } else { &mut apart };
        tally.add(format!("case {i}"), &outcome, [truth.valleys[1], truth.valleys[3]], side, truth.position);
    }
    apart.at_least(0.97, 1);
    together.at_least(0.9, 2);
}

#[test]
fn what_is_behind_a_hand_does_not_matter() {
    let pipeline = unguided();
    let mut tally = Tally::default();
    for i in 0..CASES {
        let palm = Palm::of(FIRST_PERSON + i, Position::Right);
        let layer = HandLayer::new(&palm, &Presentation::any(FIRST_PERSON + i), 0.9);
        let (skin, behind) = (40.0 + 40.0 * (i % 5) as f32, [5.0, 235.0, 120.0, 60.0][i as usize % 4]);
        let slope = 40.0 * ((i % 3) as f32 - 1.0);
        let pixels = layer.light.iter().zip(&layer.coverage).enumerate().map(|(at, (&light, &covered))| {
            let down = (at / layer.width) as f32 / layer.height as f32 - 0.5;
            let ground = (behind + slope * down) * (1.0 - f32::from(covered) / 255.0);
            (ground + f32::from(light) / LAYER_SKIN * skin).min(255.0) as u8
        });
        let outcome = pipeline.process(&frame(layer.width, layer.height, pixels.collect(), i));
        let [_, index_middle, _, ring_little] = layer.landmarks.valleys;
        let side = 1.5 * (layer.landmarks.palm_radius * layer.landmarks.palm_breadth / 2.0).sqrt();
        let what = format!("case {i}, skin {skin} before {behind}");
        tally.add(what, &outcome, [index_middle, ring_little], side, Position::Right);
    }
    tally.at_least(0.9, 3);
}

#[test]
fn hands_without_fingers_are_no_palms() {
    let pipeline = unguided();
    let captured = (0..20).filter(|&i| {
        let palm = Palm::of(FIRST_PERSON + i, Position::Right);
        let layer = HandLayer::new(&palm, &Presentation::any(FIRST_PERSON + i), 0.9);
        let valley = layer.landmarks.valleys[2].y as usize;
        let below = |at: usize| at / layer.width > valley + 8;
        let pixels = layer.light.iter().enumerate().map(|(at, &light)| if below(at) { light } else { 6 });
        let outcome = pipeline.process(&frame(layer.width, layer.height, pixels.collect(), i));
        matches!(outcome, Outcome::Captured(_))
    });
    let captured = captured.count();
    assert!(captured <= 1, "captured {captured} of 20 stumps");
}
