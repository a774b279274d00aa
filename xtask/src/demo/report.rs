//! What a run came to, for people and for programs.

use std::time::Instant;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, Table};
use serde::Serialize;

/// The steps of a story.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In order.
    pub steps: Vec<Step>,
    /// Whether every step went as told.
    pub ok: bool,
    /// Where the vault's keys are, as the vault says, if the story asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_holder: Option<String>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What happens.
    pub step: String,
    /// What must come of it.
    pub expected: String,
    /// What came of it.
    pub got: String,
    /// How long it took.
    pub milliseconds: u64,
    /// Whether the two are the same.
    pub ok: bool,
}

impl Report {
    /// Nothing happened yet.
    pub fn begin() -> Self {
        Self { steps: Vec::new(), ok: true, key_holder: None }
    }

    /// Does a step and notes it. A failure of the machinery counts as what came of it; an interruption ends the story.
    pub fn step<T>(
        &mut self,
        step: impl Into<String>,
        expected: impl Into<String>,
        act: impl FnOnce() -> anyhow::Result<(String, T)>,
    ) -> anyhow::Result<Option<T>> {
        let started = Instant::now();
        let acted = act();
        crate::signals::check()?;
        let (got, yielded) = match acted {
            Ok((got, yielded)) => (got, Some(yielded)),
            Err(error) => (format!("error: {error:#}"), None),
        };
        let (step, expected) = (step.into(), expected.into());
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ok = got == expected;
        self.ok &= ok;
        println!("  {} {step}: {got}", if ok { "ok  " } else { "FAIL" });
        self.steps.push(Step { step, expected, got, milliseconds, ok });
        Ok(yielded)
    }

    /// Prints the table.
    pub fn print(&self) {
        let mut table = table(&["step", "expected", "got", "ms", "ok"]);
        for step in &self.steps {
            let (word, color) = if step.ok { ("ok", Color::Green) } else { ("FAIL", Color::Red) };
            table.add_row(vec![
                Cell::new(&step.step),
                Cell::new(&step.expected),
                Cell::new(&step.got),
                number(step.milliseconds),
                Cell::new(word).fg(color),
            ]);
        }
        println!("{table}");
        let failed = self.steps.iter().filter(|step| !step.ok).count();
        println!("{} steps, {failed} differ from the story", self.steps.len());
    }
}

/// An empty table.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

/// A number, at the right.
pub fn number(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}
