//! `cargo xtask bench identify`: ours first, then each peer, in a virtual environment that is thrown away.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

use super::python::{environment, succeed};
use super::{absolute, bench, in_folder, machine};
use crate::workspace::root;

/// What is installed from PyPI.
const PEERS: [&str; 5] = ["faiss-cpu==1.15.1", "hnswlib==0.8.0", "usearch==2.26.6", "numpy", "matplotlib"];

/// `cargo xtask bench identify`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Palms in the gallery; several sizes, smallest first, where given several times [default: 100000, 1000000, 5000000].
    #[arg(long)]
    palms: Vec<usize>,
    /// Write the rows of all sizes to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave out an engine whose index would take longer to build, by what it took for fewer palms.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    build_max: u32,
    /// Measure Volar alone.
    #[arg(long)]
    alone: bool,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) rows: Vec<Row>,
}

/// One engine in one size of gallery. What is missing was not measured.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Row {
    engine: String,
    pub(super) palms: usize,
    #[serde(flatten)]
    figures: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Row {
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.figures.get(name).and_then(serde_json::Value::as_f64)
    }
}

/// What the benchmark wrote to a file.
pub(super) fn ours_in(file: &Path) -> anyhow::Result<Results> {
    let mut results: Results = serde_json::from_slice(&std::fs::read(file)?)?;
    for row in &mut results.rows {
        row.figures.remove("top_1");
    }
    Ok(results)
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let sizes = if arguments.palms.is_empty() { vec![100_000, 1_000_000, 5_000_000] } else { arguments.palms.clone() };
    let results = in_folder(|folder| measure(arguments, &sizes, folder))?;
    let table = table(&results.rows);
    println!("{table}");
    let json = serde_json::to_string_pretty(&results)? + "\n";
    match &arguments.json {
        Some(path) => std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?,
        None if arguments.alone => {}
        None => {
            let kept = root().join("docs/bench");
            std::fs::write(kept.join("identify.json"), json)?;
            std::fs::write(kept.join("identify.md"), format!("{}{table}\n", introduction()))?;
        }
    }
    Ok(())
}

fn measure(arguments: &Arguments, sizes: &[usize], folder: &Path) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let python = if arguments.alone { None } else { Some(environment(folder, &PEERS)?) };
    for &palms in sizes {
        let (data, ours) = (folder.join("data"), folder.join("ours.json"));
        let (palms, data, ours) = (palms.to_string(), absolute(&data)?, absolute(&ours)?);
        let mut words = vec!["--palms", &palms, "--json", &ours];
        if python.is_some() {
            words.extend(["--folder", &data]);
        }
        bench("identify", &words)?;
        let Some(python) = &python else {
            results.rows.extend(ours_in(Path::new(&ours))?.rows);
            continue;
        };
        let (before, after) = (folder.join("before.json"), folder.join("after.json"));
        std::fs::write(&before, serde_json::to_vec(&results)?)?;
        let mut peers = Command::new(python);
        peers.arg(root().join("tests/benches/identify/peers.py")).args(["--folder", &data, "--ours", &ours]);
        peers.arg("--built").arg(&before).arg("--json").arg(&after);
        peers.args(["--build-max", &arguments.build_max.to_string()]);
        succeed(&mut peers)?;
        let more: Results = serde_json::from_slice(&std::fs::read(&after)?)?;
        results.rows.extend(more.rows);
    }
    if let (Some(python), None) = (&python, &arguments.json) {
        let file = folder.join("rows.json");
        std::fs::write(&file, serde_json::to_vec(&results)?)?;
        let mut plot = Command::new(python);
        plot.arg(root().join("tests/benches/identify/plot.py")).arg(&file).arg(root().join("docs/bench/identify.svg"));
        succeed(&mut plot)?;
    }
    Ok(results)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "palms",
        "engine",
        "recall@1",
        "p50 ms",
        "p99 ms",
        "queries/s",
        "bytes/vector",
        "build s",
        "p50 to ours",
    ]);
    for row in rows {
        let shown =
            |name: &str, digits: usize| row.number(name).map_or("-".into(), |value| format!("{value:.digits$}"));
        let ours = rows.iter().find(|other| other.palms == row.palms && other.engine == "volar");
        let ours = ours.and_then(|row| row.number("p50_ms"));
        let factor =
            row.number("p50_ms").zip(ours).map_or("left out".into(), |(own, ours)| format!("{:.2}", own / ours));
        table.add_row([
            row.palms.to_string(),
            row.engine.clone(),
            shown("recall_at_1", 4),
            shown("p50_ms", 2),
            shown("p99_ms", 2),
            shown("queries_per_second", 0),
            shown("bytes_per_vector", 0),
            shown("build_seconds", 1),
            factor,
        ]);
    }
    for column in table.column_iter_mut().enumerate().filter(|(number, _)| *number != 1).map(|(_, column)| column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn introduction() -> String {
    format!(
        "# Identification\n\nWritten by `cargo xtask bench identify` on {}. Embeddings are drawn from a normal \
         distribution fitted\nto captures of made-up palms by the shipped model. p50 and p99: one probe after the other on one core, \
         scan and exact\nscores. Queries a second: all cores, as many at once as each engine likes. Recall: mates of a cosine of 0.5 \
         and more that\ncome first, as in an exact search. Bytes: memory that the process gained; Volar's hold the orientation code \
         (384), whose\nthe row is and what erasing it takes, the others' the embedding alone. \"volar\" searches for the 50 nearest \
         palms, the others\nfor the nearest vector. Left out is an engine whose index would take longer to build than `--build-max` allows.\n\n![p50 by palms](identify.svg)\n\n",
        machine()
    )
}
