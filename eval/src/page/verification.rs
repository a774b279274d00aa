//! The page of a one-to-one evaluation.

use maud::{Markup, html};

use super::limits::limits;
use super::{Subject, ending, facts, failures, page, tile, words};
use crate::compare::{Protocol, ScoreKind};
use crate::report::{FmrKey, Verification};
use crate::verify::{GROUP_WORSE, Question, RATES};

/// The whole page.
pub fn verification(subject: &Subject<'_>, question: &Question<'_>, found: &Verification) -> String {
    let protocol = match question.protocol {
        Protocol::AllPairs => "Every pair of captures is compared once",
        Protocol::CrossSession => {
            "Only captures of different sessions are compared, each pair once, the earlier as reference"
        }
    };
    let score = score_name(question.score);
    let lead = html! {
        (words::count(found.samples)) " captures of " (words::count(found.palms)) " palms in " b { (subject.name) } ", "
        (words::count(found.mated)) " mated and " (words::count(found.non_mated)) " non-mated comparisons by " (score) ". "
        (protocol) "."
    };
    let body = html! {
        (tiles(subject, found))
        (limits(
            subject,
            found.subjects,
            &format!("{} non-mated comparisons", words::count(found.non_mated)),
            found.fmr_support,
            question.protocol == Protocol::CrossSession,
        ))
        h2 { "How errors trade" }
        (subject.plot("det", &html! {
            "Each point is a threshold. Axes by normal deviates; the closer to the lower left, the better. Where the ground is \
            shaded, comparisons are too few to support the rate."
        }))
        (subject.plot("scores", &html! {
            "Shares are logarithmic: what matters is how far the two come near each other, which an even axis would hide."
        }))
        (rates(found))
        (operating(found))
        (failures(subject, &found.failure_to_acquire))
        h2 { "Quality" }
        p.soft {
            "When the captures of lowest quality are put aside, a quality that predicts errors makes the false non-match rate fall. \
            The threshold stays at " (format!("{:.2}", found.error_versus_discard.threshold)) ", the matcher's or, where that misses \
            next to nobody, one that misses 2 % to start with."
        }
        (subject.plot("quality", &html! { "False non-match rate of the comparisons that are left (ISO/IEC 29794-1)." }))
        (groups(found))
        (attacks(found))
        h2 { "What was compared" }
        (facts(&[
            ("Data", format!("{} ({} rows, {} set aside)", subject.name,
                words::count((subject.manifest.rows.len() + subject.manifest.bad.len()) as u64), words::count(subject.bad_rows.len() as u64))),
            ("Captures, templates", format!("{}, {}", words::count(found.samples), words::count(found.templates))),
            ("People, palms, sessions",
                format!("{}, {}, {}", words::count(found.subjects), words::count(found.palms), words::count(found.sessions))),
            ("Comparisons", format!("{} mated, {} non-mated", words::count(found.mated), words::count(found.non_mated))),
            ("Decidability d′", found.d_prime.map_or("not measured".to_owned(), |(found, interval)| {
                let interval = interval.map_or(String::new(), |[low, high]| format!(", 95 %: {low:.2} to {high:.2}"));
                format!("{found:.2}{interval} (how far mated and non-mated scores lie apart, in deviations)")
            })),
            ("Left out", left_out(found)),
            ("Template model", subject.acquired.model.as_str().to_owned()),
            ("Score", score.to_owned()),
            ("Score model", question.model.map_or("none".to_owned(), |model| {
                let learnt = model.learnt();
                format!("{}: {} palms, {} comparisons, safety margin {}", learnt.data, words::count(learnt.palms),
                    words::count(learnt.mated + learnt.non_mated), model.strangers().margin)
            })),
        ]))
        (ending(subject))
    };
    page("Palm verification", &lead, &body)
}

fn score_name(score: ScoreKind) -> &'static str {
    match score {
        ScoreKind::Fused => "the fused score (embedding and orientation code)",
        ScoreKind::Embedding => "the embedding alone",
        ScoreKind::Code => "the orientation code alone",
    }
}

fn tiles(subject: &Subject<'_>, found: &Verification) -> Markup {
    let eer = found.eer.map_or(("not measured".to_owned(), "needs both kinds of comparisons".to_owned()), |eer| {
        (words::rate(eer.rate), format!("95 %: {}", words::interval(eer.interval)))
    });
    let strictest = RATES.iter().rev().find_map(|(key, rate)| Some((*rate, found.tmr_at_fmr.get(key)?.as_ref()?)));
    let tmr = strictest.map_or(("not supported".to_owned(), "too few non-mated comparisons".to_owned()), |(_, key)| {
        (words::rate(key.tmr), format!("95 %: {}", words::interval(key.interval)))
    });
    let tmr_name = strictest
        .map_or("True match rate".to_owned(), |(rate, _)| format!("True match rate at FMR {}", words::one_in(rate)));
    let failure = &found.failure_to_acquire;
    let time = subject.acquired.milliseconds_per_template;
    html! {
        div.tiles {
            (tile("Equal error rate", &eer.0, &eer.1))
            (tile(&tmr_name, &tmr.0, &tmr.1))
            (tile("Failure to acquire", &words::rate(failure.rate), &format!("95 %: {}", words::interval(failure.interval))))
            (tile("Time for a template", &time.map_or("not measured".to_owned(), |time| format!("{time:.1} ms")), "median, one thread"))
        }
        br;
    }
}

fn rates(found: &Verification) -> Markup {
    let row = |name: &str, rate: f64, key: Option<&FmrKey>| {
        let needed = words::count((3.0 / rate).round() as u64);
        html! {
            tr {
                th { (name) }
                @match key {
                    Some(key) => {
                        td.number { (words::rate(key.tmr)) }
                        td.number { (words::interval(key.interval)) }
                        td.number { (format!("{:.3}", key.threshold)) }
                    }
                    None => { td colspan="3" { span.soft { "not supported: needs " (needed) " non-mated comparisons" } } }
                }
            }
        }
    };
    html! {
        h2 { "True match rate at a false match rate" }
        table {
            thead { tr { th { "False match rate" } th.number { "True match rate" } th.number { "95 % interval" } th.number { "Threshold" } } }
            tbody {
                @for (key, rate) in RATES {
                    (row(&words::one_in(rate), rate, found.tmr_at_fmr.get(key).and_then(Option::as_ref)))
                }
            }
        }
    }
}

fn operating(found: &Verification) -> Markup {
    let Some(point) = found.operating_point else { return html! {} };
    html! {
        h2 { "At the matcher's own threshold" }
        p {
            "For a gallery of " (words::count(point.gallery_size)) " palms of which a stranger's search may return somebody "
            (words::one_in(point.target_fpir)) " times, the score model asks for " (format!("{:.2}", point.threshold))
            " decades (95 %: " (format!("{:.2} to {:.2}", point.threshold_interval[0], point.threshold_interval[1])) "). Here it misses "
            b { (words::count(point.missed)) " of " (words::count(found.mated)) } " mated comparisons, " (words::rate(point.fnmr.rate))
            " (" (words::interval(point.fnmr.interval)) "), and lets "
            b { (words::count(point.false_matches)) " of " (words::count(found.non_mated)) } " non-mated ones pass ("
            (words::interval(point.fmr.interval)) "). The threshold was learnt elsewhere, with a safety margin; nothing of these data \
            went into it."
        }
    }
}

fn left_out(found: &Verification) -> String {
    let left = found.left_out;
    let parts: Vec<String> = [
        (left.unclear_position, "pairs of one person with an unknown position"),
        (left.without_session, "templates without a session"),
        (left.attacks, "presentation attacks (evaluated on their own)"),
    ]
    .into_iter()
    .filter(|&(count, _)| count > 0)
    .map(|(count, what)| format!("{} {what}", words::count(count)))
    .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

fn groups(found: &Verification) -> Markup {
    if found.per_group.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Groups" }
        p.soft {
            "Each group against itself, at everyone's threshold. Marked where a group misses more than "
            (format!("{:.0}", 100.0 * (GROUP_WORSE - 1.0))) " % more often than everyone (NIST SP 800-63A-4)."
        }
        table {
            thead { tr {
                th { "Group" } th.number { "Palms" } th.number { "Mated / non-mated" } th.number { "EER" }
                th.number { "False non-match rate" } th.number { "False match rate" } th.number { "Misses, of everyone's" }
            } }
            tbody {
                @for (name, group) in &found.per_group {
                    @let worse = group.fnmr_relative.is_some_and(|relative| relative > GROUP_WORSE);
                    tr {
                        th { (name) }
                        td.number { (words::count(group.palms)) }
                        td.number { (words::count(group.mated)) " / " (words::count(group.non_mated)) }
                        td.number { (group.eer.map_or("-".to_owned(), words::rate)) }
                        td.number { (group.fnmr.map_or("-".to_owned(), |e| format!("{} ({})", words::rate(e.rate), words::interval(e.interval)))) }
                        td.number { (group.fmr.map_or("-".to_owned(), |e| format!("{} ({})", words::rate(e.rate), words::interval(e.interval)))) }
                        td.number.worse[worse] { (group.fnmr_relative.map_or("-".to_owned(), |relative| format!("× {relative:.2}"))) }
                    }
                }
            }
        }
    }
}

fn attacks(found: &Verification) -> Markup {
    if found.attacks.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Presentation attacks" }
        p.soft {
            "Each attack against the living captures of the palm that it imitates, accepted if the best of them reaches the \
            threshold (ISO/IEC 30107-3: IAPAR). Attacks that gave no template count as refused."
        }
        table {
            thead { tr { th { "Species" } th.number { "Attempts" } th.number { "Accepted" } th.number { "Rate" } th.number { "95 % interval" } } }
            tbody {
                @for (name, attack) in &found.attacks {
                    tr {
                        th { (name) }
                        td.number { (words::count(attack.compared + attack.not_acquired)) }
                        td.number { (words::count(attack.accepted)) }
                        td.number { (words::rate(attack.rate)) }
                        td.number { (words::interval(attack.interval)) }
                    }
                }
            }
        }
    }
}
