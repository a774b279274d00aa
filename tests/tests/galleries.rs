//! Two galleries, from the kiosk's screen to the gate's door: real processes, each configured as an operator would.

use std::time::Duration;

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
}
