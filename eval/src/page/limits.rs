//! What data cannot show. A report that leaves it out promises too much.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::Subject;
use super::words;
use crate::manifest::{Hand, Kind, Row};
use crate::statistics::interval::rule_of_three;

/// Fewer subjects than this make intervals that count comparisons meaningless (ISO/IEC 19795-1 asks for as many people
/// as one can get; the rule of three needs 300 for one in a hundred).
const SUBJECTS_FEW: u64 = 300;

/// The list, for comparisons of so many of both kinds.
pub(super) fn limits(
    subject: &Subject<'_>,
    subjects: u64,
    what: &str,
    errors_below: f64,
    across_sessions: bool,
) -> Markup {
    let rows = &subject.manifest.rows;
    let squares = rows.iter().filter(|row| row.kind == Kind::Roi).count();
    let distinct = |of: fn(&Row) -> Option<&str>| rows.iter().filter_map(of).collect::<BTreeSet<_>>().len();
    let mut said: Vec<String> = vec![format!(
        "No rate of false matches below {}: that is what {what} support, 3/n.",
        words::rate(errors_below)
    )];
    if subjects < SUBJECTS_FEW {
        said.push(format!(
            "{} people only. Comparisons of one person are alike, so there are far fewer independent ones than counted; a rate \
             that one person in {} suffers from can be missed altogether ({} at 95 %).",
            words::count(subjects),
            words::count(subjects.max(1)),
            words::interval([0.0, rule_of_three(subjects)])
        ));
    }
    if squares == rows.len() {
        said.push("Palm squares cut beforehand: nothing about finding the hand in a frame, which is where most attempts fail in service.".into());
    } else if squares > 0 {
        said.push(format!(
            "{} of {} pictures are palm squares cut beforehand; those say nothing about finding the hand.",
            words::count(squares as u64),
            words::count(rows.len() as u64)
        ));
    }
    match distinct(|row| Some(row.session.as_str()).filter(|session| !session.is_empty())) {
        0 => said.push("The manifest names no sessions: palms captured within minutes agree better than on another day.".into()),
        1 => said.push("One session only: nothing about how palms change from day to day.".into()),
        _ if !across_sessions => said.push(
            "Captures of one session are compared too, which is easier than what a gate meets; see the cross-session protocol.".into(),
        ),
        _ => {}
    }
    if rows.iter().any(|row| row.hand == Hand::Unknown) {
        said.push("Some positions are unknown: left and right of such a person count as one palm.".into());
    }
    if distinct(|row| row.group.as_deref()) < 2 {
        said.push("No groups: nothing about differences between ages, skin tones or sensors.".into());
    }
    if distinct(|row| row.species.as_deref()) == 0 {
        said.push("No presentation attacks: nothing about printed, replayed or moulded palms.".into());
    }
    html! {
        div.limits {
            h2 { "What these data cannot show" }
            ul { @for line in said { li { (line) } } }
        }
    }
}
