//! What a server's certificate says that it may be called.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rcgen::string::Ia5String;

use super::CertificateError;

/// A DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// The names of this machine to itself: for a server and its callers on one machine.
    pub fn local() -> Vec<Self> {
        ["localhost", "127.0.0.1", "::1"].map(|name| Self(name.to_owned())).to_vec()
    }

    pub(super) fn to_alternative_name(&self) -> SanType {
        match self.0.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(self.0.as_str()).expect("a host is checked to be ASCII")),
        }
    }
}

impl FromStr for Host {
    type Err = CertificateError;
    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let dns_name = text.len() <= 253 && text.split('.').all(label);
        if text.parse::<IpAddr>().is_ok() || dns_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(CertificateError::Host { text: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
