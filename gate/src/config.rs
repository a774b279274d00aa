//! The gate's configuration: a TOML file, typed here and checked once.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use volar_core::galleries::Galleries;
use volar_core::id::LaneId;
use volar_palm::guided::GuideConfig;
use volar_palm::pipeline::PipelineConfig;
use volar_palm::sensor::SensorConfig;
use volar_service::config::{Resolve, resolve};
use volar_service::process::ProcessConfig;
use volar_service::telemetry::TelemetryConfig;
use volar_service::tls::TlsConfig;

/// Every setting with its default and meaning, as `--print-default-config` prints it.
pub const DEFAULTS: &str = include_str!("default.toml");

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The lane that this reader admits to.
    pub lane: LaneId,
    /// The galleries that are searched.
    pub galleries: Galleries,
    /// The matcher's address, `https://host:port`.
    pub matcher: String,
    /// The vault's address, `https://host:port`.
    pub vault: String,
    /// How long a person may wait for a decision, in milliseconds: 500 to 10,000.
    #[serde(default = "default_decision_time_max_ms")]
    pub decision_time_max_ms: u64,
    /// What happens while the matcher cannot be reached.
    #[serde(default)]
    pub when_unreachable: WhenUnreachable,
    /// Where frames come from.
    pub sensor: SensorConfig,
    /// How the sensor is mounted and how strict captures are.
    #[serde(default)]
    pub pipeline: PipelineConfig,
    /// How long a hand must be held still.
    #[serde(default)]
    pub guide: GuideConfig,
    /// The status page.
    #[serde(default)]
    pub page: PageConfig,
    /// What runs for each admission.
    #[serde(default)]
    pub on_admit: OnAdmitConfig,
    /// Who hears of each decision by HTTP.
    #[serde(default)]
    pub hook: HookConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Hardening.
    #[serde(default)]
    pub process: ProcessConfig,
    /// Logs and metrics.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// What a gate does while its matcher cannot be reached.
///
/// The default stays closed, and shows the other way to enter: a gate that opens when it hears nothing can be opened
/// by whoever cuts a cable, and nobody who entered that way can be charged. Opening suits a lane where staff sees
/// everyone, or where waiting is worse than a visit for free; it is the shop's choice, written down in its
/// configuration. A matcher that answers with a refusal is reached: that never opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnreachable {
    /// Nobody is admitted by palm until the matcher answers again.
    #[default]
    StayClosed,
    /// Every hand is admitted, nameless and without a ticket.
    Open,
}

/// `[page]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageConfig {
    /// Loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The page's language.
    pub language: Language,
    /// The other way to enter, in the shop's words.
    pub other_way: Option<String>,
    /// Whether the screen can be touched, so that a second factor can be typed.
    pub keypad: bool,
}

impl Default for PageConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 7420));
        Self { listen, language: Language::En, other_way: None, keypad: true }
    }
}

/// The page's languages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
    /// German.
    De,
}

/// `[on_admit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnAdmitConfig {
    /// A program and its arguments, run without a shell.
    pub command: Option<Vec<String>>,
    /// A line for `/bin/sh`.
    pub shell: Option<String>,
    /// Stopped after this many milliseconds: 50 to 60,000.
    pub time_max_ms: u64,
}

impl Default for OnAdmitConfig {
    fn default() -> Self {
        Self { command: None, shell: None, time_max_ms: 2_000 }
    }
}

impl OnAdmitConfig {
    /// Puts what the command line gives in place of what the file says. Words of `command` are separated by spaces.
    pub fn replace(&mut self, command: Option<&str>, shell: Option<String>) {
        if command.is_some() || shell.is_some() {
            self.command = command.map(|command| command.split_whitespace().map(str::to_owned).collect());
            self.shell = shell;
        }
    }
}

/// `[hook]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookConfig {
    /// `http://` and a loopback host.
    pub url: Option<String>,
    /// One attempt's time, in milliseconds: 50 to 60,000.
    pub time_max_ms: u64,
    /// Attempts for each decision, 1 to 10.
    pub attempts_max: u32,
    /// Decisions that may wait, 1 to 10,000.
    pub queue_max: usize,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self { url: None, time_max_ms: 2_000, attempts_max: 3, queue_max: 100 }
    }
}

/// Why settings that parse cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A number out of its range.
    #[error("{setting} is {found}, must be {range}")]
    Range {
        /// Which setting.
        setting: &'static str,
        /// Number configured.
        found: u64,
        /// What it must be.
        range: &'static str,
    },
    /// Two ways to run something on admission.
    #[error("on_admit has both command and shell: keep one")]
    TwoCommands,
    /// A command without a program.
    #[error("on_admit.command is empty: name a program, such as [\"/usr/local/bin/open-door\"], or leave it out")]
    EmptyCommand,
    /// A hook that is not on this machine.
    #[error(
        "hook.url = \"{url}\" is not on this machine: decisions carry admission tickets, so it must be \
         http://127.0.0.1:PORT/…, http://[::1]:PORT/… or http://localhost:PORT/…"
    )]
    HookElsewhere {
        /// The URL configured.
        url: String,
    },
}

impl Config {
    /// Checks what types cannot tell.
    pub fn check(&self) -> Result<(), SettingError> {
        range("decision_time_max_ms", self.decision_time_max_ms, 500, 10_000, "500 to 10,000")?;
        range("on_admit.time_max_ms", self.on_admit.time_max_ms, 50, 60_000, "50 to 60,000")?;
        range("hook.time_max_ms", self.hook.time_max_ms, 50, 60_000, "50 to 60,000")?;
        range("hook.attempts_max", u64::from(self.hook.attempts_max), 1, 10, "1 to 10")?;
        range("hook.queue_max", self.hook.queue_max as u64, 1, 10_000, "1 to 10,000")?;
        match (&self.on_admit.command, &self.on_admit.shell) {
            (Some(_), Some(_)) => return Err(SettingError::TwoCommands),
            (Some(words), None) if words.first().is_none_or(String::is_empty) => {
                return Err(SettingError::EmptyCommand);
            }
            _ => {}
        }
        match &self.hook.url {
            Some(url) if !is_local(url) => Err(SettingError::HookElsewhere { url: url.chars().take(200).collect() }),
            _ => Ok(()),
        }
    }

    /// [`Config::decision_time_max_ms`] as a duration.
    pub fn decision_time_max(&self) -> Duration {
        Duration::from_millis(self.decision_time_max_ms)
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

fn default_decision_time_max_ms() -> u64 {
    3_000
}

fn range(setting: &'static str, found: u64, min: u64, max: u64, range: &'static str) -> Result<(), SettingError> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(SettingError::Range { setting, found, range }) }
}

fn is_local(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    // "user@host" would name another host than it seems to.
    !authority.contains('@') && (loopback || host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Config {
        toml::from_str(DEFAULTS).expect("the printed defaults are a configuration")
    }

    #[test]
    fn what_is_printed_is_what_is_the_default() {
        let printed = defaults();
        printed.check().expect("usable");
        let required = r#"
            lane = "lane-1"
            galleries = ["members"]
            matcher = "https://localhost:7402"
            vault = "https://localhost:7401"
            sensor = { kind = "v4l2", device = "/dev/video0" }
            tls = { ca = "certificates/ca.pem", certificate = "certificates/gate-1.pem", key = "certificates/gate-1.key" }
        "#;
        assert_eq!(printed, toml::from_str(required).expect("every other setting has a default"));
    }

    #[test]
    fn settings_out_of_range_name_themselves() {
        let refused = |change: fn(&mut Config)| {
            let mut config = defaults();
            change(&mut config);
            config.check().expect_err("must be refused").to_string()
        };
        assert!(refused(|config| config.decision_time_max_ms = 499).contains("decision_time_max_ms"));
        assert!(refused(|config| config.on_admit.time_max_ms = 0).contains("on_admit.time_max_ms"));
        assert!(refused(|config| config.hook.attempts_max = 11).contains("hook.attempts_max"));
        assert!(refused(|config| config.hook.queue_max = 0).contains("hook.queue_max"));
        assert!(refused(|config| config.on_admit.command = Some(vec![])).contains("on_admit.command"));
        let both = |config: &mut Config| {
            config.on_admit.command = Some(vec!["true".to_owned()]);
            config.on_admit.shell = Some("true".to_owned());
        };
        assert!(refused(both).contains("both"));
    }

    #[test]
    fn tickets_go_to_hooks_on_this_machine_only() {
        for local in ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:80", "http://127.1.2.3"] {
            assert!(is_local(local), "{local}");
        }
        for elsewhere in [
            "http://10.0.0.1/x",
            "https://localhost/x",
            "http://localhost.example.com/",
            "http://localhost@example.com/",
            "http://127.0.0.1:80@example.com/",
            "ftp://localhost/",
            "",
        ] {
            assert!(!is_local(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(toml::from_str::<Config>(&format!("doors = 2\n{DEFAULTS}")).is_err());
    }
}
