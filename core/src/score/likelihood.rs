//! From a sum of comparisons to the logarithm of a likelihood ratio: a rising line through knots.

use serde::{Deserialize, Serialize};

/// Decimal logarithm of the likelihood ratio over the sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// `[sum, decades]`, at least two, both rising; straight between them, and on beyond the first and the last as
    /// between the outermost two.
    pub knots: Vec<[f64; 2]>,
}

impl Likelihood {
    /// The decades of a sum.
    pub fn decades(&self, sum: f64) -> f64 {
        self.through(sum, 0, 1)
    }

    /// The sum of so many decades.
    pub fn sum(&self, decades: f64) -> f64 {
        self.through(decades, 1, 0)
    }

    fn through(&self, at: f64, from: usize, to: usize) -> f64 {
        let after = self.knots.partition_point(|knot| knot[from] < at).clamp(1, self.knots.len() - 1);
        let (a, b) = (self.knots[after - 1], self.knots[after]);
        a[to] + (b[to] - a[to]) * (at - a[from]) / (b[from] - a[from])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_between_knots_and_beyond_them() {
        let line = Likelihood { knots: vec![[0.0, -4.0], [10.0, 0.0], [12.0, 4.0]] };
        for (sum, decades) in [(-5.0, -6.0), (0.0, -4.0), (5.0, -2.0), (10.0, 0.0), (11.0, 2.0), (13.0, 6.0)] {
            assert!((line.decades(sum) - decades).abs() < 1e-12, "{sum}");
            assert!((line.sum(decades) - sum).abs() < 1e-12, "{decades}");
        }
    }
}
