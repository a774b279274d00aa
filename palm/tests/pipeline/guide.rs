//! Guided capture over a whole visit.

use std::sync::Arc;

use crate::common::{frame, hand, pipeline, rendered, simulator};
use volar_palm::guidance::Guidance;
use volar_palm::guided::{Guide, GuideConfig, Observation, Presence};
use volar_synth::{Condition, Scene};

const INTERVAL_MS: u64 = 40;

fn guide() -> Guide {
    Guide::new(Arc::new(pipeline()), GuideConfig::default())
}

/// What the guide makes of 10 empty frames, `hand_frames` of a hand, and 10 empty ones.
fn visit(guide: &mut Guide, condition: Condition, hand_frames: u64) -> Vec<Observation> {
    let scene = hand(0, condition);
    let mut simulator = simulator(640, 480);
    let frames = 0..hand_frames + 20;
    frames
        .map(|i| {
            let shown = if (10..10 + hand_frames).contains(&i) { scene } else { Scene::Empty };
            let image = simulator.render(&shown, i.saturating_sub(10) * INTERVAL_MS);
            guide.observe(&frame(640, 480, image.pixels.clone(), i * INTERVAL_MS))
        })
        .collect()
}

#[test]
fn a_hand_comes_is_captured_once_and_goes() {
    let seen = visit(&mut guide(), Condition::Good, 60);
    let count = |presence| seen.iter().filter(|o| o.presence == presence).count();
    assert_eq!((count(Presence::Entered), count(Presence::Left)), (1, 1));
    assert!(seen[..10].iter().all(|o| o.presence == Presence::Absent && o.guidance == Some(Guidance::ShowHand)));
    assert_eq!(seen[79].presence, Presence::Absent);

    let captures: Vec<usize> = (0..seen.len()).filter(|&i| seen[i].captured.is_some()).collect();
    let [captured] = captures[..] else { panic!("captured at {captures:?}") };
    let entered = seen.iter().position(|o| o.presence == Presence::Entered).expect("counted above");
    let waited_ms = (captured - entered) as u64 * INTERVAL_MS;
    assert!(waited_ms <= 1_500, "captured {waited_ms} ms after the hand was first seen");
    assert!(seen[captured - 1].progress < 1.0);
    assert!(seen[captured..70].iter().all(|o| o.progress == 1.0));
    assert_eq!(seen[79].progress, 0.0);
}

#[test]
fn a_waving_hand_is_told_to_hold_still_and_never_captured() {
    let seen = visit(&mut guide(), Condition::Moving, 60);
    assert!(seen.iter().all(|o| o.captured.is_none()));
    let told = seen.iter().filter(|o| o.guidance == Some(Guidance::HoldStill)).count();
    assert!(told >= 20, "told {told} times in 60 frames");
}

#[test]
fn a_photograph_counts_as_still() {
    let still = rendered(&mut simulator(640, 480), &hand(1, Condition::Good));
    let mut guide = guide();
    let captured: Vec<bool> = (0..6).map(|_| guide.observe(&still).captured.is_some()).collect();
    assert_eq!(captured, [false, false, false, true, false, false]);
}

#[test]
fn rearmed_it_captures_the_same_hand_again() {
    let still = rendered(&mut simulator(640, 480), &hand(1, Condition::Good));
    let mut guide = guide();
    for _ in 0..3 {
        let captures = (0..4).filter(|_| guide.observe(&still).captured.is_some()).count();
        assert_eq!(captures, 1);
        guide.rearm();
    }
}

#[test]
fn another_hand_starts_the_count_again() {
    let one = rendered(&mut simulator(640, 480), &hand(1, Condition::Good));
    let other = rendered(&mut simulator(640, 480), &hand(2, Condition::Good));
    let mut guide = guide();
    for _ in 0..3 {
        assert!(guide.observe(&one).captured.is_none());
    }
    let swapped = guide.observe(&other);
    assert_eq!((swapped.captured.is_some(), swapped.guidance), (false, Some(Guidance::HoldStill)));
    assert!(swapped.progress < 0.3);
}

#[test]
fn a_frame_missed_is_not_a_hand_that_left() {
    let still = rendered(&mut simulator(640, 480), &hand(1, Condition::Good));
    let dark = frame(640, 480, vec![0; 640 * 480], 0);
    let mut guide = guide();
    assert_eq!(guide.observe(&still).presence, Presence::Entered);
    assert_eq!(guide.observe(&dark).presence, Presence::Present);
    assert_eq!(guide.observe(&still).presence, Presence::Present);
    for presence in [Presence::Present, Presence::Present, Presence::Left, Presence::Absent] {
        assert_eq!(guide.observe(&dark).presence, presence);
    }
    assert_eq!(guide.observe(&still).presence, Presence::Entered);
    guide.reset();
    assert_eq!(guide.observe(&dark).presence, Presence::Absent);
}

#[test]
fn an_idle_sensor_costs_little() {
    let mut guide = guide();
    let empty: Vec<_> = (0..40)
        .map(|i| {
            let image = simulator(640, 480).render(&Scene::Empty, i * INTERVAL_MS);
            frame(640, 480, image.pixels.clone(), i * INTERVAL_MS)
        })
        .collect();
    let pipeline = pipeline();
    let clock = std::time::Instant::now();
    empty.iter().for_each(|frame| drop(pipeline.process(frame)));
    let examined = clock.elapsed();
    let clock = std::time::Instant::now();
    empty.iter().for_each(|frame| drop(guide.observe(frame)));
    let watched = clock.elapsed();
    // Two of forty frames are examined; the rest is a thumbnail's work.
    assert!(watched < examined / 2, "watching took {watched:?}, examining every frame {examined:?}");
}
