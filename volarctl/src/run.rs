//! From arguments to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use volar_core::clock::Clock;
use volar_core::randomness::Randomness;

use crate::arguments::{Arguments, Command};
use crate::certificate_command;
use crate::failure::Failure;
use crate::report::Report;

/// Carries out the command and prints its result on standard output, or why there is none: on standard error, and
/// with `--json` on standard output too.
pub fn run(arguments: &Arguments, clock: &dyn Clock, randomness: &dyn Randomness) -> ExitCode {
    let ended = carry_out(arguments, clock, randomness)
        .and_then(|report| Ok(report.write(arguments.json, &mut io::stdout().lock())?));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to do when both are closed.
            let _ = writeln!(io::stderr(), "error: {failure}");
            if arguments.json {
                let _ = writeln!(io::stdout(), "{}", failure.to_json());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn carry_out(arguments: &Arguments, clock: &dyn Clock, _randomness: &dyn Randomness) -> Result<Report, Failure> {
    match &arguments.command {
        Command::Certificate(command) => certificate_command::run(command, clock),
    }
}
