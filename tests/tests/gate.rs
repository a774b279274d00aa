//! A gate while the servers behind it come and go.

use std::time::Duration;

use serde_json::{Value, json};
use volar_tests::system::System;
use xtask::gate::{Gate, Passage};
use xtask::kiosk::Visit;

const PATIENCE: Duration = Duration::from_secs(20);

fn hand(sample: u64) -> Value {
    json!({"show": "hand", "person": 41, "position": "left", "sample": sample})
}

fn walk_in(gate: &Gate, sample: u64) -> Passage {
    gate.walk_in(&hand(sample), &json!({"show": "empty"}), PATIENCE).expect("the gate answers")
}

fn seen(gate: &Gate, from: usize, event: &str) -> Value {
    let found = gate.lines().wait(from, PATIENCE, |line| line["event"] == event).expect("not interrupted");
    found.unwrap_or_else(|| panic!("no event {event}"))
}

/// A system with person 41 enrolled.
fn system() -> System {
    let system = System::whole();
    let kiosk = system.deployment.kiosk().expect("it runs");
    let visit = Visit { hands: &["left"], account: Some("anna"), code: None };
    assert_eq!(kiosk.enroll(&visit, |_| hand(0)).expect("a visit"), "active");
    system
}

#[test]
fn a_gate_admits_through_a_vault_restart_and_the_ticket_pays_afterwards() {
    let mut system = system();
    system.deployment.vault_process().expect("it runs").kill();
    let passage = walk_in(system.deployment.gate().expect("it runs"), 1);
    assert_eq!(passage.decision, "admitted", "the vault is not on the gate's path");
    system.deployment.start_vault().expect("it starts again");
    let claimed = system.deployment.operator().claim(&passage.ticket.expect("a ticket")).expect("an answer");
    assert_eq!(claimed.as_deref(), Ok("cus_test_anna"));
}

#[test]
fn a_gate_works_through_a_matcher_restart_and_stays_closed_meanwhile() {
    let mut system = system();
    assert_eq!(walk_in(system.deployment.gate().expect("it runs"), 1).decision, "admitted");

    let from = system.deployment.gate().expect("it runs").lines().count();
    system.deployment.matcher_process().expect("it runs").kill();
    let gate = system.deployment.gate().expect("it runs");
    gate.stage(&hand(2)).expect("a scene");
    let event = seen(gate, from, "unreachable");
    assert_eq!(event["opened"], false, "{event}");
    gate.stage(&json!({"show": "empty"})).expect("a scene");

    system.deployment.start_matcher().expect("it starts again");
    seen(system.deployment.gate().expect("it runs"), from, "recovered");
    assert_eq!(walk_in(system.deployment.gate().expect("it runs"), 3).decision, "admitted");
}

#[test]
fn an_unplugged_sensor_is_told_and_comes_back() {
    let system = system();
    let gate = system.deployment.gate().expect("it runs");
    let from = gate.lines().count();
    gate.stage(&json!({"show": "unplugged"})).expect("a scene");
    assert_eq!(seen(gate, from, "sensor")["state"], "lost");
    let from = gate.lines().count();
    gate.stage(&json!({"show": "empty"})).expect("a scene");
    assert_eq!(seen(gate, from, "sensor")["state"], "back");
    assert_eq!(walk_in(gate, 1).decision, "admitted");
}

#[test]
fn what_is_no_hand_admits_nobody() {
    let system = system();
    let gate = system.deployment.gate().expect("it runs");
    for scene in [json!({"show": "two-hands", "person": 41}), json!({"show": "face", "seed": 3})] {
        let passage =
            gate.walk_in(&scene, &json!({"show": "empty"}), Duration::from_secs(3)).expect("the gate answers");
        assert_eq!(passage, Passage::default(), "{scene}");
    }
}
