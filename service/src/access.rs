//! Who may call what: one table a server, checked before any service sees the call. What the table does not allow is
//! refused.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};
use tower::{Layer, Service};
use volar_core::log_safe::log_safe;

use crate::fault::Fault;
use crate::identity::{Peer, Role};

/// Methods that every peer with a certificate may call.
const OPEN_TO_ALL: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// The roles that may call each method.
#[derive(Clone, Copy, Debug)]
pub struct AccessTable(&'static [(&'static str, &'static [Role])]);

impl AccessTable {
    /// A table of full method paths, such as `/volar.v1.CheckoutService/Claim`, and the roles that may call them.
    pub const fn new(rows: &'static [(&'static str, &'static [Role])]) -> Self {
        Self(rows)
    }

    /// The rows.
    pub const fn rows(self) -> &'static [(&'static str, &'static [Role])] {
        self.0
    }

    fn check(self, path: &str, peer: &Peer) -> Result<(), Fault> {
        if OPEN_TO_ALL.iter().any(|open| path.starts_with(open)) {
            return Ok(());
        }
        let row = self.0.iter().find(|(method, _)| *method == path);
        let Some((_, roles)) = row else {
            return Err(Fault::new(Code::Unimplemented, "METHOD_UNKNOWN", "this server has no such method"));
        };
        if roles.contains(&peer.role) {
            return Ok(());
        }
        let allowed: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        Err(Fault::new(
            Code::PermissionDenied,
            "ROLE_NOT_ALLOWED",
            format!("a certificate with role {} may not call this; it takes role {}", peer.role, allowed.join(" or ")),
        )
        .with("role", peer.role))
    }
}

/// Puts the [`Peer`] into each request and refuses what the table does not allow. Counts and logs every call.
#[derive(Clone, Debug)]
pub struct AccessLayer(AccessTable);

impl AccessLayer {
    /// A layer that holds calls to `table`.
    pub const fn new(table: AccessTable) -> Self {
        Self(table)
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;
    fn layer(&self, inner: S) -> Access<S> {
        Access { table: self.0, inner }
    }
}

/// See [`AccessLayer`].
#[derive(Clone, Debug)]
pub struct Access<S> {
    table: AccessTable,
    inner: S,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let method = Arc::<str>::from(request.uri().path());
        let admitted = peer_of(&request).and_then(|peer| self.table.check(&method, &peer).map(|()| peer));
        let peer = match admitted {
            Ok(peer) => peer,
            Err(fault) => {
                metrics::counter!("volar_calls_refused_total", "reason" => fault.reason).increment(1);
                tracing::warn!(%method, reason = fault.reason, "call refused");
                let response = Status::from(fault).into_http();
                return Box::pin(async move { Ok(response) });
            }
        };
        request.extensions_mut().insert(peer.clone());
        // The service that was polled ready must serve this call; its clone waits for the next.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let response = inner.call(request).await?;
            let code = code_of(&response);
            // Paths that passed the table are few, so they are safe as a metric's label.
            metrics::counter!("volar_calls_total", "method" => method.to_string(), "code" => format!("{code:?}"))
                .increment(1);
            metrics::histogram!("volar_call_seconds", "method" => method.to_string())
                .record(started.elapsed().as_secs_f64());
            let milliseconds = started.elapsed().as_secs_f64() * 1e3;
            tracing::debug!(%method, peer = %log_safe(&peer), ?code, milliseconds, "call");
            Ok(response)
        })
    }
}

fn peer_of(request: &Request<Body>) -> Result<Peer, Fault> {
    let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = info.and_then(TlsConnectInfo::peer_certs);
    let leaf = certificates.as_deref().and_then(|chain| chain.first()).ok_or_else(|| {
        Fault::new(Code::Unauthenticated, "NO_CERTIFICATE", "the call came without a client certificate")
    })?;
    Peer::from_certificate(leaf)
        .map_err(|error| Fault::new(Code::Unauthenticated, "CERTIFICATE_WITHOUT_NAME", error.to_string()))
}

/// The outcome of a call as its headers tell it. A failure in mid-stream comes in trailers and counts as `Ok` here.
fn code_of(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: AccessTable = AccessTable::new(&[("/volar.v1.X/Y", &[Role::Gate])]);

    fn check(path: &str, role: Role) -> Result<(), &'static str> {
        let peer: Peer = format!("spiffe://volar/acme/north/{role}/one").parse().expect("a good name");
        TABLE.check(path, &peer).map_err(|fault| fault.reason)
    }

    #[test]
    fn only_what_the_table_allows_passes() {
        assert_eq!(check("/volar.v1.X/Y", Role::Gate), Ok(()));
        assert_eq!(check("/volar.v1.X/Y", Role::Kiosk), Err("ROLE_NOT_ALLOWED"));
        assert_eq!(check("/volar.v1.X/Z", Role::Gate), Err("METHOD_UNKNOWN"));
        assert_eq!(check("/grpc.health.v1.Health/Check", Role::Kiosk), Ok(()));
    }
}
