//! `cargo xtask bench scaling`: one gallery that grows, a cost model fitted to all sizes but the last, and what it says of
//! the last beside what was measured.

use std::path::PathBuf;

use anyhow::{Context, bail};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{Value, json};

use super::identify::{Results, Row, ours_in};
use super::{absolute, bench, in_folder, machine, right_aligned};
use crate::workspace::root;

/// `cargo xtask bench scaling`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Sizes of the gallery, in palms [default: 1000000, 2000000, 5000000, 10000000]. The last is predicted from the others.
    #[arg(long)]
    palms: Vec<usize>,
    /// Write the figures to this file, and leave the kept results of `docs/bench/` as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A cost that is a constant and a part that grows with the gallery.
struct Cost {
    name: &'static str,
    /// Where a row has it; it is divided into `over` where that is given.
    figure: &'static str,
    over: Option<f64>,
    /// Whether the row's figure is for one palm, and the cost for all.
    each: bool,
}

/// What is fitted. Milliseconds of one core an identification come from identifications a second.
const COSTS: [Cost; 5] = [
    Cost { name: "one probe alone, p50 ms", figure: "identify_p50_ms", over: None, each: false },
    Cost { name: "one probe alone, p99 ms", figure: "identify_p99_ms", over: None, each: false },
    Cost {
        name: "queued, ms of one core a probe",
        figure: "identifications_per_second_one_core",
        over: Some(1e3),
        each: false,
    },
    Cost { name: "memory, MB", figure: "bytes_per_vector", over: None, each: true },
    Cost { name: "indexing, s of one core", figure: "build_seconds", over: None, each: false },
];

/// `constant + per_million * palms / 1e6`.
struct Line {
    constant: f64,
    per_million: f64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut sizes = arguments.palms.clone();
    if sizes.is_empty() {
        sizes = vec![1_000_000, 2_000_000, 5_000_000, 10_000_000];
    }
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.len() < 3 {
        bail!("give at least three sizes with --palms: two to fit, and one to predict");
    }
    let results = in_folder(|folder| {
        let file = absolute(&folder.join("rows.json"))?;
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let mut words = vec!["--json", &file];
        words.extend(sizes.iter().flat_map(|size| ["--palms", size]));
        bench("identify", &words)?;
        ours_in(file.as_ref())
    })?;
    let fits = fits(&results.rows)?;
    let table = table(&fits);
    println!("{table}");
    let figures = serde_json::to_string_pretty(&json!({ "rows": results.rows, "fits": fits }))? + "\n";
    match &arguments.json {
        Some(path) => std::fs::write(path, figures).with_context(|| format!("cannot write {}", path.display()))?,
        None => {
            let kept = root().join("docs/bench");
            std::fs::write(kept.join("scaling.json"), figures)?;
            std::fs::write(kept.join("scaling.md"), format!("{}{}\n\n{table}\n", introduction(), rows(&results)))?;
        }
    }
    Ok(())
}

fn value(row: &Row, cost: &Cost) -> anyhow::Result<f64> {
    let figure = row.number(cost.figure).with_context(|| format!("the benchmark did not write {}", cost.figure))?;
    let figure = cost.over.map_or(figure, |over| over / figure);
    Ok(if cost.each { figure * row.palms as f64 / 1e6 } else { figure })
}

fn fits(rows: &[Row]) -> anyhow::Result<Vec<Value>> {
    let (last, earlier) = rows.split_last().context("the benchmark wrote no rows")?;
    let fit = |cost: &Cost| {
        let points = earlier.iter().map(|row| Ok((row.palms as f64 / 1e6, value(row, cost)?)));
        let line = Line::through(&points.collect::<anyhow::Result<Vec<_>>>()?);
        let (predicted, measured) = (line.at(last.palms), value(last, cost)?);
        Ok(json!({
            "cost": cost.name,
            "constant": line.constant,
            "per_million": line.per_million,
            "palms": last.palms,
            "predicted": predicted,
            "measured": measured,
            "measured_to_predicted": measured / predicted,
        }))
    };
    COSTS.iter().map(fit).collect()
}

impl Line {
    /// Least squares of relative errors, so that small galleries count as much as large ones.
    fn through(points: &[(f64, f64)]) -> Self {
        let weigh = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| f(x, y) / (y * y)).sum::<f64>();
        let (one, x, xx) = (weigh(&|_, _| 1.0), weigh(&|x, _| x), weigh(&|x, _| x * x));
        let (y, xy) = (weigh(&|_, y| y), weigh(&|x, y| x * y));
        let per_million = (one * xy - x * y) / (one * xx - x * x);
        Self { constant: (y - per_million * x) / one, per_million }
    }

    fn at(&self, palms: usize) -> f64 {
        self.constant + self.per_million * palms as f64 / 1e6
    }
}

fn table(fits: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "cost",
        "constant",
        "a million palms",
        "last, predicted",
        "last, measured",
        "measured to predicted",
    ]);
    for fit in fits {
        let shown = |name: &str| fit[name].as_f64().map_or("-".into(), |value| format!("{value:.2}"));
        table.add_row([
            fit["cost"].as_str().unwrap_or_default().to_owned(),
            shown("constant"),
            shown("per_million"),
            shown("predicted"),
            shown("measured"),
            shown("measured_to_predicted"),
        ]);
    }
    right_aligned(table)
}

fn rows(results: &Results) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "palms",
        "recall@1",
        "p50 ms",
        "p99 ms",
        "one core /s",
        "all cores /s",
        "bytes/palm",
        "indexing s",
    ]);
    for row in &results.rows {
        let shown =
            |name: &str, digits: usize| row.number(name).map_or("-".into(), |value| format!("{value:.digits$}"));
        table.add_row([
            row.palms.to_string(),
            shown("recall_at_1", 4),
            shown("identify_p50_ms", 2),
            shown("identify_p99_ms", 2),
            shown("identifications_per_second_one_core", 0),
            shown("identifications_per_second", 0),
            shown("bytes_per_vector", 0),
            shown("build_seconds", 1),
        ]);
    }
    right_aligned(table)
}

fn introduction() -> String {
    format!(
        "# Scaling\n\nWritten by `cargo xtask bench scaling` on {}. One gallery that grows, of embeddings drawn as for \
         [identification](identify.md).\nOne probe alone: scan, exact scores, verification and decision on one core. A second: as \
         many as there are, in batches, as\nwhen gates queue. The model is a constant and a part that grows with the gallery, \
         fitted to all sizes but the last.\nWhat follows from it is in [scaling](../scaling.md).\n\n",
        machine()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_points_on_a_line() {
        let line = Line::through(&[(1.0, 5.0), (2.0, 8.0), (5.0, 17.0)]);
        assert!((line.constant - 2.0).abs() < 1e-9 && (line.per_million - 3.0).abs() < 1e-9);
        assert!((line.at(10_000_000) - 32.0).abs() < 1e-9);
    }
}
