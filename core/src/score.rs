//! From two comparisons of a palm, the cosine of its embedding and the distance of its orientation code, to one
//! score that is a likelihood ratio, and from a target FPIR to the score that keeps it.

mod likelihood;
mod model;
mod strangers;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::log_safe::LogSafe;

pub use likelihood::Likelihood;
pub use model::{Fusion, Learnt, ScoreModel, ScoreModelError};
pub use strangers::{Strangers, Tail};

/// Why a rate cannot be kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// Not above 0 and below 1.
    #[error("target FPIR is {found}, must be above 0 and below 1 (0.001 admits a stranger once in 1,000 searches)")]
    TargetFpir {
        /// Rate received.
        found: f64,
    },
}

/// How strongly two captures speak for being one palm: the decimal logarithm of the likelihood ratio. At 3 they are
/// 1,000 times as likely between captures of one palm as between two strangers' palms, at 0 they say nothing, and
/// below 0 they speak against it. From [`Score::LEAST`] to 99.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Score(f32);

impl Score {
    /// No agreement at all.
    pub const LEAST: Self = Self(-99.0);

    /// A score of `decades`, held to the range; what is not a number counts as no agreement.
    pub fn from_decades(decades: f64) -> Self {
        let Self(least) = Self::LEAST;
        Self(if decades.is_nan() { least } else { (decades as f32).clamp(least, -least) })
    }

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

    /// The false match rate of one comparison that leaves `1 - target` of the searches of so many `references` without
    /// any match: 1 - (1 - target)^(1 / references). References of one palm are alike, so in truth fewer searches match.
    pub fn false_match_rate(self, references: usize) -> f64 {
        let ln_kept = (-self.0).ln_1p() / references.max(1) as f64;
        -ln_kept.exp_m1()
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_rate_of_one_comparison_adds_up_over_a_search() {
        for (target, palms) in [(0.5, 1), (0.1, 1_000), (1e-3, 10_000), (1e-6, 1_000_000)] {
            let one = TargetFpir::new(target).expect("a rate").false_match_rate(palms);
            let any = -(palms as f64 * (-one).ln_1p()).exp_m1();
            assert!((any / target - 1.0).abs() < 1e-9, "{target} of {palms}: {any}");
        }
    }

    #[test]
    fn scores_stay_in_range() {
        assert_eq!(Score::from_decades(f64::NAN), Score::LEAST);
        assert_eq!(Score::from_decades(f64::NEG_INFINITY), Score::LEAST);
        assert_eq!(Score::from_decades(1e9).value(), 99.0);
        assert_eq!(Score::from_decades(2.5).value(), 2.5);
    }
}
