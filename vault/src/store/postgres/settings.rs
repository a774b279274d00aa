//! `[store.postgres]`: where the database is and how to reach it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use volar_service::config::{Resolve, resolve};
use zeroize::Zeroizing;

use super::timeline::Timeline;

/// A server that does not take a connection within this time is tried again.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// A connection on which nothing comes back for this long is dead: probes begin after half of it. The server is told the
/// same of the writer's connection, which holds the lock as long as the server believes in it.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Between two probes of a silent connection.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(2);

/// `[store.postgres]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgresql://user@host:port/database`, several hosts separated by commas, or a socket's folder as host. Without a
    /// password.
    pub url: String,
    /// A file with the password, of mode 0600.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authority that signs the server's certificate. Needed unless the host is a socket's folder.
    pub ca: Option<PathBuf>,
    /// PEM file of this vault's certificate, if the server asks for one.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Connections that read, 1 to 100. One more writes.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Whether other vaults serve over the same database and key table at the same time. All of them must say so.
    #[serde(default)]
    pub shared: bool,
    /// How long a call waits for a server that is away, in seconds: 1 to 60.
    #[serde(default = "default_patience")]
    pub patience_seconds: u64,
}

fn default_connections() -> usize {
    8
}

fn default_patience() -> u64 {
    10
}

impl PostgresConfig {
    /// A database at `url`, everything else as by default.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            connections: default_connections(),
            shared: false,
            patience_seconds: default_patience(),
        }
    }
}

impl Resolve for PostgresConfig {
    fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.password_file, &mut self.ca, &mut self.certificate, &mut self.key].into_iter().flatten()
        {
            resolve(path, folder);
        }
    }
}

/// What of `[store.postgres]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresConfigError {
    /// No such address.
    #[error("store.postgres.url is not an address such as postgresql://volar@db.example:5432/volar: {0}")]
    Url(tokio_postgres::Error),
    /// No host or database.
    #[error("store.postgres.url must name a host, or a socket's folder, and a database")]
    Incomplete,
    /// A password in the address.
    #[error(
        "store.postgres.url must hold no password; put it into a file of mode 0600 and set store.postgres.password_file"
    )]
    PasswordInUrl,
    /// A connection over the network in the clear.
    #[error("store.postgres.ca is required for a server over the network: the vault speaks to it in TLS only")]
    Clear,
    /// Half a client certificate.
    #[error("store.postgres.certificate and store.postgres.key go together")]
    HalfCertificate,
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A password that others may read.
    #[error("{} can be read by others; run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not PEM.
    #[error("{} holds no PEM certificate or key", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// Certificates that do not fit.
    #[error("the certificates of [store.postgres] cannot be used: {0}")]
    Tls(rustls::Error),
}

/// How to connect.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
    /// Host and database, for messages.
    pub(super) place: String,
    pub(super) connections: usize,
    pub(super) patience: Duration,
    /// Whether other vaults write too, by turns.
    pub(super) shared: bool,
    pub(super) timeline: Arc<Timeline>,
}

impl PostgresConfig {
    pub(super) fn access(&self) -> Result<Access, PostgresConfigError> {
        let mut config: tokio_postgres::Config = self.url.parse().map_err(PostgresConfigError::Url)?;
        if config.get_password().is_some() {
            return Err(PostgresConfigError::PasswordInUrl);
        }
        let database = config.get_dbname().ok_or(PostgresConfigError::Incomplete)?.to_owned();
        if config.get_hosts().is_empty() {
            return Err(PostgresConfigError::Incomplete);
        }
        let over_network = config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        if over_network && self.ca.is_none() {
            return Err(PostgresConfigError::Clear);
        }
        let hosts: Vec<String> = config.get_hosts().iter().map(host_name).collect();
        let place = format!("PostgreSQL database \"{database}\" at {}", hosts.join(","));
        if let Some(path) = &self.password_file {
            config.password(&*password(path)?);
        }
        config
            .ssl_mode(if over_network { SslMode::Require } else { SslMode::Disable })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("volar-vault")
            .connect_timeout(CONNECT_TIME_MAX)
            .keepalives_idle(SILENCE_MAX / 2)
            .keepalives_interval(PROBE_EVERY)
            .tcp_user_timeout(SILENCE_MAX)
            // A former primary that still takes connections is not always the first to be asked.
            .load_balance_hosts(LoadBalanceHosts::Random);
        let tls = self.tls()?;
        let patience = Duration::from_secs(self.patience_seconds);
        let timeline = Arc::default();
        let (connections, shared) = (self.connections, self.shared);
        Ok(Access { config, tls, place, connections, patience, shared, timeline })
    }

    fn tls(&self) -> Result<MakeRustlsConnect, PostgresConfigError> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in self.ca.as_deref().map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate).map_err(PostgresConfigError::Tls)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(PostgresConfigError::Tls)?
            .with_root_certificates(roots);
        let config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(path)) => {
                let pem = |_| PostgresConfigError::Pem { path: path.clone() };
                let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(pem)?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(PostgresConfigError::Tls)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(PostgresConfigError::HalfCertificate),
        };
        Ok(MakeRustlsConnect::new(config))
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresConfigError> {
    let pem = || PostgresConfigError::Pem { path: path.to_owned() };
    let bytes = read(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(|_| pem())?;
    if found.is_empty() { Err(pem()) } else { Ok(found) }
}

fn password(path: &Path) -> Result<Zeroizing<String>, PostgresConfigError> {
    let unreadable = |error| PostgresConfigError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.mode() & 0o077 != 0 {
        return Err(PostgresConfigError::Exposed { path: path.to_owned() });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PostgresConfigError> {
    let read = std::fs::read(path).map(Zeroizing::new);
    read.map_err(|error| PostgresConfigError::Unreadable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refused(config: &PostgresConfig) -> String {
        config.access().map(|access| access.place).expect_err("must be refused").to_string()
    }

    #[test]
    fn addresses_that_would_expose_something_are_refused() {
        let at = PostgresConfig::at;
        assert!(at("postgresql://volar@%2Frun%2Fpostgresql/volar").access().is_ok());
        assert!(refused(&at("postgresql://volar:pw@%2Frun/volar")).contains("password_file"));
        assert!(refused(&at("postgresql://volar@db.example/volar")).contains("store.postgres.ca"));
        assert!(refused(&at("postgresql://volar@db.example")).contains("database"));
        assert!(refused(&at("no address")).contains("store.postgres.url"));
        let half = PostgresConfig { key: Some("k".into()), ..at("postgresql://volar@%2Frun/volar") };
        assert!(refused(&half).contains("go together"));
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").expect("writable");
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let config = PostgresConfig {
            password_file: Some(path.clone()),
            ..PostgresConfig::at("postgresql://volar@%2Frun/volar")
        };
        set(0o644);
        assert!(refused(&config).contains("chmod 600"));
        set(0o600);
        let access = config.access().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(access.config.get_password(), Some(b"secret".as_slice()));
    }
}
