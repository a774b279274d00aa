//! Two galleries, from the kiosk's screen to the gate's door: real processes, each configured as an operator would.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use volar_tests::system::System;
use xtask::kiosk::Visit;

const PATIENCE: Duration = Duration::from_secs(20);
const PERSON: u64 = 41;

fn hand(sample: u64) -> Value {
    json!({"show": "hand", "person": PERSON, "position": "left", "sample": sample})
}

#[test]
fn a_visitor_joins_both_galleries_enters_by_either_and_leaves_both() {
    let mut system = System::whole_in(&["members", "staff"]);
    let kiosk = system.deployment.kiosk().expect("it runs");
    let visit = Visit { hands: &["left"], account: Some("anna"), code: None };
    assert_eq!(kiosk.enroll(&visit, |_| hand(0)).expect("a visit"), "active");
    let subjects = system.deployment.operator().subjects().expect("listed");
    assert_eq!(subjects.len(), 1, "one person, however many galleries: {subjects:?}");
    assert_eq!(subjects[0]["galleries"], json!(["members", "staff"]));

    // A gate of both, then one of each alone.
    for galleries in [&["staff", "members"][..], &["staff"], &["members"]] {
        system.restart_gate_in(galleries);
        let gate = system.deployment.gate().expect("it runs");
        let passage = gate.walk_in(&hand(1), &json!({"show": "empty"}), PATIENCE).expect("the gate answers");
        assert_eq!(passage.decision, "admitted", "{galleries:?}: {passage:?}");
        let claimed = system.deployment.operator().claim(&passage.ticket.expect("a ticket")).expect("an answer");
        assert_eq!(claimed.as_deref(), Ok("cus_test_anna"), "{galleries:?}");
    }

    let kiosk = system.deployment.kiosk().expect("it runs");
    assert_eq!(kiosk.remove(&hand(2)).expect("a visit"), "removed");
    assert!(system.deployment.operator().subjects().expect("listed").is_empty());
    for galleries in [&["members"][..], &["staff"]] {
        system.restart_gate_in(galleries);
        let gate = system.deployment.gate().expect("it runs");
        let passage = gate.walk_in(&hand(3), &json!({"show": "empty"}), PATIENCE).expect("the gate answers");
        assert_eq!(passage.decision, "no-match", "{galleries:?}: {passage:?}");
    }
    every_scan_is_in_the_audit_log(&system);
}

/// Three admissions and the removal were answered, and then the galleries were empty. Matchers tell the vault within a second.
fn every_scan_is_in_the_audit_log(system: &System) {
    let scans = || {
        let list = system.deployment.operator().run(&["audit", "list"]).expect("listed");
        let leaves = list["leaves"].as_array().expect("a list").iter().filter_map(Value::as_str);
        let count =
            |wanted: [&str; 3]| leaves.clone().filter(|leaf| wanted.iter().all(|line| leaf.contains(line))).count();
        let gate = count(["actor gate/", "\naction scan\n", "\noutcome done\n"]);
        let kiosk = count(["actor kiosk/", "\naction scan\n", "\noutcome done\n"]);
        (gate, kiosk, count(["actor gate/", "\naction scan\n", "no-match: gallery-empty"]).min(1))
    };
    let until = Instant::now() + PATIENCE;
    while scans() != (3, 1, 1) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(scans(), (3, 1, 1), "admitted at gates, removed at the kiosk, and nobody left");
}
