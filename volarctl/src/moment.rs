//! Moments as people read and write them.

use std::time::Duration;

use volar_core::clock::Timestamp;

/// RFC 3339 in UTC, to the second.
pub(crate) fn written(unix_milliseconds: u64) -> String {
    let seconds = i64::try_from(unix_milliseconds / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "beyond the calendar".to_owned(), |moment| moment.to_string())
}

/// Parses RFC 3339, such as `2026-12-31T23:59:59Z`.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let moment: jiff::Timestamp =
        text.parse().map_err(|_| format!("\"{text}\" is not a time such as 2026-12-31T23:59:59Z"))?;
    let milliseconds = u64::try_from(moment.as_millisecond()).map_err(|_| format!("\"{text}\" is before 1970"))?;
    Ok(Timestamp::from_unix_milliseconds(milliseconds))
}

/// `now` plus a number of days, which may be a fraction, or negative for a moment that has passed.
pub(crate) fn days_after(now: Timestamp, days: f64) -> Timestamp {
    let by = Duration::try_from_secs_f64(days.abs() * 24.0 * 60.0 * 60.0).unwrap_or(Duration::MAX);
    if days >= 0.0 {
        return now.after(by);
    }
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_milliseconds(now.unix_milliseconds().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_round_trip() {
        let moment = parse("2026-12-31T23:59:59Z").expect("RFC 3339");
        assert_eq!(written(moment.unix_milliseconds()), "2026-12-31T23:59:59Z");
        assert_eq!(parse("2027-01-01T00:59:59+01:00").expect("with an offset"), moment);
        assert!(parse("tomorrow").is_err());
        assert!(parse("1969-12-31T23:59:59Z").is_err());
    }

    #[test]
    fn days_may_be_fractions_and_past() {
        let now = Timestamp::from_unix_milliseconds(86_400_000);
        assert_eq!(days_after(now, 0.5).unix_milliseconds(), 129_600_000);
        assert_eq!(days_after(now, -0.5).unix_milliseconds(), 43_200_000);
        assert_eq!(days_after(now, -7.0).unix_milliseconds(), 0);
        assert_eq!(days_after(now, f64::INFINITY).unix_milliseconds(), u64::MAX);
    }
}
