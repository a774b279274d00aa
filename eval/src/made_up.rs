//! Templates of made-up palms: strangers without end, whose privacy nobody can breach.

use rayon::prelude::*;
use volar_core::template::Position;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_synth::{Palm, Presentation};

use crate::acquire::{Extractor, Sample};
use crate::manifest::{Hand, Kind, Row};
use crate::progress::Progress;

/// How far cooperative people hold their fingers apart (see [`Presentation::spread`]).
const USUAL_SPREAD: f32 = 0.9;

/// Which made-up palms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeUp {
    /// Number of the first person: other numbers, other people. Each has two palms.
    pub first: u64,
    /// How many palms.
    pub palms: u64,
    /// Captures of each, every one in a session of its own: another light, another day.
    pub captures: u64,
}

/// Samples and the rows that a manifest would have for them, in order: subject `made-up <person>`. A capture without
/// a template is left out.
pub fn samples(wanted: &MadeUp, extractor: &Extractor) -> (Vec<Row>, Vec<Sample>) {
    let progress = Progress::new("made-up palms", wanted.palms);
    let palms: Vec<Vec<(Row, Sample)>> = (0..wanted.palms)
        .into_par_iter()
        .map(|number| {
            let made = captures(wanted, number, extractor);
            progress.advance(1);
            made
        })
        .collect();
    progress.finish();
    palms.into_iter().flatten().enumerate().map(|(at, (row, sample))| (row, Sample { row: at, ..sample })).unzip()
}

fn captures(wanted: &MadeUp, number: u64, extractor: &Extractor) -> Vec<(Row, Sample)> {
    let person = wanted.first + number / 2;
    let (position, hand) = [(Position::Left, Hand::Left), (Position::Right, Hand::Right)][(number % 2) as usize];
    let palm = Palm::of(person, position);
    (0..wanted.captures)
        .filter_map(|session| {
            let mut presentation = Presentation::sample((person * 2 + number % 2) * 1_000 + session);
            // The pipeline's square stays where it is when fingers spread; the one that synth cuts does not.
            presentation.spread = USUAL_SPREAD;
            presentation.finger_degrees = [0.0; 5];
            let image = palm.crop(&presentation, ROI_SIDE).expect("the region's side is one that synth renders");
            let region = RegionOfInterest::new(image.pixels).expect("as many pixels as asked for");
            let row = Row {
                line: 0,
                path: Default::default(),
                subject: format!("made-up {person}"),
                hand,
                session: session.to_string(),
                kind: Kind::Roi,
                spectrum: None,
                group: None,
                species: None,
            };
            Some((row, extractor.of_region(&region).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{dot, identities};
    use volar_palm::pipeline::PipelineConfig;

    #[test]
    fn made_up_palms_are_themselves_and_nobody_else() {
        let extractor = Extractor::new(PipelineConfig::default());
        let (rows, samples) = samples(&MadeUp { first: 9_000_000, palms: 6, captures: 2 }, &extractor);
        assert!(samples.len() >= 10 && rows.len() == samples.len(), "{}", samples.len());
        let identities = identities(&rows);
        let (mut mated, mut unrelated) = (Vec::new(), Vec::new());
        for (a, b) in samples.iter().zip(&samples[1..]) {
            let same = identities[a.row] == identities[b.row];
            let cosine = dot(&a.embedding[..], &b.embedding[..]);
            if same { &mut mated } else { &mut unrelated }.push(cosine);
        }
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
        assert!(mean(&mated) > mean(&unrelated) + 0.2, "{mated:?} {unrelated:?}");
    }
}
