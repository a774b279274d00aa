//! Certificates for development and trials: an authority on disk, and certificates that name a peer as
//! [`volar_service::identity`] reads it.
//!
//! For production, have the organisation's own PKI issue certificates of the same shape: a URI among the subject's
//! alternative names, `spiffe://volar/<tenant>/<site>/<role>/<device>`; client authentication for every role, server
//! authentication and host names for vault and matcher only.

mod authority;
mod files;
mod host;
mod issue;
mod show;

use std::path::PathBuf;

use volar_service::identity::{IdentityError, Role};

pub use authority::Authority;
pub use host::Host;
pub use issue::{Issued, Request, Validity};
pub use show::{Shown, show};

/// File name of an authority's certificate in its folder: what every process trusts (`tls.ca`).
pub const AUTHORITY_CERTIFICATE: &str = "ca.pem";
/// File name of an authority's private key in its folder.
pub const AUTHORITY_KEY: &str = "ca.key";

/// Why there is no certificate, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file of that name is there.
    #[error("{} is there already and is not overwritten: choose another folder, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The folder holds no authority that this program made.
    #[error("{} is not an authority's: {reason}; `volarctl certificate authority --out DIR` makes one", path.display())]
    NoAuthority {
        /// The certificate or key.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Host names for a role that accepts no calls.
    #[error("role {role} accepts no calls, so its certificate names no host: leave --host out")]
    HostForClient {
        /// The role.
        role: Role,
    },
    /// Not an IP address or DNS name.
    #[error("\"{text}\" is neither an IP address nor a DNS name")]
    Host {
        /// The text given, cut to 80 characters.
        text: String,
    },
    /// A last day before the first one, or beyond what X.509 can say.
    #[error("a certificate cannot be valid until then: choose a time between 1970 and 2900")]
    Validity,
    /// Not a certificate in PEM form.
    #[error("{} holds no PEM certificate", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that names no peer.
    #[error("{}: {source}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: IdentityError,
    },
    /// The library refuses to sign.
    #[error("the certificate cannot be made: {0}")]
    Signing(#[from] rcgen::Error),
}
