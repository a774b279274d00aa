//! Where the servers are and with which certificate they are called: options first, then the configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tonic::transport::Channel;
use volar_service::config::{self, Resolve};
use volar_service::tls::TlsConfig;

use crate::arguments::ServerArguments;
use crate::failure::Failure;

/// What `volarctl config` prints.
pub const DEFAULTS: &str = include_str!("default.toml");

/// The configuration. Every part may be given as an option instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The vault's address, `https://host:port`.
    pub vault: Option<String>,
    /// The matcher's address, `https://host:port`.
    pub matcher: Option<String>,
    /// The operator's certificate.
    pub tls: Option<TlsConfig>,
    /// The checkout backend's certificate, for claims; `tls` where there is none.
    pub checkout: Option<TlsConfig>,
}

impl Resolve for Config {
    fn resolve(&mut self, folder: &Path) {
        for tls in [&mut self.tls, &mut self.checkout].into_iter().flatten() {
            tls.resolve(folder);
        }
    }
}

/// As whom a command calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    Operator,
    Checkout,
}

/// Options and configuration together.
pub(crate) struct Connection {
    options: ServerArguments,
    config: Config,
}

/// A server that can be called.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) channel: Channel,
}

impl Connection {
    pub(crate) fn new(options: &ServerArguments) -> Result<Self, Failure> {
        let config = options.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        Ok(Self { options: options.clone(), config })
    }

    pub(crate) fn vault(&self, caller: As) -> Result<Server, Failure> {
        let url = self.options.vault.as_ref().or(self.config.vault.as_ref());
        self.server("vault", url.ok_or(Failure::Missing { option: "--vault URL" })?, caller)
    }

    pub(crate) fn matcher(&self) -> Result<Server, Failure> {
        let url = self.options.matcher.as_ref().or(self.config.matcher.as_ref());
        self.server("matcher", url.ok_or(Failure::Missing { option: "--matcher URL" })?, As::Operator)
    }

    fn server(&self, name: &'static str, url: &str, caller: As) -> Result<Server, Failure> {
        Ok(Server { name, url: url.to_owned(), channel: self.tls(caller)?.channel(url)? })
    }

    fn tls(&self, caller: As) -> Result<TlsConfig, Failure> {
        let Config { tls, checkout, .. } = &self.config;
        let configured = if caller == As::Checkout { checkout.as_ref().or(tls.as_ref()) } else { tls.as_ref() };
        let pick = |option: &Option<PathBuf>, of: fn(&TlsConfig) -> &PathBuf, name: &'static str| {
            option.clone().or_else(|| configured.map(|tls| of(tls).clone())).ok_or(Failure::Missing { option: name })
        };
        Ok(TlsConfig {
            ca: pick(&self.options.trust, |tls| &tls.ca, "--trust FILE")?,
            certificate: pick(&self.options.certificate, |tls| &tls.certificate, "--certificate FILE")?,
            key: pick(&self.options.key, |tls| &tls.key, "--key FILE")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(name: &str) -> TlsConfig {
        let file = |extension: &str| PathBuf::from(format!("{name}.{extension}"));
        TlsConfig { ca: file("ca"), certificate: file("pem"), key: file("key") }
    }

    fn connection(options: ServerArguments, checkout: Option<TlsConfig>) -> Connection {
        Connection { options, config: Config { tls: Some(tls("operator")), checkout, ..Config::default() } }
    }

    #[test]
    fn options_go_before_the_configuration() {
        let options = ServerArguments { certificate: Some("mine.pem".into()), ..ServerArguments::default() };
        let chosen = connection(options, None).tls(As::Operator).expect("complete");
        assert_eq!((chosen.certificate, chosen.key), ("mine.pem".into(), "operator.key".into()));
    }

    #[test]
    fn claims_use_the_checkouts_certificate_where_there_is_one() {
        let own = |checkout, caller| connection(ServerArguments::default(), checkout).tls(caller).expect("complete");
        assert_eq!(own(Some(tls("checkout")), As::Checkout), tls("checkout"));
        assert_eq!(own(Some(tls("checkout")), As::Operator), tls("operator"));
        assert_eq!(own(None, As::Checkout), tls("operator"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let nothing = Connection { options: ServerArguments::default(), config: Config::default() };
        assert!(matches!(nothing.vault(As::Operator), Err(Failure::Missing { option: "--vault URL" })));
        assert!(matches!(nothing.tls(As::Operator), Err(Failure::Missing { option: "--trust FILE" })));
    }

    #[test]
    fn the_printed_configuration_is_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("volarctl.toml");
        std::fs::write(&path, DEFAULTS).expect("written");
        let config: Config = config::load(&path).expect("a configuration");
        let tls = config.tls.expect("a certificate");
        assert_eq!(tls.key, folder.path().join("certificates/operator-1.key"));
        assert!(config.checkout.is_some() && config.vault.is_some() && config.matcher.is_some());
    }
}
