//! What may go wrong with the database, and what of it passes.

use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why a read or a batch failed. Shared by everybody who waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server does not answer; nothing was written.
    Unavailable(Arc<str>),
    /// The server did not say whether it was written.
    Unknown,
    /// The server refuses; nothing was written.
    Refused(Arc<str>),
    /// Another vault writes to this database.
    TakenOver,
    /// Other vaults of the same database wrote first; nothing was written, and the body is to run again.
    Overtaken,
    /// The server has forgotten what it had acknowledged.
    Lost { found: u64, acknowledged: u64 },
}

impl Failure {
    /// As the store tells it; `place` names the database.
    pub(super) fn at(&self, place: &str) -> StoreError {
        let (path, place) = (place.into(), place.to_owned());
        match self {
            Self::Unavailable(reason) => StoreError::Unavailable { place, reason: reason.to_string() },
            Self::Unknown => StoreError::OutcomeUnknown { place },
            Self::Refused(reason) => StoreError::Refused { place, reason: reason.to_string() },
            Self::TakenOver => StoreError::TakenOver { place },
            Self::Overtaken => {
                let reason = "other vaults over it wrote first, again and again".to_owned();
                StoreError::Unavailable { place, reason }
            }
            Self::Lost { found, acknowledged } => {
                StoreError::LostWrites { path, found: *found, acknowledged: *acknowledged }
            }
        }
    }
}

/// Why one try failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// May be over at the next try.
    Passing(String),
    /// Will not pass by itself.
    Lasting(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Passing(reason) | Self::Lasting(reason)) = self;
        formatter.write_str(reason)
    }
}

impl Trouble {
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Passing(_))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(reason) => Self::Unavailable(reason.into()),
            Trouble::Lasting(reason) => Self::Refused(reason.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        // The server's message only: its detail may name a row's key.
        let reason = match error.as_db_error() {
            Some(refusal) => format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code()),
            None => chain(&error),
        };
        match error.code() {
            Some(code) if !passes(code) => Self::Lasting(reason),
            _ => Self::Passing(reason),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Trouble {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => Self::Passing(other.to_string()),
        }
    }
}

/// Connections, resources, conflicts with others, operators at work, a standby that is not yet promoted, a server of a
/// cluster that was killed (an internal error of the one that asked it): all may pass.
fn passes(code: &SqlState) -> bool {
    const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
    CLASSES.iter().any(|class| code.code().starts_with(class))
        || [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::LOCK_NOT_AVAILABLE, SqlState::INTERNAL_ERROR].contains(code)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
