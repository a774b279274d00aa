//! `cargo xtask bench inversion`: what somebody gets out of a stolen gallery, in a virtual environment that is thrown away.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;

use super::python::{environment, succeed};
use super::{absolute, bench, in_folder, right_aligned};
use crate::workspace::root;

/// What is installed from PyPI.
const LIBRARIES: [&str; 2] = ["numpy", "scipy"];

/// `cargo xtask bench inversion`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Palms in the stolen gallery, and as many of strangers that the attacker has.
    #[arg(long, default_value_t = 4_000)]
    palms: usize,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kept = root().join("docs/bench");
    let json = arguments.json.clone().unwrap_or_else(|| kept.join("inversion.json"));
    in_folder(|folder| {
        let python = environment(folder, &LIBRARIES)?;
        bench("inversion", &["--palms", &arguments.palms.to_string(), "--folder", &absolute(folder)?])?;
        let mut attack = Command::new(python);
        attack.arg(root().join("tests/benches/inversion/attack.py")).arg("--folder").arg(folder);
        succeed(attack.args(["--json", &absolute(&json)?]))
    })?;
    let text = std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
    let table = table(&serde_json::from_str(&text)?);
    println!("{table}");
    if arguments.json.is_none() {
        std::fs::write(kept.join("inversion.md"), format!("{INTRODUCTION}{table}\n"))?;
    }
    Ok(())
}

const INTRODUCTION: &str = "# Getting plain templates out of protected ones\n\nWritten by `cargo xtask bench inversion`; \
    what it means is in [protection.md](../protection.md). Templates of made-up palms by the shipped model. Cosine: between \
    a palm's embedding and what the attacker takes for it, mean of the half of the gallery that they know nothing else of; \
    a stranger's comes to 0. Cells: share of the 1,024 orientation cells that are put in their place and turned rightly; by \
    chance one in 6,144.\n\n";

fn table(figures: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["the attacker has", "palms", "cosine", "cells"]);
    for row in figures["rows"].as_array().into_iter().flatten() {
        let number = |name: &str| row[name].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        table.add_row([
            row["attacker_has"].as_str().unwrap_or_default().to_owned(),
            row["count"].to_string(),
            number("embedding_cosine"),
            number("cells_placed"),
        ]);
    }
    right_aligned(table)
}
