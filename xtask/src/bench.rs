//! `cargo xtask bench`: the committed benchmarks of `tests/benches/` and `vault/benches/`.

mod failover;
mod identify;
mod inversion;
mod python;
mod scaling;
mod serve;
mod vault;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{CellAlignment, Table};

use crate::packages::{self, Purpose};
use crate::workspace::{build_all, cargo};

/// `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Compare identification in a large gallery with other libraries, on the same embeddings in one run.
    Identify(identify::Arguments),
    /// Try to get plain templates out of protected ones, as somebody would who has stolen a gallery.
    Inversion(inversion::Arguments),
    /// How the cost of identifying grows with the gallery: a model fitted to smaller sizes, and the largest beside it.
    Scaling(scaling::Arguments),
    /// Enrolments, claims, the feed and erasures of the vault on sled and PostgreSQL, beside plain inserts of the same bytes.
    Vault(vault::Arguments),
    /// Kill and cut off the servers of a PostgreSQL cluster under a running vault: what it acknowledged, and for how long it
    /// acknowledged nothing. Takes root, for the networks.
    Failover(failover::Arguments),
    /// Load a running matcher over mutual TLS, find the highest load that it holds, and soak it with most of that.
    Serve(serve::Arguments),
    /// Load a router over shards and replicas, and kill one process after the other.
    Cluster(serve::ClusterArguments),
}

/// Builds and runs a benchmark, which prints its table.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::install(match arguments.what {
        Some(What::Vault(_)) => Purpose::Vault,
        Some(What::Failover(_)) => Purpose::Failover,
        _ => Purpose::Run,
    })?;
    match &arguments.what {
        Some(What::Identify(arguments)) => identify::run(arguments)?,
        Some(What::Inversion(arguments)) => inversion::run(arguments)?,
        Some(What::Scaling(arguments)) => scaling::run(arguments)?,
        Some(What::Vault(arguments)) => vault::run(arguments)?,
        Some(What::Serve(arguments)) => serve::run(arguments)?,
        Some(What::Cluster(arguments)) => serve::run_cluster(arguments)?,
        Some(What::Failover(arguments)) => failover::run(arguments)?,
        None => {
            build_all()?;
            let json = arguments.json.as_deref().map(absolute).transpose()?;
            let json = json.iter().flat_map(|path| ["--json", path]);
            bench("figures", &json.collect::<Vec<_>>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a benchmark of `tests/benches/`.
fn bench(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    bench_of(&["--workspace"], name, arguments)
}

/// Runs a benchmark of the packages that `of` names.
fn bench_of(of: &[&str], name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = vec!["bench", "--profile", "release"];
    command.extend(of);
    command.extend(["--bench", name, "--"]);
    command.extend(arguments);
    cargo(&command)
}

/// Where a path is, whichever folder the benchmark runs in.
fn absolute(path: &Path) -> anyhow::Result<String> {
    Ok(std::path::absolute(path)?.to_string_lossy().into_owned())
}

/// Runs `work` with a folder of its own, which is gone afterwards.
fn in_folder<T>(work: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let folder = std::env::temp_dir().join(format!("volar-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let done = work(&folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    done
}

/// What the figures were taken on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores of {}", line.map_or("an unnamed processor", |(_, name)| name))
}

/// Numbers under each other: every column but the first.
fn right_aligned(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
