//! Why a command failed, with which exit code, and what to do.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tonic::{Code, Status};
use volar_core::id::IdempotencyId;
use volar_service::cli::{EXIT_INTERNAL, EXIT_UNAVAILABLE, EXIT_USAGE};
use volar_service::config::ConfigError;
use volar_service::fault::Fault;
use volar_service::tls::{HandshakeFailure, TlsError};

use crate::audit_file::Broken;
use crate::certificate::CertificateError;
use crate::connection::Server;

/// `sysexits.h` `EX_DATAERR`: a server understood the request and refused it.
pub const EXIT_REFUSED: u8 = 65;

/// Why a command failed. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate cannot be made or read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// This tool's own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something that the command needs was given neither as an option nor in the configuration.
    #[error("{option} is missing: give it as an option, or in the file that --config names (`volarctl config`)")]
    Missing {
        /// The option, such as `--vault URL`.
        option: &'static str,
    },
    /// Text that is no ticket.
    #[error("that is no ticket: give it as the gate printed it, base64url, or - to read it from standard input")]
    NoTicket,
    /// The person at the terminal did not agree.
    #[error("nothing was erased")]
    NotConfirmed,
    /// A server does not answer.
    #[error("the {server} at {url} does not answer: {message}; check that it runs and that the address is right{}", retry_hint(*.repeat))]
    Unreachable {
        /// Which server.
        server: &'static str,
        /// Where.
        url: String,
        /// What the transport says.
        message: String,
        /// The request's idempotency id, if it changes something: it may have had its effect.
        repeat: Option<IdempotencyId>,
    },
    /// A server refuses.
    #[error("the {server} refuses: {message} [{reason}]{}", advice(.reason).map(|advice| format!("; {advice}")).unwrap_or_default())]
    Refused {
        /// Which server.
        server: &'static str,
        /// The reason on the wire.
        reason: String,
        /// What the server says.
        message: String,
    },
    /// A server failed.
    #[error("the {server} failed: {message} [{reason}]; its log says more{}", retry_hint(*.repeat))]
    Failed {
        /// Which server.
        server: &'static str,
        /// The reason on the wire.
        reason: String,
        /// What the server says.
        message: String,
        /// The request's idempotency id, if it changes something.
        repeat: Option<IdempotencyId>,
    },
    /// The file of a passphrase or PIN cannot be used.
    #[error("cannot use the passphrase or PIN in {}: {error}", path.display())]
    Secret {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: std::io::Error,
    },
    /// There is no such subject, or it is erased.
    #[error("no subject {subject} that is not erased; `volarctl subject list` shows who is enrolled")]
    SubjectUnknown {
        /// The id asked for.
        subject: String,
    },
    /// The audit log is not as it was.
    #[error("the audit log cannot be trusted: {0}")]
    Audit(#[from] Broken),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Standard output is closed or full, or the process cannot start its runtime.
    #[error("cannot go on: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }

    /// What a call's status means. `repeat` is the idempotency id of a call that changes something.
    pub(crate) fn of(status: &Status, server: &Server, repeat: Option<IdempotencyId>) -> Self {
        let (name, url) = (server.name, server.url.clone());
        let message: String = status.message().chars().take(500).collect();
        if let Some(handshake) = HandshakeFailure::of(status) {
            return Self::Refused {
                server: name,
                reason: "CERTIFICATE_REFUSED".to_owned(),
                message: handshake.to_string(),
            };
        }
        let named = Fault::reason_of(status);
        let reason = || named.clone().unwrap_or_else(|| format!("{:?}", status.code()).to_uppercase());
        match status.code() {
            Code::Unavailable if named.as_deref() == Some("SEALED") => {
                Self::Refused { server: name, reason: reason(), message }
            }
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                Self::Unreachable { server: name, url, message, repeat }
            }
            Code::Internal | Code::DataLoss | Code::Unknown => {
                Self::Failed { server: name, reason: reason(), message, repeat }
            }
            _ => Self::Refused { server: name, reason: reason(), message },
        }
    }

    /// The process's exit code (`sysexits.h`).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Certificate(CertificateError::Unwritable { .. }) | Self::Unreachable { .. } | Self::File { .. } => {
                EXIT_UNAVAILABLE
            }
            Self::Refused { reason, .. } if reason == "SEALED" => EXIT_UNAVAILABLE,
            Self::Config(_)
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::Missing { .. }
            | Self::NoTicket
            | Self::Secret { .. } => EXIT_USAGE,
            Self::Refused { .. } | Self::SubjectUnknown { .. } | Self::NotConfirmed | Self::Audit(_) => EXIT_REFUSED,
            Self::Failed { .. } | Self::System(_) => EXIT_INTERNAL,
        }
    }

    /// A word for a program, in UPPER_SNAKE_CASE: the server's own where a server refuses.
    pub fn reason(&self) -> &str {
        match self {
            Self::Config(_) => "CONFIGURATION_INVALID",
            Self::Certificate(CertificateError::Exists { .. }) => "FILE_EXISTS",
            Self::Certificate(_) => "CERTIFICATE",
            Self::Tls(_) => "OWN_CERTIFICATE_UNUSABLE",
            Self::Missing { .. } => "OPTION_MISSING",
            Self::NoTicket => "NO_TICKET",
            Self::Secret { .. } => "SECRET_UNUSABLE",
            Self::NotConfirmed => "NOT_CONFIRMED",
            Self::Unreachable { .. } => "NOT_REACHED",
            Self::Refused { reason, .. } | Self::Failed { reason, .. } => reason,
            Self::SubjectUnknown { .. } => "SUBJECT_UNKNOWN",
            Self::Audit(_) => "AUDIT_LOG_BROKEN",
            Self::File { .. } => "FILE",
            Self::System(_) => "SYSTEM",
        }
    }

    /// `{"error": {"reason": …, "message": …, "idempotency_id": …}}`, what `--json` prints in place of a result.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "reason": self.reason(), "message": self.to_string() });
        if let Self::Unreachable { repeat: Some(id), .. } | Self::Failed { repeat: Some(id), .. } = self {
            error["idempotency_id"] = Value::from(id.to_string());
        }
        json!({ "error": error })
    }
}

fn retry_hint(repeat: Option<IdempotencyId>) -> String {
    repeat
        .map(|id| format!("; it may have had its effect, so repeat it with --idempotency-id {id}"))
        .unwrap_or_default()
}

/// What to do about a refusal, where the server's words do not say.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "ROLE_NOT_ALLOWED" => {
            "give a certificate of that role: --certificate and --key, or [checkout] in the configuration"
        }
        "TICKET_ALREADY_CLAIMED" => "the first claim gets its answer again under its own --idempotency-id",
        "SECRET_WRONG" => "it was tried once; a token locks after a few wrong ones",
        "TICKET_EXPIRED" => "the person must show their hand again",
        "TICKET_FORGED" | "TICKET_MALFORMED" => "pass the ticket on exactly as the gate printed it",
        "IDEMPOTENCY_CONFLICT" => "that id belongs to another request: leave --idempotency-id out",
        "SUBJECT_UNKNOWN" => "`volarctl subject list` shows who is enrolled",
        "NOT_IN_REVIEW" => "`volarctl review list` shows what waits for a decision",
        "NO_PAYMENT_REFERENCE" => "the person linked no payment at the kiosk: have them pay in another way",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        Server { name: "vault", url: "https://vault:7401".to_owned(), channel }
    }

    #[tokio::test]
    async fn statuses_become_exit_codes() {
        let of = |status: Status| Failure::of(&status, &server(), None);
        let refused: Status = Fault::new(Code::AlreadyExists, "TICKET_ALREADY_CLAIMED", "claimed").into();
        assert_eq!(of(refused.clone()).exit_code(), EXIT_REFUSED);
        assert_eq!(of(refused).reason(), "TICKET_ALREADY_CLAIMED");
        assert_eq!(of(Status::unavailable("tcp connect error")).exit_code(), EXIT_UNAVAILABLE);
        assert_eq!(of(Status::deadline_exceeded("late")).exit_code(), EXIT_UNAVAILABLE);
        assert_eq!(of(Status::internal("bug")).exit_code(), EXIT_INTERNAL);
        assert_eq!(of(Status::permission_denied("no")).reason(), "PERMISSIONDENIED");
    }

    #[tokio::test]
    async fn an_unanswered_request_says_how_to_repeat_it() {
        let id = IdempotencyId::from_bytes([7; 16]);
        let failure = Failure::of(&Status::unavailable("gone"), &server(), Some(id));
        assert!(failure.to_string().contains(&format!("--idempotency-id {id}")));
        assert_eq!(failure.to_json()["error"]["idempotency_id"], id.to_string());
    }
}
