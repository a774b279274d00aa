//! Structured logs on standard error, and metrics for Prometheus.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[telemetry]` in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `json` for machines, `text` for people.
    pub log_format: LogFormat,
    /// A filter such as `info` or `info,volar_matcher=debug`.
    pub log_level: String,
    /// Where Prometheus may fetch metrics, at `/metrics`; off when unset. Holds counts and times, nothing of a person;
    /// still, keep it off public networks.
    pub metrics: Option<SocketAddr>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_format: LogFormat::default(), log_level: "info".to_owned(), metrics: None }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Coloured text.
    Text,
}

/// Why logs or metrics cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("telemetry.log_level = \"{filter}\" is not a log filter such as \"info\" or \"info,volar_vault=debug\"")]
    LogLevel {
        /// The filter configured.
        filter: String,
    },
    /// The metrics address is taken or not allowed.
    #[error("metrics cannot be served at {address}: {reason}; set telemetry.metrics to a free address")]
    Metrics {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
}

/// Upper bounds of the buckets of every duration, in seconds: fine where a person at a gate would notice.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];

/// Starts logs and metrics. Must be called once, inside a Tokio runtime.
pub fn start(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.log_level)
        .map_err(|_| TelemetryError::LogLevel { filter: config.log_level.clone() })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.init(),
    }
    if let Some(address) = config.metrics {
        let failed = |reason: String| TelemetryError::Metrics { address, reason };
        PrometheusBuilder::new()
            .set_buckets_for_metric(metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| failed(error.to_string()))?
            .with_http_listener(address)
            .install()
            .map_err(|error| failed(error.to_string()))?;
        tracing::info!(%address, "metrics at /metrics");
    }
    Ok(())
}
