//! The plots of a report.

use std::fmt::Write;

use super::chart::{Anchor, Chart, SIZE, STYLE, svg, text_at};
use super::png::{PlotError, png};
use super::scale::{Scale, percent};
use crate::compare::ScoreKind;
use crate::identify::Identification;
use crate::report::{FailureToAcquire, Verification};
use crate::statistics::rates::Operating;

/// Bars of a histogram.
const BINS: usize = 80;
/// Points of a trade-off curve.
const POINTS: usize = 400;

/// A plot.
pub struct Plot {
    /// File name without extension.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// For the report, which brings the colours.
    pub inline: String,
    /// As a file of its own.
    pub standalone: String,
}

impl Plot {
    fn of(name: &'static str, title: &'static str, chart: &Chart) -> Self {
        Self { name, title, inline: chart.inline(title), standalone: chart.standalone(title) }
    }

    /// The picture as PNG.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        png(&self.standalone)
    }
}

/// Every plot of a one-to-one evaluation.
pub fn of_verification(found: &Verification, score: ScoreKind) -> Vec<Plot> {
    let mut plots = Vec::new();
    if found.mated > 0 && found.non_mated > 0 {
        plots.push(trade_off(found));
    }
    if found.mated + found.non_mated > 0 {
        plots.push(histogram(found, score));
    }
    if !found.error_versus_discard.points.is_empty() {
        plots.push(discard(found));
    }
    plots.push(failures(&found.failure_to_acquire));
    plots
}

/// Every plot of an identification.
pub fn of_identification(found: &Identification) -> Vec<Plot> {
    let mut plots = Vec::new();
    if found.mated_searches > 0 && found.non_mated_searches > 0 {
        plots.push(search_trade_off(found));
    }
    plots.push(failures(&found.failure_to_acquire));
    plots
}

fn trade_off(found: &Verification) -> Plot {
    let curve: Vec<(f64, f64)> =
        found.scores.trade_off(POINTS).iter().map(|&Operating { fmr, fnmr }| (fmr, fnmr)).collect();
    let least = (0.2 / found.non_mated as f64).clamp(1e-7, 1e-3);
    let low = (0.2 / found.mated as f64).clamp(1e-6, 1e-3);
    let (x, y) = (Scale::Probit { from: least, to: 0.5 }, Scale::Probit { from: low, to: 0.5 });
    let mut chart = Chart::new(x, y, "False match rate", "False non-match rate");
    chart.shade("dim", (least, low), (found.fmr_support.min(0.5), 0.5));
    chart.note(
        (least * 1.25, 0.42),
        Anchor::Start,
        &format!("below {}: too few comparisons to tell", short(found.fmr_support)),
    );
    let diagonal: Vec<(f64, f64)> = [least.max(low), 0.5].map(|rate| (rate, rate)).into();
    chart.curve("c", &diagonal);
    chart.curve("a", &curve);
    if let Some(eer) = found.eer {
        let name = match eer.rate {
            0.0 => format!("no error: EER below {}", short(eer.interval[1])),
            rate => format!("EER {}", short(rate)),
        };
        chart.point((eer.rate, eer.rate), &name);
    }
    Plot::of("det", "Detection error trade-off", &chart)
}

fn search_trade_off(found: &Identification) -> Plot {
    let curve: Vec<(f64, f64)> = found.trade_off.iter().map(|point| (point.fpir, point.fnir)).collect();
    let least = (0.2 / found.non_mated_searches as f64).clamp(1e-7, 1e-3);
    let low = (0.2 / found.mated_searches as f64).clamp(1e-6, 1e-3);
    let (x, y) = (Scale::Probit { from: least, to: 0.5 }, Scale::Probit { from: low, to: 0.5 });
    let mut chart = Chart::new(x, y, "False positive identification rate", "False negative identification rate");
    chart.shade("dim", (least, low), (found.fpir_support.min(0.5), 0.5));
    chart.note(
        (least * 1.25, 0.42),
        Anchor::Start,
        &format!("below {}: too few searches to tell", short(found.fpir_support)),
    );
    chart.curve("a", &curve);
    Plot::of("det", "Identification error trade-off", &chart)
}

fn histogram(found: &Verification, score: ScoreKind) -> Plot {
    let both = [found.scores.mated(), found.scores.non_mated()];
    let ends = |of: &[f32]| of.first().copied().zip(of.last().copied());
    let (low, high) = both
        .into_iter()
        .filter_map(ends)
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        .map_or((0.0, 1.0), |(low, high)| (f64::from(low), f64::from(high)));
    let margin = ((high - low) * 0.02).max(1e-6);
    let (low, high) = (low - margin, high + margin);
    let shares = both.map(|scores| binned(scores, low, high));
    let least = shares.iter().flatten().copied().filter(|&share| share > 0.0).fold(1.0, f64::min);
    let decades = (least.log10().floor() as i32).clamp(-8, -1);
    let name = match score {
        ScoreKind::Fused => "Score: decades of the likelihood ratio",
        ScoreKind::Embedding => "Cosine of the embeddings",
        ScoreKind::Code => "Nearness of the orientation codes",
    };
    let (x, y) = (Scale::Linear { from: low, to: high }, Scale::Decades { from: decades, to: 0 });
    let mut chart = Chart::new(x, y, name, "Share of comparisons");
    for (class, share) in [("fb", &shares[1]), ("fa", &shares[0])] {
        for run in steps(share, low, high, 10_f64.powi(decades)) {
            chart.area(class, &run);
        }
    }
    let mut marks = 0;
    if let Some(point) = found.operating_point {
        chart.mark(f64::from(point.threshold), "matcher's threshold, 10,000 palms", marks);
        marks += 1;
    }
    if let Some(threshold) = found.eer_threshold.filter(|_| found.eer.is_some_and(|eer| eer.rate > 0.0)) {
        chart.mark(f64::from(threshold), "EER", marks);
    }
    chart.legend(&[("fa", "mated"), ("fb", "non-mated")]);
    Plot::of("scores", "Scores of mated and non-mated comparisons", &chart)
}

/// Share of scores in each bin.
fn binned(sorted: &[f32], low: f64, high: f64) -> Vec<f64> {
    let edge = |bin: usize| low + (high - low) * bin as f64 / BINS as f64;
    let upto = |bin: usize| sorted.partition_point(|&score| f64::from(score) < edge(bin));
    (0..BINS).map(|bin| (upto(bin + 1) - upto(bin)) as f64 / (sorted.len() as f64).max(1.0)).collect()
}

/// Bars of which none is empty, as outlines.
fn steps(shares: &[f64], low: f64, high: f64, least: f64) -> Vec<Vec<(f64, f64)>> {
    let edge = |bin: usize| low + (high - low) * bin as f64 / BINS as f64;
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut open = false;
    for (bin, &share) in shares.iter().enumerate() {
        if share > 0.0 {
            if !open {
                runs.push(Vec::new());
            }
            // A bar that only just is one still shows.
            let height = share.max(least * 1.15);
            runs.last_mut().expect("pushed").extend([(edge(bin), height), (edge(bin + 1), height)]);
        }
        open = share > 0.0;
    }
    runs
}

fn discard(found: &Verification) -> Plot {
    let points = &found.error_versus_discard.points;
    let most = points.iter().map(|point| point.fnmr).fold(0.0, f64::max);
    let top = if most > 0.0 { most * 1.15 } else { 0.01 };
    let scale = 100.0;
    let (x, y) = (Scale::Linear { from: 0.0, to: 50.0 }, Scale::Linear { from: 0.0, to: top * scale });
    let mut chart = Chart::new(x, y, "Captures of lowest quality put aside, %", "False non-match rate of the rest, %");
    let first = points[0].fnmr;
    let ideal: Vec<(f64, f64)> = points
        .iter()
        .map(|p| (p.discarded * scale, scale * ((first - p.discarded) / (1.0 - p.discarded)).max(0.0)))
        .collect();
    chart.curve("c", &ideal);
    let curve: Vec<(f64, f64)> = points.iter().map(|p| (p.discarded * scale, p.fnmr * scale)).collect();
    chart.area("fa", &curve);
    chart.curve("a", &curve);
    chart.legend(&[("fa", "as the quality says"), ("c", "if quality knew every error")]);
    if most == 0.0 {
        chart.note((25.0, top * scale * 0.5), Anchor::Middle, "no false non-match at this threshold");
    }
    Plot::of("quality", "Errors against quality", &chart)
}

/// Bars of each reason, most frequent first.
fn failures(found: &FailureToAcquire) -> Plot {
    const BAR: f64 = 34.0;
    const LEFT: f64 = 250.0;
    let mut reasons: Vec<(&str, u64)> = found.by_reason.iter().map(|(name, &count)| (name.as_str(), count)).collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let most = reasons.first().map_or(1, |reason| reason.1) as f64;
    let (width, height) = (SIZE.0, 30.0 + BAR * reasons.len().max(1) as f64);
    let mut body = String::new();
    for (row, (name, count)) in reasons.iter().enumerate() {
        let y = 16.0 + BAR * row as f64;
        let length = (width - LEFT - 150.0) * *count as f64 / most;
        body += &text_at("", LEFT - 12.0, y + 17.0, Anchor::End, name);
        let _ = write!(body, r#"<rect class="solid" x="{LEFT}" y="{y:.1}" width="{length:.1}" height="23" rx="3"/>"#);
        let share = percent_of(*count as f64 / found.attempts.max(1) as f64);
        body += &text_at("", LEFT + length + 10.0, y + 17.0, Anchor::Start, &format!("{count}   {share}"));
    }
    if reasons.is_empty() {
        let text = format!("no failure in {} attempts", found.attempts);
        body += &text_at("", width / 2.0, height / 2.0 + 5.0, Anchor::Middle, &text);
    }
    let title = "Failures to acquire by reason";
    let drawn = |style: &str| svg(title, style, (width, height), &body);
    Plot { name: "failures", title, inline: drawn(""), standalone: drawn(STYLE) }
}

fn percent_of(rate: f64) -> String {
    format!("{:.2} %", 100.0 * rate)
}

/// A rate in as many digits as it has to tell.
fn short(rate: f64) -> String {
    if rate >= 0.0095 || rate == 0.0 { format!("{:.2} %", 100.0 * rate) } else { percent(rounded(rate)) }
}

/// To one significant digit.
fn rounded(rate: f64) -> f64 {
    let power = 10_f64.powf(rate.log10().floor());
    (rate / power).round() * power
}
