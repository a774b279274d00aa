//! False match and false non-match rates over thresholds. A comparison matches when its score reaches the threshold.

/// Scores of a set of comparisons, sorted.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    mated: Vec<f32>,
    non_mated: Vec<f32>,
}

/// Where false matches are as frequent as false non-matches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EqualError {
    /// The rate.
    pub rate: f64,
    /// The threshold there.
    pub threshold: f32,
}

/// What a threshold does.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Operating {
    /// False match rate.
    pub fmr: f64,
    /// False non-match rate.
    pub fnmr: f64,
}

impl Scores {
    /// Sorts scores; none may be NaN.
    pub fn new(mut mated: Vec<f32>, mut non_mated: Vec<f32>) -> Self {
        use rayon::slice::ParallelSliceMut;
        mated.par_sort_unstable_by(f32::total_cmp);
        non_mated.par_sort_unstable_by(f32::total_cmp);
        Self { mated, non_mated }
    }

    /// Mated scores, lowest first.
    pub fn mated(&self) -> &[f32] {
        &self.mated
    }

    /// Non-mated scores, lowest first.
    pub fn non_mated(&self) -> &[f32] {
        &self.non_mated
    }

    /// Mated comparisons below `threshold`.
    pub fn missed(&self, threshold: f32) -> u64 {
        below(&self.mated, threshold) as u64
    }

    /// Non-mated comparisons that reach `threshold`.
    pub fn false_matches(&self, threshold: f32) -> u64 {
        (self.non_mated.len() - below(&self.non_mated, threshold)) as u64
    }

    /// Rates at a threshold; those without any comparison are 0.
    pub fn at(&self, threshold: f32) -> Operating {
        Operating {
            fmr: self.false_matches(threshold) as f64 / (self.non_mated.len() as f64).max(1.0),
            fnmr: self.missed(threshold) as f64 / (self.mated.len() as f64).max(1.0),
        }
    }

    /// The equal error rate: both rates are steps, so it is where the line between the two operating points around
    /// the crossing crosses. None without comparisons of both kinds.
    pub fn equal_error(&self) -> Option<EqualError> {
        if self.mated.is_empty() || self.non_mated.is_empty() {
            return None;
        }
        // The first threshold at which misses are as frequent as false matches, among all scores and just beyond.
        let last = self.mated[self.mated.len() - 1].max(self.non_mated[self.non_mated.len() - 1]);
        let crossed = |threshold: f32| {
            let Operating { fmr, fnmr } = self.at(threshold);
            fnmr >= fmr
        };
        let first = |scores: &[f32]| scores.get(scores.partition_point(|&score| !crossed(score))).copied();
        let threshold = match (first(&self.mated), first(&self.non_mated)) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => last.next_up(),
        };
        let after = self.at(threshold);
        // Just above the next lower score is the operating point before: the same step, seen from its other end.
        let lower = |scores: &[f32]| below(scores, threshold).checked_sub(1).map(|at| scores[at]);
        let before = match lower(&self.mated).into_iter().chain(lower(&self.non_mated)).reduce(f32::max) {
            Some(score) => self.at(score),
            None => Operating { fmr: 1.0, fnmr: 0.0 },
        };
        let (gap_before, gap_after) = (before.fmr - before.fnmr, after.fnmr - after.fmr);
        let share = if gap_before + gap_after > 0.0 { gap_before / (gap_before + gap_after) } else { 1.0 };
        let rate = before.fnmr + share * (after.fnmr - before.fnmr);
        Some(EqualError { rate, threshold })
    }

    /// How far mated and non-mated scores lie apart, see [`decidability`].
    pub fn d_prime(&self) -> Option<f64> {
        let weighed = |scores: &[f32]| scores.iter().map(|&score| (f64::from(score), 1.0)).collect::<Moments>();
        decidability(&weighed(&self.mated), &weighed(&self.non_mated))
    }

    /// The lowest threshold that keeps the false match rate at or below `rate`.
    pub fn threshold_for(&self, rate: f64) -> f32 {
        let allowed = (rate * self.non_mated.len() as f64 + 1e-9).floor() as usize;
        match self.non_mated.len().checked_sub(allowed + 1) {
            Some(at) => self.non_mated[at].next_up(),
            None => f32::NEG_INFINITY,
        }
    }

    /// Points of the detection error trade-off curve from the strictest threshold to the laxest, thinned to about
    /// `points`: evenly among all comparisons, and every one where there are few errors.
    pub fn trade_off(&self, points: usize) -> Vec<Operating> {
        let mut thresholds: Vec<f32> = sampled(&self.mated, points).chain(sampled(&self.non_mated, points)).collect();
        thresholds.sort_unstable_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let top = thresholds.first().map(|top| top.next_up());
        let mut curve: Vec<Operating> = top.into_iter().chain(thresholds).map(|threshold| self.at(threshold)).collect();
        curve.dedup();
        curve
    }
}

/// Weighed mean and variance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    weight: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    /// Takes a value in.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.weight += weight;
        self.sum += weight * value;
        self.squares += weight * value * value;
    }

    fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    fn variance(&self) -> f64 {
        (self.squares / self.weight - self.mean().powi(2)).max(0.0)
    }
}

impl FromIterator<(f64, f64)> for Moments {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|(value, weight)| moments.add(value, weight));
        moments
    }
}

/// The decidability d' (Daugman, Proceedings of the IEEE 88, 2000): the distance between the means of mated and non-mated
/// scores in their common deviation. It tells good from better where no error is left to count; none where there are no
/// comparisons of both kinds or all of a kind are alike.
pub fn decidability(mated: &Moments, non_mated: &Moments) -> Option<f64> {
    let apart = mated.mean() - non_mated.mean();
    let found = apart / ((mated.variance() + non_mated.variance()) / 2.0).sqrt();
    found.is_finite().then_some(found)
}

/// How many of sorted scores lie below a threshold.
fn below(scores: &[f32], threshold: f32) -> usize {
    scores.partition_point(|&score| score < threshold)
}

/// Both ends of sorted scores, where ranks are few, closely; the rest in geometric steps.
fn sampled(scores: &[f32], points: usize) -> impl Iterator<Item = f32> + '_ {
    let length = scores.len();
    let mut ranks: Vec<usize> = Vec::new();
    let (mut rank, growth) = (0.0_f64, 1.0 + 12.0 / points.max(1) as f64);
    while (rank as usize) < length.div_ceil(2) {
        ranks.push(rank as usize);
        ranks.push(length - 1 - rank as usize);
        rank = (rank * growth).max(rank + 1.0);
    }
    ranks.into_iter().map(|rank| scores[rank])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(mated: &[f32], non_mated: &[f32]) -> Scores {
        Scores::new(mated.to_vec(), non_mated.to_vec())
    }

    #[test]
    fn equal_error_rates_by_hand() {
        for (mated, non_mated, rate) in [
            // No overlap.
            (&[5.0, 6.0][..], &[1.0, 2.0][..], 0.0),
            // One of four on the wrong side each: at threshold 3 both rates are 1/4.
            (&[2.5, 4.0, 5.0, 6.0], &[0.0, 1.0, 2.0, 3.0], 0.25),
            // Everything swapped.
            (&[1.0, 2.0], &[5.0, 6.0], 1.0),
            // The same scores: half and half.
            (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.5),
            // From (FMR 1/2, FNMR 0) to (1/2, 1/4) to (0, 1/4): the last step crosses at 1/4.
            (&[2.0, 4.0, 5.0, 6.0], &[1.0, 3.0], 0.25),
            // All equal: from (1, 0) to (0, 1).
            (&[1.0, 1.0], &[1.0], 0.5),
        ] {
            let found = scores(mated, non_mated).equal_error().expect("both kinds");
            assert!((found.rate - rate).abs() < 1e-12, "{mated:?} {non_mated:?}: {found:?}");
        }
        assert_eq!(scores(&[1.0], &[]).equal_error(), None);
        assert_eq!(scores(&[], &[1.0]).equal_error(), None);
    }

    #[test]
    fn decidability_by_hand() {
        // Means 5 and 1, variances 1 and 4.
        let found = scores(&[4.0, 6.0], &[-1.0, 3.0]).d_prime().expect("both kinds");
        assert!((found - 4.0 / 2.5_f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(scores(&[1.0], &[]).d_prime(), None);
        assert_eq!(scores(&[1.0], &[0.0]).d_prime(), None, "no deviation");
    }

    #[test]
    fn thresholds_by_hand() {
        let hundred: Vec<f32> = (1..=100).map(|score| score as f32).collect();
        let scores = scores(&[90.0, 99.0, 99.5, 120.0], &hundred);
        // One false match in a hundred is allowed: the threshold lies just above 99.
        let threshold = scores.threshold_for(0.01);
        assert!(threshold > 99.0 && threshold < 99.1);
        assert_eq!(scores.at(threshold), Operating { fmr: 0.01, fnmr: 0.5 });
        assert_eq!(scores.at(scores.threshold_for(0.001)), Operating { fmr: 0.0, fnmr: 0.75 });
        assert_eq!(scores.at(scores.threshold_for(1.0)), Operating { fmr: 1.0, fnmr: 0.0 });
        assert_eq!(scores.at(99.0), Operating { fmr: 0.02, fnmr: 0.25 });
    }

    #[test]
    fn the_trade_off_runs_from_no_false_match_to_no_miss() {
        let all: Vec<f32> = (0..5_000).map(|score| score as f32 * 0.01).collect();
        let curve = scores(&all[1_000..], &all[..4_000]).trade_off(200);
        assert!(curve.len() > 100 && curve.len() < 2_000, "{}", curve.len());
        assert_eq!(curve[0], Operating { fmr: 0.0, fnmr: 1.0 });
        assert_eq!(curve.last(), Some(&Operating { fmr: 1.0, fnmr: 0.0 }));
        assert!(curve.windows(2).all(|pair| pair[0].fmr <= pair[1].fmr && pair[0].fnmr >= pair[1].fnmr));
    }
}
