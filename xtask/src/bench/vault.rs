//! `cargo xtask bench vault`: both engines in one run; the last results are kept in `docs/bench/`.

use std::path::PathBuf;

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;

use super::{absolute, bench_of, processor};
use crate::workspace::root;

/// `cargo xtask bench vault`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// People enrolled on each engine, twice.
    #[arg(long, default_value_t = 4_000)]
    people: usize,
    /// Clients that each wait for one answer at a time.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the table shows, and what each row is called in the figures.
const ROWS: [(&str, &str); 15] = [
    ("enrolments a second", "enrolments_per_second"),
    ("plain inserts of the same bytes a second", "plain_inserts_per_second"),
    ("plain inserts to enrolments", "enroll_ratio_to_plain_insert"),
    ("enrolment, p50 ms", "enrolment_ms_p50"),
    ("enrolment, p99 ms", "enrolment_ms_p99"),
    ("plain insert, p50 ms", "plain_insert_ms_p50"),
    ("plain insert, p99 ms", "plain_insert_ms_p99"),
    ("claims a second", "claims_per_second"),
    ("claim, p99 ms", "claim_ms_p99"),
    ("erasures a second", "erasures_per_second"),
    ("feed, templates a second, one thread", "feed_templates_per_second_one_thread"),
    ("feed, templates a second, two threads", "feed_templates_per_second_two_threads"),
    ("bytes on disk a subject", "disk_bytes_per_subject"),
    ("rows an enrolment writes", "rows_per_enrolment"),
    ("bytes an enrolment writes", "bytes_per_enrolment"),
];

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kept = root().join("docs/bench");
    let json = arguments.json.clone().unwrap_or_else(|| kept.join("vault.json"));
    let (people, clients, path) = (arguments.people.to_string(), arguments.clients.to_string(), absolute(&json)?);
    let words = ["--people", &people, "--clients", &clients, "--json", &path];
    bench_of(&["-p", "volar-vault"], "vault", &words)?;
    if arguments.json.is_none() {
        let text = std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
        let figures: Value = serde_json::from_str(&text)?;
        std::fs::write(kept.join("vault.md"), format!("{}{}\n", introduction(&figures), table(&figures)))?;
    }
    Ok(())
}

fn introduction(figures: &Value) -> String {
    let sled = &figures["sled"];
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "# The vault\n\nWritten by `cargo xtask bench vault` on {cores} cores of {}, clients and PostgreSQL's server \
         included. {} people, {} clients that each wait for one answer at a time, both hands of a person, {} references \
         and a probe of {} codes a palm: what a kiosk sends. Everything counted is acknowledged, so on the disk. A plain \
         insert writes what one enrolment writes, probes included: into PostgreSQL prepared `INSERT`s in one transaction, sent at once, through as \
         many connections as the vault has; into sled one transaction and a flush, without the fdatasync that the vault \
         adds to it. Each is measured twice, in turn. A template of the feed is one reference, from its sealed record to \
         numbers. Bytes on disk: after verdict and payment, sled's free space and PostgreSQL's dead rows included.\n\n",
        processor(),
        sled["people"],
        sled["clients"],
        sled["references_per_palm"],
        sled["probe_codes_per_palm"],
    )
}

fn table(figures: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["", "sled", "postgres"]);
    for (name, key) in ROWS {
        table.add_row([name.to_owned(), figures["sled"][key].to_string(), figures["postgres"][key].to_string()]);
    }
    table
}
