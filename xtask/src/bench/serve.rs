//! `cargo xtask bench serve` and `cluster`: running matchers over mutual TLS. The last results are kept in `docs/bench/`.

use std::path::PathBuf;

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;

use super::{absolute, bench, machine, right_aligned};
use crate::workspace::{build_all, root};

/// `cargo xtask bench serve`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Palms in the gallery, half as many people.
    #[arg(long, default_value_t = 10_000)]
    palms: u64,
    /// Seconds of soak at 80 % of the highest load; 0 for none. Enrolments and erasures go on at 50 a second from the first
    /// call on.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    soak: u64,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `cargo xtask bench cluster`.
#[derive(clap::Args)]
pub(super) struct ClusterArguments {
    /// Parts of the gallery.
    #[arg(long, default_value_t = 4)]
    shards: usize,
    /// Matchers that hold each part.
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// How often a process is killed, each in its turn.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Calls a second.
    #[arg(long, default_value_t = 60)]
    rate: u32,
    /// Palms in the gallery, half as many people.
    #[arg(long, default_value_t = 10_000)]
    palms: u64,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A table's columns: what each is called, and in the figures.
type Columns = &'static [(&'static str, &'static str)];

const STEPS: Columns = &[
    ("offered /s", "offered_per_second"),
    ("calls", "calls"),
    ("wrong", "wrong"),
    ("refused", "refused"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("longest ms", "longest_ms"),
];

const KILLS: Columns = &[
    ("killed", "process"),
    ("calls", "calls"),
    ("wrong", "wrong"),
    ("refused", "refused"),
    ("refused after 1 s", "refused_later"),
    ("p99 ms before", "p99_ms_before"),
    ("p99 ms, first second", "p99_ms_first_second"),
    ("p99 ms, after 1 s", "p99_ms_later"),
];

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let words = [("--palms", arguments.palms), ("--soak", arguments.soak)];
    let words: Vec<String> = words.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect();
    measure("serve", arguments.json.as_deref(), &words, |figures| {
        let churn = &figures["churn"];
        let mut text = format!(
            "# Serving\n\nWritten by `cargo xtask bench serve` on {}, clients and vault included. A gallery of {} palms behind one \
             matcher, over mutual\nTLS, while people come and go: {} enrolments and {} erasures, {} errors, {} erased people \
             admitted. Calls are made when they are\ndue, whether or not earlier ones are answered, and timed from when they were \
             due.\n\nHighest load held at p99 within {} ms, and for {} s at that: **{:.0} a second**.\n\n{}\n",
            machine(),
            figures["palms"],
            churn["enrolled"],
            churn["erased"],
            churn["errors"],
            churn["erased_admitted"],
            figures["p99_max_ms"],
            figures["confirmed_seconds"],
            figures["highest_held"].as_f64().unwrap_or(0.0),
            table(STEPS, &figures["rows"])
        );
        let soak = &figures["soak"];
        if !soak.is_null() {
            let memory = soak["memory_bytes"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            let memory: Vec<String> = memory.map(|bytes| format!("{:.0}", bytes / 1_048_576.0)).collect();
            text += &format!(
                "\nSoak of {} + {} s at 80 % of it: {} calls wrong or refused. The matcher's memory in MiB, every {} s from \
                 the first {} s on and at the end: {}.\n\n{}\n",
                soak["filling_seconds"],
                soak["seconds"],
                soak["errors"],
                soak["memory_interval_seconds"],
                soak["filling_seconds"],
                memory.join(", "),
                table(STEPS, &Value::Array(vec![soak["load"].clone()]))
            );
        }
        text
    })
}

pub(super) fn run_cluster(arguments: &ClusterArguments) -> anyhow::Result<()> {
    let words = [
        ("--shards", arguments.shards as u64),
        ("--replicas", arguments.replicas as u64),
        ("--kills", arguments.kills as u64),
        ("--rate", arguments.rate.into()),
        ("--palms", arguments.palms),
    ];
    let words: Vec<String> = words.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect();
    measure("cluster", arguments.json.as_deref(), &words, |figures| {
        format!(
            "# A gallery over several matchers\n\nWritten by `cargo xtask bench cluster` on {}, clients and vault included. {} palms \
             in {} parts of {} matchers each, and a router\nbefore them, all on this machine; {} calls a second, one in eight of \
             somebody who is not enrolled. Processes are killed\nwith SIGKILL in turn and started again at once. Calls are timed \
             from when they were due, each once: a gate asks again\nwhere it is refused.\n\n{} calls, {} wrong answers, {} \
             refused.\n\n{}\n",
            machine(),
            figures["palms"],
            figures["shards"],
            figures["replicas"],
            figures["offered_per_second"],
            figures["calls"],
            figures["wrong"],
            figures["refused"],
            table(KILLS, &figures["kills"])
        )
    })
}

/// Runs the benchmark; its figures go to `json`, or to `docs/bench/` with `text` of them.
fn measure(
    name: &str,
    json: Option<&std::path::Path>,
    words: &[String],
    text: impl FnOnce(&Value) -> String,
) -> anyhow::Result<()> {
    build_all()?;
    let kept = root().join("docs/bench");
    let file = json.map_or_else(|| kept.join(name).with_extension("json"), PathBuf::from);
    let path = absolute(&file)?;
    let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
    all.extend(["--json", &path]);
    // What was promised and not kept is an error, and a result all the same.
    let outcome = bench("serve", &all);
    if json.is_none() {
        let figures = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        std::fs::write(kept.join(name).with_extension("md"), text(&serde_json::from_slice(&figures)?))?;
    }
    outcome
}

fn table(columns: Columns, rows: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(columns.iter().map(|(shown, _)| *shown));
    for row in rows.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|(_, name)| match &row[*name] {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or(0.0)),
            other => other.to_string(),
        }));
    }
    right_aligned(table)
}
