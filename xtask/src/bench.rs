//! `cargo xtask bench`: the committed benchmarks of `tests/benches/` and `vault/benches/`.

mod failover;
mod identify;
mod vault;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::packages::{self, Purpose};
use crate::workspace::{build, cargo};

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
    /// Enrolments, claims, the feed and erasures of the vault on sled and PostgreSQL, beside plain inserts of the same bytes.
    Vault(vault::Arguments),
    /// Kill and cut off the servers of a PostgreSQL cluster under a running vault: what it acknowledged, and for how long it
    /// acknowledged nothing. Takes root, for the networks.
    Failover(failover::Arguments),
    /// Load a running matcher over mutual TLS, find the highest load that it holds, and soak it with most of that.
    Serve(ServeArguments),
}

#[derive(clap::Args)]
struct ServeArguments {
    /// Palms in the gallery, half as many people.
    #[arg(long, default_value_t = 10_000)]
    palms: u64,
    /// Seconds of soak at 80 % of the highest load, with enrolments and erasures at 50 a second; 0 for none.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    soak: u64,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
        Some(What::Vault(arguments)) => vault::run(arguments)?,
        Some(What::Failover(arguments)) => failover::run(arguments)?,
        Some(What::Serve(arguments)) => {
            build()?;
            let (palms, soak) = (arguments.palms.to_string(), arguments.soak.to_string());
            let json = arguments.json.as_deref().map(absolute).transpose()?;
            let mut words = vec!["--palms", &palms, "--soak", &soak];
            words.extend(json.iter().flat_map(|path| ["--json", path]));
            bench("serve", &words)?;
        }
        None => {
            build()?;
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

/// What the figures were measured on.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or_else(|| "an unnamed processor".to_owned(), |(_, name)| name.to_owned())
}
