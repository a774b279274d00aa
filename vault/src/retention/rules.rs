//! Retention law as data: jurisdictions, their rules, and when each one ends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use serde::Deserialize;
use volar_core::clock::Timestamp;
use volar_core::id::{SiteId, TenantId};

/// The rules that come with the vault.
pub const RULES: &str = include_str!("rules.toml");
/// The jurisdiction of sites whose configuration names none.
pub const DEFAULT: &str = "default";

/// The law of one place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jurisdiction {
    /// Its name in configurations, such as "US-IL".
    pub id: String,
    /// Its name for readers.
    pub title: String,
    /// Whichever ends first erases.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in the audit log.
    pub name: String,
    /// What it is counted from.
    pub after: After,
    /// Its length; all zero for at once.
    #[serde(default)]
    pub years: u16,
    /// More of its length.
    #[serde(default)]
    pub months: u16,
    /// More of its length.
    #[serde(default)]
    pub days: u16,
    /// What it says, for readers.
    pub text: String,
    /// Where the law says it.
    pub source: String,
}

/// What a term is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// The enrollment or the last claim.
    LastInteraction,
    /// The day in the site's configuration, if there is one.
    PurposeEnded,
}

/// What ended, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The jurisdiction's id.
    pub jurisdiction: String,
    /// The rule's name.
    pub rule: String,
    /// The first day on which the person must be gone.
    pub due: Date,
}

/// What holds at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSchedule {
    /// Its law.
    pub jurisdiction: Jurisdiction,
    /// When what people enrolled for ends there, if that is known.
    pub purpose_ends: Option<Date>,
}

impl SiteSchedule {
    /// The rule that ends first, for somebody seen last on `last_seen`.
    pub fn first(&self, last_seen: Date) -> Option<Ended> {
        let ends =
            self.jurisdiction.rules.iter().filter_map(|rule| Some((rule.due(last_seen, self.purpose_ends)?, rule)));
        let (due, rule) = ends.min_by_key(|(due, _)| *due)?;
        Some(Ended { jurisdiction: self.jurisdiction.id.clone(), rule: rule.name.clone(), due })
    }
}

impl Rule {
    /// The day on which this rule's term is over; a 29 February without an anniversary has it on the 28th.
    fn due(&self, last_seen: Date, purpose_ends: Option<Date>) -> Option<Date> {
        let from = match self.after {
            After::LastInteraction => last_seen,
            After::PurposeEnded => purpose_ends?,
        };
        from.checked_add(self.span().ok()?).ok()
    }

    fn span(&self) -> Result<Span, jiff::Error> {
        Span::new().try_years(self.years)?.try_months(self.months)?.try_days(self.days)
    }
}

/// Every tenant's schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedules {
    /// Of tenants that are not named.
    pub fallback: SiteSchedule,
    /// By tenant: every site that is not named, and those that are.
    pub tenants: BTreeMap<TenantId, (SiteSchedule, BTreeMap<SiteId, SiteSchedule>)>,
}

impl Schedules {
    /// The schedule of a site.
    pub fn of(&self, tenant: &TenantId, site: &SiteId) -> &SiteSchedule {
        let Some((others, sites)) = self.tenants.get(tenant) else { return &self.fallback };
        sites.get(site).unwrap_or(others)
    }
}

impl Default for Schedules {
    fn default() -> Self {
        let jurisdictions = read(RULES).expect("the rules that come with the vault are sound");
        let jurisdiction = find(&jurisdictions, DEFAULT).expect("they have a default").clone();
        Self { fallback: SiteSchedule { jurisdiction, purpose_ends: None }, tenants: BTreeMap::new() }
    }
}

/// Rules that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Not of the form of the rules that come with the vault.
    #[error("retention rules: {0}")]
    Malformed(String),
    /// A name occurs twice.
    #[error("retention rules: \"{0}\" is there twice")]
    Twice(String),
    /// A jurisdiction under which people would be kept for ever.
    #[error("retention rules: \"{0}\" has no rule after \"last-interaction\", so people would be kept for ever")]
    Endless(String),
    /// A name that will not fit into a leaf of the audit log.
    #[error("retention rules: \"{0}\" is no name: 1 to 60 of a-z, A-Z, 0-9 and -")]
    Name(String),
    /// A term of more than 20 years.
    #[error("retention rules: the term of \"{0}\" is longer than 20 years")]
    Long(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    jurisdiction: Vec<Jurisdiction>,
}

/// Reads a rules file.
pub fn read(text: &str) -> Result<Vec<Jurisdiction>, RulesError> {
    let File { jurisdiction } = toml::from_str(text).map_err(|error| RulesError::Malformed(error.to_string()))?;
    let mut ids = BTreeSet::new();
    for place in &jurisdiction {
        check_name(&place.id)?;
        if !ids.insert(&place.id) {
            return Err(RulesError::Twice(place.id.clone()));
        }
        if !place.rules.iter().any(|rule| rule.after == After::LastInteraction) {
            return Err(RulesError::Endless(place.id.clone()));
        }
        let mut names = BTreeSet::new();
        for rule in &place.rules {
            check_name(&rule.name)?;
            if !names.insert(&rule.name) {
                return Err(RulesError::Twice(rule.name.clone()));
            }
            if u32::from(rule.years) * 366 + u32::from(rule.months) * 31 + u32::from(rule.days) > 20 * 366 {
                return Err(RulesError::Long(rule.name.clone()));
            }
        }
    }
    Ok(jurisdiction)
}

fn check_name(name: &str) -> Result<(), RulesError> {
    let sound = (1..=60).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if sound { Ok(()) } else { Err(RulesError::Name(name.to_owned())) }
}

/// A jurisdiction by its id.
pub fn find<'a>(jurisdictions: &'a [Jurisdiction], id: &str) -> Option<&'a Jurisdiction> {
    jurisdictions.iter().find(|jurisdiction| jurisdiction.id == id)
}

/// The day of a moment, in UTC.
pub(crate) fn day(moment: Timestamp) -> Date {
    let milliseconds = i64::try_from(moment.unix_milliseconds()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    TimeZone::UTC.to_datetime(moment).date()
}

/// The first moment of a day, in UTC.
pub(crate) fn beginning(day: Date) -> Timestamp {
    let moment = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).map(|moment| moment.as_millisecond());
    Timestamp::from_unix_milliseconds(moment.ok().and_then(|moment| u64::try_from(moment).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().expect("a date")
    }

    fn schedule(id: &str, purpose_ends: Option<&str>) -> SiteSchedule {
        let jurisdictions = read(RULES).expect("sound");
        let jurisdiction = find(&jurisdictions, id).unwrap_or_else(|| panic!("{id} is known")).clone();
        SiteSchedule { jurisdiction, purpose_ends: purpose_ends.map(date) }
    }

    #[test]
    fn every_jurisdictions_terms_end_on_their_day() {
        for (id, seen, purpose_ends, rule, due) in [
            ("US-IL", "2024-03-10", None, "three-years-unused", "2027-03-10"),
            ("US-IL", "2024-02-29", None, "three-years-unused", "2027-02-28"),
            ("US-IL", "2025-02-28", None, "three-years-unused", "2028-02-28"),
            ("US-IL", "2024-03-10", Some("2026-01-31"), "purpose-ended", "2026-01-31"),
            ("US-IL", "2024-03-10", Some("2030-01-31"), "three-years-unused", "2027-03-10"),
            ("US-TX", "2024-02-29", None, "one-year-unused", "2025-02-28"),
            ("US-TX", "2024-12-31", None, "one-year-unused", "2025-12-31"),
            ("US-TX", "2026-06-01", Some("2025-01-15"), "one-year-after-purpose", "2026-01-15"),
            ("US-TX", "2026-06-01", Some("2028-02-29"), "one-year-unused", "2027-06-01"),
            ("US-WA", "2024-02-29", None, "two-years-unused", "2026-02-28"),
            ("US-WA", "2024-03-10", Some("2024-03-11"), "purpose-ended", "2024-03-11"),
            ("EU", "2023-03-01", None, "one-year-unused", "2024-03-01"),
            ("EU", "2023-02-28", Some("2023-09-30"), "purpose-ended", "2023-09-30"),
            ("default", "2024-02-29", None, "one-year-unused", "2025-02-28"),
            ("default", "2024-07-04", Some("2024-07-04"), "purpose-ended", "2024-07-04"),
        ] {
            let ended = schedule(id, purpose_ends).first(date(seen)).expect("every jurisdiction ends");
            let expected = Ended { jurisdiction: id.to_owned(), rule: rule.to_owned(), due: date(due) };
            assert_eq!(ended, expected, "{id}, seen {seen}, purpose ends {purpose_ends:?}");
        }
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused() {
        let with = |from: &str, to: &str| {
            assert!(RULES.contains(from), "{from}");
            read(&RULES.replacen(from, to, 1)).expect_err(to)
        };
        assert!(matches!(with("id = \"EU\"", "id = \"US-TX\""), RulesError::Twice(_)));
        assert!(matches!(with("after = \"last-interaction\"", "after = \"purpose-ended\""), RulesError::Endless(_)));
        assert!(matches!(with("years = 3", "years = 21"), RulesError::Long(_)));
        assert!(matches!(with("years = 3", "year = 3"), RulesError::Malformed(_)));
        assert!(matches!(with("name = \"one-year-unused\"", "name = \"one year\""), RulesError::Name(_)));
    }

    #[test]
    fn days_are_those_of_utc() {
        let at = |text: &str| {
            let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
            Timestamp::from_unix_milliseconds(moment.as_millisecond() as u64)
        };
        assert_eq!(day(at("2024-02-29T23:59:59.999Z")), date("2024-02-29"));
        assert_eq!(day(at("2024-03-01T00:00:00Z")), date("2024-03-01"));
        assert_eq!(beginning(date("2024-03-01")), at("2024-03-01T00:00:00Z"));
    }
}
