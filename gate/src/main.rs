//! `volar-gate`: see `--help`.

use std::process::ExitCode;

use volar_gate::config::{Config, DEFAULTS};
use volar_gate::run::run;
use volar_service::cli::{self, ServeArguments};

/// An entry gate's reader: wakes on a hand, captures it, asks the matcher whose it is, and acts.
///
/// Events go to standard output, one JSON object a line; logs to standard error. The status page is for the reader's
/// own screen.
#[derive(clap::Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// Run this program for each admission, in place of what the configuration says; words are separated by spaces,
    /// no shell is involved.
    #[arg(long, value_name = "COMMAND", conflicts_with = "on_admit_shell")]
    on_admit: Option<String>,
    /// The same, with a line for /bin/sh.
    #[arg(long, value_name = "LINE")]
    on_admit_shell: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    cli::serve::<Config, _>(arguments.serve, DEFAULTS, |mut config, context| {
        config.on_admit.replace(arguments.on_admit.as_deref(), arguments.on_admit_shell);
        run(config, context)
    })
}
