//! What the kiosk shows when its sensor sees what it should not: named screens and named guidance.

use std::time::Duration;

use serde_json::{Value, json};
use volar_tests::system::System;
use xtask::kiosk::{Kiosk, State};

const PATIENCE: Duration = Duration::from_secs(20);

fn hand(person: u64, position: &str) -> Value {
    json!({"show": "hand", "person": person, "position": position})
}

/// Waits for a guidance on the capture screen.
fn guided(kiosk: &Kiosk, wanted: &str) -> State {
    let named = |state: &State| state.capture.as_ref().is_some_and(|c| c.guidance.as_deref() == Some(wanted));
    kiosk.watch_until(|state| Ok(named(state))).unwrap_or_else(|error| panic!("{wanted}: {error:#}"))
}

/// Waits for a screen.
fn screen(kiosk: &Kiosk, wanted: &str) -> State {
    kiosk.watch_until(|state| Ok(state.screen == wanted)).unwrap_or_else(|error| panic!("{wanted}: {error:#}"))
}

#[test]
fn what_is_no_hand_is_named_and_enrols_nobody() {
    let system = System::whole();
    let kiosk = system.deployment.kiosk().expect("it runs");
    kiosk.begin(&["left", "right"]).expect("the capture screen");
    guided(kiosk, "show-hand");
    for (scene, guidance) in [
        (json!({"show": "two-hands", "person": 1}), "one-hand"),
        (json!({"show": "face", "seed": 3}), "not-a-hand"),
        (json!({"show": "empty"}), "show-hand"),
        (hand(1, "right"), "wrong-hand"),
    ] {
        kiosk.stage(&scene).expect("a scene");
        let state = guided(kiosk, guidance);
        assert_eq!(state.capture.expect("capturing").captured, 0, "{scene}");
    }
    assert_eq!(system.deployment.operator().subjects().expect("a list").len(), 0);
    kiosk.reset().expect("the welcome screen");
}

#[test]
fn an_unplugged_sensor_is_a_screen_of_its_own_and_the_kiosk_recovers() {
    let system = System::whole();
    let kiosk = system.deployment.kiosk().expect("it runs");
    kiosk.begin(&["left"]).expect("the capture screen");
    kiosk.stage(&hand(2, "left")).expect("a scene");
    kiosk.watch_until(|state| Ok(state.capture.as_ref().is_some_and(|c| c.captured > 0))).expect("a first capture");
    kiosk.stage(&json!({"show": "unplugged"})).expect("a scene");
    screen(kiosk, "unavailable");
    assert!(kiosk.try_press("session/payment", &json!({"skip": true})).expect("an answer").status >= 400);
    kiosk.stage(&hand(2, "left")).expect("a scene");
    let state = screen(kiosk, "capture");
    assert!(state.capture.expect("capturing").captured > 0, "what was captured before is not lost");
    let state = screen(kiosk, "payment");
    assert_eq!(kiosk.finish(state, Some("after")).expect("a visit"), "active");
    assert_eq!(system.deployment.operator().subjects().expect("a list").len(), 1);
}

#[test]
fn another_persons_hand_in_mid_capture_is_noticed_and_not_enrolled() {
    let mut system = System::whole();
    let kiosk = system.deployment.kiosk().expect("it runs");
    kiosk.begin(&["left"]).expect("the capture screen");
    kiosk.stage(&hand(3, "left")).expect("a scene");
    kiosk.watch_until(|state| Ok(state.capture.as_ref().is_some_and(|c| c.captured > 0))).expect("a first capture");
    // The person's own other hand first: what was captured stays.
    kiosk.stage(&hand(3, "right")).expect("a scene");
    assert!(guided(kiosk, "wrong-hand").capture.expect("capturing").captured > 0);
    kiosk.stage(&hand(8, "left")).expect("a scene");
    assert_eq!(guided(kiosk, "another-palm").capture.expect("capturing").captured, 0, "neither palm is kept");
    assert_eq!(system.deployment.operator().subjects().expect("a list").len(), 0);
    kiosk.stage(&json!({"show": "empty"})).expect("a scene");
    guided(kiosk, "show-hand");
    kiosk.stage(&hand(3, "left")).expect("a scene");
    let state = screen(kiosk, "payment");
    assert_eq!(kiosk.finish(state, Some("anna")).expect("a visit"), "active");
    for (person, decision) in [(3, "admitted"), (8, "no-match")] {
        let gate = system.deployment.gate().expect("it runs");
        let passage = gate.walk_in(&hand(person, "left"), &json!({"show": "empty"}), PATIENCE).expect("an answer");
        assert_eq!(passage.decision, decision, "person {person}");
    }
    system.deployment.check_running().expect("everything still runs");
}

#[test]
fn a_visit_out_of_order_is_refused_by_name() {
    let system = System::whole();
    let kiosk = system.deployment.kiosk().expect("it runs");
    for (path, body) in [
        ("session/consent", json!({"accepted": true})),
        ("session/hands", json!({"hands": ["left"]})),
        ("session/payment", json!({"account": "anna"})),
    ] {
        let answer = kiosk.try_press(path, &body).expect("an answer");
        assert_eq!(answer.status, 409, "{path}: {}", answer.body);
        assert!(answer.body.pointer("/error/reason").is_some_and(Value::is_string), "{}", answer.body);
    }
    kiosk.press("session", &json!({"language": "de"})).expect("a session");
    let state = kiosk.press("session/consent", &json!({"accepted": false})).expect("an answer");
    assert_eq!(state.screen, "declined", "the way without palm");
}
