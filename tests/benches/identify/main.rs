//! Identification in a large gallery, on the machine at hand: how long it takes, whether the mate is found, what a palm
//! costs. `peers.py` then asks the same of other libraries on the same data; `cargo xtask bench identify` runs both.

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod data;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use data::{Distribution, Files};

/// Made-up palms of which the distribution is learnt.
const LEARNT_PALMS: u64 = 1_200;

struct Arguments {
    palms: usize,
    probes: usize,
    /// Where embeddings are written for the peers; nowhere if they are not asked.
    folder: Option<PathBuf>,
    json: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // `cargo test --all-targets` runs benchmarks without --bench; they are for `cargo bench` alone.
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: usize| value(name).map_or(default, |word| word.parse().expect("a number"));
    let arguments = Arguments {
        palms: number("--palms", 100_000),
        probes: number("--probes", 2_000),
        folder: value("--folder").map(PathBuf::from),
        json: value("--json").map(PathBuf::from).expect("--json names the file for the figures"),
    };
    println!("learning how embeddings of {LEARNT_PALMS} made-up palms are distributed");
    let distribution = Distribution::learn(LEARNT_PALMS);
    let files = arguments.folder.as_ref().map(|folder| Files::create(folder).expect("the folder is writable"));
    println!("drawing {} palms and {} probes", arguments.palms, arguments.probes);
    let figures = measure::identification(&distribution, arguments.palms, arguments.probes, files);
    println!("{}", measure::without_lists(&figures));
    std::fs::write(&arguments.json, figures.to_string()).expect("the file for the figures is writable");
    ExitCode::SUCCESS
}
