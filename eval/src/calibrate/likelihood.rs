//! The likelihood ratio over the sum: mates as a normal distribution, strangers as one with an extreme-value tail, both
//! spread by the safety margin.

use volar_core::score::{Likelihood, Strangers};

use super::direction::Moments;
use super::tail::rounded;

/// Knots of the line.
const KNOTS: usize = 33;

/// The curve from the strangers' mean to the mates', where the ratio certainly rises: on that way mates become
/// likelier and strangers rarer. Beyond, the line goes on straight; what lies above the mates' mean is no less a mate
/// than what lies at it. None if mates are not above strangers.
pub(super) fn curve(mates: Moments, strangers: &Strangers) -> Option<Likelihood> {
    let spread = mates.deviation.max(1e-3) * strangers.margin;
    let mated = |sum: f64| normal_ln(sum - mates.mean, spread);
    let tail_from = strangers.mean + strangers.margin * (strangers.from - strangers.mean);
    let unrelated = |sum: f64| {
        // The sum deviates by 1 between strangers.
        let body = normal_ln(sum - strangers.mean, strangers.margin);
        if sum <= tail_from { body } else { body.max(tail_ln(sum, strangers)) }
    };
    let knots = (0..KNOTS).map(|knot| {
        let sum = strangers.mean + (mates.mean - strangers.mean) * knot as f64 / (KNOTS - 1) as f64;
        [rounded(sum), rounded((mated(sum) - unrelated(sum)) / std::f64::consts::LN_10)]
    });
    let knots: Vec<[f64; 2]> = knots.collect();
    // Where body and tail meet, the tail's greater density is a step back; the line goes through it level enough.
    let mut rising = vec![knots[0]];
    for knot in knots.into_iter().skip(1) {
        if rising.last().is_some_and(|last| knot[0] > last[0] && knot[1] > last[1]) {
            rising.push(knot);
        }
    }
    (mates.mean > tail_from && rising.len() >= 2).then_some(Likelihood { knots: rising })
}

fn normal_ln(away: f64, deviation: f64) -> f64 {
    -0.5 * (away / deviation).powi(2) - deviation.ln() - 0.5 * std::f64::consts::TAU.ln()
}

/// Density of the widened tail.
fn tail_ln(sum: f64, strangers: &Strangers) -> f64 {
    let Strangers { mean, from, margin, tail, .. } = strangers;
    let excess = ((sum - mean) / margin + mean - from).max(0.0);
    let rate = tail.rate(excess);
    rate.ln() - ((tail.scale + tail.shape * excess) * margin).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::score::Tail;

    fn strangers() -> Strangers {
        let tail = Tail { share: 0.001, scale: 0.3, shape: 0.0 };
        Strangers { mean: 10.0, from: 13.1, margin: 2.0, resampled: Vec::new(), tail }
    }

    #[test]
    fn the_curve_rises_from_against_to_for() {
        let line = curve(Moments { mean: 34.0, deviation: 4.0 }, &strangers()).expect("mates above strangers");
        assert!(line.knots.windows(2).all(|pair| pair[1][0] > pair[0][0] && pair[1][1] > pair[0][1]));
        // At the strangers' mean: normal densities of deviations 8 and 2.
        let against = (-0.5 * 9.0 - 4_f64.ln()) / std::f64::consts::LN_10;
        assert!((line.decades(10.0) - against).abs() < 0.01, "{}", line.decades(10.0));
        // At the mates' mean: 1 / (8 sqrt(2 pi)) against 0.001 exp(-(12 - 3.1) / 0.3) / 0.6.
        let ln_for = -(8.0 * std::f64::consts::TAU.sqrt()).ln() - (0.001_f64.ln() - 8.9 / 0.3 - 0.6_f64.ln());
        assert!((line.decades(34.0) - ln_for / std::f64::consts::LN_10).abs() < 0.01, "{}", line.decades(34.0));
    }

    #[test]
    fn mates_among_strangers_give_no_curve() {
        assert_eq!(curve(Moments { mean: 11.0, deviation: 1.0 }, &strangers()), None);
    }
}
