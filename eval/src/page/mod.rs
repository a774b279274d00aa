//! The report as a page: one file, no request to anywhere, light and dark, printable.

mod identification;
mod limits;
mod verification;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::acquire::Acquired;
use crate::manifest::{BadRow, Manifest};
use crate::plot::Plot;
use crate::report::{FailureToAcquire, METHOD};

pub use identification::identification;
pub use verification::verification;

/// What every report says about its data.
pub struct Subject<'a> {
    /// The manifest's file name.
    pub name: &'a str,
    /// Its rows.
    pub manifest: &'a Manifest,
    /// What came of them.
    pub acquired: &'a Acquired,
    /// Rows that could not be used.
    pub bad_rows: &'a [BadRow],
    /// Pictures of the page.
    pub plots: &'a [Plot],
}

impl Subject<'_> {
    fn plot(&self, name: &str, caption: &Markup) -> Markup {
        let plot = self.plots.iter().find(|plot| plot.name == name);
        html! {
            @if let Some(plot) = plot {
                figure { (PreEscaped(&plot.inline)) figcaption { (caption) } }
            }
        }
    }
}

fn page(title: &str, lead: &Markup, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                main {
                    header {
                        p.kicker { "Volar · ISO/IEC 19795-1" }
                        h1 { (title) }
                        p.lead { (lead) }
                    }
                    (body)
                    footer {
                        "Made by volar-eval " (env!("CARGO_PKG_VERSION")) ". The numbers are in report.json beside this page, \
                        the plots as SVG and PNG."
                    }
                }
            }
        }
    }
    .into_string()
}

fn tile(name: &str, value: &str, more: &str) -> Markup {
    let is_word = !value.starts_with(|c: char| c.is_ascii_digit() || c == '<' || c == '≤');
    html! {
        div.tile {
            span.name { (name) }
            b.word[is_word] { (value) }
            span.more { (more) }
        }
    }
}

fn facts(rows: &[(&str, String)]) -> Markup {
    html! {
        table {
            tbody { @for (name, value) in rows { tr { th { (name) } td { (value) } } } }
        }
    }
}

fn failures(subject: &Subject<'_>, found: &FailureToAcquire) -> Markup {
    html! {
        h2 { "Failures to acquire" }
        p.soft {
            (words::count(found.count)) " of " (words::count(found.attempts)) " pictures gave no template: "
            (words::rate(found.rate)) " (95 %: " (words::interval(found.interval)) "). A palm square that was cut beforehand \
            can only fail if it shows no lines; finding the hand is tested by whole frames alone."
        }
        (subject.plot("failures", &html! { "Failures by reason, and their share of all attempts." }))
    }
}

fn ending(subject: &Subject<'_>) -> Markup {
    html! {
        h2 { "Method" }
        p.note { (METHOD) }
        @if !subject.bad_rows.is_empty() {
            h2 { "Rows that could not be used" }
            p.soft { (words::count(subject.bad_rows.len() as u64)) " rows of the manifest were set aside; they are not counted as attempts." }
            details open[subject.bad_rows.len() <= 12] {
                summary { "Lines and reasons" }
                table {
                    thead { tr { th.number { "Line" } th { "Reason" } } }
                    tbody {
                        @for bad in subject.bad_rows.iter().take(500) {
                            tr { td.number { (bad.line) } td { (bad.reason) } }
                        }
                    }
                }
                @if subject.bad_rows.len() > 500 { p.note { "The first 500; report.json has all." } }
            }
        }
    }
}
