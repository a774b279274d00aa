//! `cargo xtask demo | test | bench`: from a fresh clone to a running system, its tests and its figures.

use std::process::ExitCode;

use clap::Parser;
use xtask::{bench, demo, fuzz, guard, signals, soak, test};

/// Set-up included: each command first installs what it needs (Debian and Ubuntu) and builds what it runs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Start vault, matcher, kiosk and gate on this machine, with simulated hands before the sensors.
    Demo(demo::Arguments),
    /// Run every check and every test, the browser ones included.
    Test(test::Arguments),
    /// Measure the times that people wait for, and compare them with what Volar aims at.
    Bench(bench::Arguments),
    /// Try everything that comes from outside under libFuzzer, for inputs that break a rule.
    Fuzz(fuzz::Arguments),
    /// Run a test of the test command for longer.
    Soak(soak::Arguments),
    /// Run a program that is killed when whoever started it dies.
    #[command(hide = true)]
    Guard(guard::Arguments),
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::between_cargo_and_rustc() {
        return code;
    }
    let command = Command::parse();
    let run = || {
        signals::watch()?;
        match command {
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Test(arguments) => test::run(&arguments),
            Command::Bench(arguments) => bench::run(&arguments),
            Command::Fuzz(arguments) => fuzz::run(&arguments),
            Command::Soak(arguments) => soak::run(&arguments),
            Command::Guard(arguments) => guard::run(&arguments),
        }
    };
    match run() {
        Ok(code) => code,
        Err(error) if error.is::<signals::Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
