//! `volarctl`: see `volarctl --help`.

use std::process::ExitCode;

use volar_service::cli;
use volar_service::system::{SystemClock, SystemRandomness};
use volarctl::arguments::Arguments;

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    volarctl::run(&arguments, &SystemClock, &SystemRandomness)
}
