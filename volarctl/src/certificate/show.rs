//! Reads a certificate back.

use std::path::Path;

use serde::Serialize;
use volar_core::clock::Timestamp;
use volar_service::identity::Peer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, parse_x509_pem};

use super::{CertificateError, files};

/// What a certificate says, for a person or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// `spiffe://volar/<tenant>/<site>/<role>/<device>`; none on an authority's.
    pub name: Option<String>,
    /// The X.509 subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// First moment, milliseconds since the Unix epoch.
    pub not_before_unix_ms: u64,
    /// Last moment, milliseconds since the Unix epoch.
    pub not_after_unix_ms: u64,
    /// Whether it is valid at the moment asked about.
    pub valid: bool,
    /// Whether it signs others.
    pub authority: bool,
    /// Whether a server may show it.
    pub server: bool,
    /// Whether a client may show it.
    pub client: bool,
    /// What the server is called.
    pub hosts: Vec<String>,
}

/// Reads the first certificate of a PEM file.
pub fn show(path: &Path, now: Timestamp) -> Result<Shown, CertificateError> {
    let not_a_certificate = || CertificateError::NotACertificate { path: path.to_owned() };
    let text = files::read(path)?;
    let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|_| not_a_certificate())?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|_| not_a_certificate())?;
    let name = if certificate.is_ca() {
        None
    } else {
        let named = Peer::from_certificate(&pem.contents);
        Some(named.map_err(|source| CertificateError::Name { path: path.to_owned(), source })?.to_string())
    };
    let usage = certificate.extended_key_usage().ok().flatten().map(|usage| usage.value);
    let moment = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000);
    let validity = certificate.validity();
    let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
    Ok(Shown {
        name,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before_unix_ms: not_before,
        not_after_unix_ms: not_after,
        valid: (not_before..=not_after).contains(&now.unix_milliseconds()),
        authority: certificate.is_ca(),
        server: usage.is_some_and(|usage| usage.server_auth),
        client: usage.is_some_and(|usage| usage.client_auth),
        hosts: hosts(&certificate),
    })
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    names.map(|names| names.value.general_names.iter().filter_map(host).collect()).unwrap_or_default()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    four.or_else(sixteen).map(|address| address.to_string())
}
