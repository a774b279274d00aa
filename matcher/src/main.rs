//! `volar-matcher`: says whose palm a probe is. See `--help`.

use std::process::ExitCode;

use volar_matcher::config::{Config, DEFAULTS};
use volar_matcher::server::run;
use volar_service::cli::{self, ServeArguments};

/// Searches galleries of protected palm templates, held in memory and fed by the vault, for gates and kiosks.
#[derive(clap::Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    cli::serve::<Config, _>(arguments.serve, DEFAULTS, run)
}
