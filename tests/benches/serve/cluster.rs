//! A gallery spread over matchers and a router before them, one process after the other killed under load.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use volar_proto::v1::EnrollmentState;
use volar_tests::cluster::Cluster;
use volar_tests::crowd::enroll_crowd;
use volar_tests::system::System;

use crate::load::{Call, Load, Outcome, quantile};

/// From one kill to the next, and before the first.
const PAUSE: Duration = Duration::from_secs(5);
/// Within this time of a kill answers are as quick as before.
const RECOVERY: Duration = Duration::from_secs(1);
/// The next kill is not counted to this one's time, whichever clock ran a little ahead.
const MARGIN: Duration = Duration::from_millis(100);

/// How much is asked of what.
pub(crate) struct Plan {
    pub(crate) palms: u64,
    pub(crate) shards: usize,
    pub(crate) replicas: usize,
    pub(crate) kills: usize,
    /// Calls a second.
    pub(crate) rate: f64,
}

/// One kill: when, from the load's start, and of which process.
struct Kill {
    at: Duration,
    process: String,
}

/// Every figure, as JSON.
pub(crate) async fn run(plan: &Plan) -> Value {
    let system = tokio::task::block_in_place(System::vault);
    let mut cluster = tokio::task::block_in_place(|| Cluster::start(&system, plan.shards, plan.replicas));
    let clients = cluster.clients();
    let protection = Arc::new(clients.palms().await);
    let people = (plan.palms / 2).max(1);
    println!("enrolling {people} people");
    enroll_crowd(&clients, &protection, people).await;
    while clients.subjects().await.iter().any(|subject| subject.state() == EnrollmentState::Pending) {
        sleep(Duration::from_millis(300)).await;
    }
    let load = Load::prepare(&clients, &protection, people).with_strangers(&protection);
    load.calls(plan.rate, PAUSE).await;

    println!("{} calls a second, and a kill every {} s", plan.rate, PAUSE.as_secs());
    let start = Instant::now();
    let (rate, kills) = (plan.rate, plan.kills);
    let calls = tokio::spawn(async move { load.calls(rate, PAUSE * (kills as u32 + 1)).await });
    let mut killed = Vec::new();
    for number in 0..kills {
        sleep_until(start + PAUSE * (number as u32 + 1)).await;
        let members = cluster.len();
        let at = start.elapsed();
        let process = tokio::task::block_in_place(|| cluster.kill(number % members));
        println!("  killed {process}");
        killed.push(Kill { at, process });
    }
    let calls = calls.await.expect("a load does not panic");
    let all: Vec<&Call> = calls.iter().collect();
    let rows: Vec<Value> = killed.iter().map(|kill| row(kill, &calls)).collect();
    json!({
        "palms": plan.palms,
        "shards": plan.shards,
        "replicas": plan.replicas,
        "offered_per_second": plan.rate,
        "calls": calls.len(),
        "wrong": wrong(&all),
        "refused": refused(&all),
        "kills": rows,
    })
}

fn row(kill: &Kill, calls: &[Call]) -> Value {
    let during = |from: Duration, to: Duration| -> Vec<&Call> {
        calls.iter().filter(|call| (from..to).contains(&call.due)).collect()
    };
    let before = during(kill.at + RECOVERY - PAUSE, kill.at - MARGIN);
    let (first, later) = (during(kill.at, kill.at + RECOVERY), during(kill.at + RECOVERY, kill.at + PAUSE - MARGIN));
    let p99 = |calls: &[&Call]| quantile(calls.iter().copied(), 0.99).as_secs_f64() * 1e3;
    json!({
        "process": kill.process,
        "calls": first.len() + later.len(),
        "wrong": wrong(&first) + wrong(&later),
        "refused": refused(&first) + refused(&later),
        "refused_later": refused(&later),
        "p99_ms_before": p99(&before),
        "p99_ms_first_second": p99(&first),
        "p99_ms_later": p99(&later),
    })
}

fn wrong(calls: &[&Call]) -> usize {
    calls.iter().filter(|call| call.outcome == Outcome::Wrong).count()
}

fn refused(calls: &[&Call]) -> usize {
    calls.iter().filter(|call| matches!(call.outcome, Outcome::Refused(_))).count()
}
