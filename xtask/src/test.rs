//! `cargo xtask test`: every check and every test.

use std::process::ExitCode;
use std::time::Instant;

use crate::packages::{self, Purpose};
use crate::signals;
use crate::workspace::{cargo, has_program};

/// `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Run only tests whose names contain this.
    filter: Option<String>,
}

struct Step<'a> {
    name: &'static str,
    /// The cargo plug-in that it needs, where a toolchain may lack it.
    needs: Option<&'static str>,
    arguments: Vec<&'a str>,
}

/// Runs every step, also after one failed, so that one run shows everything that is wrong.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::install(Purpose::Test)?;
    let mut failed = Vec::new();
    for step in steps(arguments.filter.as_deref()) {
        if let Some(plugin) = step.needs.filter(|plugin| !has_program(plugin)) {
            println!("== {}: left out, {plugin} is not installed", step.name);
            continue;
        }
        println!("== {}", step.name);
        let started = Instant::now();
        let result = cargo(&step.arguments);
        signals::check()?;
        let seconds = started.elapsed().as_secs();
        match result {
            Ok(()) => println!("== {}: passed in {seconds} s", step.name),
            Err(error) => {
                println!("== {}: FAILED in {seconds} s: {error:#}", step.name);
                failed.push(step.name);
            }
        }
    }
    if failed.is_empty() {
        println!("== everything passed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("== failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn steps(filter: Option<&str>) -> Vec<Step<'_>> {
    let mut test = vec!["test", "--release", "--workspace", "--no-fail-fast", "--"];
    test.extend(filter);
    let mut steps = vec![
        Step { name: "format", needs: Some("cargo-fmt"), arguments: vec!["fmt", "--all", "--check"] },
        // One build of binaries, tests and benchmarks together: the end-to-end tests start the binaries.
        Step { name: "build", needs: None, arguments: vec!["build", "--release", "--workspace", "--all-targets"] },
        Step {
            name: "lints",
            needs: Some("cargo-clippy"),
            arguments: vec!["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"],
        },
        Step { name: "tests", needs: None, arguments: test },
    ];
    if filter.is_some() {
        steps.retain(|step| matches!(step.name, "build" | "tests"));
    }
    steps
}
