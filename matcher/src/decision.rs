//! From scored candidates to what a gate does. Two operating points, each a rate of errors that an operator accepts;
//! what scores they are follows from the score model and the number of references searched.

use std::path::PathBuf;

use serde::Deserialize;
use volar_core::id::SubjectId;
use volar_core::nearness::VERIFIED_PALMS;
use volar_core::score::{Score, ScoreModel, ScoreModelError, TargetFpir};
use volar_core::template::Quality;

use crate::parameters::{
    ADMIT_FPIR, CLOSE_SECOND_DECADES, DUPLICATE_FPIR, QUALITY_MIN, STEP_UP_FPIR, VERIFIED_PALMS_MAX,
};
use crate::verify::Candidate;

/// `[decision]` in the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionPolicy {
    /// Share of strangers' searches that may admit somebody.
    pub admit_fpir: TargetFpir,
    /// Share of strangers' searches that may be asked for a second factor.
    pub step_up_fpir: TargetFpir,
    /// Share of honest new enrolments that may be flagged as duplicates.
    pub duplicate_fpir: TargetFpir,
    /// Whether a palm between the two is asked for one.
    pub second_factor: SecondFactor,
    /// Captures of lower quality are answered with RETRY.
    pub quality_min: Quality,
    /// Palms whose orientation codes are compared in each search, 1 to 1,000.
    pub verified_palms: usize,
    /// A score model that `volar-eval calibrate` wrote, in place of the one that comes with this version.
    pub score_model: Option<PathBuf>,
}

impl Default for DecisionPolicy {
    fn default() -> Self {
        let rate = |rate| TargetFpir::new(rate).expect("the default rates lie between 0 and 1");
        Self {
            admit_fpir: rate(ADMIT_FPIR),
            step_up_fpir: rate(STEP_UP_FPIR),
            duplicate_fpir: rate(DUPLICATE_FPIR),
            second_factor: SecondFactor::Off,
            quality_min: Quality::new(QUALITY_MIN).expect("the default lies between 0 and 100"),
            verified_palms: VERIFIED_PALMS,
            score_model: None,
        }
    }
}

/// What a palm that is recognised, not surely enough to be admitted, may do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    /// Nothing: staff helps.
    #[default]
    Off,
    /// Its owner may type their second factor at the gate.
    On,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Stepping up would ask more of a palm than admitting it.
    #[error(
        "decision.step_up_fpir is {step_up}, below decision.admit_fpir, which is {admit}: the step-up point must be \
         the laxer one"
    )]
    Order {
        /// Rate for admission.
        admit: f64,
        /// Rate for stepping up.
        step_up: f64,
    },
    /// Not 1 to 1,000.
    #[error("decision.verified_palms is {found}, must be 1 to {VERIFIED_PALMS_MAX}")]
    VerifiedPalms {
        /// Number configured.
        found: usize,
    },
    /// The score model's file is not there.
    #[error("cannot read decision.score_model {}: {reason}", path.display())]
    ScoreModelUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The score model's file is no score model.
    #[error("decision.score_model {}: {error}", path.display())]
    ScoreModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ScoreModelError,
    },
}

impl DecisionPolicy {
    /// Reads the score model that the settings name, if they name one.
    pub fn read_score_model(&self) -> Result<Option<ScoreModel>, PolicyError> {
        let Some(path) = &self.score_model else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| PolicyError::ScoreModelUnreadable { path: path.clone(), reason: error.to_string() })?;
        let invalid = |error| PolicyError::ScoreModel { path: path.clone(), error };
        ScoreModel::from_toml(&text).map(Some).map_err(invalid)
    }

    /// Checks what single settings cannot tell.
    pub fn check(&self) -> Result<(), PolicyError> {
        let (admit, step_up) = (self.admit_fpir.value(), self.step_up_fpir.value());
        if step_up < admit {
            return Err(PolicyError::Order { admit, step_up });
        }
        if !(1..=VERIFIED_PALMS_MAX).contains(&self.verified_palms) {
            return Err(PolicyError::VerifiedPalms { found: self.verified_palms });
        }
        Ok(())
    }

    /// The scores that both operating points are, in a search of so many `references`.
    pub fn thresholds(&self, model: &ScoreModel, references: usize) -> Thresholds {
        Thresholds {
            admit: model.threshold(self.admit_fpir, references),
            step_up: model.threshold(self.step_up_fpir, references),
        }
    }
}

/// The operating points as scores, for one size of gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here on a palm is admitted.
    pub admit: Score,
    /// From here on a second factor may help.
    pub step_up: Score,
}

/// What is to happen at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Recognised as this person.
    Admitted(SubjectId),
    /// Recognised, not surely enough to admit without a second factor.
    StepUp,
    /// Nobody in the gallery.
    NoMatch,
    /// The capture does not allow a decision.
    Retry,
    /// The lane is locked out, or a second factor was nobody's.
    Rejected,
}

impl Decision {
    /// The decision's word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::StepUp => "step-up",
            Self::NoMatch => "no-match",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
        }
    }
}

/// Why a decision came out as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// One subject, surely.
    Match,
    /// The best candidate does not reach the operating point.
    BelowThreshold,
    /// Another subject scores nearly as well.
    CloseSecond,
    /// The capture is too poor to compare.
    QualityLow,
    /// Nobody is enrolled.
    GalleryEmpty,
    /// Too many failures in a row on this lane.
    LockedOut,
    /// The digits typed are the candidate's.
    SecondFactor,
    /// The digits typed are no candidate's.
    SecondFactorRefused,
}

impl Reason {
    /// As `IdentifyResponse.reason` and `VerifySecondFactorResponse.reason` have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "MATCH",
            Self::BelowThreshold => "BELOW_THRESHOLD",
            Self::CloseSecond => "CLOSE_SECOND",
            Self::QualityLow => "QUALITY_LOW",
            Self::GalleryEmpty => "GALLERY_EMPTY",
            Self::LockedOut => "LOCKED_OUT",
            Self::SecondFactor => "SECOND_FACTOR",
            Self::SecondFactorRefused => "SECOND_FACTOR_REFUSED",
        }
    }
}

/// Decides on candidates, best first, one a subject.
///
/// A second candidate makes the best one ambiguous when it reaches the admission threshold too (two people cannot
/// both be this one), or comes within [`CLOSE_SECOND_DECADES`] of the best: then a wrong person might be charged.
pub fn decide(candidates: &[Candidate], thresholds: Thresholds) -> (Decision, Reason) {
    let Some(best) = candidates.first() else { return (Decision::NoMatch, Reason::GalleryEmpty) };
    if best.score < thresholds.step_up {
        return (Decision::NoMatch, Reason::BelowThreshold);
    }
    if best.score < thresholds.admit {
        return (Decision::StepUp, Reason::BelowThreshold);
    }
    let close = |second: &Candidate| {
        second.score >= thresholds.admit || best.score.value() - second.score.value() < CLOSE_SECOND_DECADES
    };
    if candidates.get(1).is_some_and(close) {
        return (Decision::StepUp, Reason::CloseSecond);
    }
    (Decision::Admitted(best.subject), Reason::Match)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn score(decades: f32) -> Score {
        Score::from_decades(decades.into())
    }

    fn outcome(admit: f32, step_up: f32, scores: &[f32]) -> (&'static str, Reason) {
        let thresholds = Thresholds { admit: score(admit), step_up: score(step_up) };
        let candidates: Vec<_> =
            scores.iter().zip(1..).map(|(&s, n)| Candidate { subject: testing::subject(n), score: score(s) }).collect();
        let (decision, reason) = decide(&candidates, thresholds);
        if let Decision::Admitted(subject) = decision {
            assert_eq!(subject, testing::subject(1), "the best is the one admitted");
        }
        (decision.as_str(), reason)
    }

    #[test]
    fn both_operating_points_and_a_close_second() {
        for (scores, decision, reason) in [
            (&[][..], "no-match", Reason::GalleryEmpty),
            (&[3.9], "no-match", Reason::BelowThreshold),
            (&[4.1], "step-up", Reason::BelowThreshold),
            (&[5.9, 5.8], "step-up", Reason::BelowThreshold),
            (&[6.1], "admitted", Reason::Match),
            (&[6.1, 4.0], "admitted", Reason::Match),
            (&[6.1, 4.3], "step-up", Reason::CloseSecond),
            (&[9.0, 5.9], "admitted", Reason::Match),
            (&[9.0, 6.1], "step-up", Reason::CloseSecond),
        ] {
            assert_eq!(outcome(6.0, 4.0, scores), (decision, reason), "{scores:?}");
        }
    }

    #[test]
    fn thresholds_grow_with_the_gallery() {
        let (policy, model) = (DecisionPolicy::default(), testing::score_model());
        let sizes = [1_000, 10_000, 100_000].map(|references| policy.thresholds(&model, references));
        assert!(sizes.windows(2).all(|pair| pair[0].admit < pair[1].admit && pair[0].step_up < pair[1].step_up));
        assert!(sizes.iter().all(|thresholds| thresholds.step_up < thresholds.admit));
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let rate = |rate| TargetFpir::new(rate).expect("a rate");
        let policy = DecisionPolicy { step_up_fpir: rate(1e-5), ..DecisionPolicy::default() };
        assert_eq!(policy.check(), Err(PolicyError::Order { admit: 1e-4, step_up: 1e-5 }));
        let policy = DecisionPolicy { verified_palms: 0, ..DecisionPolicy::default() };
        assert_eq!(policy.check(), Err(PolicyError::VerifiedPalms { found: 0 }));
        assert_eq!(DecisionPolicy::default().check(), Ok(()));
    }

    #[test]
    fn a_score_model_of_ones_own_is_read_and_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("score-model.toml");
        let policy = DecisionPolicy { score_model: Some(path.clone()), ..DecisionPolicy::default() };
        assert!(matches!(policy.read_score_model(), Err(PolicyError::ScoreModelUnreadable { .. })));
        let model = testing::score_model();
        std::fs::write(&path, model.to_toml()).expect("writable");
        assert_eq!(policy.read_score_model(), Ok(Some(model)));
        std::fs::write(&path, "format = 1").expect("writable");
        let error = policy.read_score_model().expect_err("no score model").to_string();
        assert!(error.contains("score-model.toml") && error.contains("not a score model"), "{error}");
        assert_eq!(DecisionPolicy::default().read_score_model(), Ok(None));
    }
}
