//! One-to-many evaluation: a gallery of a stated size, searched as the matcher searches (ISO/IEC 19795-1, closed and
//! open set).

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use volar_core::coverage::covering;
use volar_core::nearness::{VERIFIED_PALMS, distance, least_of_each, probe_codes};
use volar_core::score::{ScoreModel, TargetFpir};

use crate::acquire::{Acquired, Sample};
use crate::compare::{Identity, Relation, ScoreKind, Scorer, dot, identities, session_order};
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::report::{Error, FailureToAcquire};
use crate::statistics::bootstrap::{RESAMPLES, drawn};
use crate::statistics::interval::{of_errors, percentiles, rule_of_three};
use crate::verify::{attempted, distinct, failure_to_acquire};

/// False positive identification rates at which false negatives are reported.
pub const RATES: [(&str, f64); 3] = [("1e-2", 1e-2), ("1e-3", 1e-3), ("1e-4", 1e-4)];
/// Captures enrolled of a palm whose data have one session only, if that leaves one to search with.
const ENROLLED_OF_ONE_SESSION: usize = 3;
/// The rate of the operating point.
const OPERATING_FPIR: f64 = 1e-3;
/// For drawing subjects anew.
const SEED: u64 = 0x1d;

/// A point of the trade-off.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct SearchRates {
    /// Share of strangers' searches that return somebody.
    pub fpir: f64,
    /// Share of enrolled people's searches that do not return them first.
    pub fnir: f64,
}

/// False negatives at a rate of false positives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FpirKey {
    /// Share of enrolled people's searches that do not return them first above the threshold.
    pub fnir: f64,
    /// 95 %.
    pub interval: [f64; 2],
    /// The threshold.
    pub threshold: f32,
}

/// What the matcher's own threshold does.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct SearchPoint {
    /// Share of strangers' searches that may return somebody.
    pub target_fpir: f64,
    /// The threshold that the score model gives for this gallery.
    pub threshold: f32,
    /// Enrolled people's searches that did not return them first.
    pub missed: u64,
    /// Their share.
    pub fnir: Error,
    /// Strangers' searches that returned somebody.
    pub false_positives: u64,
    /// Their share.
    pub fpir: Error,
}

/// A one-to-many evaluation.
#[derive(Clone, Debug)]
pub struct Identification {
    /// Pictures that were read.
    pub samples: u64,
    /// People.
    pub subjects: u64,
    /// Palms in the gallery.
    pub gallery_size: u64,
    /// Of them palms of the manifest.
    pub enrolled: u64,
    /// Of them made-up palms.
    pub background: u64,
    /// Most references of a palm of the manifest; made-up ones have one.
    pub references_per_palm: u64,
    /// Attempts without a template.
    pub failure_to_acquire: FailureToAcquire,
    /// Searches of people who are enrolled.
    pub mated_searches: u64,
    /// Searches of people who are not: the same captures with their own palm taken out, and those of palms for which
    /// the gallery has no room.
    pub non_mated_searches: u64,
    /// Share of enrolled people's searches that return them first, whatever the score.
    pub rank_1: Option<Error>,
    /// False negatives; none where the data cannot support the rate.
    pub fnir_at_fpir: BTreeMap<&'static str, Option<FpirKey>>,
    /// Smallest rate of false positives that the data support, 3/n.
    pub fpir_support: f64,
    /// What the matcher's threshold does.
    pub operating_point: Option<SearchPoint>,
    /// Every threshold.
    pub trade_off: Vec<SearchRates>,
}

/// What is searched.
pub struct Searched<'a> {
    /// Who is who, and what they captured.
    pub manifest: &'a Manifest,
    /// Their templates.
    pub acquired: &'a Acquired,
    /// Made-up palms to fill the gallery with, as many as [`Plan::missing`] says.
    pub background: &'a [Sample],
}

/// How large a gallery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Palms.
    pub palms: usize,
    /// Most references of each.
    pub references: usize,
}

/// Who is enrolled with what, and who searches.
pub struct Plan {
    size: Size,
    /// Samples enrolled of each palm.
    enrolled: Vec<(Identity, Vec<usize>)>,
    /// Samples that search.
    probes: Vec<usize>,
    identities: Vec<Identity>,
}

impl Plan {
    /// Enrols the palms of the manifest, those with captures left to search first: of each its first session, or its
    /// first captures if there is one session only.
    ///
    /// Of a palm's enrolled captures at most `references` are kept, those that cover all of them best by `model`'s score.
    pub fn new(manifest: &Manifest, acquired: &Acquired, size: &Size, model: &ScoreModel) -> Self {
        let identities = identities(&manifest.rows);
        let rows = &manifest.rows;
        let mut palms: BTreeMap<Identity, Vec<usize>> = BTreeMap::new();
        for (at, sample) in acquired.samples.iter().enumerate() {
            if rows[sample.row].species.is_none() {
                palms.entry(identities[sample.row]).or_default().push(at);
            }
        }
        let scorer = Scorer { kind: ScoreKind::Fused, model: Some(model) };
        let mut split: Vec<(Identity, Vec<usize>, Vec<usize>)> = palms
            .into_par_iter()
            .map(|(identity, samples)| {
                let session = |at: &usize| rows[acquired.samples[*at].row].session.as_str();
                let first = samples.iter().map(session).min_by(|a, b| session_order(a).cmp(&session_order(b)));
                let (mut own, mut others): (Vec<usize>, Vec<usize>) =
                    samples.into_iter().partition(|at| Some(session(at)) == first);
                if others.is_empty() {
                    let kept = ENROLLED_OF_ONE_SESSION.min(own.len().saturating_sub(1)).max(1);
                    others = own.split_off(kept.min(own.len()));
                }
                let score = |a: usize, b: usize| scorer.score(&acquired.samples[own[a]], &acquired.samples[own[b]]);
                let kept = covering(own.len(), size.references, score).into_iter().map(|at| own[at]).collect();
                (identity, kept, others)
            })
            .collect();
        // Palms that nobody searches for are only enrolled where there is room for more.
        split.sort_by_key(|(_, _, others)| others.is_empty());
        let probes = split.iter().flat_map(|(_, _, others)| others.clone()).collect();
        let enrolled = split.into_iter().take(size.palms).map(|(identity, own, _)| (identity, own)).collect();
        Self { size: *size, enrolled, probes, identities }
    }

    /// Palms that the manifest lacks to the gallery.
    pub fn missing(&self) -> usize {
        self.size.palms - self.enrolled.len()
    }
}

/// A search's result.
#[derive(Clone, Copy, Debug)]
struct Search {
    subject: u32,
    /// Score of the own palm if it came first; [`f32::NEG_INFINITY`] if another did. None for people not enrolled.
    mated: Option<f32>,
    /// Highest score of any palm that is certainly another.
    other: f32,
}

/// Searches and counts.
pub fn measure(plan: &Plan, searched: &Searched<'_>, model: &ScoreModel) -> Identification {
    let gallery = Gallery::new(plan, searched);
    let progress = Progress::new("searches", plan.probes.len() as u64);
    let searches: Vec<Search> = plan
        .probes
        .par_iter()
        .map(|&at| {
            let sample = &searched.acquired.samples[at];
            let search = gallery.search(sample, plan.identities[sample.row], model);
            progress.advance(1);
            search
        })
        .collect();
    progress.finish();
    report(plan, searched, model, &searches, &gallery)
}

fn report(
    plan: &Plan,
    searched: &Searched<'_>,
    model: &ScoreModel,
    searches: &[Search],
    gallery: &Gallery<'_>,
) -> Identification {
    let acquired = searched.acquired;
    let mated: Vec<(u32, f32)> = searches.iter().filter_map(|search| Some((search.subject, search.mated?))).collect();
    let mut own: Vec<f32> = mated.iter().map(|&(_, score)| score).collect();
    let mut others: Vec<f32> = searches.iter().map(|search| search.other).collect();
    own.sort_unstable_by(f32::total_cmp);
    others.sort_unstable_by(f32::total_cmp);
    let missed = |threshold: f32| own.partition_point(|&score| score < threshold) as u64;
    let positives = |threshold: f32| (others.len() - others.partition_point(|&score| score < threshold)) as u64;
    let error = |errors: u64, trials: usize| Error {
        rate: errors as f64 / (trials as f64).max(1.0),
        interval: of_errors(errors, trials as u64),
    };
    let fnir = |threshold: f32| {
        let plain = error(missed(threshold), own.len());
        let interval =
            if plain.rate > 0.0 { resampled(&mated, threshold).unwrap_or(plain.interval) } else { plain.interval };
        Error { interval, ..plain }
    };
    let support = rule_of_three(others.len() as u64);
    let fnir_at_fpir = RATES.map(|(key, rate)| {
        let supported = !own.is_empty() && support <= rate;
        let found = supported.then(|| {
            let allowed = (rate * others.len() as f64 + 1e-9).floor() as usize;
            let threshold = others.len().checked_sub(allowed + 1).map_or(f32::NEG_INFINITY, |at| others[at].next_up());
            let Error { rate, interval } = fnir(threshold);
            FpirKey { fnir: rate, interval, threshold }
        });
        (key, found)
    });
    let target = TargetFpir::new(OPERATING_FPIR).expect("a rate");
    let threshold = model.threshold(target, gallery.references()).value();
    let operating_point = (!own.is_empty()).then(|| SearchPoint {
        target_fpir: OPERATING_FPIR,
        threshold,
        missed: missed(threshold),
        fnir: fnir(threshold),
        false_positives: positives(threshold),
        fpir: error(positives(threshold), others.len()),
    });
    let mut thresholds: Vec<f32> = own.iter().chain(&others).copied().filter(|score| score.is_finite()).collect();
    thresholds.sort_unstable_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let stride = thresholds.len().div_ceil(2_000).max(1);
    let trade_off = thresholds.iter().step_by(stride).map(|&threshold| SearchRates {
        fpir: positives(threshold) as f64 / (others.len() as f64).max(1.0),
        fnir: missed(threshold) as f64 / (own.len() as f64).max(1.0),
    });
    Identification {
        samples: (acquired.samples.len() + acquired.failures.len()) as u64,
        subjects: distinct(&attempted(acquired), |row| searched.manifest.rows[row].subject.as_str()),
        gallery_size: gallery.palms.len() as u64,
        enrolled: plan.enrolled.len() as u64,
        background: (gallery.palms.len() - plan.enrolled.len()) as u64,
        references_per_palm: plan.enrolled.iter().map(|(_, references)| references.len() as u64).max().unwrap_or(0),
        failure_to_acquire: failure_to_acquire(acquired),
        mated_searches: own.len() as u64,
        non_mated_searches: others.len() as u64,
        rank_1: (!own.is_empty()).then(|| {
            let missed = fnir(f32::MIN);
            Error { rate: 1.0 - missed.rate, interval: [1.0 - missed.interval[1], 1.0 - missed.interval[0]] }
        }),
        fnir_at_fpir: fnir_at_fpir.into(),
        fpir_support: support,
        operating_point,
        trade_off: trade_off.collect(),
    }
}

/// Interval of the share below a threshold, people drawn anew.
fn resampled(mated: &[(u32, f32)], threshold: f32) -> Option<[f64; 2]> {
    let mut people: HashMap<u32, (f64, f64)> = HashMap::new();
    for &(subject, score) in mated {
        let (count, missed) = people.entry(subject).or_default();
        *count += 1.0;
        *missed += f64::from(u8::from(score < threshold));
    }
    let mut people: Vec<(u32, (f64, f64))> = people.into_iter().collect();
    people.sort_unstable_by_key(|&(subject, _)| subject);
    let mut rates: Vec<f64> = (0..RESAMPLES as u64)
        .map(|number| {
            let weights = drawn(people.len(), SEED + number);
            let weighed = people.iter().zip(&weights).fold((0.0, 0.0), |sum, ((_, (count, missed)), &weight)| {
                (sum.0 + count * f64::from(weight), sum.1 + missed * f64::from(weight))
            });
            weighed.1 / weighed.0
        })
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    percentiles(&rates)
}

struct Gallery<'a> {
    palms: Vec<Palm<'a>>,
}

struct Palm<'a> {
    /// None for made-up ones.
    identity: Option<Identity>,
    references: Vec<&'a Sample>,
}

impl<'a> Gallery<'a> {
    /// What a search compares with.
    fn references(&self) -> usize {
        self.palms.iter().map(|palm| palm.references.len()).sum()
    }

    fn new(plan: &Plan, searched: &Searched<'a>) -> Self {
        let samples = &searched.acquired.samples;
        let own = plan.enrolled.iter().map(|(identity, references)| Palm {
            identity: Some(*identity),
            references: references.iter().map(|&at| &samples[at]).collect(),
        });
        let background = searched.background.iter().take(plan.missing());
        let strangers = background.map(|sample| Palm { identity: None, references: vec![sample] });
        Self { palms: own.chain(strangers).collect() }
    }

    /// The two stages of the matcher: the nearest palms by embedding, then their codes.
    fn search(&self, probe: &Sample, own: Identity, model: &ScoreModel) -> Search {
        let mut near: Vec<(f32, usize)> = self
            .palms
            .iter()
            .enumerate()
            .map(|(at, palm)| (palm.references.iter().map(|r| cosine(probe, r)).fold(-1.0, f32::max), at))
            .collect();
        // One palm more than the matcher's, for the searches from which the own palm is taken out.
        if near.len() > VERIFIED_PALMS + 1 {
            near.select_nth_unstable_by(VERIFIED_PALMS, |a, b| b.0.total_cmp(&a.0));
            near.truncate(VERIFIED_PALMS + 1);
        }
        near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let codes = probe_codes(&probe.fields);
        let score = |palm: &Palm<'_>| {
            let scores = palm.references.iter().map(|reference| {
                let mut least = [u32::MAX];
                least_of_each(&codes, std::slice::from_ref(&**reference.code), &mut least);
                model.fused(cosine(probe, reference), distance(least[0])).value()
            });
            scores.fold(f32::NEG_INFINITY, f32::max)
        };
        let enrolled = self.palms.iter().any(|palm| palm.identity == Some(own));
        let (mut mated, mut best_other, mut other) = (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY);
        for (rank, &(_, at)) in near.iter().enumerate() {
            let palm = &self.palms[at];
            let relation = palm.identity.map_or(Relation::NonMated, |identity| identity.relation(own));
            match relation {
                Relation::Mated if rank < VERIFIED_PALMS => mated = score(palm),
                Relation::NonMated => {
                    other = other.max(score(palm));
                    if rank < VERIFIED_PALMS {
                        best_other = best_other.max(other);
                    }
                }
                Relation::Mated | Relation::Unclear => {}
            }
        }
        let first = if mated > best_other { mated } else { f32::NEG_INFINITY };
        Search { subject: own.subject, mated: enrolled.then_some(first), other }
    }
}

fn cosine(a: &Sample, b: &Sample) -> f32 {
    dot(&a.embedding[..], &b.embedding[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::Extractor;
    use crate::made_up::{self, MadeUp};
    use crate::manifest::Hand;
    use volar_palm::pipeline::PipelineConfig;

    #[test]
    fn made_up_people_are_found_and_strangers_are_not() {
        let extractor = Extractor::new(PipelineConfig::default());
        let (rows, samples) = made_up::samples(&MadeUp { first: 9_100_000, palms: 8, captures: 4 }, &extractor);
        let (_, background) = made_up::samples(&MadeUp { first: 9_200_000, palms: 12, captures: 1 }, &extractor);
        let manifest = Manifest { rows, ..Manifest::default() };
        let acquired = Acquired {
            samples,
            failures: Vec::new(),
            unreadable: Vec::new(),
            milliseconds_per_template: None,
            model: extractor.model(),
        };
        let model = ScoreModel::for_model(&extractor.model()).expect("shipped");
        let size = Size { palms: 20, references: 2 };
        let plan = Plan::new(&manifest, &acquired, &size, &model);
        assert_eq!((plan.enrolled.len(), plan.missing()), (8, 12));
        let searched = Searched { manifest: &manifest, acquired: &acquired, background: &background };
        let found = measure(&plan, &searched, &model);
        assert_eq!((found.gallery_size, found.background, found.references_per_palm), (20, 12, 1));
        assert_eq!(found.mated_searches as usize, acquired.samples.len() - 8);
        assert_eq!(found.non_mated_searches, found.mated_searches);
        assert!(found.rank_1.expect("searches").rate > 0.6, "{:?}", found.rank_1);
        assert!(found.fnir_at_fpir.values().all(Option::is_none), "24 searches support no rate");
        assert_eq!(found.operating_point.expect("searches").false_positives, 0);

        // With room for five only, the other three search as strangers.
        let plan = Plan::new(&manifest, &acquired, &Size { palms: 5, ..size }, &model);
        assert_eq!(plan.missing(), 0);
        let found = measure(&plan, &Searched { background: &[], ..searched }, &model);
        assert!(found.mated_searches < found.non_mated_searches);
        assert_eq!(plan.identities[0].hand, Hand::Left);
    }
}
