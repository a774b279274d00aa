//! `volar-synth`: labelled synthetic frames and crops for tests and calibration, and a sheet of them to look at.

mod tool {
    pub(crate) mod arguments;
    pub(crate) mod frames;
    pub(crate) mod hands;
    pub(crate) mod ordered;
    pub(crate) mod picture;
    pub(crate) mod sheet;
    pub(crate) mod stream;
    pub(crate) mod truth_table;
}

use std::process::ExitCode;

use clap::Parser;
use tool::arguments::{Arguments, Command};

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
        Command::Set(set) => tool::frames::write_set(set),
        Command::Stream(stream) => tool::stream::write_stream(stream),
        Command::Hands(hands) => tool::hands::write_hands(hands),
        Command::ContactSheet(sheet) => tool::sheet::write_sheet(sheet),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("volar-synth: {problem}");
            ExitCode::FAILURE
        }
    }
}
