//! 95 % intervals of shares.

/// A lower and an upper bound.
pub type Interval = [f64; 2];

/// Two-sided 95 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval of `hits` out of `trials` (Wilson, JASA 22, 1927); 0 to 1 without any trial.
pub fn wilson(hits: u64, trials: u64) -> Interval {
    if trials == 0 {
        return [0.0, 1.0];
    }
    let (n, share) = (trials as f64, hits as f64 / trials as f64);
    let middle = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    [((middle - reach) / whole).max(0.0), ((middle + reach) / whole).min(1.0)]
}

/// The largest rate that no error in `trials` leaves possible at 95 %, 3 / trials (Hanley & Lippman-Hand, JAMA 249,
/// 1983; ISO/IEC 19795-1); at most 1.
pub fn rule_of_three(trials: u64) -> f64 {
    if trials == 0 { 1.0 } else { (3.0 / trials as f64).min(1.0) }
}

/// Interval of a rate of errors: the rule of three where there is none, Wilson's otherwise.
pub fn of_errors(errors: u64, trials: u64) -> Interval {
    if errors == 0 { [0.0, rule_of_three(trials)] } else { wilson(errors, trials) }
}

/// The middle 95 % of sorted values; none of none.
pub fn percentiles(sorted: &[f64]) -> Option<Interval> {
    let at = |share: f64| sorted.get((share * (sorted.len() as f64 - 1.0)).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Interval, expected: Interval) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5e-4), "{found:?} for {expected:?}");
    }

    #[test]
    fn wilson_follows_published_examples() {
        // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        near(wilson(81, 263), [0.2553, 0.3662]);
        near(wilson(15, 148), [0.0624, 0.1605]);
        near(wilson(0, 20), [0.0, 0.1611]);
        near(wilson(1, 29), [0.0061, 0.1718]);
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn no_error_is_not_none_at_all() {
        assert_eq!(of_errors(0, 300), [0.0, 0.01]);
        assert_eq!(of_errors(0, 2), [0.0, 1.0]);
        near(of_errors(1, 29), [0.0061, 0.1718]);
    }

    #[test]
    fn percentiles_of_a_ruler() {
        let ruler: Vec<f64> = (0..=1_000).map(f64::from).collect();
        assert_eq!(percentiles(&ruler), Some([25.0, 975.0]));
        assert_eq!(percentiles(&[]), None);
    }
}
