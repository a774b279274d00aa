//! From numbers to places along an axis.

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear {
        /// Where the axis starts.
        from: f64,
        /// Where it ends.
        to: f64,
    },
    /// By factors of ten, between two powers of it.
    Decades {
        /// Exponent at the start.
        from: i32,
        /// Exponent at the end.
        to: i32,
    },
    /// By normal deviates, as trade-off curves are drawn (Martin et al., Eurospeech 1997).
    Probit {
        /// Rate at the start.
        from: f64,
        /// Rate at the end.
        to: f64,
    },
}

impl Scale {
    /// Where a number lies, 0 at the start and 1 at the end; held to the axis.
    pub(super) fn place(&self, number: f64) -> f64 {
        let (number, from, to) = match *self {
            Self::Linear { from, to } => (number, from, to),
            Self::Decades { from, to } => (number.max(1e-300).log10(), f64::from(from), f64::from(to)),
            Self::Probit { from, to } => (probit(number.clamp(1e-15, 1.0 - 1e-15)), probit(from), probit(to)),
        };
        ((number - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// Numbers to be marked, with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Linear { from, to } => {
                let step = nice_step(to - from);
                let first = (from / step - 1e-9).ceil() as i64;
                let last = (to / step + 1e-9).floor() as i64;
                let decimals = (-step.log10().floor()).max(0.0) as usize;
                (first..=last).map(|n| (n as f64 * step, format!("{:.decimals$}", n as f64 * step))).collect()
            }
            Self::Decades { from, to } => (from..=to).map(|power| (10_f64.powi(power), percent_power(power))).collect(),
            Self::Probit { from, to } => {
                let known = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5];
                known.into_iter().filter(|rate| (from..=to).contains(rate)).map(|rate| (rate, percent(rate))).collect()
            }
        }
    }
}

/// A rate as a percentage: `0.001 %`, `5 %`.
pub(super) fn percent(rate: f64) -> String {
    let percent = 100.0 * rate;
    let decimals = if percent >= 1.0 || percent == 0.0 { 0 } else { (-percent.log10()).ceil() as usize };
    format!("{percent:.decimals$} %")
}

fn percent_power(power: i32) -> String {
    percent(10_f64.powi(power))
}

/// About six steps of 1, 2 or 5 times a power of ten.
fn nice_step(width: f64) -> f64 {
    let rough = (width / 6.0).max(1e-12);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough).unwrap_or(10.0 * power)
}

/// Normal deviate of a share (Acklam's rational approximation, relative error below 1.2e-9).
pub(super) fn probit(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    let tail = |share: f64| {
        let q = (-2.0 * share.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if share < 0.024_25 {
        tail(share)
    } else if share > 1.0 - 0.024_25 {
        -tail(1.0 - share)
    } else {
        let (q, r) = (share - 0.5, (share - 0.5) * (share - 0.5));
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_deviates_follow_the_tables() {
        for (share, deviate) in [(0.5, 0.0), (0.975, 1.959_964), (0.01, -2.326_348), (1e-6, -4.753_424)] {
            assert!((probit(share) - deviate).abs() < 1e-5, "{share}: {}", probit(share));
        }
    }

    #[test]
    fn places_run_from_start_to_end() {
        let linear = Scale::Linear { from: -2.0, to: 2.0 };
        assert_eq!([-3.0, -2.0, 0.0, 2.0, 9.0].map(|number| linear.place(number)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert!((Scale::Decades { from: -4, to: 0 }.place(0.01) - 0.5).abs() < 1e-12);
        assert!((Scale::Probit { from: 0.01, to: 0.99 }.place(0.5) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_numbers() {
        let labels = |scale: Scale| scale.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(Scale::Linear { from: 0.0, to: 1.0 }), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Scale::Linear { from: -12.0, to: 14.0 }), ["-10", "-5", "0", "5", "10"]);
        assert_eq!(labels(Scale::Decades { from: -4, to: -2 }), ["0.01 %", "0.1 %", "1 %"]);
        assert_eq!(labels(Scale::Probit { from: 1e-4, to: 0.1 }), ["0.01 %", "0.1 %", "1 %", "5 %"]);
    }
}
