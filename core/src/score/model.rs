//! The score model: what `volar-eval calibrate` learns of one template model, as a file that is checked when read.

use serde::{Deserialize, Serialize};

use super::{Likelihood, Score, Strangers, TargetFpir};
use crate::id::ModelId;

/// The file format that this version reads and writes.
const FORMAT: u32 = 1;
/// Longest score model file taken, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Weights, scores and scales beyond this are not what any comparison of palms gives.
const NUMBER_MAX: f64 = 1e6;

/// A gallery counts as at least this large. A small one could do with a lower threshold, but a shop that opens today
/// has this many references soon, and a tail is least to be trusted where it is thickest.
const REFERENCES_MIN: usize = 1_000;

/// The score models that come with this version, one for each template model.
const SHIPPED: [(&str, &str); 1] = [("palm-lines-3", include_str!("palm-lines-3.toml"))];

/// Why a file is not a score model that can be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreModelError {
    /// None comes with this version.
    #[error("template model \"{model}\" has no score model here, known are: {known}; `volar-eval calibrate` makes one")]
    UnknownModel {
        /// Model asked for.
        model: ModelId,
        /// Models that have one.
        known: String,
    },
    /// Learnt for another template model.
    #[error("the score model is for template model \"{found}\", the templates are of \"{wanted}\"")]
    WrongModel {
        /// The templates' model.
        wanted: ModelId,
        /// The file's.
        found: ModelId,
    },
    /// Not TOML, or not these fields.
    #[error("not a score model: {reason}")]
    Syntax {
        /// Line and fault.
        reason: String,
    },
    /// Written by another version.
    #[error("the score model has format {found}, this version reads format {FORMAT}; run `volar-eval calibrate` again")]
    Format {
        /// Format received.
        found: u32,
    },
    /// NaN or infinite.
    #[error("{field} is not a finite number")]
    NotFinite {
        /// Which number.
        field: &'static str,
    },
    /// More agreement would lower the score.
    #[error("{field} is {found}: more agreement must mean a higher score, so it must be above 0")]
    NotMonotone {
        /// Which weight.
        field: &'static str,
        /// Number received.
        found: f64,
    },
    /// A number that no calibration gives.
    #[error("{field} is {found}, must be {rule}")]
    OutOfRange {
        /// Which number.
        field: &'static str,
        /// Number received.
        found: f64,
        /// What it must be.
        rule: &'static str,
    },
}

/// The sum of two comparisons, in strangers' standard deviations: the direction in which most mated comparisons
/// stand clear of strangers' tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fusion {
    /// Per unit of cosine. Above 0.
    pub cosine: f64,
    /// Per unit of the code's nearness, 1 - distance. Above 0.
    pub nearness: f64,
}

impl Fusion {
    /// The sum.
    pub fn sum(&self, cosine: f32, code_distance: f32) -> f64 {
        self.cosine * f64::from(cosine) + self.nearness * (1.0 - f64::from(code_distance))
    }
}

/// What a score model was learnt from, for people to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learnt {
    /// Which data.
    pub data: String,
    /// Palms in it.
    pub palms: u64,
    /// Mated comparisons.
    pub mated: u64,
    /// Non-mated comparisons.
    pub non_mated: u64,
}

/// How captures of one palm and of two palms compare under one template model: what a matcher needs to turn two
/// comparisons into a [`Score`] and a target FPIR into a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreModel {
    /// File format.
    format: u32,
    /// The template model whose comparisons it scores.
    model: ModelId,
    learnt: Learnt,
    fusion: Fusion,
    strangers: Strangers,
    likelihood: Likelihood,
}

impl ScoreModel {
    /// A score model of checked parts.
    pub fn new(
        model: ModelId,
        learnt: Learnt,
        fusion: Fusion,
        strangers: Strangers,
        likelihood: Likelihood,
    ) -> Result<Self, ScoreModelError> {
        Self { format: FORMAT, model, learnt, fusion, strangers, likelihood }.checked()
    }

    /// The score model that comes with this version for a template model. No real person's palm went into it.
    pub fn for_model(model: &ModelId) -> Result<Self, ScoreModelError> {
        let known = || SHIPPED.map(|(name, _)| name).join(", ");
        let unknown = || ScoreModelError::UnknownModel { model: model.clone(), known: known() };
        let (_, text) = SHIPPED.iter().find(|(name, _)| *name == model.as_str()).ok_or_else(unknown)?;
        Self::from_toml(text)?.made_for(model)
    }

    /// Reads what [`ScoreModel::to_toml`] wrote, and checks it.
    pub fn from_toml(text: &str) -> Result<Self, ScoreModelError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let syntax = |error: toml::de::Error| ScoreModelError::Syntax { reason: error.to_string() };
        if text.len() > FILE_BYTES_MAX {
            return Err(ScoreModelError::Syntax { reason: format!("longer than {FILE_BYTES_MAX} bytes") });
        }
        // The format first: a later one may have other fields.
        let Head { format } = toml::from_str(text).map_err(syntax)?;
        if format != FORMAT {
            return Err(ScoreModelError::Format { found: format });
        }
        toml::from_str::<Self>(text).map_err(syntax)?.checked()
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(self).expect("numbers, texts and tables are TOML");
        format!("# A Volar score model, written by `volar-eval calibrate`. Not to be edited.\n{text}")
    }

    /// This score model, if it was learnt for the templates at hand.
    pub fn made_for(self, model: &ModelId) -> Result<Self, ScoreModelError> {
        if self.model == *model {
            Ok(self)
        } else {
            Err(ScoreModelError::WrongModel { wanted: model.clone(), found: self.model })
        }
    }

    /// The template model whose comparisons it scores.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// What it was learnt from.
    pub fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// How comparisons are summed.
    pub fn fusion(&self) -> &Fusion {
        &self.fusion
    }

    /// How strangers' sums are distributed.
    pub fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// One score from a cosine (-1 to 1) and a code distance (0 to 1; the smallest over a probe's codes). Numbers that
    /// are not finite count as no agreement at all.
    pub fn fused(&self, cosine: f32, code_distance: f32) -> Score {
        if !(cosine.is_finite() && code_distance.is_finite()) {
            return Score::LEAST;
        }
        self.score_of_sum(self.fusion.sum(cosine, code_distance))
    }

    /// The score that a search of so many enrolled `references` must reach so that a stranger gets a result in at most
    /// `target` of the searches. Fewer than 1,000 references count as 1,000.
    ///
    /// The false match rate of one comparison that keeps the target ([`TargetFpir::false_match_rate`]), put on the
    /// strangers' modelled tail with its safety margin ([`Strangers::margin`]).
    pub fn threshold(&self, target: TargetFpir, references: usize) -> Score {
        self.score_of_sum(self.strangers.sum(target.false_match_rate(references.max(REFERENCES_MIN))))
    }

    /// 95 % interval of [`ScoreModel::threshold`]: what it might have been, learnt from other made-up subjects. What
    /// made-up subjects cannot show at all is what the safety margin is for.
    pub fn threshold_interval(&self, target: TargetFpir, references: usize) -> (Score, Score) {
        let (low, high) = self.strangers.sum_interval(target.false_match_rate(references.max(REFERENCES_MIN)));
        (self.score_of_sum(low), self.score_of_sum(high))
    }

    /// The modelled false match rate of one comparison at a threshold of `score`, safety margin included; no more than
    /// the tail's share, since the model knows nothing below the tail.
    pub fn impostor_tail(&self, score: Score) -> f64 {
        self.strangers.rate(self.likelihood.sum(f64::from(score.value())))
    }

    fn score_of_sum(&self, sum: f64) -> Score {
        Score::from_decades(self.likelihood.decades(sum))
    }

    fn checked(self) -> Result<Self, ScoreModelError> {
        let Fusion { cosine, nearness } = self.fusion;
        let Strangers { mean, from, margin, tail, ref resampled } = self.strangers;
        let number = |field, found: f64| match found.is_finite() {
            false => Err(ScoreModelError::NotFinite { field }),
            true if found.abs() > NUMBER_MAX => {
                Err(ScoreModelError::OutOfRange { field, found, rule: "between -1,000,000 and 1,000,000" })
            }
            true => Ok(()),
        };
        for (field, found) in [("fusion.cosine", cosine), ("fusion.nearness", nearness)] {
            number(field, found)?;
            if found <= 0.0 {
                return Err(ScoreModelError::NotMonotone { field, found });
            }
        }
        number("strangers.mean", mean)?;
        number("strangers.from", from)?;
        number("strangers.margin", margin)?;
        let within = |field, found, fits: bool, rule| {
            if fits { Ok(()) } else { Err(ScoreModelError::OutOfRange { field, found, rule }) }
        };
        within("strangers.margin", margin, (1.0..=10.0).contains(&margin), "1 to 10")?;
        within("strangers.from", from, from > mean, "above strangers.mean")?;
        let own = ["strangers.tail.share", "strangers.tail.scale", "strangers.tail.shape"];
        let rows = resampled.iter().map(|&row| (["strangers.resampled"; 3], row));
        for (fields, numbers) in rows.chain([(own, [tail.share, tail.scale, tail.shape])]) {
            for (field, found) in fields.into_iter().zip(numbers) {
                number(field, found)?;
            }
            let [share, scale, shape] = numbers;
            within(fields[0], share, share > 0.0 && share <= 0.1, "a share above 0 and at most 0.1")?;
            within(fields[1], scale, scale > 0.0, "a scale above 0")?;
            within(fields[2], shape, (0.0..=0.9).contains(&shape), "a shape of 0 to 0.9")?;
        }
        let knots = &self.likelihood.knots;
        for &found in knots.iter().flatten() {
            number("likelihood.knots", found)?;
        }
        within("likelihood.knots", knots.len() as f64, (2..=1_000).contains(&knots.len()), "2 to 1,000 knots")?;
        match knots.windows(2).find(|pair| pair[1][0] <= pair[0][0] || pair[1][1] <= pair[0][1]) {
            Some(pair) => Err(ScoreModelError::NotMonotone {
                field: "the rise from one of likelihood.knots to the next",
                found: pair[1][1] - pair[0][1],
            }),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ScoreModel {
        ScoreModel::for_model(&SHIPPED[0].0.parse().expect("a slug")).expect("shipped")
    }

    #[test]
    fn every_shipped_model_reads_and_writes_itself() {
        for (name, text) in SHIPPED {
            let model = ScoreModel::for_model(&name.parse().expect("a slug")).expect(name);
            assert_eq!(model.model().as_str(), name);
            assert_eq!(model.to_toml(), text, "{name}");
        }
    }

    #[test]
    fn agreement_of_either_kind_raises_the_score() {
        let model = model();
        let mut last = Score::LEAST;
        for step in 0..100 {
            let share = step as f32 / 100.0;
            let score = model.fused(share, 0.45);
            assert!(score > last && score < model.fused(share, 0.44), "{step}: {score} after {last}");
            last = score;
        }
    }

    #[test]
    fn strangers_score_little_and_the_same_capture_scores_beyond_any_threshold() {
        let model = model();
        assert!(model.fused(0.0, 0.45).value() < 0.0);
        let billion = model.threshold(TargetFpir::new(1e-9).expect("a rate"), 1_000_000_000);
        assert!(model.fused(1.0, 0.0) > billion, "{billion}");
    }

    #[test]
    fn numbers_out_of_range_are_no_agreement() {
        let model = model();
        for (cosine, distance) in [(f32::NAN, 0.1), (0.9, f32::NAN), (f32::INFINITY, f32::NEG_INFINITY)] {
            assert_eq!(model.fused(cosine, distance), Score::LEAST, "{cosine} {distance}");
        }
    }

    #[test]
    fn thresholds_keep_the_target_over_the_whole_search() {
        let model = model();
        for target in [0.1, 1e-3, 1e-6] {
            let target = TargetFpir::new(target).expect("a rate");
            let mut last = Score::LEAST;
            for palms in [1_000, 10_000, 1_000_000] {
                let threshold = model.threshold(target, palms);
                let none = (palms as f64 * (-model.impostor_tail(threshold)).ln_1p()).exp();
                assert!(((1.0 - none) / target.value() - 1.0).abs() < 1e-2, "{palms}: {}", 1.0 - none);
                let (low, high) = model.threshold_interval(target, palms);
                assert!(last < threshold && low <= threshold && threshold <= high, "{palms}");
                last = threshold;
            }
            for small in [0, 1, 10] {
                assert_eq!(model.threshold(target, small), model.threshold(target, REFERENCES_MIN));
            }
        }
    }

    #[test]
    fn a_model_that_nobody_calibrated_is_refused() {
        let other: ModelId = "someone-elses-2".parse().expect("a slug");
        let message = ScoreModel::for_model(&other).expect_err("must be refused").to_string();
        assert!(message.contains("someone-elses-2") && message.contains(SHIPPED[0].0), "{message}");
        let error = model().made_for(&other).expect_err("must be refused");
        assert!(matches!(error, ScoreModelError::WrongModel { .. }), "{error}");
    }

    /// The shipped model with one line changed.
    fn changed(field: &str, to: &str) -> ScoreModelError {
        let text = model().to_toml();
        let line = text.lines().find(|line| line.starts_with(&format!("{field} = "))).expect("a line of the file");
        ScoreModel::from_toml(&text.replacen(line, &format!("{field} = {to}"), 1)).expect_err(field)
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        assert!(matches!(changed("format", "2"), ScoreModelError::Format { found: 2 }));
        assert!(matches!(changed("model", "\"Not A Slug\""), ScoreModelError::Syntax { .. }));
        assert!(matches!(changed("palms", "-1"), ScoreModelError::Syntax { .. }));
        assert_eq!(changed("mean", "nan"), ScoreModelError::NotFinite { field: "strangers.mean" });
        assert_eq!(changed("cosine", "inf"), ScoreModelError::NotFinite { field: "fusion.cosine" });
        let error = changed("nearness", "-3.0");
        assert_eq!(error, ScoreModelError::NotMonotone { field: "fusion.nearness", found: -3.0 });
        assert!(matches!(changed("cosine", "0.0"), ScoreModelError::NotMonotone { .. }));
        for knots in ["[[0.0, 0.0], [1.0, -1.0]]", "[[1.0, 0.0], [1.0, 1.0]]", "[[0.0, 1.0], [1.0, 1.0]]"] {
            assert!(matches!(changed("knots", knots), ScoreModelError::NotMonotone { .. }), "{knots}");
        }
        assert_eq!(
            changed("knots", "[[0.0, nan], [1.0, 1.0]]"),
            ScoreModelError::NotFinite { field: "likelihood.knots" }
        );
        for (field, to) in [
            ("margin", "0.5"),
            ("share", "0.0"),
            ("share", "0.5"),
            ("scale", "0.0"),
            ("shape", "-0.1"),
            ("mean", "9000.0"),
            ("from", "1e300"),
            ("knots", "[[0.0, 0.0]]"),
        ] {
            assert!(matches!(changed(field, to), ScoreModelError::OutOfRange { .. }), "{field} = {to}");
        }
        assert!(matches!(ScoreModel::from_toml("unknown = 1"), Err(ScoreModelError::Syntax { .. })));
        let text = model().to_toml() + "\n[more]\nx = 1\n";
        assert!(matches!(ScoreModel::from_toml(&text), Err(ScoreModelError::Syntax { .. })));
    }
}
