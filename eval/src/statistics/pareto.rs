//! Fitting a generalised Pareto tail by maximum likelihood (Grimshaw, Technometrics 35, 1993: one dimension is left
//! once the shape is written as a function of shape over scale).

/// Scale and shape of excesses over a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pareto {
    /// In the excesses' unit.
    pub scale: f64,
    /// 0 exponential, above 0 heavier.
    pub shape: f64,
}

/// Heaviest tail considered: beyond it even the mean of the excesses would hardly exist.
const SHAPE_MAX: f64 = 0.9;
/// Fewest excesses that are fitted.
pub const EXCESSES_MIN: usize = 30;

/// The tail of shape 0 or more that makes weighed excesses likeliest: `(excess, weight)`, excesses above 0. A tail
/// that the data would rather have bounded becomes the exponential one, the lightest without a bound. None with fewer
/// than [`EXCESSES_MIN`] excesses.
pub fn fit(excesses: &[(f64, f64)]) -> Option<Pareto> {
    if excesses.len() < EXCESSES_MIN {
        return None;
    }
    let total: f64 = excesses.iter().map(|&(_, weight)| weight).sum();
    let mean = excesses.iter().map(|&(excess, weight)| excess * weight).sum::<f64>() / total;
    if !(total > 0.0 && mean > 0.0 && mean.is_finite()) {
        return None;
    }
    // With theta = shape / scale the likeliest shape is the mean of ln(1 + theta x).
    let shape_of = |theta: f64| excesses.iter().map(|&(x, weight)| weight * (theta * x).ln_1p()).sum::<f64>() / total;
    let likelihood = |theta: f64| {
        let shape = shape_of(theta);
        -(shape / theta).ln() - shape - 1.0
    };
    let exponential = Pareto { scale: mean, shape: 0.0 };
    let (mut best, mut likeliest) = (exponential, -mean.ln() - 1.0);
    // The likelihood has one peak; geometric steps find its hill, a golden section its top.
    let steps: Vec<f64> = (0..60).map(|step| 1e-3 / mean * 1.2_f64.powi(step)).collect();
    let top = steps.iter().copied().max_by(|&a, &b| likelihood(a).total_cmp(&likelihood(b)))?;
    let theta = golden_section(top / 1.2, top * 1.2, likelihood);
    let shape = shape_of(theta).min(SHAPE_MAX);
    if likelihood(theta) > likeliest + 1e-12 {
        (best, likeliest) = (Pareto { scale: shape / theta, shape }, likelihood(theta));
    }
    debug_assert!(likeliest.is_finite());
    Some(best)
}

/// Where `value` is greatest between `low` and `high`, if it has one peak there.
fn golden_section(mut low: f64, mut high: f64, value: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    for _ in 0..50 {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if value(left) > value(right) {
            high = right;
        } else {
            low = left;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles at evenly spaced probabilities: a sample without chance.
    fn quantiles(count: usize, of: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..count).map(|i| (of((i as f64 + 0.5) / count as f64), 1.0)).collect()
    }

    #[test]
    fn known_tails_are_found() {
        for (scale, shape) in [(2.0, 0.2), (0.5, 0.5), (1.0, 0.1)] {
            let of = |p: f64| scale / shape * ((1.0 - p).powf(-shape) - 1.0);
            let found = fit(&quantiles(20_000, of)).expect("many");
            assert!((found.shape - shape).abs() < 0.02, "{found:?} for {scale} {shape}");
            assert!((found.scale / scale - 1.0).abs() < 0.02, "{found:?} for {scale} {shape}");
        }
    }

    #[test]
    fn exponential_and_bounded_tails_become_exponential() {
        let exponential = fit(&quantiles(20_000, |p| -3.0 * (1.0 - p).ln())).expect("many");
        assert!(exponential.shape < 0.01 && (exponential.scale / 3.0 - 1.0).abs() < 0.01, "{exponential:?}");
        let uniform = fit(&quantiles(1_000, |p| p)).expect("many");
        assert_eq!(uniform.shape, 0.0);
        assert!((uniform.scale - 0.5).abs() < 0.01, "the mean: {uniform:?}");
    }

    #[test]
    fn weights_count_as_copies() {
        let sample = quantiles(200, |p| 1.5 * ((1.0 - p).powf(-0.3) - 1.0));
        let twice: Vec<_> = sample.iter().chain(&sample).copied().collect();
        let weighed: Vec<_> = sample.iter().map(|&(excess, _)| (excess, 2.0)).collect();
        let (a, b) = (fit(&twice).expect("many"), fit(&weighed).expect("many"));
        assert!((a.scale - b.scale).abs() < 1e-5 && (a.shape - b.shape).abs() < 1e-5);
    }

    #[test]
    fn too_little_is_not_fitted() {
        assert_eq!(fit(&quantiles(10, |p| p)), None);
        assert_eq!(fit(&[(0.0, 1.0); 50]), None);
    }
}
