//! `cargo xtask bench failover`: the vault on a PostgreSQL cluster that fails; the last results are kept in `docs/bench/`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;

use super::{absolute, bench, machine};
use crate::workspace::{build_all, root};

/// `cargo xtask bench failover`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How often the primary is killed.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// How often it is cut off from the other servers, and how often from everything.
    #[arg(long, default_value_t = 3)]
    cuts: usize,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("cutting networks takes network namespaces, and those root: run `cargo xtask bench failover` as root");
    }
    build_all()?;
    let kept = root().join("docs/bench");
    let json = arguments.json.clone().unwrap_or_else(|| kept.join("failover.json"));
    let (kills, cuts, path) = (arguments.kills.to_string(), arguments.cuts.to_string(), absolute(&json)?);
    bench("failover", &["--kills", &kills, "--cuts", &cuts, "--json", &path])?;
    if arguments.json.is_none() {
        let text = std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
        let figures: Value = serde_json::from_str(&text)?;
        std::fs::write(kept.join("failover.md"), page(&figures))?;
    }
    Ok(())
}

fn page(figures: &Value) -> String {
    let events = figures["events"].as_array().map_or(&[][..], Vec::as_slice);
    let alone = events.last().unwrap_or(&Value::Null);
    let refused = figures["refused_for_now"].as_object().into_iter().flatten();
    let refused: Vec<String> = refused.map(|(reason, count)| format!("{reason} {count}")).collect();
    format!(
        "# The vault on a cluster that fails\n\nWritten by `cargo xtask bench failover` on {}: three \
         PostgreSQL servers under Patroni with three etcd, each in a network of its own, one vault, one matcher, kiosks \
         that enrol up to 50 people a second and repeat what is not answered, a gate that identifies five times a \
         second. Synchronous and strict; a leader's time to live is 20 s, which is most of each outage. A killed server \
         loses Patroni and all of PostgreSQL to SIGKILL and is started again once another leads; one that does not \
         follow within 60 s is made anew, as `patronictl reinit` does.\n\n{}\n\n\
         Both standbys killed at once, and left dead for 15 s: {} acknowledged meanwhile; the first new enrolments {} s \
         after their start.\n\n\
         {} enrolments acknowledged, every one there once, before and after a start of the vault. Refused for now and \
         made again: {}. The gate admitted {} visitors with a ticket each and failed none; the slowest waited {} ms.\n",
        machine(),
        table(events),
        alone["acknowledged_meanwhile"],
        alone["resumed_after_their_start_s"],
        figures["acknowledged"],
        if refused.is_empty() { "none".to_owned() } else { refused.join(", ") },
        figures["admissions"],
        figures["slowest_admission_ms"],
    )
}

fn table(events: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "",
        "times",
        "s without writes: least",
        "most",
        "s to be whole: most",
        "servers made anew",
    ]);
    let mut names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    names.dedup();
    for name in names {
        let of = |key: &str| -> Vec<f64> {
            events.iter().filter(|event| event["event"] == name).filter_map(|event| event[key].as_f64()).collect()
        };
        let (outages, whole) = (of("outage_s"), of("whole_after_s"));
        if outages.is_empty() {
            continue;
        }
        let least = outages.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let number = |time: f64| format!("{time:.1}");
        table.add_row([
            name.to_owned(),
            outages.len().to_string(),
            number(least),
            number(most(&outages)),
            number(most(&whole)),
            of("made_anew").iter().sum::<f64>().to_string(),
        ]);
    }
    table
}
