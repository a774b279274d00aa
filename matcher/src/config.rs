//! The matcher's configuration: a TOML file, typed here and checked once.

use std::path::Path;

use serde::Deserialize;
use volar_core::id::GalleryId;
use volar_core::shard::{SHARDS_MAX, Shard};
use volar_service::config::{Resolve, resolve};
use volar_service::process::ProcessConfig;
use volar_service::server::{CALL_TIME_MAX, ServerConfig};
use volar_service::telemetry::TelemetryConfig;
use volar_service::tls::TlsConfig;

use crate::decision::{DecisionPolicy, PolicyError};
use crate::lockout::{LockoutPolicy, LockoutPolicyError};
use crate::parameters::{HEDGE, SEARCH_WAIT_MAX, SHARD_TIME_MAX};

/// Every setting with its default and meaning, as `--print-default-config` prints it.
pub const DEFAULTS: &str = include_str!("../default-config.toml");

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The vault's address, `https://host:port`.
    pub vault: String,
    /// The galleries to serve, all of the certificate's tenant.
    pub galleries: Vec<GalleryId>,
    /// Where to listen.
    pub server: ServerConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Operating points.
    #[serde(default)]
    pub decision: DecisionPolicy,
    /// Lock-out of lanes.
    #[serde(default)]
    pub lockout: LockoutPolicy,
    /// Threads for searches.
    #[serde(default)]
    pub search: SearchConfig,
    /// The part of each gallery to hold; unset for all of it.
    pub shard: Option<Shard>,
    /// Set in a router, which holds nobody.
    pub router: Option<RouterConfig>,
    /// Hardening.
    #[serde(default)]
    pub process: ProcessConfig,
    /// Logs and metrics.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// `[search]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// Further searches are refused with MATCHER_BUSY once the first that waits for a thread has waited so long, in
    /// milliseconds.
    pub wait_milliseconds: u64,
}

/// `[router]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// Addresses of each shard's replicas, `https://host:port`, shard 0 first.
    pub shards: Vec<Vec<String>>,
    /// How long a replica may take before the next is asked too, in milliseconds.
    #[serde(default = "default_hedge")]
    pub hedge_milliseconds: u64,
}

fn default_hedge() -> u64 {
    HEDGE.as_millis() as u64
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { threads: 0, wait_milliseconds: SEARCH_WAIT_MAX.as_millis() as u64 }
    }
}

/// Why settings that parse cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Nothing to serve.
    #[error("galleries is empty; name at least one, such as galleries = [\"members\"]")]
    NoGallery,
    /// One gallery named twice.
    #[error("galleries names \"{0}\" twice")]
    GalleryTwice(GalleryId),
    /// More threads than any machine has cores.
    #[error("search.threads is {found}, must be 0 to 1,024")]
    SearchThreads {
        /// Number configured.
        found: usize,
    },
    /// No wait, or one that no caller sees the end of.
    #[error("search.wait_milliseconds is {found}, must be 1 to {}", CALL_TIME_MAX.as_millis())]
    SearchWait {
        /// Number configured.
        found: u64,
    },
    /// A router has no shard of its own.
    #[error("shard and [router] are both set; a router holds nobody, so give the shard to another matcher")]
    ShardAndRouter,
    /// Too few or too many shards, or one without a replica.
    #[error("router.shards must list 1 to {SHARDS_MAX} shards, each with the address of one replica at least")]
    RouterShards,
    /// Nonsense waits.
    #[error("router.hedge_milliseconds is {found}, must be 1 to {}", SHARD_TIME_MAX.as_millis())]
    RouterHedge {
        /// Number configured.
        found: u64,
    },
    /// Operating points.
    #[error(transparent)]
    Decision(#[from] PolicyError),
    /// Lock-out.
    #[error(transparent)]
    Lockout(#[from] LockoutPolicyError),
}

impl Config {
    /// Checks what single settings cannot tell.
    pub fn check(&self) -> Result<(), SettingError> {
        if self.galleries.is_empty() {
            return Err(SettingError::NoGallery);
        }
        for (number, gallery) in self.galleries.iter().enumerate() {
            if self.galleries[..number].contains(gallery) {
                return Err(SettingError::GalleryTwice(gallery.clone()));
            }
        }
        let SearchConfig { threads, wait_milliseconds } = self.search;
        if threads > 1_024 {
            return Err(SettingError::SearchThreads { found: threads });
        }
        if !(1..=CALL_TIME_MAX.as_millis()).contains(&u128::from(wait_milliseconds)) {
            return Err(SettingError::SearchWait { found: wait_milliseconds });
        }
        self.check_router()?;
        self.decision.check()?;
        Ok(self.lockout.check()?)
    }

    fn check_router(&self) -> Result<(), SettingError> {
        let Some(RouterConfig { shards, hedge_milliseconds }) = &self.router else { return Ok(()) };
        if self.shard.is_some() {
            return Err(SettingError::ShardAndRouter);
        }
        if !(1..=usize::from(SHARDS_MAX)).contains(&shards.len()) || shards.iter().any(Vec::is_empty) {
            return Err(SettingError::RouterShards);
        }
        if !(1..=SHARD_TIME_MAX.as_millis()).contains(&u128::from(*hedge_milliseconds)) {
            return Err(SettingError::RouterHedge { found: *hedge_milliseconds });
        }
        Ok(())
    }
}

impl Resolve for Config {
    fn resolve(&mut self, folder: &Path) {
        self.tls.resolve(folder);
        if let Some(path) = &mut self.decision.score_model {
            resolve(path, folder);
        }
    }
}

volar_service::service_config!(Config);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let config = parse(DEFAULTS).expect("valid");
        assert_eq!(config.decision, DecisionPolicy::default());
        assert_eq!(config.lockout, LockoutPolicy::default());
        assert_eq!(config.search, SearchConfig::default());
        assert_eq!(config.process, ProcessConfig::default());
        assert_eq!(config.telemetry, TelemetryConfig::default());
    }

    #[test]
    fn unusable_settings_say_what_to_do() {
        for (from, to, says) in [
            ("[\"members\"]", "[]", "name at least one"),
            ("[\"members\"]", "[\"a\", \"a\"]", "twice"),
            ("[\"members\"]", "[\"A\"]", "a-z"),
            ("admit_fpir = 0.0001", "admit_fpir = 0.1", "must be the laxer one"),
            ("admit_fpir = 0.0001", "admit_fpir = 0.0", "above 0"),
            ("admit_fpir = 0.0001", "admit_score = 5.0", "unknown field"),
            ("quality_min = 20", "quality_min = 101", "0 to 100"),
            ("second_factor = \"off\"", "second_factor = \"maybe\"", "`off` or `on`"),
            ("verified_palms = 50", "verified_palms = 0", "1 to 1000"),
            ("failures = 5", "failures = 9", "800-63B-4"),
            ("first_seconds = 30", "first_seconds = 1", "at least 30"),
            ("wait_milliseconds = 300", "wait_milliseconds = 0", "search.wait_milliseconds"),
            ("# shard = \"0/4\"", "shard = \"4/4\"", "a shard is"),
            ("# [router]", "[router]\nshards = []", "1 to 4096 shards"),
            ("# [router]", "[router]\nshards = [[\"https://a:1\"], []]", "one replica at least"),
            ("# [router]", "[router]\nhedge_milliseconds = 0\nshards = [[\"https://a:1\"]]", "hedge_milliseconds"),
        ] {
            let text = DEFAULTS.replace(from, to);
            assert_ne!(text, DEFAULTS, "{from} is a line of the defaults");
            let error = parse(&text).expect_err(to);
            assert!(error.contains(says), "{to}: {error}");
        }
    }
}
