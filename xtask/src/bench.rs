//! `cargo xtask bench`: the committed benchmark of `tests/benches/`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::packages::{self, Purpose};
use crate::workspace::{build, cargo};

/// `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Builds and runs the benchmark, which prints its table.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::install(Purpose::Run)?;
    build()?;
    let mut command = vec!["bench", "--profile", "release", "--workspace", "--bench", "figures", "--"];
    let json = arguments.json.as_ref().map(std::path::absolute).transpose()?;
    let json = json.as_ref().map(|path| path.to_string_lossy());
    if let Some(path) = &json {
        command.extend(["--json", path]);
    }
    cargo(&command)?;
    Ok(ExitCode::SUCCESS)
}
