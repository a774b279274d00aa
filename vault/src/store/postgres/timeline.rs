//! Which of several servers is the primary of now. Every promotion of a standby begins a new timeline with a higher
//! number; a former primary that has not heard of it goes on under its old one, and shows what was true before.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio_postgres::Client;

use super::failure::Trouble;

/// The highest timeline that the writer has met. Shared by everything that is connected for one store.
#[derive(Default)]
pub(super) struct Timeline(Mutex<Newest>);

#[derive(Default)]
struct Newest {
    /// 0 before the first connection.
    number: u32,
    /// When it was met.
    since: Option<Instant>,
}

impl Timeline {
    /// Takes the timeline of a server that the writer holds the lock of; refuses a former primary.
    pub(super) fn meet(&self, found: u32, now: Instant) -> Result<(), Trouble> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found < newest.number {
            return Err(behind(found, newest.number));
        }
        if found > newest.number {
            *newest = Newest { number: found, since: Some(now) };
        }
        Ok(())
    }

    /// Refuses a former primary.
    pub(super) fn check_not_behind(&self, found: u32) -> Result<(), Trouble> {
        let number = self.0.lock().unwrap_or_else(PoisonError::into_inner).number;
        if found < number { Err(behind(found, number)) } else { Ok(()) }
    }

    /// Refuses to read from a server of another timeline than the one that is written to.
    pub(super) fn check(&self, found: u32) -> Result<(), Trouble> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).number {
            number if found < number => Err(behind(found, number)),
            number if found > number => {
                Err(Trouble::Passing(format!("it was promoted to timeline {found}, and the writer is not there yet")))
            }
            _ => Ok(()),
        }
    }

    /// Whether a connection made at `created` may be to a former primary.
    pub(super) fn outdates(&self, created: Instant) -> bool {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.since.is_some_and(|since| created < since)
    }
}

fn behind(found: u32, newest: u32) -> Trouble {
    Trouble::Passing(format!(
        "it is a former primary, on timeline {found} where timeline {newest} is written to: stop it, or let it follow"
    ))
}

/// The timeline that a server writes to.
pub(super) async fn of(client: &Client) -> Result<u32, tokio_postgres::Error> {
    // The name of a log file begins with it. A checkpoint's record of it would lag behind a promotion.
    let text = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";
    let name: String = client.query_one(text, &[]).await?.get(0);
    Ok(u32::from_str_radix(&name, 16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_former_primary_is_refused() {
        let (timeline, start) = (Timeline::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        timeline.meet(3, later(1)).expect("the first");
        timeline.meet(3, later(2)).expect("the same");
        assert!(!timeline.outdates(later(1)) && timeline.outdates(start));
        timeline.meet(4, later(3)).expect("a promoted one");
        assert!(timeline.meet(3, later(4)).is_err_and(|trouble| trouble.passes()));
        assert!(timeline.check(4).is_ok() && timeline.check(3).is_err() && timeline.check(5).is_err());
        assert!(timeline.outdates(later(2)) && !timeline.outdates(later(3)));
    }
}
