//! Numbers as people read them.

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate in percent, with as many digits as keep two of it.
pub(super) fn rate(rate: f64) -> String {
    let percent = 100.0 * rate;
    let decimals = match percent {
        0.0 => 2,
        _ if (99.0..100.0).contains(&percent) => (1.0 - (100.0 - percent).log10().floor()).clamp(1.0, 8.0) as usize,
        _ if percent >= 10.0 => 1,
        _ => (1.0 - percent.log10().floor()).clamp(1.0, 8.0) as usize,
    };
    format!("{percent:.decimals$} %")
}

/// `0.12 % to 0.40 %`, or `< 0.83 %` from nothing up.
pub(super) fn interval([low, high]: [f64; 2]) -> String {
    match (low, high) {
        (0.0, high) => format!("< {}", rate(high)),
        (low, 1.0) => format!("> {}", rate(low)),
        (low, high) => format!("{} to {}", rate(low), rate(high)),
    }
}

/// `1 in 1,000`.
pub(super) fn one_in(rate: f64) -> String {
    format!("1 in {}", count((1.0 / rate).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 49_995_000].map(count), ["0", "999", "1,000", "49,995,000"]);
        assert_eq!(
            [0.0, 0.0139, 0.00015, 0.151, 1.0, 0.9974].map(rate),
            ["0.00 %", "1.4 %", "0.015 %", "15.1 %", "100.0 %", "99.74 %"]
        );
        assert_eq!(interval([0.0, 0.0083]), "< 0.83 %");
        assert_eq!(interval([0.991, 1.0]), "> 99.10 %");
        assert_eq!(interval([0.001, 0.02]), "0.10 % to 2.0 %");
        assert_eq!(one_in(1e-4), "1 in 10,000");
    }
}
