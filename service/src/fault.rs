//! How errors travel: `google.rpc.Status` with an `ErrorInfo` whose reason a program can act on.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of every error that Volar makes.
pub const DOMAIN: &str = "volar.dev";

/// An error on its way to a caller. Its texts reach logs and screens: never put a secret in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} [{reason}]")]
pub struct Fault {
    /// The gRPC code.
    pub code: Code,
    /// The reason, in UPPER_SNAKE_CASE, stable between versions.
    pub reason: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
    /// More for a program, such as the offending field.
    pub metadata: Vec<(&'static str, String)>,
    /// When to try again, if that may help.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault without metadata.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), metadata: Vec::new(), retry_after: None }
    }

    /// Adds metadata.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The reason that a received status carries, if it comes from Volar.
    pub fn reason_of(status: &Status) -> Option<String> {
        let info = status.get_details_error_info()?;
        (info.domain == DOMAIN).then_some(info.reason)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let metadata: HashMap<String, String> =
            fault.metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(fault.reason, DOMAIN, metadata);
        if fault.retry_after.is_some() {
            details.set_retry_info(fault.retry_after);
        }
        Status::with_error_details(fault.code, fault.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_the_wire_form() {
        let fault = Fault::new(Code::NotFound, "GALLERY_UNKNOWN", "no such gallery").with("gallery", "x");
        let status = Status::from(fault);
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(Fault::reason_of(&status).as_deref(), Some("GALLERY_UNKNOWN"));
        assert_eq!(Fault::reason_of(&Status::internal("other")), None);
    }
}
