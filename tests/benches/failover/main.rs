//! A vault on a PostgreSQL cluster while that fails in every way that it promises to bear: primaries killed, cut off from
//! the others, cut off from everything, and both standbys killed at once.

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::block_in_place;
use volar_tests::failover::{Failover, OUTAGE_MAX};
use volar_tests::patroni::{Network, Whole};

/// Between two troubles.
const CALM: Duration = Duration::from_secs(5);
/// How long both standbys are away.
const ALONE: Duration = Duration::from_secs(15);
/// Commits under way when the last standby died may be answered for this long afterwards.
const UNDER_WAY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: u64| value(name).map_or(default, |word| word.parse().expect("a number"));
    let (kills, cuts) = (number("--kills", 10), number("--cuts", 3));
    let figures = Runtime::new().expect("a runtime").block_on(run(kills, cuts));
    println!("{figures:#}");
    if let Some(path) = value("--json") {
        std::fs::write(path, format!("{figures:#}\n")).expect("the file for the figures is writable");
    }
    let longest = figures["longest_outage_of_a_kill_s"].as_f64().expect("a number");
    if longest <= OUTAGE_MAX.as_secs_f64() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(kills: u64, cuts: u64) -> Value {
    let failover = Failover::start(Network::Namespaces).await;
    let mut events = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(CALM).await;
        let (outage, whole) = failover.kill_primary().await;
        events.push(event("primary killed", outage, whole));
    }
    let longest = events.iter().filter_map(|event| event["outage_s"].as_f64()).fold(0.0, f64::max);
    for (name, everything) in [("primary cut off from the others", false), ("primary cut off from everything", true)] {
        for _ in 0..cuts {
            tokio::time::sleep(CALM).await;
            let (outage, whole) = cut_primary(&failover, everything).await;
            events.push(event(name, outage, whole));
        }
    }
    tokio::time::sleep(CALM).await;
    events.push(lose_standbys(&failover).await);
    tokio::time::sleep(CALM).await;
    let outcome = failover.finish().await;
    json!({
        "events": events,
        "longest_outage_of_a_kill_s": longest,
        "acknowledged": outcome.acknowledged,
        "refused_for_now": outcome.refusals,
        "admissions": outcome.admissions,
        "slowest_admission_ms": outcome.slowest_admission.as_millis() as u64,
    })
}

/// The primary is cut off, another takes over, and the former one takes no writes when it does.
async fn cut_primary(failover: &Failover, everything: bool) -> (Duration, Whole) {
    let database = &failover.database;
    let former = block_in_place(|| database.primary()).expect("one leads");
    let since = Instant::now();
    block_in_place(|| {
        if everything {
            database.vanish(former)
        } else {
            database.isolate(former)
        }
        database.wait_for_another_primary(former);
        assert!(!database.takes_writes(former), "two servers take writes");
    });
    failover.wait_for_writes().await;
    let outage = failover.outage_since(since);
    let whole = block_in_place(|| {
        database.reconnect(former);
        database.wait_until_whole()
    });
    (outage, whole)
}

/// Without a standby nothing is acknowledged; with one it is again.
async fn lose_standbys(failover: &Failover) -> Value {
    let database = &failover.database;
    let standbys = block_in_place(|| {
        let standbys = database.standbys();
        standbys.iter().for_each(|standby| database.kill(*standby));
        standbys
    });
    let since = Instant::now();
    tokio::time::sleep(UNDER_WAY).await;
    let before = failover.acknowledged();
    tokio::time::sleep(ALONE).await;
    let meanwhile = failover.acknowledged() - before;
    assert_eq!(meanwhile, 0, "acknowledged with no standby to keep it");
    let back = Instant::now();
    block_in_place(|| standbys.iter().for_each(|standby| database.restart(*standby)));
    failover.wait_for_writes().await;
    let resumed = back.elapsed();
    let whole = block_in_place(|| database.wait_until_whole());
    json!({
        "event": "both standbys killed",
        "acknowledged_meanwhile": meanwhile,
        "outage_with_15_s_alone_s": seconds(failover.outage_since(since)),
        "resumed_after_their_start_s": seconds(resumed),
        "whole_after_s": seconds(whole.after),
        "made_anew": whole.made_anew,
    })
}

fn event(name: &str, outage: Duration, whole: Whole) -> Value {
    let Whole { after, made_anew } = whole;
    println!("{name}: no writes for {outage:.1?}; whole {after:.1?} after it came back, {made_anew} servers made anew");
    json!({ "event": name, "outage_s": seconds(outage), "whole_after_s": seconds(after), "made_anew": made_anew })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
