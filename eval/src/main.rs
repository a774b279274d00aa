//! `volar-eval`: see `volar-eval --help`.

use std::process::ExitCode;

use clap::Parser;
use volar_eval::arguments::{Arguments, Command};
use volar_eval::run;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(problem) => {
            // Help and version are no mistakes; anything else is a usage error (sysexits EX_USAGE).
            let code = if problem.use_stderr() { 64 } else { 0 };
            let _ = problem.print();
            return ExitCode::from(code);
        }
    };
    let done = match &arguments.command {
        Command::Verify(arguments) => run::verify(arguments),
        Command::Identify(arguments) => run::identify(arguments),
        Command::Calibrate(arguments) => run::calibrate(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("volar-eval: {problem}");
            ExitCode::from(problem.exit_code())
        }
    }
}
