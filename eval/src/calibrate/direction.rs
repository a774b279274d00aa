//! The direction of the sum: how much the embedding and how much the code should say.
//!
//! A gate errs at the far end of the strangers' tail, so that is where the two are weighed: the best direction is the
//! one in which mated comparisons lie farthest above the threshold of a large gallery, in their own deviations.

use rayon::prelude::*;
use volar_core::score::Fusion;

use super::tail::{EXCEEDING_MAX, SHARE_MAX};
use crate::compare::Measures;

/// False match rate of the threshold in question: that of a search of 10,000 palms at an FPIR of 0.001.
const RATE: f64 = 1e-7;
/// Weights of the code's deviations for one of the embedding's that are tried, from 1/16 to 16, and how many.
const RATIO_MAX: f64 = 16.0;
const RATIOS: i32 = 64;

/// The best direction, scaled so that strangers' sums deviate by 1. None where a comparison never varies.
pub(super) fn best(mated: &[Measures], non_mated: &[Measures], margin: f64) -> Option<Fusion> {
    let [cosine, nearness] = [0, 1].map(|which| Moments::of(non_mated, |measures| features(measures)[which]).deviation);
    if !(cosine > 0.0 && nearness > 0.0) {
        return None;
    }
    let ratios: Vec<f64> =
        (0..=RATIOS).map(|step| RATIO_MAX.powf(2.0 * f64::from(step) / f64::from(RATIOS) - 1.0)).collect();
    let judged = ratios.par_iter().map(|ratio| {
        let fusion = scaled(Fusion { cosine: 1.0 / cosine, nearness: ratio / nearness }, non_mated);
        (clearance(&fusion, mated, non_mated, margin), fusion)
    });
    // In order, so that equals do not depend on which thread was faster.
    let judged: Vec<_> = judged.collect();
    judged.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, fusion)| fusion)
}

fn features(measures: &Measures) -> [f64; 2] {
    [f64::from(measures.cosine), 1.0 - f64::from(measures.distance)]
}

fn scaled(fusion: Fusion, non_mated: &[Measures]) -> Fusion {
    let Moments { deviation, .. } = Moments::of(non_mated, |m| fusion.sum(m.cosine, m.distance));
    Fusion { cosine: fusion.cosine / deviation, nearness: fusion.nearness / deviation }
}

/// How many deviations mated comparisons lie above the threshold, its tail taken as exponential.
fn clearance(fusion: &Fusion, mated: &[Measures], non_mated: &[Measures], margin: f64) -> f64 {
    let sum = |m: &Measures| fusion.sum(m.cosine, m.distance);
    let mut strangers: Vec<f64> = non_mated.iter().map(sum).collect();
    let count = strangers.len();
    let exceeding = ((count as f64 * SHARE_MAX) as usize).clamp(1, EXCEEDING_MAX).min(count - 1);
    let (_, &mut from, _) = strangers.select_nth_unstable_by(count - 1 - exceeding, f64::total_cmp);
    let tail = &strangers[count - exceeding..];
    let scale = tail.iter().map(|sum| sum - from).sum::<f64>() / exceeding as f64;
    let mean = strangers.iter().sum::<f64>() / count as f64;
    let reach = from + scale * (exceeding as f64 / count as f64 / RATE).ln().max(0.0);
    let mates = Moments::of(mated, sum);
    (mates.mean - mean - margin * (reach - mean)) / mates.deviation.max(1e-9)
}

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

impl Moments {
    pub(super) fn of<T>(values: &[T], number: impl Fn(&T) -> f64) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(&number).sum::<f64>() / count;
        let square = values.iter().map(|value| (number(value) - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: square.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Independent cosines and nearnesses, nearly normal (sums of twelve uniform numbers).
    fn scattered(count: usize, mean: [f64; 2], deviation: [f64; 2], seed: u64) -> Vec<Measures> {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| dice.random::<f64>()).sum::<f64>() - 6.0;
        (0..count)
            .map(|_| {
                let [cosine, nearness] = [0, 1].map(|which| mean[which] + deviation[which] * normal());
                Measures { cosine: cosine as f32, distance: (1.0 - nearness) as f32 }
            })
            .collect()
    }

    #[test]
    fn the_comparison_that_tells_more_weighs_more() {
        let strangers = scattered(20_000, [0.0, 0.5], [0.1, 0.1], 1);
        let good_code = scattered(500, [0.4, 1.4], [0.1, 0.1], 2);
        let fusion = best(&good_code, &strangers, 1.0).expect("both vary");
        assert!(fusion.nearness > 1.5 * fusion.cosine && fusion.cosine > 0.0, "{fusion:?}");
        let good_embedding = scattered(500, [0.9, 0.9], [0.1, 0.1], 3);
        let fusion = best(&good_embedding, &strangers, 1.0).expect("both vary");
        assert!(fusion.cosine > 1.5 * fusion.nearness && fusion.nearness > 0.0, "{fusion:?}");
        let sums = Moments::of(&strangers, |m| fusion.sum(m.cosine, m.distance));
        assert!((sums.deviation - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_never_varies_gives_no_direction() {
        let same = vec![Measures { cosine: 0.1, distance: 0.4 }; 100];
        assert_eq!(best(&same, &same, 2.0), None);
    }
}
