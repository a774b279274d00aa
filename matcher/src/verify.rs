//! The second look: orientation codes of the palms that the search found near, fused with their cosines into scores.

use std::cmp::Ordering;
use std::collections::HashMap;

use volar_core::id::SubjectId;
use volar_core::nearness::{self, CodeWords};
use volar_core::score::{Score, ScoreModel};
use volar_core::template::{Probe, ProtectedCode};

use crate::index::Hit;

/// A subject who may be the one at the sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The person.
    pub subject: SubjectId,
    /// The best fused score of any of the person's references.
    pub score: Score,
}

impl Candidate {
    /// The order of candidates. Equal scores in a fixed order, so that a repeat gets the same answer.
    pub fn best_first(&self, other: &Self) -> Ordering {
        other.score.value().total_cmp(&self.score.value()).then_with(|| self.subject.cmp(&other.subject))
    }
}

/// Scores every hit precisely and keeps each subject's best: candidates, best first.
pub fn candidates(model: &ScoreModel, probe: &Probe, hits: &[Hit]) -> Vec<Candidate> {
    let mut best: HashMap<SubjectId, Score> = HashMap::new();
    for hit in hits {
        let score = model.fused(hit.cosine, code_distance(&probe.codes, &hit.code));
        let kept = best.entry(hit.row.subject).or_insert(score);
        if score > *kept {
            *kept = score;
        }
    }
    let mut candidates: Vec<Candidate> =
        best.into_iter().map(|(subject, score)| Candidate { subject, score }).collect();
    candidates.sort_unstable_by(Candidate::best_first);
    candidates
}

/// Smallest angular distance from any of a probe's codes to a reference's, 0 to 1: the same number as
/// [`Probe::code_distance`], faster.
pub fn code_distance(codes: &[ProtectedCode], reference: &CodeWords) -> f32 {
    nearness::least(codes, reference).map_or(1.0, nearness::distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Palms;

    #[test]
    fn the_fast_distance_is_the_plain_one() {
        let mut palms = Palms::new(11);
        for _ in 0..200 {
            let (a, b) = (palms.template(), palms.template());
            let mate = palms.mate(&a);
            for other in [&a, &b, &mate] {
                let (probe, reference) = (palms.probe(other), palms.reference(&a));
                assert_eq!(code_distance(&probe.codes, reference.code.expose()), probe.code_distance(&reference));
            }
        }
        assert_eq!(code_distance(&[], palms.reference_of_new().code.expose()), 1.0);
    }
}
