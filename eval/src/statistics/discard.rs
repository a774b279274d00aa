//! Error versus discard: how the false non-match rate falls when the captures of lowest quality are put aside
//! (Grother & Tabassi, PAMI 29, 2007; ISO/IEC 29794-1). A quality that predicts errors makes it fall steeply.

use serde::Serialize;

/// One mated comparison.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The lower quality of its two captures.
    pub quality: u8,
    /// Whether it was a false non-match.
    pub missed: bool,
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Discard {
    /// Share of mated comparisons put aside, those of lowest quality first.
    pub discarded: f64,
    /// False non-match rate of the rest.
    pub fnmr: f64,
}

/// Greatest share put aside.
const DISCARD_MAX: f64 = 0.5;
/// Points of the curve.
const STEPS: usize = 50;

/// The curve from nothing to half put aside; empty without comparisons. Comparisons of one quality go in no order, so
/// within them errors are spread evenly.
pub fn curve(mut comparisons: Vec<Judged>) -> Vec<Discard> {
    if comparisons.is_empty() {
        return Vec::new();
    }
    comparisons.sort_unstable_by_key(|comparison| comparison.quality);
    // Comparisons and errors up to each quality.
    let mut steps = vec![(0.0, 0.0)];
    for same in comparisons.chunk_by(|a, b| a.quality == b.quality) {
        let (count, errors) = steps[steps.len() - 1];
        let missed = same.iter().filter(|comparison| comparison.missed).count();
        steps.push((count + same.len() as f64, errors + missed as f64));
    }
    let (all, errors) = steps[steps.len() - 1];
    let gone = |count: f64| {
        let after = steps.partition_point(|&(upto, _)| upto < count).clamp(1, steps.len() - 1);
        let ((c0, e0), (c1, e1)) = (steps[after - 1], steps[after]);
        e0 + (e1 - e0) * ((count - c0) / (c1 - c0)).clamp(0.0, 1.0)
    };
    (0..=STEPS)
        .map(|step| {
            let discarded = DISCARD_MAX * step as f64 / STEPS as f64;
            let count = discarded * all;
            Discard { discarded, fnmr: ((errors - gone(count)) / (all - count)).max(0.0) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparisons(spread: &[(u8, bool, usize)]) -> Vec<Judged> {
        spread.iter().flat_map(|&(quality, missed, count)| vec![Judged { quality, missed }; count]).collect()
    }

    #[test]
    fn errors_of_the_lowest_quality_go_first() {
        let curve = curve(comparisons(&[(90, false, 80), (10, true, 10), (50, true, 5), (50, false, 5)]));
        let at = |discarded: f64| {
            curve.iter().find(|point| (point.discarded - discarded).abs() < 1e-9).expect("a point").fnmr
        };
        assert!((at(0.0) - 0.15).abs() < 1e-12);
        assert!((at(0.1) - 5.0 / 90.0).abs() < 1e-12);
        assert!((at(0.15) - 2.5 / 85.0).abs() < 1e-12, "half of those at 50");
        assert!(at(0.2).abs() < 1e-12 && at(0.5).abs() < 1e-12);
        assert!(curve.windows(2).all(|pair| pair[1].fnmr <= pair[0].fnmr + 1e-12));
    }

    #[test]
    fn quality_that_says_nothing_leaves_a_level_curve() {
        let curve = curve(comparisons(&[(50, true, 10), (50, false, 90)]));
        assert!(curve.iter().all(|point| (point.fnmr - 0.1).abs() < 1e-12));
        assert!(super::curve(Vec::new()).is_empty());
    }
}
