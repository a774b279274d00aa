//! Mutual TLS: every process has a certificate of its own and trusts one authority.

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
        let address = || TlsError::Address { url: url.chars().take(200).collect() };
        if !url.starts_with("https://") {
            return Err(address());
        }
        let tls = ClientTlsConfig::new()
            .identity(self.identity()?)
            .ca_certificate(Certificate::from_pem(read(&self.ca)?))
            .timeout(HANDSHAKE_TIME_MAX);
        Endpoint::from_shared(url.to_owned())
            .map_err(|_| address())?
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

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}
