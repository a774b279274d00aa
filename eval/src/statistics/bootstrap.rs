//! Intervals by resampling subjects (Bolle, Ratha & Pankanti, Computer Vision and Image Understanding 93, 2004):
//! comparisons that share a person are not independent, so people are drawn anew, not comparisons.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::interval::{Interval, percentiles};
use super::rates::{Moments, decidability};

/// Times that subjects are drawn anew.
pub const RESAMPLES: usize = 500;

/// A comparison, or several of about one score.
#[derive(Clone, Copy, Debug)]
pub struct Weighed {
    /// Its score.
    pub score: f32,
    /// Whether both captures are of one palm.
    pub mated: bool,
    /// The two subjects, numbered from 0; one twice if both captures are a subject's own.
    pub subjects: [u32; 2],
    /// How many comparisons it stands for.
    pub count: f32,
}

/// How many comparisons there are between whom, which the kept ones alone cannot tell.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// Number of subjects.
    pub subjects: usize,
    /// Captures of each subject, by session: captures of one session are not compared. Every pair of any two
    /// captures is where `by_session` is empty.
    pub captures: Vec<u32>,
    /// Subject and captures, for each session that is not compared with itself.
    pub by_session: Vec<Vec<(u32, u32)>>,
    /// Non-mated comparisons among each subject's own captures: left against right.
    pub own_non_mated: Vec<u64>,
}

/// Intervals of what the comparisons gave.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    /// Of the equal error rate.
    pub eer: Option<Interval>,
    /// Of the decidability.
    pub d_prime: Option<Interval>,
    /// Of the true match rate at each rate asked for.
    pub tmr: Vec<Option<Interval>>,
}

/// Draws subjects anew [`RESAMPLES`] times. `rates` are false match rates at which the true match rate is wanted.
pub fn intervals(comparisons: &mut [Weighed], population: &Population, rates: &[f64], seed: u64) -> Intervals {
    comparisons.par_sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let draws: Vec<Draw> = (0..RESAMPLES as u64)
        .into_par_iter()
        .filter_map(|number| {
            let weights = drawn(population.subjects, seed.wrapping_add(number));
            measure(comparisons, &weights, population.non_mated(&weights), rates)
        })
        .collect();
    let interval = |pick: &dyn Fn(&Draw) -> f64| {
        let mut values: Vec<f64> = draws.iter().map(pick).collect();
        values.sort_unstable_by(f64::total_cmp);
        percentiles(&values)
    };
    Intervals {
        eer: interval(&|draw| draw.eer),
        d_prime: interval(&|draw| draw.d_prime),
        tmr: (0..rates.len()).map(|at| interval(&|draw| draw.tmr[at])).collect(),
    }
}

/// How often each subject was drawn, in as many draws as there are subjects.
pub fn drawn(subjects: usize, seed: u64) -> Vec<f32> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut weights = vec![0.0; subjects];
    for _ in 0..subjects {
        weights[dice.random_range(0..subjects)] += 1.0;
    }
    weights
}

struct Draw {
    eer: f64,
    d_prime: f64,
    tmr: Vec<f64>,
}

/// From the highest score down: none if no mated comparison was drawn, or no non-mated one.
fn measure(comparisons: &[Weighed], weights: &[f32], non_mated: f64, rates: &[f64]) -> Option<Draw> {
    let weight = |comparison: &Weighed| {
        let [a, b] = comparison.subjects;
        let other = if a == b { 1.0 } else { weights[b as usize] };
        f64::from(comparison.count * weights[a as usize] * other)
    };
    let mated: f64 = comparisons.iter().filter(|comparison| comparison.mated).map(weight).sum();
    if mated == 0.0 || non_mated == 0.0 {
        return None;
    }
    let moments = |mated: bool| -> Moments {
        let of_kind = comparisons.iter().filter(|comparison| comparison.mated == mated);
        of_kind.map(|comparison| (f64::from(comparison.score), weight(comparison))).collect()
    };
    let d_prime = decidability(&moments(true), &moments(false)).unwrap_or(f64::INFINITY);
    let (mut matched, mut false_matches) = (0.0, 0.0);
    let (mut eer, mut tmr, mut before) = (None, vec![0.0; rates.len()], (0.0, 1.0));
    for same in comparisons.chunk_by(|a, b| a.score == b.score) {
        for comparison in same {
            *(if comparison.mated { &mut matched } else { &mut false_matches }) += weight(comparison);
        }
        let (fmr, fnmr) = (false_matches / non_mated, (1.0 - matched / mated).max(0.0));
        for (tmr, &rate) in tmr.iter_mut().zip(rates) {
            if fmr <= rate * (1.0 + 1e-9) {
                *tmr = 1.0 - fnmr;
            }
        }
        if eer.is_none() && fmr >= fnmr {
            let (gap_before, gap_after) = (before.1 - before.0, fmr - fnmr);
            let share = if gap_before + gap_after > 0.0 { gap_before / (gap_before + gap_after) } else { 1.0 };
            eer = Some(before.1 + share * (fnmr - before.1));
        }
        before = (fmr, fnmr);
    }
    Some(Draw { eer: eer.unwrap_or(before.1), d_prime, tmr })
}

impl Population {
    /// Non-mated comparisons under weights of subjects: pairs of captures of two subjects, less those of one session,
    /// and each subject's own.
    pub fn non_mated(&self, weights: &[f32]) -> f64 {
        let pairs = |captures: &mut dyn Iterator<Item = (u32, u32)>| {
            let (sum, squares) = captures.fold((0.0, 0.0), |(sum, squares), (subject, count)| {
                let weighed = f64::from(count) * f64::from(weights[subject as usize]);
                (sum + weighed, squares + weighed * weighed)
            });
            (sum * sum - squares) / 2.0
        };
        let all = pairs(&mut (0..).zip(self.captures.iter().copied()));
        let same_session: f64 = self.by_session.iter().map(|session| pairs(&mut session.iter().copied())).sum();
        let own: f64 = self.own_non_mated.iter().zip(weights).map(|(&own, &w)| own as f64 * f64::from(w)).sum();
        all - same_session + own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_counted_without_being_listed() {
        // Three subjects; the first with captures in two sessions, and one non-mated comparison of its own hands.
        let population = Population {
            subjects: 3,
            captures: vec![4, 3, 2],
            by_session: vec![vec![(0, 2), (1, 3)], vec![(0, 2), (2, 2)]],
            own_non_mated: vec![1, 0, 0],
        };
        // 4*3 + 4*2 + 3*2 pairs, less 2*3 and 2*2 of one session, and one.
        assert_eq!(population.non_mated(&[1.0; 3]), 26.0 - 10.0 + 1.0);
        // The first twice, the third never: 2*(4*3) - 2*(2*3) + 2.
        assert_eq!(population.non_mated(&[2.0, 1.0, 0.0]), 24.0 - 12.0 + 2.0);
    }

    #[test]
    fn a_draw_by_hand() {
        let comparison = |score, mated, a, b| Weighed { score, mated, subjects: [a, b], count: 1.0 };
        let mut comparisons = vec![
            comparison(5.0, true, 0, 0),
            comparison(4.0, false, 0, 1),
            comparison(3.0, true, 1, 1),
            comparison(1.0, false, 1, 2),
        ];
        // Unweighed: FMR 1/3 and FNMR 1/2 at 4, FMR 1/3 and FNMR 0 at 3.
        let draw = measure(&comparisons, &[1.0; 3], 3.0, &[0.1, 0.5]).expect("both kinds");
        assert!((draw.eer - 1.0 / 3.0).abs() < 1e-9, "{}", draw.eer);
        assert_eq!(draw.tmr, [0.5, 1.0]);
        // Subject 1 not drawn: its comparisons are gone.
        let draw = measure(&comparisons, &[1.0, 0.0, 2.0], 2.0, &[0.1]).expect("both kinds");
        assert_eq!((draw.eer, draw.tmr[0]), (0.0, 1.0));
        assert!(measure(&comparisons, &[0.0, 0.0, 3.0], 0.0, &[]).is_none());

        let population = Population { subjects: 3, captures: vec![2, 2, 1], ..Population::default() };
        let found = intervals(&mut comparisons, &population, &[0.5], 1);
        let [low, high] = found.d_prime.expect("draws");
        assert!(low <= 1.0 && high >= 1.0, "{low} {high}");
        let [low, high] = found.eer.expect("draws");
        assert!(low == 0.0 && high <= 1.0 && low <= high);
    }
}
