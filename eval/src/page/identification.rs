//! The page of a one-to-many evaluation.

use maud::{Markup, html};
use volar_core::score::ScoreModel;

use super::limits::limits;
use super::{Subject, ending, facts, failures, page, tile, words};
use crate::identify::{Identification, RATES};

/// The whole page.
pub fn identification(subject: &Subject<'_>, model: &ScoreModel, found: &Identification) -> String {
    let lead = html! {
        (words::count(found.mated_searches)) " searches of a gallery of " (words::count(found.gallery_size)) " palms by people who are in \
        it and " (words::count(found.non_mated_searches)) " by people who are not, from " b { (subject.name) } "."
    };
    let learnt = model.learnt();
    let body = html! {
        (tiles(subject, found))
        (limits(
            subject,
            found.subjects,
            &format!("{} searches by strangers", words::count(found.non_mated_searches)),
            found.fpir_support,
            true,
        ))
        h2 { "How errors trade" }
        (subject.plot("det", &html! {
            "Each point is a threshold. A search is a false negative unless its own palm comes first and reaches the threshold."
        }))
        (rates(found))
        (operating(found))
        (failures(subject, &found.failure_to_acquire))
        h2 { "What was searched" }
        (facts(&[
            ("Gallery", format!("{} palms: {} of {}, {} made up", words::count(found.gallery_size), words::count(found.enrolled),
                subject.name, words::count(found.background))),
            ("Enrolled", format!("of the captures of a palm's first session (of its first three where there is one session) at most {}, \
                those that cover all of them best; one of each made-up palm", found.references_per_palm)),
            ("Searches by strangers", "each capture with its own palm taken out of the gallery, and captures of palms that had no room".to_owned()),
            ("Made-up palms", if found.background > 0 { "volar-synth; more alike than strangers of one country or one sensor may be, so \
                real galleries of this size can be harder".to_owned() } else { "none".to_owned() }),
            ("Template model", subject.acquired.model.as_str().to_owned()),
            ("Score model", format!("{}: {} palms, safety margin {}", learnt.data, words::count(learnt.palms), model.strangers().margin)),
        ]))
        (ending(subject))
    };
    page("Palm identification", &lead, &body)
}

fn tiles(subject: &Subject<'_>, found: &Identification) -> Markup {
    let rank = found.rank_1.map_or(("not measured".to_owned(), String::new()), |rank| {
        (words::rate(rank.rate), format!("95 %: {}", words::interval(rank.interval)))
    });
    let strictest = RATES.iter().rev().find_map(|(key, rate)| Some((*rate, found.fnir_at_fpir.get(key)?.as_ref()?)));
    let fnir = strictest
        .map_or(("not supported".to_owned(), "too few searches by strangers".to_owned()), |(_, key)| {
            (words::rate(key.fnir), format!("95 %: {}", words::interval(key.interval)))
        });
    let name =
        strictest.map_or("False negatives".to_owned(), |(rate, _)| format!("FNIR at FPIR {}", words::one_in(rate)));
    let failure = &found.failure_to_acquire;
    let time = subject.acquired.milliseconds_per_template;
    html! {
        div.tiles {
            (tile("Found first", &rank.0, &rank.1))
            (tile(&name, &fnir.0, &fnir.1))
            (tile("Failure to acquire", &words::rate(failure.rate), &format!("95 %: {}", words::interval(failure.interval))))
            (tile("Time for a template", &time.map_or("not measured".to_owned(), |time| format!("{time:.1} ms")), "median, one thread"))
        }
        br;
    }
}

fn rates(found: &Identification) -> Markup {
    html! {
        h2 { "False negatives at a rate of false positives" }
        table {
            thead { tr { th { "FPIR" } th.number { "FNIR" } th.number { "95 % interval" } th.number { "Threshold" } } }
            tbody {
                @for (key, rate) in RATES {
                    tr {
                        th { (words::one_in(rate)) }
                        @match found.fnir_at_fpir.get(key).and_then(Option::as_ref) {
                            Some(key) => {
                                td.number { (words::rate(key.fnir)) }
                                td.number { (words::interval(key.interval)) }
                                td.number { (format!("{:.3}", key.threshold)) }
                            }
                            None => { td colspan="3" { span.soft {
                                "not supported: needs " (words::count((3.0 / rate).round() as u64)) " searches by strangers"
                            } } }
                        }
                    }
                }
            }
        }
    }
}

fn operating(found: &Identification) -> Markup {
    let Some(point) = found.operating_point else { return html! {} };
    html! {
        h2 { "At the matcher's own threshold" }
        p {
            "For this gallery and an FPIR of " (words::one_in(point.target_fpir)) " the score model asks for " (format!("{:.2}", point.threshold))
            " decades. " b { (words::count(point.missed)) " of " (words::count(found.mated_searches)) } " searches by enrolled people did not \
            return them, " (words::rate(point.fnir.rate)) " (" (words::interval(point.fnir.interval)) "); "
            b { (words::count(point.false_positives)) " of " (words::count(found.non_mated_searches)) } " by strangers returned somebody ("
            (words::interval(point.fpir.interval)) ")."
        }
    }
}
