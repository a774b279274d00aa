//! Who is at the other end: the SPIFFE name in a peer's certificate,
//! `spiffe://volar/<tenant>/<site>/<role>/<device>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use volar_core::id::{DeviceId, SiteId, TenantId};
use volar_core::log_safe::LogSafe;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::fault::Fault;

/// Scheme and trust domain of every name.
const PREFIX: &str = "spiffe://volar/";

/// What a peer is. A certificate carries exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Keeps the sealed records.
    Vault,
    /// Searches galleries.
    Matcher,
    /// Enrols.
    Kiosk,
    /// Reads palms at an entry.
    Gate,
    /// A checkout backend: claims tickets.
    Checkout,
    /// A person with administrative tools.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [Self::Vault, Self::Matcher, Self::Kiosk, Self::Gate, Self::Checkout, Self::Operator];

    /// The role's word in names and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Matcher => "matcher",
            Self::Kiosk => "kiosk",
            Self::Gate => "gate",
            Self::Checkout => "checkout",
            Self::Operator => "operator",
        }
    }

    /// Whether processes of this role accept gRPC calls, so that their certificates may be a server's.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Vault | Self::Matcher)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl LogSafe for Role {}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| IdentityError::Role { text: text.chars().take(80).collect() })
    }
}

/// A process with a certificate: one's own name, or that of a peer whose certificate has been verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// What it is.
    pub role: Role,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it stands.
    pub site: SiteId,
    /// Which one it is.
    pub device: DeviceId,
}

impl Peer {
    /// The calling peer, as the access layer found it in the certificate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Fault> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| {
            Fault::new(tonic::Code::Unauthenticated, "NO_CERTIFICATE", "the call came without a client certificate")
        })
    }

    /// The name in a certificate (DER).
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::NotACertificate)?;
        let names = certificate.subject_alternative_name().ok().flatten().ok_or(IdentityError::NoName)?;
        let mut found = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(PREFIX) => Some(*uri),
            _ => None,
        });
        match (found.next(), found.next()) {
            (Some(name), None) => name.parse(),
            (Some(_), Some(_)) => Err(IdentityError::TwoNames),
            (None, _) => Err(IdentityError::NoName),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}/{}/{}/{}", self.tenant, self.site, self.role, self.device)
    }
}

impl LogSafe for Peer {}

impl FromStr for Peer {
    type Err = IdentityError;
    fn from_str(name: &str) -> Result<Self, IdentityError> {
        let malformed = || IdentityError::Malformed { name: name.chars().take(200).collect() };
        let path = name.strip_prefix(PREFIX).ok_or_else(malformed)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [tenant, site, role, device] = parts[..] else { return Err(malformed()) };
        Ok(Self {
            role: role.parse()?,
            tenant: tenant.parse().map_err(|_| malformed())?,
            site: site.parse().map_err(|_| malformed())?,
            device: device.parse().map_err(|_| malformed())?,
        })
    }
}

/// Why a certificate names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not X.509.
    #[error("not an X.509 certificate in DER form")]
    NotACertificate,
    /// No `spiffe://volar/` name.
    #[error(
        "the certificate has no name {PREFIX}<tenant>/<site>/<role>/<device> among its URIs; `volarctl certificate` makes one that has"
    )]
    NoName,
    /// More than one.
    #[error("the certificate has two names that start with {PREFIX}; it must have one")]
    TwoNames,
    /// Not four well-formed parts.
    #[error("\"{name}\" is not of the form {PREFIX}<tenant>/<site>/<role>/<device>")]
    Malformed {
        /// The name found.
        name: String,
    },
    /// Not a role.
    #[error("\"{text}\" is no role; roles are vault, matcher, kiosk, gate, checkout and operator")]
    Role {
        /// The word found.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let name = "spiffe://volar/acme/north/gate/gate-1";
        let peer: Peer = name.parse().expect("a good name");
        assert_eq!(peer.role, Role::Gate);
        assert_eq!(peer.to_string(), name);
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            "spiffe://volar/acme/north/gate",
            "spiffe://volar/acme/north/gate/g/x",
            "spiffe://volar/acme/north/king/g",
            "spiffe://volar/Acme/north/gate/g",
            "spiffe://other/acme/north/gate/g",
        ] {
            assert!(bad.parse::<Peer>().is_err(), "{bad}");
        }
    }
}
