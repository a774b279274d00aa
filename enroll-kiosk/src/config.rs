//! `kiosk.toml`. Every setting with its default and meaning is in `default.toml`, which `--print-default-config` prints.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use volar_core::galleries::Galleries;
use volar_core::id::LaneId;
use volar_core::score::ScoreModel;
use volar_palm::guided::GuideConfig;
use volar_palm::pipeline::PipelineConfig;
use volar_palm::sensor::SensorConfig;
use volar_service::config::{Resolve, resolve};
use volar_service::process::ProcessConfig;
use volar_service::telemetry::TelemetryConfig;
use volar_service::tls::TlsConfig;

use crate::notice::NoticeConfig;
use crate::payment::PaymentConfig;
use crate::second_factor::SecondFactorConfig;
use crate::session::{CaptureConfig, Rules, SessionConfig};
use crate::texts::Language;

/// The default configuration, with comments.
pub const DEFAULT: &str = include_str!("default.toml");

/// The kiosk's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The galleries that people are enrolled into, all of them.
    pub galleries: Galleries,
    /// The name under which the matcher counts failed removals of this kiosk.
    pub lane: LaneId,
    /// The page.
    pub page: PageConfig,
    /// The notice.
    pub notice: NoticeConfig,
    /// The vault.
    pub vault: ServerAddress,
    /// The matcher, for removals.
    pub matcher: ServerAddress,
    /// Certificates.
    pub tls: TlsConfig,
    /// The sensor.
    pub sensor: SensorConfig,
    /// How the sensor is mounted and how strict captures are.
    #[serde(default)]
    pub pipeline: PipelineConfig,
    /// How long a hand must be held still.
    #[serde(default)]
    pub guide: GuideConfig,
    /// References of a palm.
    #[serde(default)]
    pub capture: CaptureConfig,
    /// Times of a session.
    #[serde(default)]
    pub session: SessionConfig,
    /// The second factor.
    #[serde(default)]
    pub second_factor: SecondFactorConfig,
    /// Payment.
    #[serde(default)]
    pub payment: PaymentConfig,
    /// Hardening.
    #[serde(default)]
    pub process: ProcessConfig,
    /// Logs and metrics.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// `[page]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageConfig {
    /// Loopback address and port of the page; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The language of the welcome.
    #[serde(default)]
    pub language: Language,
    /// Whether the live picture is shown like in a mirror, so that a hand moves as its owner expects.
    #[serde(default = "yes")]
    pub mirror_picture: bool,
}

/// `[vault]` and `[matcher]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerAddress {
    /// Such as `https://localhost:7401`.
    pub url: String,
}

fn yes() -> bool {
    true
}

impl Config {
    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), String> {
        self.capture.check()?;
        self.session.check()?;
        if !(1..=36).contains(&self.notice.retention_months) {
            return Err("notice.retention_months must be 1 to 36 (BIPA s. 15(a) allows three years)".to_owned());
        }
        let texts = [
            ("policy_version", &self.notice.policy_version),
            ("operator", &self.notice.operator),
            ("contact", &self.notice.contact),
        ];
        for (name, text) in texts {
            if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
                return Err(format!("notice.{name} must be 1 to 200 bytes of plain text"));
            }
        }
        Ok(())
    }

    /// How sessions go; `scores` are those of the embedding model.
    pub fn rules(&self, scores: ScoreModel) -> Rules {
        Rules {
            session: self.session.clone(),
            capture: self.capture.clone(),
            scores,
            language: self.page.language,
            second_factor: self.second_factor.offered,
            payment_required: self.payment.required,
        }
    }
}

impl Resolve for Config {
    fn resolve(&mut self, folder: &Path) {
        self.tls.resolve(folder);
        if let Some(path) = self.sensor.file_mut() {
            resolve(path, folder);
        }
    }
}

volar_service::service_config!(Config);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let config = read(DEFAULT).expect("the default configuration is valid");
        assert_eq!(config.capture, CaptureConfig::default());
        assert_eq!(config.session, SessionConfig::default());
        assert_eq!(config.payment, PaymentConfig::default());
        assert_eq!(config.second_factor, SecondFactorConfig::default());
        assert_eq!(config.pipeline, PipelineConfig::default());
        assert_eq!(config.guide, GuideConfig::default());
        assert_eq!(config.telemetry.log_level, TelemetryConfig::default().log_level);
        assert_eq!(config.process, ProcessConfig::default());
        assert!(config.page.mirror_picture && config.page.language == Language::En);
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        for (from, to, named) in [
            ("views_wanted = 5", "views_wanted = 13", "views_wanted"),
            ("views_min = 2", "views_min = 6", "views_min"),
            ("references_kept = 3", "references_kept = 6", "references_kept"),
            ("countdown_seconds = 15", "countdown_seconds = 60", "countdown_seconds"),
            ("last_screen_seconds = 45", "last_screen_seconds = 0", "last_screen_seconds"),
            ("retention_months = 12", "retention_months = 37", "retention_months"),
            ("operator = \"Your shop\"", "operator = \" \"", "operator"),
            ("language = \"en\"", "language = \"xx\"", "xx"),
            ("views_wanted = 5", "views_wnated = 5", "views_wnated"),
        ] {
            assert!(DEFAULT.contains(from), "{from}");
            let error = read(&DEFAULT.replace(from, to)).expect_err(to);
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
