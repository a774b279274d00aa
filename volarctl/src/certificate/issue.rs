//! Issues a certificate that names one peer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use volar_core::clock::Timestamp;
use volar_service::identity::Peer;

use super::{Authority, CertificateError, Host, files};

/// Clocks of small devices are wrong by minutes before they have found the time.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// 2900-01-01T00:00:00Z, in seconds: a later time is a slip of the finger.
const LATEST: u64 = 29_348_006_400;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: Timestamp,
    /// Last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// From five minutes before `now`, for devices whose clocks are behind, until `not_after`. A `not_after` in the
    /// past makes a certificate that has expired, for trying what a peer makes of one.
    pub fn until(not_after: Timestamp, now: Timestamp) -> Self {
        let earlier = |moment: Timestamp, by: Duration| {
            Timestamp::from_unix_milliseconds(moment.unix_milliseconds().saturating_sub(by.as_millis() as u64))
        };
        let not_before = earlier(now, CLOCK_SKEW).min(earlier(not_after, CLOCK_SKEW));
        Self { not_before, not_after }
    }

    pub(super) fn write_to(self, parameters: &mut CertificateParams) -> Result<(), CertificateError> {
        let seconds = |moment: Timestamp| moment.unix_milliseconds() / 1000;
        if seconds(self.not_after) > LATEST || self.not_after <= self.not_before {
            return Err(CertificateError::Validity);
        }
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        parameters.not_before = epoch + Duration::from_secs(seconds(self.not_before));
        parameters.not_after = epoch + Duration::from_secs(seconds(self.not_after));
        Ok(())
    }
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom it names.
    pub peer: Peer,
    /// When it is valid.
    pub validity: Validity,
    /// What a server is called; empty for [`Host::local`]. Must be empty for roles that accept no calls.
    pub hosts: Vec<Host>,
}

/// A certificate that has been issued, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, `<device>.pem`.
    pub certificate: PathBuf,
    /// Its private key, `<device>.key`, readable by its owner alone.
    pub key: PathBuf,
    /// Whom it names.
    pub peer: Peer,
    /// Its last moment.
    pub not_after: Timestamp,
    /// What a server may be called by it.
    pub hosts: Vec<Host>,
}

impl Authority {
    /// Issues a certificate with a new key (ECDSA P-256) into `folder`, as `<device>.pem` and `<device>.key`. Files of
    /// these names stay as they are, and nothing is issued, unless `replace`.
    pub fn issue(&self, request: &Request, folder: &Path, replace: bool) -> Result<Issued, CertificateError> {
        let peer = &request.peer;
        let hosts = hosts(request)?;
        let mut parameters = CertificateParams::default();
        request.validity.write_to(&mut parameters)?;
        parameters.distinguished_name = subject(peer);
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if peer.role.serves() {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let name = Ia5String::try_from(peer.to_string()).expect("a peer's name is ASCII");
        parameters.subject_alt_names = vec![SanType::URI(name)];
        parameters.subject_alt_names.extend(hosts.iter().map(Host::to_alternative_name));

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let file = |extension: &str| folder.join(format!("{}.{extension}", peer.device));
        let (certificate_path, key_path) = (file("pem"), file("key"));
        let key_pem = zeroize::Zeroizing::new(key.serialize_pem());
        files::make_folder(folder)?;
        files::write_pair((&certificate_path, &certificate.pem()), (&key_path, &key_pem), replace)?;
        Ok(Issued {
            certificate: certificate_path,
            key: key_path,
            peer: peer.clone(),
            not_after: request.validity.not_after,
            hosts,
        })
    }
}

fn hosts(request: &Request) -> Result<Vec<Host>, CertificateError> {
    match (request.peer.role.serves(), request.hosts.is_empty()) {
        (true, true) => Ok(Host::local()),
        (true, false) => Ok(request.hosts.clone()),
        (false, true) => Ok(Vec::new()),
        (false, false) => Err(CertificateError::HostForClient { role: request.peer.role }),
    }
}

fn subject(peer: &Peer) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Volar development, not for production");
    name.push(DnType::OrganizationalUnitName, peer.role.as_str());
    name.push(DnType::CommonName, peer.device.as_str());
    name
}
