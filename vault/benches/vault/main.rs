//! What the vault holds on each engine, in one run on one machine: enrolments, beside plain inserts of the same bytes
//! into the same engine; claims; the feed; bytes on disk; erasures. Everything counted is acknowledged, so durable.

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod engines;
mod load;
#[path = "../../tests/it/people.rs"]
mod people;
mod plain;
mod recorder;
#[path = "../../tests/it/postgres/server.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod server;

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Map, Value, json};

use engines::{Engine, Place};
use load::Load;

/// What one palm of a kiosk's enrolment has: the references it keeps, and a code for each shift and rotation.
const REFERENCES: usize = 3;
const CODES: usize = 245;

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    people: usize,
    clients: usize,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: usize| value(name).map_or(default, |word| word.parse().expect("a number"));
    let size = Size { people: number("--people", 4_000).max(100), clients: number("--clients", 32).max(1) };
    let mut figures = Map::new();
    for engine in [Engine::Sled, Engine::Postgres] {
        figures.insert(engine.name().to_owned(), measure(engine, size));
    }
    let figures = Value::Object(figures);
    println!("{}", table(&figures));
    if let Some(path) = value("--json") {
        std::fs::write(path, format!("{figures:#}\n")).expect("the file for the figures is writable");
    }
    ExitCode::SUCCESS
}

fn measure(engine: Engine, size: Size) -> Value {
    let name = engine.name();
    println!("{name}: {} people, {} clients", size.people, size.clients);
    let written = recorder::one_enrolment();
    let bytes: usize = written.rows.iter().map(|(_, key, value)| key.len() + value.len()).sum();
    let place = Place::new(engine);
    // Twice each, in turn, so that neither has the warmer machine.
    let plain_first = plain::inserts(&place, &written, size);
    let load = Load::open(&place, size);
    let enrolled = load.enroll();
    let plain_second = plain::inserts(&place, &written, size);
    let enrolled_again = load.enroll();
    let plain = harmonic(plain_first.per_second, plain_second.per_second);
    let enrolments = harmonic(enrolled.per_second, enrolled_again.per_second);
    println!("{name}: {enrolments:.0} enrolments a second, {plain:.0} plain inserts");
    load.activate();
    let disk = place.bytes_on_disk(&load) as f64 / (2 * size.people) as f64;
    let (one, two) = (load.feed(1), load.feed(2));
    let claims = load.claim();
    let erasures = load.erase();
    json!({
        "people": 2 * size.people,
        "clients": size.clients,
        "palms_per_person": 2,
        "references_per_palm": REFERENCES,
        "probe_codes_per_palm": CODES,
        "rows_per_enrolment": written.rows.len(),
        "bytes_per_enrolment": bytes,
        "enrolments_per_second": round(enrolments),
        "enrolment_ms_p50": round(enrolled_again.p50_ms),
        "enrolment_ms_p99": round(enrolled_again.p99_ms),
        "plain_inserts_per_second": round(plain),
        "plain_insert_ms_p50": round(plain_second.p50_ms),
        "plain_insert_ms_p99": round(plain_second.p99_ms),
        "enroll_ratio_to_plain_insert": (plain / enrolments * 100.0).round() / 100.0,
        "runs": {
            "plain_inserts_per_second": [round(plain_first.per_second), round(plain_second.per_second)],
            "enrolments_per_second": [round(enrolled.per_second), round(enrolled_again.per_second)],
        },
        "claims_per_second": round(claims.per_second),
        "claim_ms_p99": round(claims.p99_ms),
        "erasures_per_second": round(erasures.per_second),
        "feed_templates_per_second_one_thread": one.round(),
        "feed_templates_per_second_two_threads": two.round(),
        "disk_bytes_per_subject": disk.round(),
    })
}

/// The rate of two equal amounts of work, done at two rates.
fn harmonic(one: f64, other: f64) -> f64 {
    2.0 / (1.0 / one + 1.0 / other)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn table(figures: &Value) -> Table {
    let rows = [
        ("enrolments a second", "enrolments_per_second"),
        ("plain inserts of the same bytes a second", "plain_inserts_per_second"),
        ("plain inserts to enrolments", "enroll_ratio_to_plain_insert"),
        ("enrolment, p50 ms", "enrolment_ms_p50"),
        ("enrolment, p99 ms", "enrolment_ms_p99"),
        ("claims a second", "claims_per_second"),
        ("erasures a second", "erasures_per_second"),
        ("feed, templates a second, one thread", "feed_templates_per_second_one_thread"),
        ("feed, templates a second, two threads", "feed_templates_per_second_two_threads"),
        ("bytes on disk a subject", "disk_bytes_per_subject"),
    ];
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["", "sled", "postgres"]);
    for (name, key) in rows {
        table.add_row([name.to_owned(), figures["sled"][key].to_string(), figures["postgres"][key].to_string()]);
    }
    table
}
