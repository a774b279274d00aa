//! Structured logs on standard error, and metrics for Prometheus.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
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

/// Upper bounds of the buckets of every histogram without bounds of its own, in seconds: fine where a person at a gate
/// would notice. None is left without: what Prometheus would get then is a summary, which no sum over several processes
/// can be made of.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.06, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];

/// The same of what people take their time for, visits to a kiosk and captures there.
const VISIT_SECONDS: [f64; 12] = [1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 180.0, 600.0];
/// Metrics of that.
const VISITS: [&str; 2] = ["volar_kiosk_session_seconds", "volar_kiosk_capture_seconds"];

/// The same of scores, in decades of likelihood ratio: strangers lie about 0 and below, thresholds between 3 and 9, mated
/// comparisons mostly above.
const DECADES: [f64; 15] = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0];

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
        exporter()
            .and_then(|exporter| exporter.with_http_listener(address).install())
            .map_err(|error| failed(error.to_string()))?;
        tracing::info!(%address, "metrics at /metrics");
    }
    Ok(())
}

/// With bounds for every histogram.
fn exporter() -> Result<PrometheusBuilder, BuildError> {
    let decades = Matcher::Suffix("_decades".to_owned());
    let exporter = PrometheusBuilder::new().set_buckets(&SECONDS)?.set_buckets_for_metric(decades, &DECADES)?;
    VISITS.into_iter().try_fold(exporter, |exporter, metric| {
        exporter.set_buckets_for_metric(Matcher::Full(metric.to_owned()), &VISIT_SECONDS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distribution_is_a_histogram_with_bounds_that_fit() {
        let recorder = exporter().expect("bounds rise").build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("volar_matcher_top_score_decades").record(-0.4);
            metrics::histogram!("volar_matcher_top_score_decades").record(8.4);
            metrics::histogram!("volar_kiosk_session_seconds").record(42.0);
            metrics::histogram!("volar_call_seconds", "method" => "x").record(0.004);
            metrics::histogram!("volar_of_another_kind").record(0.3);
        });
        let text = recorder.handle().render();
        assert!(!text.contains("quantile"), "a summary: {text}");
        for line in [
            "volar_matcher_top_score_decades_bucket{le=\"-1\"} 0",
            "volar_matcher_top_score_decades_bucket{le=\"8\"} 1",
            "volar_matcher_top_score_decades_bucket{le=\"10\"} 2",
            "volar_kiosk_session_seconds_bucket{le=\"30\"} 0",
            "volar_kiosk_session_seconds_bucket{le=\"45\"} 1",
            "volar_call_seconds_bucket{method=\"x\",le=\"0.005\"} 1",
            "volar_of_another_kind_bucket{le=\"0.5\"} 1",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }
}
