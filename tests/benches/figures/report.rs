//! Collects figures, prints them as a table and as JSON.

use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

/// Every figure so far.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Figure {
    figure: String,
    n: usize,
    unit: &'static str,
    median: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
}

impl Report {
    /// Takes in the times of one thing done many times. `aim_ms` is for the median.
    pub(crate) fn times(&mut self, figure: impl Into<String>, mut times: Vec<Duration>, aim_ms: Option<f64>) {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        let at = |share: f64| {
            let rank = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len());
            times[rank - 1].as_secs_f64() * 1e3
        };
        let (median, p99) = (at(0.5), Some(at(0.99)));
        self.add(Figure { figure: figure.into(), n: times.len(), unit: "ms", median, p99, aim: aim_ms });
    }

    /// Takes in how many were done in a time.
    pub(crate) fn rate(&mut self, figure: impl Into<String>, n: usize, time: Duration) {
        let median = n as f64 / time.as_secs_f64();
        self.add(Figure { figure: figure.into(), n, unit: "/s", median, p99: None, aim: None });
    }

    fn add(&mut self, figure: Figure) {
        println!("  {}: {:.2} {}", figure.figure, figure.median, figure.unit);
        self.figures.push(figure);
    }

    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["figure", "n", "median", "p99", "aim"]);
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        for figure in &self.figures {
            let with_unit = |value: f64| format!("{value:.2} {}", figure.unit);
            let aim = match figure.aim {
                Some(aim) if figure.median <= aim => format!("{aim} {}: met", figure.unit),
                Some(aim) => format!("{aim} {}: MISSED", figure.unit),
                None => String::new(),
            };
            table.add_row(vec![
                Cell::new(&figure.figure),
                number(figure.n.to_string()),
                number(with_unit(figure.median)),
                number(figure.p99.map(with_unit).unwrap_or_default()),
                number(aim),
            ]);
        }
        println!("{table}");
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and numbers") + "\n"
    }
}
