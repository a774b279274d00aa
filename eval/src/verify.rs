//! One-to-one evaluation: from samples and their scores to everything that the report says.

use std::collections::{BTreeMap, BTreeSet};

use volar_core::score::{ScoreModel, TargetFpir};

use crate::acquire::Acquired;
use crate::compare::{Comparable, Identity, Protocol, Relation, ScoreKind, Scorer, identities};
use crate::manifest::{Manifest, Row};
use crate::report::{
    Attack, Error, ErrorVersusDiscard, FailureToAcquire, FmrKey, Group, LeftOut, OperatingPoint, Verification,
};
use crate::statistics::bootstrap::{Weighed, intervals};
use crate::statistics::discard::{Judged, curve};
use crate::statistics::interval::{of_errors, rule_of_three};
use crate::statistics::rates::Scores;

/// False match rates at which true match rates are reported.
pub const RATES: [(&str, f64); 4] = [("1e-2", 1e-2), ("1e-3", 1e-3), ("1e-4", 1e-4), ("1e-5", 1e-5)];
/// The operating point of which the report says what it does: a gallery and the rate at which its searches may err.
const OPERATING_PALMS: usize = 10_000;
const OPERATING_FPIR: f64 = 1e-3;
/// Non-mated comparisons resampled one by one; the lower ones stand for several.
const RESAMPLED_TOP: usize = 100_000;
const RESAMPLED_REST: usize = 100_000;
/// For drawing subjects anew.
const SEED: u64 = 0xe7a1;
/// Least share of misses that an error-versus-discard curve starts from.
const DISCARD_MISSES: f64 = 0.02;
/// A group whose errors are so many times everyone's is marked (NIST SP 800-63A-4 allows a quarter more).
pub const GROUP_WORSE: f64 = 1.25;

/// What is asked.
pub struct Question<'a> {
    /// Which pairs.
    pub protocol: Protocol,
    /// Which score.
    pub score: ScoreKind,
    /// For fused scores.
    pub model: Option<&'a ScoreModel>,
}

/// Compares, counts and estimates.
pub fn measure(manifest: &Manifest, acquired: &Acquired, question: &Question<'_>) -> Verification {
    let rows = &manifest.rows;
    let identities = identities(rows);
    let living: Vec<_> = acquired.samples.iter().filter(|sample| rows[sample.row].species.is_none()).collect();
    let comparable = Comparable::new(&living, rows, &identities, question.protocol);
    let scorer = Scorer { kind: question.score, model: question.model };
    let table = comparable.scores(&scorer);

    let (mut mated, mut non_mated, mut unclear) = (Vec::new(), Vec::new(), 0);
    comparable.for_each(|probe, reference, relation| match relation {
        Relation::Mated => mated.push(table[probe][reference]),
        Relation::NonMated => non_mated.push(table[probe][reference]),
        Relation::Unclear => unclear += 1,
    });
    let scores = Scores::new(mated, non_mated);
    let equal_error = scores.equal_error();
    let (mated, non_mated) = (scores.mated().len() as u64, scores.non_mated().len() as u64);

    let support = rule_of_three(non_mated);
    let mut weighed = weigh(&comparable, &table, &scores);
    let population = comparable.population(question.protocol, rows);
    let resampled = intervals(&mut weighed, &population, &RATES.map(|(_, rate)| rate), SEED);
    let eer = equal_error.map(|equal| match equal.rate {
        rate if rate > 0.0 => Error { rate, interval: resampled.eer.unwrap_or([0.0, 1.0]) },
        rate => Error { rate, interval: [0.0, rule_of_three(mated)] },
    });
    let tmr = RATES.iter().zip(resampled.tmr).map(|(&(key, rate), interval)| {
        let supported = mated > 0 && support <= rate;
        let found = supported.then(|| {
            let threshold = scores.threshold_for(rate);
            let missed = scores.missed(threshold);
            let [low, high] = of_errors(missed, mated);
            let interval = interval.filter(|_| missed > 0).unwrap_or([1.0 - high, 1.0 - low]);
            FmrKey { tmr: 1.0 - missed as f64 / mated as f64, interval, threshold }
        });
        (key, found)
    });
    let tmr: BTreeMap<&'static str, Option<FmrKey>> = tmr.collect();

    // Groups and attacks at the strictest threshold that the data support, or else the equal error rate's.
    let strictest = tmr.values().flatten().map(|key| key.threshold).reduce(f32::max);
    let common_threshold = strictest.or(equal_error.map(|equal| equal.threshold)).unwrap_or(f32::INFINITY);
    let operating_point = question.model.and_then(|model| operating_point(model, &scores));
    let discard_threshold = discard_threshold(&scores, operating_point.as_ref());
    let judged = judge(&comparable, &table, discard_threshold);
    let groups = groups(&comparable, &table, rows, &scores, common_threshold);

    Verification {
        samples: (acquired.samples.len() + acquired.failures.len()) as u64,
        templates: acquired.samples.len() as u64,
        subjects: distinct(&attempted(acquired), |row| rows[row].subject.as_str()),
        palms: distinct(&attempted(acquired), |row| identities[row]),
        sessions: distinct(&attempted(acquired), |row| rows[row].session.as_str()),
        failure_to_acquire: failure_to_acquire(acquired),
        mated,
        non_mated,
        left_out: LeftOut {
            unclear_position: unclear,
            attacks: (acquired.samples.len() - living.len()) as u64,
            without_session: (living.len() - comparable.samples.len()) as u64,
        },
        eer,
        d_prime: scores.d_prime().map(|found| (found, resampled.d_prime)),
        eer_threshold: equal_error.map(|equal| equal.threshold),
        tmr_at_fmr: tmr,
        fmr_support: support,
        operating_point,
        per_group: groups,
        attacks: attacks(acquired, rows, &identities, &scorer, common_threshold),
        qualities: qualities(acquired),
        error_versus_discard: ErrorVersusDiscard { threshold: discard_threshold, points: curve(judged) },
        scores,
    }
}

/// Rows of which a picture was read.
pub(crate) fn attempted(acquired: &Acquired) -> Vec<usize> {
    let templates = acquired.samples.iter().map(|sample| sample.row);
    templates.chain(acquired.failures.iter().map(|failure| failure.row)).collect()
}

pub(crate) fn distinct<T: Ord>(rows: &[usize], of: impl Fn(usize) -> T) -> u64 {
    rows.iter().map(|&row| of(row)).collect::<BTreeSet<_>>().len() as u64
}

pub(crate) fn failure_to_acquire(acquired: &Acquired) -> FailureToAcquire {
    let (count, attempts) = (acquired.failures.len() as u64, (acquired.failures.len() + acquired.samples.len()) as u64);
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    for failure in &acquired.failures {
        *by_reason.entry(failure.reason.clone()).or_default() += 1;
    }
    let rate = count as f64 / (attempts as f64).max(1.0);
    FailureToAcquire { count, attempts, rate, interval: of_errors(count, attempts), by_reason }
}

/// All mated comparisons, the highest non-mated ones, and a share of the rest that stands for all of it.
fn weigh(comparable: &Comparable<'_>, table: &[Vec<f32>], scores: &Scores) -> Vec<Weighed> {
    let all = scores.non_mated();
    let top = all.len().checked_sub(RESAMPLED_TOP).map_or(f32::NEG_INFINITY, |at| all[at]);
    let rest = all.partition_point(|&score| score < top);
    let stride = rest.div_ceil(RESAMPLED_REST).max(1);
    let (mut weighed, mut passed) = (Vec::new(), 0_usize);
    comparable.for_each(|probe, reference, relation| {
        let score = table[probe][reference];
        let count = match relation {
            Relation::Mated => 1.0,
            Relation::NonMated if score >= top => 1.0,
            Relation::NonMated => {
                passed += 1;
                if passed % stride == 0 { stride as f32 } else { 0.0 }
            }
            Relation::Unclear => 0.0,
        };
        if count > 0.0 {
            let subjects = [probe, reference].map(|at| comparable.identity(at).subject);
            weighed.push(Weighed { score, mated: relation == Relation::Mated, subjects, count });
        }
    });
    weighed
}

/// Where errors are held against quality: the matcher's threshold, or one that misses a share of mated comparisons
/// where it misses too few to see anything in.
fn discard_threshold(scores: &Scores, point: Option<&OperatingPoint>) -> f32 {
    let mated = scores.mated();
    let misses = |threshold: f32| scores.missed(threshold) as f64 / (mated.len() as f64).max(1.0);
    let share = |share: f64| mated.get((share * mated.len() as f64) as usize).copied().unwrap_or(f32::INFINITY);
    point
        .map(|point| point.threshold)
        .filter(|&threshold| misses(threshold) >= DISCARD_MISSES)
        .unwrap_or_else(|| share(DISCARD_MISSES))
}

fn judge(comparable: &Comparable<'_>, table: &[Vec<f32>], threshold: f32) -> Vec<Judged> {
    let mut judged = Vec::new();
    comparable.for_each(|probe, reference, relation| {
        if relation == Relation::Mated {
            let quality = [probe, reference].map(|at| comparable.samples[at].quality).into_iter().min();
            let missed = table[probe][reference] < threshold;
            judged.push(Judged { quality: quality.expect("two captures"), missed });
        }
    });
    judged
}

/// What the matcher's threshold for a gallery of a size would do.
fn operating_point(model: &ScoreModel, scores: &Scores) -> Option<OperatingPoint> {
    let target = TargetFpir::new(OPERATING_FPIR).expect("a rate");
    let threshold = model.threshold(target, OPERATING_PALMS).value();
    let (low, high) = model.threshold_interval(target, OPERATING_PALMS);
    let error = |errors: u64, trials: usize| Error {
        rate: errors as f64 / (trials as f64).max(1.0),
        interval: of_errors(errors, trials as u64),
    };
    (!scores.mated().is_empty()).then(|| OperatingPoint {
        gallery_size: OPERATING_PALMS as u64,
        target_fpir: OPERATING_FPIR,
        threshold,
        threshold_interval: [low.value(), high.value()],
        missed: scores.missed(threshold),
        fnmr: error(scores.missed(threshold), scores.mated().len()),
        false_matches: scores.false_matches(threshold),
        fmr: error(scores.false_matches(threshold), scores.non_mated().len()),
    })
}

/// Each group against itself, at the threshold of all.
fn groups(
    comparable: &Comparable<'_>,
    table: &[Vec<f32>],
    rows: &[Row],
    all: &Scores,
    threshold: f32,
) -> BTreeMap<String, Group> {
    let group = |at: usize| rows[comparable.samples[at].row].group.as_deref();
    let mut members: BTreeMap<&str, BTreeSet<Identity>> = BTreeMap::new();
    let mut samples: BTreeMap<&str, u64> = BTreeMap::new();
    for at in 0..comparable.samples.len() {
        if let Some(name) = group(at) {
            members.entry(name).or_default().insert(comparable.identity(at));
            *samples.entry(name).or_default() += 1;
        }
    }
    if members.is_empty() {
        return BTreeMap::new();
    }
    let mut within: BTreeMap<&str, (Vec<f32>, Vec<f32>)> = BTreeMap::new();
    comparable.for_each(|probe, reference, relation| {
        let Some(name) = group(probe).filter(|_| group(probe) == group(reference)) else { return };
        let (mated, non_mated) = within.entry(name).or_default();
        match relation {
            Relation::Mated => mated.push(table[probe][reference]),
            Relation::NonMated => non_mated.push(table[probe][reference]),
            Relation::Unclear => {}
        }
    });
    let fnmr_of_all = all.at(threshold).fnmr;
    members
        .into_iter()
        .map(|(name, palms)| {
            let (mated, non_mated) = within.remove(name).unwrap_or_default();
            let scores = Scores::new(mated, non_mated);
            let (mated, non_mated) = (scores.mated().len() as u64, scores.non_mated().len() as u64);
            let at = scores.at(threshold);
            let (missed, matched) = (scores.missed(threshold), scores.false_matches(threshold));
            let worse = (fnmr_of_all > 0.0 && mated > 0).then(|| at.fnmr / fnmr_of_all);
            let group = Group {
                samples: samples[name],
                palms: palms.len() as u64,
                mated,
                non_mated,
                eer: scores.equal_error().map(|equal| equal.rate),
                fnmr: (mated > 0).then(|| Error { rate: at.fnmr, interval: of_errors(missed, mated) }),
                fmr: (non_mated > 0).then(|| Error { rate: at.fmr, interval: of_errors(matched, non_mated) }),
                fnmr_relative: worse,
                fmr_support: rule_of_three(non_mated),
            };
            (name.to_owned(), group)
        })
        .collect()
}

/// Each attack against the living captures of the palm that it imitates (ISO/IEC 30107-3: impostor attack
/// presentation accept rate), at the threshold of all.
fn attacks(
    acquired: &Acquired,
    rows: &[Row],
    identities: &[Identity],
    scorer: &Scorer<'_>,
    threshold: f32,
) -> BTreeMap<String, Attack> {
    let mut species: BTreeMap<String, Attack> = BTreeMap::new();
    for failure in &acquired.failures {
        if let Some(name) = &rows[failure.row].species {
            species.entry(name.clone()).or_default().not_acquired += 1;
        }
    }
    for attack in &acquired.samples {
        let Some(name) = &rows[attack.row].species else { continue };
        let living = acquired
            .samples
            .iter()
            .filter(|sample| rows[sample.row].species.is_none() && identities[sample.row] == identities[attack.row]);
        let best = living.map(|reference| scorer.score(attack, reference)).reduce(f32::max);
        let entry = species.entry(name.clone()).or_default();
        match best {
            None => entry.without_reference += 1,
            Some(best) => {
                entry.compared += 1;
                entry.accepted += u64::from(best >= threshold);
            }
        }
    }
    for attack in species.values_mut() {
        let attempts = attack.compared + attack.not_acquired;
        attack.rate = attack.accepted as f64 / (attempts as f64).max(1.0);
        attack.interval = of_errors(attack.accepted, attempts);
    }
    species
}

fn qualities(acquired: &Acquired) -> Vec<u64> {
    let mut counts = vec![0; 101];
    acquired.samples.iter().for_each(|sample| counts[usize::from(sample.quality)] += 1);
    counts
}
