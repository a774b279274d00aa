//! From two comparisons of a palm, the cosine of its embedding and the distance of its orientation code, to one
//! score whose meaning is a false match rate, and from a target FPIR to the score that keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ModelId;
use crate::log_safe::LogSafe;

/// Why a score, a rate or a score model cannot be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// Not above 0 and below 1.
    #[error("target FPIR is {found}, must be above 0 and below 1 (0.001 admits a stranger once in 1,000 searches)")]
    TargetFpir {
        /// Rate received.
        found: f64,
    },
    /// No calibration was measured for this model.
    #[error("model \"{model}\" has no score calibration, known is: {KNOWN_MODEL}")]
    UnknownModel {
        /// Model asked for.
        model: ModelId,
    },
}

/// How strongly two palms agree, in decades of false match rate: strangers reach a score of 5 in one of 100,000
/// comparisons. 0 says nothing; mated comparisons mostly lie above 8.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Score(f32);

impl Score {
    /// The decades.
    pub fn value(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2}", self.0)
    }
}

impl LogSafe for Score {}

/// Share of searches by people who are not enrolled that may return somebody (ISO/IEC 19795-1: false positive
/// identification rate). Above 0, below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct TargetFpir(f64);

impl TargetFpir {
    /// A rate above 0 and below 1.
    pub fn new(rate: f64) -> Result<Self, ScoreError> {
        if rate > 0.0 && rate < 1.0 { Ok(Self(rate)) } else { Err(ScoreError::TargetFpir { found: rate }) }
    }

    /// The rate.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for TargetFpir {
    type Error = ScoreError;
    fn try_from(rate: f64) -> Result<Self, ScoreError> {
        Self::new(rate)
    }
}

impl From<TargetFpir> for f64 {
    fn from(rate: TargetFpir) -> f64 {
        rate.0
    }
}

/// How strangers score under one template model: what a matcher needs to turn two comparisons into a [`Score`] and a
/// target FPIR into a threshold.
///
/// Cosine and nearness are each brought to the scale of strangers' and added; a score is the share of a normal
/// distribution above that sum.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreModel {
    /// The template model that it was measured on.
    pub model: ModelId,
    /// Mean cosine of non-mated comparisons.
    pub cosine_mean: f64,
    /// Standard deviation of that cosine, safety factor included.
    pub cosine_deviation: f64,
    /// Mean code distance of non-mated comparisons, smallest over the shifts and rotations of a probe.
    pub distance_mean: f64,
    /// Standard deviation of that distance, safety factor included.
    pub distance_deviation: f64,
    /// Correlation of cosine and nearness (negated distance) between strangers, as assumed.
    pub correlation: f64,
}

const KNOWN_MODEL: &str = "oriented-filters-1";

/// Measured by `cargo run --release -p volar-palm --example calibrate_scores`; see [`ScoreModel::for_model`].
mod oriented_filters_1 {
    pub(super) const COSINE_MEAN: f64 = 0.0011;
    pub(super) const COSINE_DEVIATION: f64 = 0.0671;
    pub(super) const DISTANCE_MEAN: f64 = 0.4514;
    pub(super) const DISTANCE_DEVIATION: f64 = 0.0082;
}

/// Made-up palms share no sensor, no room and no population, so strangers among them spread less than they will in
/// service, by an amount that they cannot show. The engineer's answer to a load that cannot be measured beforehand is
/// a factor: strangers are taken to spread twice as wide as measured.
const SAFETY_FACTOR: f64 = 2.0;

/// And what embedding and code say of two strangers is taken to agree fully, the worst case: then one lends the other
/// no strength.
const CORRELATION: f64 = 1.0;

/// A gallery counts as at least this large. A small one could do with a lower threshold, but a shop that opens today
/// has this many palms soon, and a normal tail is least to be trusted where it is thickest.
const PALMS_MIN: usize = 1_000;

impl ScoreModel {
    /// The calibration of a template model.
    ///
    /// `oriented-filters-1`: means and deviations of 89,700 non-mated comparisons of 300 made-up palms (two
    /// presentations each, people 6,000,000 to 6,000,149), with a safety factor for what those cannot show. No real
    /// person's palm went into any of these numbers.
    pub fn for_model(model: &ModelId) -> Result<Self, ScoreError> {
        if model.as_str() != KNOWN_MODEL {
            return Err(ScoreError::UnknownModel { model: model.clone() });
        }
        use oriented_filters_1 as measured;
        Ok(Self {
            model: model.clone(),
            cosine_mean: measured::COSINE_MEAN,
            cosine_deviation: measured::COSINE_DEVIATION * SAFETY_FACTOR,
            distance_mean: measured::DISTANCE_MEAN,
            distance_deviation: measured::DISTANCE_DEVIATION * SAFETY_FACTOR,
            correlation: CORRELATION,
        })
    }

    /// One score from a cosine (-1 to 1) and a code distance (0 to 1; the smallest over a probe's codes). Numbers that
    /// are not finite count as no agreement at all.
    pub fn fused(&self, cosine: f32, code_distance: f32) -> Score {
        let cosine = (f64::from(cosine) - self.cosine_mean) / self.cosine_deviation;
        let nearness = (self.distance_mean - f64::from(code_distance)) / self.distance_deviation;
        let sum = (cosine + nearness) / (2.0 + 2.0 * self.correlation).sqrt();
        Score(if sum.is_finite() { -normal_tail_log10(sum) as f32 } else { 0.0 })
    }

    /// The score that a search of `palms` enrolled palms must reach so that a stranger gets a result in at most
    /// `target` of the searches: the false match rate of one comparison that leaves `1 - target` of the searches
    /// without any, 1 - (1 - target)^(1 / palms). Fewer than 1,000 palms count as 1,000.
    ///
    /// | target FPIR | up to 1,000 palms | 10,000 | 1,000,000 |
    /// |---|---|---|---|
    /// | 0.01 | 5.0 | 6.0 | 8.0 |
    /// | 0.001 | 6.0 | 7.0 | 9.0 |
    pub fn threshold(&self, target: TargetFpir, palms: usize) -> Score {
        let ln_kept = (-target.value()).ln_1p() / palms.max(PALMS_MIN) as f64;
        Score(-(-ln_kept.exp_m1()).log10() as f32)
    }

    /// The false match rate of one comparison at a threshold of `score`: the share of non-mated comparisons that
    /// reach it, 10^-score.
    pub fn impostor_tail(&self, score: Score) -> f64 {
        10_f64.powf(-f64::from(score.0)).min(1.0)
    }
}

/// Decimal logarithm of the standard normal distribution's share above `z`. Relative error of the share below 2e-7
/// (Press et al., Numerical Recipes, 3rd ed., section 6.2.2).
fn normal_tail_log10(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let ln_erfc = t.ln() - x * x + polynomial.iter().fold(0.0, |sum, factor| sum * t + factor);
    let upper = ln_erfc - std::f64::consts::LN_2;
    let ln = if z >= 0.0 { upper } else { (-upper.exp()).ln_1p() };
    ln / std::f64::consts::LN_10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ScoreModel {
        ScoreModel::for_model(&KNOWN_MODEL.parse().expect("a slug")).expect("known")
    }

    #[test]
    fn normal_tail_follows_the_tables() {
        for (z, share) in
            [(0.0, 0.5), (1.0, 0.158_655_25), (-1.0, 0.841_344_75), (3.0, 1.349_898e-3), (6.0, 9.865_876e-10)]
        {
            let found = 10_f64.powf(normal_tail_log10(z));
            assert!((found / share - 1.0).abs() < 1e-5, "{z}: {found} for {share}");
        }
    }

    #[test]
    fn agreement_of_either_kind_raises_the_score() {
        let model = model();
        let mut last = Score(-1.0);
        for step in 0..100 {
            let share = step as f32 / 100.0;
            let score = model.fused(share, 0.45);
            assert!(score > last && score < model.fused(share, 0.44), "{step}: {score} after {last}");
            last = score;
        }
    }

    #[test]
    fn strangers_score_little_and_the_same_capture_scores_far_beyond_any_threshold() {
        let model = model();
        assert!(model.fused(model.cosine_mean as f32, model.distance_mean as f32).value() < 1.0);
        let billion = model.threshold(TargetFpir::new(1e-9).expect("a rate"), 1_000_000_000);
        assert!(model.fused(1.0, 0.0) > billion, "{billion}");
    }

    #[test]
    fn numbers_out_of_range_are_no_agreement() {
        let model = model();
        for (cosine, distance) in [(f32::NAN, 0.1), (0.9, f32::NAN), (f32::NEG_INFINITY, f32::NEG_INFINITY)] {
            assert_eq!(model.fused(cosine, distance), Score(0.0), "{cosine} {distance}");
        }
        assert!(model.fused(-1.0, 1.0).value() < 1e-6);
    }

    #[test]
    fn thresholds_keep_the_target_over_the_whole_search() {
        let model = model();
        for target in [0.5, 0.1, 1e-3, 1e-6] {
            for palms in [1_000, 10_000, 1_000_000] {
                let threshold = model.threshold(TargetFpir::new(target).expect("a rate"), palms);
                let none = (palms as f64 * (-model.impostor_tail(threshold)).ln_1p()).exp();
                assert!(((1.0 - none) / target - 1.0).abs() < 1e-3, "{target} of {palms}: {}", 1.0 - none);
            }
        }
        let target = TargetFpir::new(1e-3).expect("a rate");
        for small in [0, 1, 10] {
            assert_eq!(model.threshold(target, small), model.threshold(target, PALMS_MIN));
        }
    }

    #[test]
    fn rates_accept_and_reject() {
        for good in [1e-300, 1e-3, 0.999] {
            assert!(TargetFpir::new(good).is_ok(), "{good}");
        }
        for bad in [0.0, 1.0, -1e-3, 2.0, f64::NAN, f64::INFINITY] {
            assert!(TargetFpir::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_model_that_nobody_calibrated_is_refused() {
        let other: ModelId = "someone-elses-2".parse().expect("a slug");
        let message = ScoreModel::for_model(&other).expect_err("must be refused").to_string();
        assert!(message.contains("someone-elses-2") && message.contains(KNOWN_MODEL), "{message}");
    }
}
