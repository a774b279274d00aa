//! A gRPC server over mutual TLS with health, reflection, limits and an orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::access::{AccessLayer, AccessTable};
use crate::tls::{TlsConfig, TlsError};

/// `[server]` in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Calls that one connection may have under way; further ones wait.
    #[serde(default = "default_calls_per_connection")]
    pub calls_per_connection_max: usize,
}

fn default_calls_per_connection() -> usize {
    256
}

/// The longest a unary call may take. Erasures wait for matchers, and a kiosk may wait for an enrolment.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Calls still under way at a shutdown have this long.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken or not allowed.
    #[error("cannot listen at {address}: {error}; set server.listen to a free address")]
    Listen {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// No call would ever be answered.
    #[error("server.calls_per_connection_max is 0, so that no call would be answered; it must be at least 1")]
    NoCalls,
    /// The transport failed.
    #[error("the server stopped: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A server that holds its address and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    builder: tonic::transport::Server,
    access: AccessTable,
    health: HealthReporter,
}

impl Server {
    /// Takes the address and reads the certificates.
    pub async fn bind(config: &ServerConfig, tls: &TlsConfig, access: AccessTable) -> Result<Self, ServeError> {
        let failed = |error| ServeError::Listen { address: config.listen, error };
        if config.calls_per_connection_max == 0 {
            return Err(ServeError::NoCalls);
        }
        let builder = tonic::transport::Server::builder()
            .tls_config(tls.server()?)?
            .timeout(CALL_TIME_MAX)
            .concurrency_limit_per_connection(config.calls_per_connection_max)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE));
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, builder, access, health: HealthReporter::new() })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what `grpc.health.v1.Health` answers: `""` and each service's name.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// Answers calls until `shutdown`, then lets those under way end.
    ///
    /// Streams that do not end by themselves must watch `shutdown` too; they are cut after five seconds.
    pub async fn serve(self, routes: Routes, shutdown: CancellationToken) -> Result<(), ServeError> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(volar_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that generic clients can print why a call was refused.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let decodes = "the committed descriptors decode";
        // Both versions: tools older than 2023 know the alpha only.
        let (v1, v1alpha) = (reflection().build_v1().expect(decodes), reflection().build_v1alpha().expect(decodes));
        let health = HealthServer::new(HealthService::from_health_reporter(self.health));
        let routes = routes.add_service(v1).add_service(v1alpha).add_service(health);
        tracing::info!(address = %self.address, "serving");
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let mut builder = self.builder.layer(AccessLayer::new(self.access));
        let server =
            builder.add_routes(routes).serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        tokio::select! {
            ended = server => ended?,
            () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN_TIME_MAX).await } => {
                tracing::warn!("calls still under way were cut");
            }
        }
        tracing::info!("stopped");
        Ok(())
    }
}
