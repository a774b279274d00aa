//! How calls to vault and matcher fail, and how long to wait before the next attempt.

use std::time::Duration;

use tonic::{Code, Status};
use volar_service::fault::Fault;
use volar_service::tls::HandshakeFailure;

use crate::parameters::RETRY_PAUSE;

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not reached, or not answered in time: another attempt with the same idempotency id may succeed.
    #[error("no answer: {message}")]
    Unanswered {
        /// What is known of it.
        message: String,
    },
    /// Refused: the same call again is refused again.
    #[error("refused: {message} [{reason}]")]
    Refused {
        /// The reason in UPPER_SNAKE_CASE.
        reason: String,
        /// For a person.
        message: String,
    },
}

impl CallError {
    /// The answer holds something that the contract does not allow.
    pub(crate) fn malformed(field: &'static str) -> Self {
        Self::Refused {
            reason: "ANSWER_MALFORMED".to_owned(),
            message: format!("the answer's field {field} is not as the contract has it"),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        if let Some(handshake) = HandshakeFailure::of(&status) {
            return Self::Unanswered { message: handshake.to_string() };
        }
        let message = || status.message().to_owned();
        match (status.code(), Fault::reason_of(&status)) {
            // A busy or restarting server says so with a reason of its own.
            (Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted, _) => {
                Self::Unanswered { message: message() }
            }
            (_, Some(reason)) => Self::Refused { reason, message: message() },
            // A connection that breaks in mid-call shows as any of these.
            (Code::Unknown | Code::Internal | Code::Cancelled, None) => Self::Unanswered { message: message() },
            (code, None) => Self::Refused { reason: code_name(code).to_owned(), message: message() },
        }
    }
}

/// Pauses between attempts: doubling from the first to the longest.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(RETRY_PAUSE.0)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(RETRY_PAUSE.1);
        pause
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::OutOfRange => "OUT_OF_RANGE",
        _ => "CALL_FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_is_told_from_what_may_not() {
        let unanswered = |status: Status| matches!(CallError::from(status), CallError::Unanswered { .. });
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Unknown, Code::Internal]
        {
            assert!(unanswered(Status::new(code, "x")), "{code:?}");
        }
        assert!(unanswered(Fault::new(Code::Unavailable, "STORE_UNAVAILABLE", "x").into()));
        assert!(!unanswered(Fault::new(Code::Internal, "RECORD_DAMAGED", "x").into()));
        let refused = CallError::from(Status::from(Fault::new(Code::NotFound, "GALLERY_UNKNOWN", "no such gallery")));
        let (reason, message) = ("GALLERY_UNKNOWN".to_owned(), "no such gallery".to_owned());
        assert_eq!(refused, CallError::Refused { reason, message });
        let refused = CallError::from(Status::permission_denied("no"));
        assert!(matches!(refused, CallError::Refused { reason, .. } if reason == "PERMISSION_DENIED"));
    }

    #[test]
    fn pauses_grow_to_their_longest() {
        let mut pauses = Pauses::new();
        let total: Vec<Duration> = (0..6).map(|_| pauses.next()).collect();
        assert_eq!(total[0], RETRY_PAUSE.0);
        assert_eq!(total[1], RETRY_PAUSE.0 * 2);
        assert_eq!(total[5], RETRY_PAUSE.1);
    }
}
