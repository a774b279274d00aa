//! What an evaluation found, as data: `report.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::identify::{FpirKey, Identification};
use crate::statistics::discard::Discard;
use crate::statistics::interval::Interval;
use crate::statistics::rates::Scores;

/// How intervals were made, for whoever reads the numbers.
pub const METHOD: &str = "95 % intervals. Equal error and true match rates, decidability: subjects drawn anew 500 times (bootstrap; \
    percentiles). Other shares: Wilson's score interval. Where no error was seen: the rule of three, 3/n, which counts \
    comparisons as independent although those of one person are not. A rate is given only where 3/n of the non-mated \
    comparisons is at most that rate.";

/// A rate of errors with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Error {
    /// The share.
    pub rate: f64,
    /// 95 %.
    pub interval: Interval,
}

/// Attempts without a template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureToAcquire {
    /// Failures.
    pub count: u64,
    /// Pictures that were read.
    pub attempts: u64,
    /// Share.
    pub rate: f64,
    /// 95 %.
    pub interval: Interval,
    /// Failures of each reason.
    pub by_reason: BTreeMap<String, u64>,
}

/// True match rate at a false match rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FmrKey {
    /// Share of mated comparisons that match.
    pub tmr: f64,
    /// 95 %.
    pub interval: Interval,
    /// The threshold.
    pub threshold: f32,
}

/// What was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Pairs of one subject of which one position is unknown.
    pub unclear_position: u64,
    /// Templates of presentation attacks, evaluated on their own.
    pub attacks: u64,
    /// Templates without a session, where sessions count.
    pub without_session: u64,
}

/// What the matcher's threshold does to these data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Palms of the gallery that the threshold is for.
    pub gallery_size: u64,
    /// Share of strangers' searches that may return somebody.
    pub target_fpir: f64,
    /// The threshold that the score model gives.
    pub threshold: f32,
    /// 95 %, for what the calibration's subjects leave open.
    pub threshold_interval: [f32; 2],
    /// Mated comparisons below it.
    pub missed: u64,
    /// Their share.
    pub fnmr: Error,
    /// Non-mated comparisons that reach it.
    pub false_matches: u64,
    /// Their share.
    pub fmr: Error,
}

/// A group against itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Templates.
    pub samples: u64,
    /// Palms.
    pub palms: u64,
    /// Mated comparisons.
    pub mated: u64,
    /// Non-mated comparisons.
    pub non_mated: u64,
    /// Equal error rate.
    pub eer: Option<f64>,
    /// False non-match rate at everyone's threshold.
    pub fnmr: Option<Error>,
    /// False match rate at everyone's threshold.
    pub fmr: Option<Error>,
    /// False non-match rate over everyone's; none where nobody was missed.
    pub fnmr_relative: Option<f64>,
    /// Smallest false match rate that the group's comparisons support.
    pub fmr_support: f64,
}

/// A species of presentation attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Attack {
    /// Compared with the palm that it imitates.
    pub compared: u64,
    /// Accepted as that palm at the threshold.
    pub accepted: u64,
    /// No template made of it.
    pub not_acquired: u64,
    /// The manifest has no living capture of that palm.
    pub without_reference: u64,
    /// Accepted of those attempted.
    pub rate: f64,
    /// 95 %.
    pub interval: Interval,
}

/// Errors against quality.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorVersusDiscard {
    /// The threshold, the same for every point.
    pub threshold: f32,
    /// From nothing put aside to half.
    pub points: Vec<Discard>,
}

/// A one-to-one evaluation.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Pictures that were read.
    pub samples: u64,
    /// Templates made of them.
    pub templates: u64,
    /// People.
    pub subjects: u64,
    /// Palms.
    pub palms: u64,
    /// Sessions.
    pub sessions: u64,
    /// Attempts without a template.
    pub failure_to_acquire: FailureToAcquire,
    /// Mated comparisons.
    pub mated: u64,
    /// Non-mated comparisons.
    pub non_mated: u64,
    /// What was not compared.
    pub left_out: LeftOut,
    /// Equal error rate.
    pub eer: Option<Error>,
    /// The threshold there.
    pub eer_threshold: Option<f32>,
    /// Decidability d' with its 95 % interval.
    pub d_prime: Option<(f64, Option<Interval>)>,
    /// True match rates; none where the data cannot support the rate.
    pub tmr_at_fmr: BTreeMap<&'static str, Option<FmrKey>>,
    /// Smallest false match rate that the data support, 3/n.
    pub fmr_support: f64,
    /// What the matcher's threshold does; of fused scores only.
    pub operating_point: Option<OperatingPoint>,
    /// By the manifest's group column.
    pub per_group: BTreeMap<String, Group>,
    /// By the manifest's species column.
    pub attacks: BTreeMap<String, Attack>,
    /// Templates of each quality, 0 to 100.
    pub qualities: Vec<u64>,
    /// Errors against quality.
    pub error_versus_discard: ErrorVersusDiscard,
    /// Every score.
    pub scores: Scores,
}

impl Verification {
    /// The keys of `report.json` that say what was found.
    pub fn to_json(&self) -> Value {
        let tmr = |pick: &dyn Fn(&FmrKey) -> Value| -> Value {
            let keys = self.tmr_at_fmr.iter();
            keys.map(|(key, found)| ((*key).to_owned(), found.as_ref().map_or(Value::Null, pick))).collect()
        };
        json!({
            "samples": self.samples,
            "templates": self.templates,
            "subjects": self.subjects,
            "palms": self.palms,
            "sessions": self.sessions,
            "failure_to_acquire": self.failure_to_acquire,
            "mated": self.mated,
            "non_mated": self.non_mated,
            "left_out": self.left_out,
            "eer": self.eer.map(|eer| eer.rate),
            "eer_interval": self.eer.map(|eer| eer.interval),
            "eer_threshold": self.eer_threshold,
            "d_prime": self.d_prime.map(|(found, _)| found),
            "d_prime_interval": self.d_prime.and_then(|(_, interval)| interval),
            "tmr_at_fmr": tmr(&|key| json!(key.tmr)),
            "tmr_at_fmr_interval": tmr(&|key| json!(key.interval)),
            "fmr_support": self.fmr_support,
            "operating_point": self.operating_point,
            "per_group": self.per_group,
            "presentation_attacks": self.attacks,
            "error_versus_discard": self.error_versus_discard,
        })
    }
}

impl Identification {
    /// The keys of `report.json` that say what was found.
    pub fn to_json(&self) -> Value {
        let fnir = |pick: &dyn Fn(&FpirKey) -> Value| -> Value {
            let keys = self.fnir_at_fpir.iter();
            keys.map(|(key, found)| ((*key).to_owned(), found.as_ref().map_or(Value::Null, pick))).collect()
        };
        json!({
            "samples": self.samples,
            "subjects": self.subjects,
            "gallery_size": self.gallery_size,
            "enrolled": self.enrolled,
            "background": self.background,
            "references_per_palm": self.references_per_palm,
            "failure_to_acquire": self.failure_to_acquire,
            "mated_searches": self.mated_searches,
            "non_mated_searches": self.non_mated_searches,
            "rank_1": self.rank_1.map(|rank| rank.rate),
            "rank_1_interval": self.rank_1.map(|rank| rank.interval),
            "fnir_at_fpir": fnir(&|key| json!(key.fnir)),
            "fnir_at_fpir_interval": fnir(&|key| json!(key.interval)),
            "fpir_support": self.fpir_support,
            "operating_point": self.operating_point,
        })
    }
}
