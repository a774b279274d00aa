//! The tail of strangers' sums, and how much it depends on which strangers were measured.

use rayon::prelude::*;
use volar_core::score::{Strangers, Tail};

use crate::statistics::bootstrap::{Population, drawn};
use crate::statistics::pareto;

/// Highest sums that the tail is fitted on: the farther out it begins, the less it must be extrapolated, and two
/// thousand fix its scale to a few percent.
pub(super) const EXCEEDING_MAX: usize = 2_000;
/// Largest share of all that they may be.
pub(super) const SHARE_MAX: f64 = 0.01;
/// Times that subjects are drawn anew.
const RESAMPLES: u64 = 200;

/// A non-mated comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger {
    /// Its sum.
    pub(super) sum: f64,
    /// The two subjects, numbered from 0.
    pub(super) subjects: [u32; 2],
}

/// The model of `strangers`, with a safety margin. None with so few that they have no tail.
pub(super) fn model(
    mut strangers: Vec<Stranger>,
    population: &Population,
    margin: f64,
    seed: u64,
) -> Option<Strangers> {
    strangers.par_sort_unstable_by(|a, b| b.sum.total_cmp(&a.sum));
    let count = strangers.len() as f64;
    let mean = strangers.iter().map(|stranger| stranger.sum).sum::<f64>() / count;
    let exceeding = ((count * SHARE_MAX) as usize).min(EXCEEDING_MAX);
    let from = strangers.get(exceeding)?.sum;
    let tail: Vec<Stranger> = strangers.into_iter().take_while(|stranger| stranger.sum > from).collect();
    let fitted = |weights: Option<&[f32]>, all: f64| {
        let weight = |stranger: &Stranger| {
            let [a, b] = stranger.subjects.map(|subject| weights.map_or(1.0, |w| f64::from(w[subject as usize])));
            if stranger.subjects[0] == stranger.subjects[1] { a } else { a * b }
        };
        let excesses: Vec<(f64, f64)> = tail
            .iter()
            .map(|stranger| (stranger.sum - from, weight(stranger)))
            .filter(|&(_, weight)| weight > 0.0)
            .collect();
        let exceeding: f64 = excesses.iter().map(|(_, weight)| weight).sum();
        let found = pareto::fit(&excesses)?;
        Some(Tail { share: exceeding / all, scale: found.scale, shape: found.shape })
    };
    let point = fitted(None, count)?;
    let resampled = (0..RESAMPLES)
        .into_par_iter()
        .filter_map(|number| {
            let weights = drawn(population.subjects, seed.wrapping_add(number));
            fitted(Some(&weights), population.non_mated(&weights))
        })
        .filter(|tail| tail.share > 0.0 && tail.share <= 0.1)
        .map(|tail| [tail.share, tail.scale, tail.shape].map(rounded))
        .collect();
    let tail = Tail { share: rounded(point.share), scale: rounded(point.scale), shape: rounded(point.shape) };
    Some(Strangers { mean: rounded(mean), from: rounded(from), margin, resampled, tail })
}

/// Six significant digits: more than the data know, and short in a file.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().expect("a number's own text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn an_exponential_tail_is_found_with_an_interval_about_it() {
        // 300 subjects, every pair once; sums exponential with scale 0.5 from -5 up.
        let subjects = 300_u32;
        let pairs: Vec<[u32; 2]> = (0..subjects).flat_map(|a| (0..a).map(move |b| [a, b])).collect();
        let mut dice = ChaCha8Rng::seed_from_u64(1);
        let mut sum = || -5.0 - 0.5 * (1.0 - dice.random::<f64>()).ln();
        let strangers = pairs.into_iter().map(|subjects| Stranger { sum: sum(), subjects }).collect();
        let population = Population { subjects: 300, captures: vec![1; 300], ..Population::default() };
        let model = model(strangers, &population, 1.0, 3).expect("a tail");
        assert!((model.tail.scale - 0.5).abs() < 0.08 && model.tail.shape < 0.1, "{:?}", model.tail);
        assert!((model.mean + 4.5).abs() < 0.01 && (model.tail.share - 0.01).abs() < 1e-4, "{model:?}");
        // At 1e-6, four decades beyond the data, the truth is -5 + 0.5 ln 1e6 = 1.91; a heavier tail cannot be ruled out.
        let (low, high) = model.sum_interval(1e-6);
        assert!(low < 1.91 && 1.91 < high && high < 12.0, "{low} {high}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(rounded(0.123_456_789), 0.123_457);
        assert_eq!(rounded(-12.0), -12.0);
    }
}
