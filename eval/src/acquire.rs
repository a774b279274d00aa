//! From rows to templates: every picture through the recognition, failures to acquire counted with their reason.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use volar_core::id::ModelId;
use volar_core::nearness::{CodeWords, reference_code};
use volar_core::template::{EMBEDDING_DIMENSIONS, OrientationField, Template};
use volar_palm::embedding::{self, Embedded, Embedder};
use volar_palm::guidance::Guidance;
use volar_palm::orientation::orientation_fields;
use volar_palm::pipeline::{Outcome, Pipeline, PipelineConfig};
use volar_palm::roi::RegionOfInterest;
use zeroize::Zeroizing;

use crate::manifest::{BadRow, Kind, Manifest, Row};
use crate::picture::{self, PictureError};
use crate::progress::Progress;
use crate::quality::roi_quality;

/// Templates whose making is timed, alone on one thread, before the others are made in parallel.
const TIMED: usize = 40;

/// A capture with its template in the form that comparing wants. Unprotected, in memory only.
pub struct Sample {
    /// Which row it was.
    pub row: usize,
    /// Quality, 0 to 100.
    pub quality: u8,
    /// The embedding, a unit vector.
    pub embedding: Box<Zeroizing<[f32; EMBEDDING_DIMENSIONS]>>,
    /// Orientation code as a reference has it.
    pub code: Box<Zeroizing<CodeWords>>,
    /// Orientation fields that a probe is made of.
    pub fields: Vec<OrientationField>,
}

/// A capture without a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which row it was.
    pub row: usize,
    /// Why, in a few words.
    pub reason: String,
}

/// What came of a manifest's rows.
pub struct Acquired {
    /// Templates in the manifest's order.
    pub samples: Vec<Sample>,
    /// Failures to acquire (ISO/IEC 19795-1: attempts of which the system makes no template).
    pub failures: Vec<Failure>,
    /// Rows whose picture could not be read: no attempts.
    pub unreadable: Vec<BadRow>,
    /// Median time from picture to template on one thread, decoding the file left out; none without a template.
    pub milliseconds_per_template: Option<f64>,
    /// The template model.
    pub model: ModelId,
}

/// Makes templates as kiosks and gates do.
pub struct Extractor {
    pipeline: Pipeline,
    embedder: Box<dyn Embedder>,
}

impl Extractor {
    /// With this version's embedder, for sensors mounted as `config` says.
    pub fn new(config: PipelineConfig) -> Self {
        Self { pipeline: Pipeline::new(embedding::shipped(), config), embedder: embedding::shipped() }
    }

    /// The template model.
    pub fn model(&self) -> ModelId {
        self.embedder.model()
    }

    /// The template of a region of interest, or why there is none.
    pub fn of_region(&self, region: &RegionOfInterest) -> Result<Sample, String> {
        let none = |error: embedding::EmbeddingError| match error {
            embedding::EmbeddingError::Featureless { .. } => "no lines on the palm square".to_owned(),
            embedding::EmbeddingError::Background { .. } => "palm square mostly beside the hand".to_owned(),
            embedding::EmbeddingError::Template(error) => error.to_string(),
        };
        let Embedded { embedding, clarity } = self.embedder.embed(region).map_err(none)?;
        let fields = orientation_fields(region).map_err(none)?;
        let quality = roi_quality(clarity, &fields[0]);
        Ok(sample(embedding.expose(), fields, quality))
    }

    fn of_picture(&self, picture: &opencv::core::Mat, kind: Kind) -> Result<Result<Sample, String>, PictureError> {
        if kind == Kind::Roi {
            return Ok(self.of_region(&picture::region(picture)?));
        }
        Ok(match self.pipeline.process(&picture::frame(picture)?) {
            Outcome::NoHand => Err("no hand".to_owned()),
            Outcome::Guidance { reason, .. } => Err(in_words(reason)),
            Outcome::Captured(capture) => {
                let quality = capture.quality.value();
                let Template { embedding, orientations, .. } = capture.template;
                Ok(sample(embedding.expose(), orientations, quality))
            }
        })
    }
}

/// Makes the templates of all rows.
pub fn acquire(manifest: &Manifest, config: &PipelineConfig) -> Acquired {
    let extractor = Extractor::new(config.clone());
    let rows = &manifest.rows;
    let progress = Progress::new("templates", rows.len() as u64);
    let (first, rest) = rows.split_at(rows.len().min(TIMED));
    let mut milliseconds = Vec::new();
    let mut outcomes: Vec<_> = first
        .iter()
        .map(|row| {
            let outcome = attempt(&extractor, row, &mut |time| milliseconds.push(time));
            progress.advance(1);
            outcome
        })
        .collect();
    outcomes.par_extend(rest.par_iter().map(|row| {
        let outcome = attempt(&extractor, row, &mut |_| {});
        progress.advance(1);
        outcome
    }));
    progress.finish();

    let mut acquired = Acquired {
        samples: Vec::new(),
        failures: Vec::new(),
        unreadable: Vec::new(),
        milliseconds_per_template: median(milliseconds),
        model: extractor.model(),
    };
    for (row, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(Ok(sample)) => acquired.samples.push(Sample { row, ..sample }),
            Ok(Err(reason)) => acquired.failures.push(Failure { row, reason }),
            Err(error) => {
                let reason = format!("{}: {error}", rows[row].path.display());
                acquired.unreadable.push(BadRow { line: rows[row].line, reason });
            }
        }
    }
    acquired
}

fn attempt(
    extractor: &Extractor,
    row: &Row,
    took: &mut dyn FnMut(f64),
) -> Result<Result<Sample, String>, PictureError> {
    let picture = picture::read(Path::new(&row.path))?;
    let started = Instant::now();
    let outcome = extractor.of_picture(&picture, row.kind)?;
    if outcome.is_ok() {
        took(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(outcome)
}

fn sample(embedding: &[f32; EMBEDDING_DIMENSIONS], fields: Vec<OrientationField>, quality: u8) -> Sample {
    let code = Box::new(Zeroizing::new(reference_code(&fields[0])));
    Sample { row: 0, quality, embedding: Box::new(Zeroizing::new(*embedding)), code, fields }
}

/// `TooDark` as "too dark".
fn in_words(reason: Guidance) -> String {
    let mut words = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_words() {
        assert_eq!(in_words(Guidance::FingersApart), "fingers apart");
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
