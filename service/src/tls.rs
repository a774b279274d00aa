//! Mutual TLS: every process has a certificate of its own and trusts one authority.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

use crate::config::{Resolve, resolve};
use crate::identity::{IdentityError, Peer};

/// A handshake takes a few milliseconds; a peer that takes this long is stuck or hostile.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `[tls]` in a configuration: PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate of the authority that signs every peer's.
    pub ca: PathBuf,
    /// This process's certificate, which names it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Resolve for TlsConfig {
    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.ca, folder);
        resolve(&mut self.certificate, folder);
        resolve(&mut self.key, folder);
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {}: {error}; `volarctl certificate` makes certificates", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A certificate file without a certificate.
    #[error("{} holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that names no peer.
    #[error("{}: {source}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        source: IdentityError,
    },
    /// An address that is no URL.
    #[error("\"{url}\" is not an address such as https://localhost:7401")]
    Address {
        /// The text configured.
        url: String,
    },
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(tonic::transport::Error),
}

impl TlsConfig {
    /// The name in this process's own certificate.
    pub fn own_name(&self) -> Result<Peer, TlsError> {
        let path = || self.certificate.clone();
        let leaf = CertificateDer::from_pem_slice(&read(&self.certificate)?)
            .map_err(|_| TlsError::NoCertificate { path: path() })?;
        Peer::from_certificate(&leaf).map_err(|source| TlsError::Identity { path: path(), source })
    }

    /// Settings for a server that demands a certificate from every client.
    pub fn server(&self) -> Result<ServerTlsConfig, TlsError> {
        Ok(ServerTlsConfig::new()
            .identity(self.identity()?)
            .client_ca_root(Certificate::from_pem(read(&self.ca)?))
            .timeout(HANDSHAKE_TIME_MAX))
    }

    /// A channel to `url` (`https://host:port`) that connects when first used and again whenever it must.
    pub fn channel(&self, url: &str) -> Result<Channel, TlsError> {
        Ok(self.endpoint(url)?.connect_lazy())
    }

    /// The same as [`TlsConfig::channel`], for callers with time limits of their own.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint, TlsError> {
        let (host, _) = host_and_port(url)?;
        self.endpoint_of(url.to_owned(), &host)
    }

    /// An endpoint at one of the addresses of a host that has several; its certificate must name the host.
    pub fn endpoint_at(&self, address: SocketAddr, host: &str) -> Result<Endpoint, TlsError> {
        self.endpoint_of(format!("https://{address}"), host)
    }

    fn endpoint_of(&self, url: String, host: &str) -> Result<Endpoint, TlsError> {
        let tls = ClientTlsConfig::new()
            .identity(self.identity()?)
            .ca_certificate(Certificate::from_pem(read(&self.ca)?))
            .domain_name(host)
            .timeout(HANDSHAKE_TIME_MAX);
        Endpoint::from_shared(url.clone())
            .map_err(|_| address_error(&url))?
            .connect_timeout(CONNECT_TIME_MAX)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .tls_config(tls)
            .map_err(TlsError::Unusable)
    }

    fn identity(&self) -> Result<Identity, TlsError> {
        Ok(Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
    }
}

/// Why a handshake failed, as a client can tell it from a call's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailure {
    /// The server refuses this process's certificate: its time is over.
    #[error("this process's certificate has expired: issue a new one with `volarctl certificate issue`")]
    OwnExpired,
    /// The server refuses this process's certificate: another authority signed it, or it may not be a client's.
    #[error("the server does not accept this process's certificate: it must be signed by the server's authority")]
    OwnRefused,
    /// This process refuses the server's certificate: its time is over.
    #[error("the server's certificate has expired: issue a new one with `volarctl certificate issue`")]
    ServerExpired,
    /// This process refuses the server's certificate: another authority signed it, or it names another host.
    #[error(
        "the server's certificate is not accepted: `tls.ca` must be the authority that signed it, for this host name"
    )]
    ServerRefused,
}

impl HandshakeFailure {
    /// Finds the failure behind a status; `None` if the call failed for another reason.
    pub fn of(status: &tonic::Status) -> Option<Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(status);
        while let Some(error) = next {
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let found = match inner {
                Some(inner) => inner.downcast_ref::<rustls::Error>(),
                None => error.downcast_ref::<rustls::Error>(),
            };
            if let Some(found) = found {
                return Self::from_rustls(found);
            }
            // Under TLS 1.3 a refusal arrives after the handshake, through h2, which keeps only its words.
            if let Some(alert) = inner.and_then(|inner| alert_in(&inner.to_string())) {
                return Self::from_rustls(&rustls::Error::AlertReceived(alert));
            }
            next = error.source();
        }
        None
    }

    fn from_rustls(error: &rustls::Error) -> Option<Self> {
        use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
        match error {
            Error::AlertReceived(Alert::CertificateExpired) => Some(Self::OwnExpired),
            Error::AlertReceived(
                Alert::UnknownCA
                | Alert::BadCertificate
                | Alert::DecryptError
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::UnsupportedCertificate
                | Alert::AccessDenied,
            ) => Some(Self::OwnRefused),
            Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
                Some(Self::ServerExpired)
            }
            Error::InvalidCertificate(_) => Some(Self::ServerRefused),
            _ => None,
        }
    }
}

/// The alert that rustls's words for it name.
fn alert_in(words: &str) -> Option<rustls::AlertDescription> {
    use rustls::AlertDescription as Alert;
    let known = [
        Alert::CertificateExpired,
        Alert::UnknownCA,
        Alert::BadCertificate,
        Alert::DecryptError,
        Alert::CertificateUnknown,
        Alert::CertificateRequired,
        Alert::UnsupportedCertificate,
        Alert::AccessDenied,
    ];
    known.into_iter().find(|alert| words == rustls::Error::AlertReceived(*alert).to_string())
}

/// Host, without the brackets of an IPv6 address, and port of `https://host:port`.
pub fn host_and_port(url: &str) -> Result<(String, u16), TlsError> {
    let error = || address_error(url);
    let uri: http::Uri = url.parse().map_err(|_| error())?;
    if uri.scheme_str() != Some("https") {
        return Err(error());
    }
    let host = uri.host().ok_or_else(error)?.trim_matches(['[', ']']).to_owned();
    Ok((host, uri.port_u16().unwrap_or(443)))
}

fn address_error(url: &str) -> TlsError {
    TlsError::Address { url: url.chars().take(200).collect() }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}
