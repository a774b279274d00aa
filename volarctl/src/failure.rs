//! Why a command failed, and with which exit code.

use serde_json::{Value, json};
use volar_service::cli::{EXIT_INTERNAL, EXIT_UNAVAILABLE, EXIT_USAGE};
use volar_service::config::ConfigError;
use volar_service::tls::TlsError;

use crate::certificate::CertificateError;

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
    #[error("{option} is missing: give it as an option, or in the file that --config names")]
    Missing {
        /// The option, such as `--vault URL`.
        option: &'static str,
    },
    /// Standard output is closed or full, or the process cannot start its runtime.
    #[error("cannot go on: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    /// The process's exit code (`sysexits.h`).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Certificate(CertificateError::Unwritable { .. }) => EXIT_UNAVAILABLE,
            Self::Config(_) | Self::Certificate(_) | Self::Tls(_) | Self::Missing { .. } => EXIT_USAGE,
            Self::System(_) => EXIT_INTERNAL,
        }
    }

    /// A word for a program, in UPPER_SNAKE_CASE.
    pub fn reason(&self) -> &str {
        match self {
            Self::Config(_) => "CONFIGURATION_INVALID",
            Self::Certificate(CertificateError::Exists { .. }) => "FILE_EXISTS",
            Self::Certificate(_) => "CERTIFICATE",
            Self::Tls(_) => "OWN_CERTIFICATE_UNUSABLE",
            Self::Missing { .. } => "OPTION_MISSING",
            Self::System(_) => "SYSTEM",
        }
    }

    /// `{"error": {"reason": …, "message": …}}`, what `--json` prints in place of a result.
    pub fn to_json(&self) -> Value {
        json!({ "error": { "reason": self.reason(), "message": self.to_string() } })
    }
}
