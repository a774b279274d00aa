//! What is not a good capture has a reason that a person can act on.

use std::collections::BTreeMap;

use crate::common::{hand, pipeline, rendered, simulator, word};
use volar_synth::{Condition, Scene};

const CASES: u64 = 12;

/// What the scenes of people 0 to [`CASES`] yield, counted.
fn words(scene: impl Fn(u64) -> Scene) -> BTreeMap<&'static str, u64> {
    let pipeline = pipeline();
    let mut counts = BTreeMap::new();
    for person in 0..CASES {
        let outcome = pipeline.process(&rendered(&mut simulator(640, 480), &scene(person)));
        *counts.entry(word(&outcome)).or_default() += 1;
    }
    counts
}

/// At least `least` of the [`CASES`] scenes must yield one of `expected`.
fn expect(scene: impl Fn(u64) -> Scene, expected: &[&str], least: u64) {
    let counts = words(scene);
    let met: u64 = expected.iter().filter_map(|word| counts.get(word)).sum();
    assert!(met >= least, "expected {expected:?} at least {least} times of {CASES}, got {counts:?}");
}

#[test]
fn nothing_there_is_no_hand() {
    expect(|_| Scene::Empty, &["no-hand"], CASES);
}

#[test]
fn two_hands_are_one_too_many() {
    expect(|person| Scene::TwoHands { person }, &["one-hand"], CASES - 1);
}

#[test]
fn a_face_is_not_a_hand() {
    expect(|seed| Scene::Face { seed }, &["not-a-hand"], CASES);
}

#[test]
fn too_far_says_closer() {
    expect(|person| hand(person, Condition::TooFar), &["closer"], CASES - 1);
}

#[test]
fn too_close_says_further() {
    expect(|person| hand(person, Condition::TooClose), &["further", "centre"], CASES);
    expect(|person| hand(person, Condition::TooClose), &["further"], CASES - 3);
}

#[test]
fn outside_the_frame_says_centre() {
    expect(|person| hand(person, Condition::OffCentre), &["centre"], CASES - 2);
}

#[test]
fn a_tilted_palm_is_not_captured() {
    // A palm turned sideways shows its fingers one behind the other, which cannot be told from closed fingers.
    expect(|person| hand(person, Condition::Tilted), &["flatter", "fingers-apart"], CASES * 3 / 4);
}

#[test]
fn saturated_says_too_bright() {
    expect(|person| hand(person, Condition::TooBright), &["too-bright"], CASES - 1);
}

#[test]
fn hardly_lit_says_too_dark_or_sees_nothing() {
    expect(|person| hand(person, Condition::TooDark), &["too-dark", "no-hand"], CASES);
    expect(|person| hand(person, Condition::TooDark), &["too-dark"], CASES * 3 / 4);
}

#[test]
fn closed_fingers_say_fingers_apart() {
    expect(|person| hand(person, Condition::FingersClosed), &["fingers-apart"], CASES - 1);
}

#[test]
fn a_sleeve_does_no_harm() {
    expect(|person| hand(person, Condition::Sleeve), &["captured"], CASES - 1);
}
