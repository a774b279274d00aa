//! Made-up hands, whose valleys are known exactly, under everything that a sensor's mounting and light can do.

use crate::common::{ARRIVED_MS, distance, frame, hand, pipeline, position, rendered, simulator, word};
use volar_palm::embedding::shipped;
use volar_palm::outline::Point;
use volar_palm::pipeline::{Capture, Outcome, Pipeline, PipelineConfig};
use volar_synth::Condition;

/// How many of `cases` frames were captured as the right hand; none may be captured as the wrong one.
struct Tally {
    cases: usize,
    captured: usize,
    missed: Vec<String>,
}

impl Tally {
    fn new() -> Self {
        Self { cases: 0, captured: 0, missed: Vec::new() }
    }

    fn add(&mut self, what: String, outcome: Outcome, expected: volar_core::template::Position) -> Option<Capture> {
        self.cases += 1;
        match outcome {
            Outcome::Captured(capture) => {
                assert_eq!(capture.template.position, expected, "{what} is the other hand");
                self.captured += 1;
                Some(capture)
            }
            other => {
                self.missed.push(format!("{what}: {}", word(&other)));
                None
            }
        }
    }

    fn at_least(&self, share: f32) {
        let captured = self.captured as f32 / self.cases as f32;
        assert!(captured >= share, "captured {} of {}; {:?}", self.captured, self.cases, self.missed);
    }
}

#[test]
fn valleys_are_found_where_they_are() {
    let pipeline = pipeline();
    let mut tally = Tally::new();
    let mut errors = Vec::new();
    for person in 0..40 {
        let scene = hand(person, Condition::Good);
        let mut simulator = simulator(640, 480);
        let outcome = pipeline.process(&rendered(&mut simulator, &scene));
        let Some(capture) = tally.add(format!("person {person}"), outcome, position(&scene)) else { continue };
        let truth = simulator.truth(&scene, ARRIVED_MS)[0];
        let [_, index_middle, _, ring_little] = truth.valleys.map(|valley| Point { x: valley.x, y: valley.y });
        let line = distance(index_middle, ring_little);
        let found = capture.outline.valleys.expect("a capture has valleys");
        errors.push(distance(found[0], index_middle) / line);
        errors.push(distance(found[1], ring_little) / line);
    }
    tally.at_least(0.95);
    errors.sort_by(f32::total_cmp);
    let (median, most) = (errors[errors.len() / 2], errors[errors.len() * 95 / 100]);
    assert!(median < 0.03 && most < 0.07, "valley errors in valley lines: median {median}, 95 % {most}");
}

#[test]
fn fingers_may_point_anywhere() {
    let pipeline = pipeline();
    let mut tally = Tally::new();
    for turn in 0..12 {
        let degrees = turn as f32 * 30.0;
        for person in 0..4 {
            let scene = hand(person, Condition::Good);
            let mut simulator = simulator(640, 640).with_fingers_towards(degrees);
            let outcome = pipeline.process(&rendered(&mut simulator, &scene));
            tally.add(format!("person {person} at {degrees} degrees"), outcome, position(&scene));
        }
    }
    tally.at_least(0.95);
}

#[test]
fn frames_may_have_any_usual_size() {
    let pipeline = pipeline();
    let mut tally = Tally::new();
    for (width, height) in [(320, 240), (640, 400), (640, 480), (1280, 720), (1920, 1080)] {
        for person in 0..4 {
            let scene = hand(person, Condition::Good);
            let outcome = pipeline.process(&rendered(&mut simulator(width, height), &scene));
            tally.add(format!("person {person} at {width}x{height}"), outcome, position(&scene));
        }
    }
    tally.at_least(0.95);
}

#[test]
fn exposure_may_be_off_by_a_stop_and_more() {
    let pipeline = pipeline();
    let mut tally = Tally::new();
    for person in 0..6 {
        let scene = hand(person, Condition::Good);
        let image = simulator(640, 480).render(&scene, ARRIVED_MS);
        for percent in [40, 60, 100, 150, 200] {
            let pixels = image.pixels.iter().map(|&pixel| (u32::from(pixel) * percent / 100).min(255) as u8).collect();
            let outcome = pipeline.process(&frame(640, 480, pixels, 0));
            tally.add(format!("person {person} at {percent} %"), outcome, position(&scene));
        }
    }
    // At 200 % the brightest hands saturate, and must be refused.
    tally.at_least(0.8);
    assert!(tally.missed.iter().all(|missed| missed.ends_with("200 %: too-bright")), "{:?}", tally.missed);
}

#[test]
fn light_may_fall_from_one_side() {
    let pipeline = pipeline();
    let mut tally = Tally::new();
    for person in 0..8 {
        let scene = hand(person, Condition::Good);
        let image = simulator(640, 480).render(&scene, ARRIVED_MS);
        let shaded = image.pixels.iter().enumerate().map(|(i, &pixel)| {
            let share = 0.4 + 0.6 * (i % 640) as f32 / 640.0;
            (f32::from(pixel) * share) as u8
        });
        let outcome = pipeline.process(&frame(640, 480, shaded.collect(), 0));
        tally.add(format!("person {person}"), outcome, position(&scene));
    }
    tally.at_least(0.85);
}

#[test]
fn a_mirror_image_is_the_other_hand_unless_configured() {
    let mirrored = PipelineConfig { mirrored: true, ..PipelineConfig::default() };
    let (plain, mirrored) = (pipeline(), Pipeline::new(shipped(), mirrored));
    let scene = hand(2, Condition::Good);
    let image = simulator(640, 480).render(&scene, ARRIVED_MS);
    let flipped: Vec<u8> = image.pixels.chunks_exact(640).flat_map(|row| row.iter().rev().copied()).collect();
    let position_by = |pipeline: &Pipeline| match pipeline.process(&frame(640, 480, flipped.clone(), 0)) {
        Outcome::Captured(capture) => capture.template.position,
        other => panic!("{}", word(&other)),
    };
    assert_ne!(position_by(&plain), position(&scene));
    assert_eq!(position_by(&mirrored), position(&scene));
}

#[test]
fn the_region_is_the_same_however_the_hand_is_turned() {
    let pipeline = pipeline();
    let scene = hand(4, Condition::Good);
    let template = |degrees: f32| {
        let mut simulator = simulator(640, 640).with_fingers_towards(degrees);
        match pipeline.process(&rendered(&mut simulator, &scene)) {
            Outcome::Captured(capture) => capture.template,
            other => panic!("{}", word(&other)),
        }
    };
    let upright = template(0.0);
    for degrees in [45.0, 90.0, 180.0, 265.0] {
        let distance = upright.orientations[0].distance(&template(degrees).orientations[0]);
        // Unrelated palms come near 0.45.
        assert!(distance < 0.3, "turned by {degrees} degrees: {distance}");
    }
}
