//! A gallery protected anew by an operator while kiosk and gate are open: nobody shows a hand again at a kiosk, devices fetch
//! the new key by themselves, and what was protected under the old one is worth nothing.

use std::time::Duration;

use serde_json::{Value, json};
use volar_proto::v1::Decision;
use volar_tests::client::{Clients, PATIENCE, enroll, identify, reason};
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;
use xtask::kiosk::Visit;

fn hand(person: u64, sample: u64) -> Value {
    json!({"show": "hand", "person": person, "position": "left", "sample": sample})
}

#[test]
fn a_gate_goes_on_admitting_and_a_kiosk_enrolling() {
    let system = System::whole();
    let (kiosk, gate) = (system.deployment.kiosk().expect("it runs"), system.deployment.gate().expect("it runs"));
    let visit = Visit { hands: &["left"], account: Some("anna"), code: None };
    assert_eq!(kiosk.enroll(&visit, |_| hand(41, 0)).expect("a visit"), "active");
    let walk_in = |person: u64, sample: u64| {
        let limit = Duration::from_secs(20);
        gate.walk_in(&hand(person, sample), &json!({"show": "empty"}), limit).expect("the gate answers").decision
    };
    assert_eq!(walk_in(41, 1), "admitted");

    let renewed = system.deployment.operator().run(&["gallery", "re-protect", "members"]).expect("it ends well");
    assert_eq!((&renewed["generation"], &renewed["renewal"]), (&json!(2), &Value::Null));
    // Gate and kiosk still have the old key, and the matcher reads the gallery anew.
    assert_eq!(walk_in(41, 2), "admitted", "the person has not been to the kiosk again");
    let visit = Visit { hands: &["left"], account: Some("bert"), code: None };
    assert_eq!(kiosk.enroll(&visit, |_| hand(42, 0)).expect("a visit"), "active");
    assert_eq!(walk_in(42, 1), "admitted");
    // And a withdrawal, for which the kiosk asks the matcher.
    assert_eq!(kiosk.remove(&hand(41, 3)).expect("a visit"), "removed");
}

/// What the matcher says to a probe, once it has the gallery.
async fn said(clients: &Clients, palms: &Palms, person: &Person, lane: &str) -> String {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let said = match clients.identification().identify(identify(palms, person, lane)).await {
            Ok(response) if response.get_ref().decision() == Decision::Admitted => "ADMITTED".to_owned(),
            Ok(response) => response.into_inner().reason,
            Err(status) => reason(&status),
        };
        // It follows anew.
        if said != "GALLERY_NOT_READY" || std::time::Instant::now() > end {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_probes_are_refused_and_match_nobody_under_a_false_name() {
    let system = System::servers();
    let clients = system.clients();
    let mut old = clients.palms().await;
    let people: Vec<Person> = (1..=5).map(Person::new).collect();
    for person in &people {
        clients.enrollment().enroll(enroll(&old, person, false)).await.expect("a good enrolment");
    }
    clients.admit(&old, &people[4]).await;
    tokio::task::block_in_place(|| system.deployment.operator().run(&["gallery", "re-protect", "members"]))
        .expect("it ends well");
    let new = clients.palms().await;
    assert_eq!((old.generation, new.generation), (1, 2));
    for (number, person) in people.iter().enumerate() {
        clients.admit(&new, person).await;
        let lane = format!("lane-{number}");
        assert_eq!(said(&clients, &old, person, &lane).await, "PROTECTION_GENERATION_MISMATCH");
        // Somebody with an old key, or an old probe, who says that it is of the new generation.
        old.generation = 2;
        assert_eq!(said(&clients, &old, person, &lane).await, "BELOW_THRESHOLD");
        old.generation = 1;
    }
    let status = clients.enrollment().enroll(enroll(&old, &Person::new(9), false)).await.expect_err("an old key");
    assert_eq!(reason(&status), "GENERATION_MISMATCH");
    clients.enrollment().enroll(enroll(&new, &Person::new(9), false)).await.expect("a good enrolment");
    clients.admit(&new, &Person::new(9)).await;
}
