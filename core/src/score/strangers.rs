//! How high strangers' sums reach: a generalised Pareto tail above a high sum (Pickands 1975; Coles 2001, chapter 4),
//! widened by a safety margin.

use serde::{Deserialize, Serialize};

/// The tail above [`Strangers::from`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// Share of non-mated comparisons that reach beyond the tail's beginning. Above 0, at most 0.1.
    pub share: f64,
    /// Scale, in the sum's unit. Above 0.
    pub scale: f64,
    /// Shape: 0 an exponential tail, above it a heavier one, at most 0.9. Never below 0, which would promise that no
    /// stranger ever reaches beyond some number.
    pub shape: f64,
}

impl Tail {
    /// How far beyond the tail's beginning strangers reach at the rate `rate`; 0 from [`Tail::share`] up.
    pub fn excess(&self, rate: f64) -> f64 {
        let ln = (self.share / rate).ln().max(0.0);
        if self.shape < 1e-9 { self.scale * ln } else { self.scale * (self.shape * ln).exp_m1() / self.shape }
    }

    /// Share of non-mated comparisons that reach more than `excess` beyond the tail's beginning.
    pub fn rate(&self, excess: f64) -> f64 {
        let scaled = excess.max(0.0) / self.scale;
        let ln = if self.shape < 1e-9 { scaled } else { (self.shape * scaled).ln_1p() / self.shape };
        self.share * (-ln).exp()
    }
}

/// Sums ([`Fusion::sum`](super::Fusion::sum)) of non-mated comparisons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strangers {
    /// Their mean.
    pub mean: f64,
    /// Where the tail begins.
    pub from: f64,
    /// The safety margin, at least 1: strangers in service are taken to spread so many times as widely about their
    /// mean as those measured did.
    pub margin: f64,
    /// The tail fitted again on resampled subjects (bootstrap), for intervals: `[share, scale, shape]` each.
    pub resampled: Vec<[f64; 3]>,
    /// The tail as fitted.
    pub tail: Tail,
}

impl Strangers {
    /// The sum that strangers reach at the rate `rate`, margin included.
    pub fn sum(&self, rate: f64) -> f64 {
        self.sum_of(&self.tail, rate)
    }

    /// 95 % interval of [`Strangers::sum`], for what the choice of subjects leaves open.
    pub fn sum_interval(&self, rate: f64) -> (f64, f64) {
        let tails = self.resampled.iter().map(|&[share, scale, shape]| Tail { share, scale, shape });
        let mut sums: Vec<f64> = tails.map(|tail| self.sum_of(&tail, rate)).collect();
        sums.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| sums.get((share * (sums.len() as f64 - 1.0)).round() as usize).copied();
        let point = self.sum(rate);
        (at(0.025).unwrap_or(point).min(point), at(0.975).unwrap_or(point).max(point))
    }

    /// The rate at which strangers reach `sum`, margin included: at most [`Tail::share`], which is all that the tail
    /// knows.
    pub fn rate(&self, sum: f64) -> f64 {
        self.tail.rate((sum - self.mean) / self.margin + self.mean - self.from)
    }

    fn sum_of(&self, tail: &Tail, rate: f64) -> f64 {
        self.mean + self.margin * (self.from + tail.excess(rate) - self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_follow_the_textbook() {
        // Exponential: a tenth of the share lies ln 10 scales further.
        let exponential = Tail { share: 0.01, scale: 2.0, shape: 0.0 };
        assert!((exponential.excess(0.001) - 2.0 * 10_f64.ln()).abs() < 1e-12);
        // Shape 0.5: (1 + x / 4)^-2 = 1 / 100 at x = 36.
        let heavy = Tail { share: 0.01, scale: 2.0, shape: 0.5 };
        assert!((heavy.excess(1e-4) - 36.0).abs() < 1e-9);
        for tail in [exponential, heavy] {
            assert_eq!(tail.excess(0.5), 0.0);
            for rate in [0.01, 1e-3, 1e-9] {
                assert!((tail.rate(tail.excess(rate)) / rate - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_margin_widens_and_the_interval_holds_the_point() {
        let tail = Tail { share: 0.01, scale: 0.5, shape: 0.0 };
        let resampled = (0..101).map(|i| [0.01, 0.4 + 0.002 * f64::from(i), 0.0]).collect();
        let strangers = Strangers { mean: -6.0, from: -2.0, margin: 2.0, resampled, tail };
        assert!((strangers.sum(0.01) - 2.0).abs() < 1e-12, "twice as far from -6 as -2 is");
        let rate = strangers.rate(strangers.sum(1e-7));
        assert!((rate / 1e-7 - 1.0).abs() < 1e-9);
        let (low, high) = strangers.sum_interval(1e-7);
        assert!(low < strangers.sum(1e-7) && strangers.sum(1e-7) < high);
    }
}
