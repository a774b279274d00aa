//! A running matcher under load, over mutual TLS. Calls are made when they are due, whether or not earlier ones are
//! answered, and timed from when they were due: a server that falls behind is not asked less (no coordinated omission).

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod churn;
mod cluster;
mod load;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use volar_matcher::parameters::REPLAY_TIME;
use volar_tests::crowd::enroll_crowd;
use volar_tests::system::System;

use churn::{Churn, Gone};
use load::{Load, Step};

/// The load is held if 99 of 100 answers come in this time and none is an error.
const P99_MAX: Duration = Duration::from_millis(25);
/// Each step lasts this long.
const STEP: Duration = Duration::from_secs(6);
/// The first step's calls a second; each further one has half as many again.
const FIRST_RATE: f64 = 20.0;
/// Steps between the highest load that was held and the lowest that was not.
const HALVINGS: usize = 3;
/// The highest load must be held for this long too; one that is not gives way to one a tenth lower.
const CONFIRMATION: Duration = Duration::from_secs(30);
/// Enrolments and erasures a second meanwhile, both together; fewer where the vault takes longer, as the counts say.
const CHURN_RATE: f64 = 50.0;
/// How often the matcher's memory is read during the soak.
const MEMORY_INTERVAL: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: u64| value(name).map_or(default, |word| word.parse().expect("a number"));
    let palms = number("--palms", 10_000);
    let runtime = Runtime::new().expect("a runtime");
    let figures = if value("--shards").is_some() {
        let count = |name: &str, default| number(name, default) as usize;
        let (shards, replicas, kills) = (count("--shards", 4), count("--replicas", 2), count("--kills", 10));
        let rate = number("--rate", 60) as f64;
        runtime.block_on(cluster::run(&cluster::Plan { palms, shards, replicas, kills, rate }))
    } else {
        runtime.block_on(run(palms, Duration::from_secs(number("--soak", 600))))
    };
    if let Some(path) = value("--json") {
        std::fs::write(path, format!("{figures:#}\n")).expect("the file for the figures is writable");
    }
    // None of a kind that was not measured.
    let none = |count: &Value| count.as_u64().unwrap_or(0) == 0;
    let churn = &figures["churn"];
    let clean = [&figures["wrong"], &figures["soak"]["errors"], &churn["errors"], &churn["erased_admitted"]]
        .into_iter()
        .all(none);
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(palms: u64, soak: Duration) -> Value {
    let mut system = tokio::task::block_in_place(System::servers);
    let clients = system.clients();
    let protection = Arc::new(clients.palms().await);
    let people = (palms / 2).max(1);
    println!("enrolling {people} people");
    enroll_crowd(&clients, &protection, people).await;
    let load = Load::prepare(&clients, &protection, people);
    let churn = Churn::start(&clients, &protection, CHURN_RATE);
    let steps = sweep(&load).await;
    print(&steps);
    let highest = confirmed(&load, &steps).await;
    println!("highest load held at p99 within {} ms: {highest:.0} a second", P99_MAX.as_millis());
    let soaked = if soak.is_zero() || highest == 0.0 {
        Value::Null
    } else {
        let matcher = system.deployment.matcher_process().expect("it runs").id();
        soaked(&load, 0.8 * highest, soak, matcher).await
    };
    let Gone { enrolled, erased, errors, admitted } = churn.stop().await;
    println!(
        "meanwhile {enrolled} enrolments and {erased} erasures, {errors} errors, {admitted} erased people admitted"
    );
    let rows: Vec<Value> = steps.iter().map(Step::to_json).collect();
    json!({
        "palms": palms,
        "highest_held": highest,
        "p99_max_ms": P99_MAX.as_millis() as u64,
        "confirmed_seconds": CONFIRMATION.as_secs(),
        "rows": rows,
        "soak": soaked,
        "churn": { "enrolled": enrolled, "erased": erased, "errors": errors, "erased_admitted": admitted },
    })
}

/// Loads, each higher than the last until one is not held, then others between those that were and were not.
async fn sweep(load: &Load) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut held, mut missed) = (None::<f64>, None::<f64>);
    let mut rate = FIRST_RATE;
    for _ in 0..32 {
        let step = load.offer(rate, STEP).await;
        println!("  {step}");
        if is_held(&step) {
            held = Some(held.map_or(rate, |held| held.max(rate)));
        } else {
            missed = Some(missed.map_or(rate, |missed| missed.min(rate)));
        }
        steps.push(step);
        rate = match (held, missed) {
            (_, None) => rate * 1.5,
            (Some(held), Some(missed)) if missed / held > 1.5_f64.powf(0.5_f64.powi(HALVINGS as i32)) + 1e-9 => {
                (held * missed).sqrt()
            }
            (None, Some(missed)) if missed > 1.0 => missed / 2.0,
            _ => break,
        };
    }
    steps
}

fn is_held(step: &Step) -> bool {
    step.errors() == 0 && step.p99 <= P99_MAX
}

/// The highest load of a sweep that is held for longer too, or the next lower one that is; 0 if none is.
async fn confirmed(load: &Load, steps: &[Step]) -> f64 {
    let mut rate = steps.iter().filter(|step| is_held(step)).map(|step| step.rate).fold(0.0, f64::max);
    while rate >= 1.0 {
        let step = load.offer(rate, CONFIRMATION).await;
        println!("  for longer, {step}");
        if is_held(&step) {
            return rate;
        }
        rate *= 0.9;
    }
    0.0
}

/// `rate` calls a second for `time`, and what memory the matcher takes meanwhile.
async fn soaked(load: &Load, rate: f64, time: Duration, matcher: u32) -> Value {
    // Answers are kept for repeats, for a while: what they take is there from the first minutes on.
    let filling = REPLAY_TIME.min(time / 5);
    let filled = load.offer(rate, filling).await;
    let over = CancellationToken::new();
    let reading = tokio::spawn(memory(matcher, over.clone()));
    let step = load.offer(rate, time).await;
    over.cancel();
    let memory = reading.await.expect("reading does not panic");
    let shown: Vec<String> = memory.iter().map(|bytes| format!("{:.0}", bytes / 1_048_576.0)).collect();
    println!("soak of {} s at 80 %: {step}\n  memory a minute, MiB: {}", time.as_secs(), shown.join(" "));
    json!({
        "seconds": time.as_secs(),
        "load": step.to_json(),
        "filling_seconds": filling.as_secs(),
        "errors": filled.errors() + step.errors(),
        "memory_bytes": memory,
        "memory_interval_seconds": MEMORY_INTERVAL.as_secs(),
    })
}

/// What memory a process has in use, once an interval and at the end.
async fn memory(process: u32, over: CancellationToken) -> Vec<f64> {
    let mut turns = interval(MEMORY_INTERVAL);
    let mut bytes = Vec::new();
    while over.run_until_cancelled(turns.tick()).await.is_some() {
        bytes.push(resident(process));
    }
    bytes.push(resident(process));
    bytes
}

fn print(steps: &[Step]) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "offered /s",
        "calls",
        "wrong",
        "refused",
        "p50 ms",
        "p99 ms",
        "longest ms",
    ]);
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    for step in sorted {
        let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        table.add_row([
            format!("{:.0}", step.rate),
            step.calls.to_string(),
            step.wrong.to_string(),
            (step.errors() - step.wrong).to_string(),
            milliseconds(step.p50),
            milliseconds(step.p99),
            milliseconds(step.longest),
        ]);
    }
    println!("{table}");
}

/// Memory that a process has in use, in bytes.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it names resident memory");
    1_024.0 * line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kilobytes")
}
