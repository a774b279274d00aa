//! `volar-matcher`: says whose palm a probe is. See `--help`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use volar_matcher::config::{Config, DEFAULTS};
use volar_matcher::processor::ONE_THREAD;
use volar_matcher::server::run;
use volar_service::cli::{self, Exit, ServeArguments};

/// Searches galleries of protected palm templates, held in memory and fed by the vault, for gates and kiosks.
#[derive(clap::Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    match hold_to_one_thread() {
        Ok(()) => cli::serve::<Config, _>(arguments.serve, DEFAULTS, run),
        Err(exit) => cli::report(Err(exit)),
    }
}

/// OpenMP and OpenBLAS read these settings when they are loaded, before `main`: so set them and begin again.
fn hold_to_one_thread() -> Result<(), Exit> {
    #[allow(clippy::disallowed_methods)] // The edge of a process: what its libraries read, it must look at.
    if ONE_THREAD.iter().all(|(name, value)| std::env::var_os(name).is_some_and(|found| found == *value)) {
        return Ok(());
    }
    let mut words = std::env::args_os();
    let own_name = words.next().unwrap_or_else(|| env!("CARGO_BIN_NAME").into());
    let program = std::env::current_exe().map_err(Exit::internal)?;
    let error = Command::new(program).arg0(own_name).args(words).envs(ONE_THREAD).exec();
    Err(Exit::internal(format!("cannot begin again with {ONE_THREAD:?} set: {error}; set them and start again")))
}
