//! `volar-matcher`: says whose palm a probe is. See `--help`.

use std::process::ExitCode;

use volar_core::shard::Shard;
use volar_matcher::config::{Config, DEFAULTS};
use volar_matcher::server::run;
use volar_service::cli::{self, ServeArguments};

/// Searches galleries of protected palm templates, held in memory and fed by the vault, for gates and kiosks.
#[derive(clap::Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// The part of each gallery to hold, such as 0/4, in place of the configuration's.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    let run = |config: Config, context| {
        let shard = arguments.shard.or(config.shard);
        run(Config { shard, ..config }, context)
    };
    cli::serve(arguments.serve, DEFAULTS, run)
}
