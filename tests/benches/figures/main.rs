//! The times that people wait for, measured on the machine at hand and compared with what Volar aims at.

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod capture;
mod gallery;
mod report;

use std::process::ExitCode;

use report::Report;

/// Palms in the gallery that is searched.
const PALMS: u64 = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let json = arguments.iter().position(|argument| argument == "--json").and_then(|at| arguments.get(at + 1));
    let mut report = Report::default();
    capture::frame_to_template(&mut report);
    gallery::enrolment_and_search(&mut report, PALMS);
    report.print();
    if let Some(path) = json {
        std::fs::write(path, report.to_json()).expect("the file for the figures is writable");
    }
    ExitCode::SUCCESS
}
