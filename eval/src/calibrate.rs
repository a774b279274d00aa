//! Learning a score model: the direction that fuses embedding and code, the strangers' tail by an extreme-value fit,
//! and the likelihood ratio, from made-up palms unless a manifest says otherwise.

mod direction;
mod likelihood;
mod tail;

use volar_core::score::{Fusion, Learnt, ScoreModel, ScoreModelError, Strangers};

use crate::acquire::{Extractor, Sample};
use crate::compare::{Comparable, Measures, Protocol, Relation, identities};
use crate::manifest::Row;
use direction::Moments;
use tail::{Stranger, rounded};

/// Made-up palms share no sensor, no room and no population, so strangers among them spread less than they will in
/// service, by an amount that they cannot show. The engineer's answer to a load that cannot be measured beforehand is
/// a factor: strangers are taken to spread twice as widely as measured, and so are mates.
pub const SAFETY_MARGIN: f64 = 2.0;
/// Number of the first made-up person who calibrates; training and tests use others.
pub const FIRST_PERSON: u64 = 6_000_000;
/// For drawing subjects anew.
const SEED: u64 = 0x5eed;

/// Why nothing could be learnt.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// One kind of comparison is missing.
    #[error(
        "{mated} mated and {non_mated} non-mated comparisons; both kinds are needed: several captures of each palm, and several palms"
    )]
    TooLittle {
        /// Mated comparisons.
        mated: usize,
        /// Non-mated comparisons.
        non_mated: usize,
    },
    /// So few non-mated comparisons that they have no tail.
    #[error("{non_mated} non-mated comparisons are too few for a tail; use at least 100 palms")]
    NoTail {
        /// Non-mated comparisons.
        non_mated: usize,
    },
    /// Mates do not stand clear of strangers.
    #[error("mated comparisons do not stand clear of strangers' tail: these captures do not tell their palms apart")]
    NotApart,
    /// What was learnt is no score model: an embedding or a code that does not tell these palms apart.
    #[error("what these data teach is no score model: {0}")]
    Model(#[from] ScoreModelError),
}

/// A score model and the comparisons that it was learnt from.
pub struct Calibration {
    /// The model.
    pub model: ScoreModel,
    /// Fused scores of mated comparisons, in decades.
    pub mated: Vec<f32>,
    /// Fused scores of non-mated comparisons, in decades.
    pub non_mated: Vec<f32>,
}

/// Learns from samples, every pair of which is compared.
pub fn learn(
    extractor: &Extractor,
    rows: &[Row],
    samples: &[&Sample],
    data: String,
    margin: f64,
) -> Result<Calibration, CalibrateError> {
    let identities = identities(rows);
    let comparable = Comparable::new(samples, rows, &identities, Protocol::AllPairs);
    let measures = comparable.measures();
    let (mut mated, mut non_mated, mut between) = (Vec::new(), Vec::new(), Vec::new());
    comparable.for_each(|probe, reference, relation| match relation {
        Relation::Mated => mated.push(measures[probe][reference]),
        Relation::NonMated => {
            non_mated.push(measures[probe][reference]);
            between.push([probe, reference].map(|at| comparable.identity(at).subject));
        }
        Relation::Unclear => {}
    });
    let too_little = || CalibrateError::TooLittle { mated: mated.len(), non_mated: non_mated.len() };
    if mated.is_empty() || non_mated.len() < 2 {
        return Err(too_little());
    }
    let fusion = direction::best(&mated, &non_mated, margin).ok_or_else(too_little)?;
    let fusion = Fusion { cosine: rounded(fusion.cosine), nearness: rounded(fusion.nearness) };
    let sum = |measures: &Measures| fusion.sum(measures.cosine, measures.distance);
    let strangers: Strangers = {
        let summed =
            non_mated.iter().zip(between).map(|(measures, subjects)| Stranger { sum: sum(measures), subjects });
        let population = comparable.population(Protocol::AllPairs, rows);
        tail::model(summed.collect(), &population, margin, SEED)
            .ok_or(CalibrateError::NoTail { non_mated: non_mated.len() })?
    };
    let likelihood = likelihood::curve(Moments::of(&mated, sum), &strangers).ok_or(CalibrateError::NotApart)?;
    let palms = (0..samples.len()).map(|at| identities[samples[at].row]).collect::<std::collections::HashSet<_>>();
    let learnt =
        Learnt { data, palms: palms.len() as u64, mated: mated.len() as u64, non_mated: non_mated.len() as u64 };
    let model = ScoreModel::new(extractor.model(), learnt, fusion, strangers, likelihood)?;
    let fused = |of: &[Measures]| of.iter().map(|m| model.fused(m.cosine, m.distance).value()).collect();
    Ok(Calibration { mated: fused(&mated), non_mated: fused(&non_mated), model })
}
