//! What a command prints: a table for a person, or one JSON document for a program.

use std::io::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

/// A command's result in both forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// For a program.
    pub json: Value,
    /// For a person.
    pub text: String,
    /// The process's exit code: 0, unless the result itself is bad news.
    pub exit_code: u8,
}

impl Report {
    /// A result that is as wished.
    pub fn new(json: Value, text: String) -> Self {
        Self { json, text, exit_code: 0 }
    }

    /// The same result with another exit code.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// Writes the report as one JSON document or as text, and one line end.
    pub fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json { writeln!(out, "{}", self.json) } else { writeln!(out, "{}", self.text.trim_end()) }
    }
}

/// A table with a header.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    table.trim_fmt()
}

/// A table of names and values, without a header.
pub(crate) fn facts(rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.add_rows(rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    table.trim_fmt()
}
