//! Enrolment, search and the gate, through real processes over mutual TLS.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;
use volar_tests::client::{Clients, identify};
use volar_tests::crowd::{KIOSKS, enroll_crowd};
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;
use xtask::kiosk::Visit;

use crate::report::Report;

const SEARCHES: u64 = 300;
const VISITORS: u64 = 10;
const VISITS_EACH: u64 = 6;

/// Fills a gallery with `palms` palms of half as many people, then searches it and walks through a gate.
pub(crate) fn enrolment_and_search(report: &mut Report, palms: u64) {
    let runtime = Runtime::new().expect("a runtime");
    let system = System::whole();
    let clients = system.clients();
    let protection = Arc::new(runtime.block_on(clients.palms()));
    let people = palms / 2;
    runtime.block_on(fill(report, &clients, &protection, people));
    runtime.block_on(search(report, &clients, &protection, people));
    gate(report, &system);
}

async fn fill(report: &mut Report, clients: &Clients, palms: &Arc<Palms>, people: u64) {
    let started = Instant::now();
    let acknowledged = enroll_crowd(clients, palms, people).await;
    let count = usize::try_from(people).expect("small");
    report.rate(
        format!("enrolments acknowledged, {KIOSKS} kiosks, making their palms included"),
        count,
        acknowledged - started,
    );
    report.rate("the same people admitted, duplicates looked for", count, started.elapsed());
}

async fn search(report: &mut Report, clients: &Clients, palms: &Palms, people: u64) {
    let mut client = clients.identification();
    let mut times = Vec::new();
    for number in 0..SEARCHES {
        let person = Person::new(1 + number * (people / SEARCHES));
        let request = identify(palms, &person, "lane-bench");
        let started = Instant::now();
        let decision = client.identify(request).await.expect("an answer").into_inner().decision();
        times.push(started.elapsed());
        assert_eq!(decision.as_str_name(), "DECISION_ADMITTED", "person {number} is enrolled");
    }
    report.times(format!("Identify over TLS, {} palms", people * 2), times, Some(5.0));
}

fn gate(report: &mut Report, system: &System) {
    let (kiosk, gate) = (system.deployment.kiosk().expect("it runs"), system.deployment.gate().expect("it runs"));
    let hand =
        |person: u64, sample: u64| json!({"show": "hand", "person": person, "position": "left", "sample": sample});
    for person in 0..VISITORS {
        let visit = Visit { hands: &["left"], account: None, code: None };
        let kind = kiosk.enroll(&visit, |_| hand(5_000 + person, 0)).expect("a visit");
        assert_eq!(kind, "active", "visitor {person}");
    }
    let (mut totals, mut identifying) = (Vec::new(), Vec::new());
    for visit in 0..VISITORS * VISITS_EACH {
        let from = gate.lines().count();
        let scene = hand(5_000 + visit % VISITORS, 1 + visit / VISITORS);
        let passage = gate.walk_in(&scene, &json!({"show": "empty"}), Duration::from_secs(20)).expect("an answer");
        assert_eq!(passage.decision, "admitted", "visit {visit}");
        let decided = gate.lines().wait(from, Duration::ZERO, |event| event["event"] == "decision");
        let decided = decided.expect("not interrupted").expect("it was seen above");
        let took = |name: &str| {
            let milliseconds = decided["milliseconds"][name].as_f64().expect("a number");
            Duration::from_secs_f64(milliseconds / 1e3)
        };
        totals.push(took("total"));
        identifying.push(took("identify"));
    }
    report.times("gate, frame to decision over TLS", totals, Some(60.0));
    report.times("  of which protecting the template and Identify", identifying, None);
}
