//! Identification in a large gallery, on the machine at hand: how long it takes, whether the mate is found, what a palm
//! costs. `peers.py` then asks the same of other libraries on the same data; `cargo xtask bench identify` runs both.

// A benchmark is an edge: it takes the time and talks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod data;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use data::{Distribution, Files};
use measure::Growing;
use serde_json::json;

/// Made-up palms of which the distribution is learnt.
const LEARNT_PALMS: u64 = 1_200;

struct Arguments {
    /// Sizes of the gallery, smallest first: one gallery that grows.
    palms: Vec<usize>,
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
    let sizes = words.windows(2).filter(|pair| pair[0] == "--palms");
    let mut arguments = Arguments {
        palms: sizes.map(|pair| pair[1].parse().expect("a number of palms")).collect(),
        probes: number("--probes", 2_000),
        folder: value("--folder").map(PathBuf::from),
        json: value("--json").map(PathBuf::from).expect("--json names the file for the figures"),
    };
    arguments.palms.sort_unstable();
    let smallest = *arguments.palms.first().expect("--palms says how many");
    println!("learning how embeddings of {LEARNT_PALMS} made-up palms are distributed");
    let distribution = Distribution::learn(LEARNT_PALMS);
    let mut files = arguments.folder.as_ref().map(|folder| Files::create(folder).expect("the folder is writable"));
    let (mut growing, mut rows) = (Growing::new(), Vec::new());
    let every = smallest.div_ceil(arguments.probes).max(1);
    for &palms in &arguments.palms {
        println!("drawing up to {palms} palms, one in {every} twice");
        growing.grow(&distribution, palms, every, files.as_mut());
        let figures = growing.figures(arguments.probes);
        println!("{}", measure::without_lists(&figures));
        rows.push(figures);
    }
    std::fs::write(&arguments.json, json!({ "rows": rows }).to_string()).expect("the file for the figures is writable");
    ExitCode::SUCCESS
}
