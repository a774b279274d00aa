//! A certificate authority in a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use volar_core::clock::Timestamp;

use super::{AUTHORITY_CERTIFICATE, AUTHORITY_KEY, CertificateError, Validity, files};

/// How long a development authority lasts: longer than a trial, shorter than anyone should forget it.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

/// An authority whose key is at hand. Its subject says "development": nobody should mistake it for a PKI.
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
}

impl Authority {
    /// Makes an authority (ECDSA P-256) in `folder`, as [`AUTHORITY_CERTIFICATE`] and [`AUTHORITY_KEY`] (readable by
    /// its owner alone). Refuses to overwrite one: every certificate that it issued would become worthless.
    pub fn create(folder: &Path, now: Timestamp) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let validity = Validity::until(now.after(LIFETIME), now);
        let mut parameters = CertificateParams::default();
        validity.write_to(&mut parameters)?;
        parameters.distinguished_name = subject();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key)?;
        files::make_folder(folder)?;
        let path = folder.join(AUTHORITY_CERTIFICATE);
        let key_pem = zeroize::Zeroizing::new(key.serialize_pem());
        files::write_pair((&path, &certificate.pem()), (&folder.join(AUTHORITY_KEY), &key_pem), false)?;
        Ok(Self { issuer: Issuer::new(parameters, key), certificate: path })
    }

    /// Opens the authority in `folder`.
    pub fn open(folder: &Path) -> Result<Self, CertificateError> {
        let (path, key_path) = (folder.join(AUTHORITY_CERTIFICATE), folder.join(AUTHORITY_KEY));
        let key_pem = zeroize::Zeroizing::new(files::read(&key_path)?);
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|error| CertificateError::NoAuthority { path: key_path, reason: error.to_string() })?;
        let issuer = Issuer::from_ca_cert_pem(&files::read(&path)?, key)
            .map_err(|error| CertificateError::NoAuthority { path: path.clone(), reason: error.to_string() })?;
        Ok(Self { issuer, certificate: path })
    }

    /// The authority's certificate: what every process trusts.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }
}

fn subject() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Volar development, not for production");
    name.push(DnType::CommonName, "Volar development authority");
    name
}
