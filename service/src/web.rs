//! Small pages for the person at the device, served on the loopback address alone.
//!
//! A page on another origin must not reach them: requests must name a loopback host (DNS rebinding), and whatever
//! changes something must come from the page itself.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Everything a page loads comes with it; nothing is fetched from, or framed by, anyone else.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; \
                      form-action 'self'; base-uri 'none'";

/// Why a page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address is reachable from elsewhere.
    #[error(
        "{0} is not a loopback address: the page shows a live picture and is for this device's own screen; use 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken or not allowed.
    #[error("cannot listen at {address}: {error}; choose a free port")]
    Listen {
        /// The address configured.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Serving failed.
    #[error("the page's server stopped: {0}")]
    Stopped(std::io::Error),
}

/// A page's server that holds its address and does not answer yet.
pub struct Web {
    listener: TcpListener,
    address: SocketAddr,
}

impl Web {
    /// Takes a loopback address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, WebError> {
        if !address.ip().is_loopback() {
            return Err(WebError::NotLoopback(address));
        }
        let failed = |error| WebError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`. Requests still open then, live pictures above all, are dropped.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> Result<(), WebError> {
        let router = guarded(router);
        tracing::info!(address = %self.address, "page at http://{}/", self.address);
        tokio::select! {
            ended = axum::serve(self.listener, router) => ended.map_err(WebError::Stopped),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}

/// A router that answers this device's own browser alone, and says what browsers may do with the answers.
pub fn guarded(router: Router) -> Router {
    router.layer(middleware::from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    if !names_loopback(request.headers()) {
        return (StatusCode::FORBIDDEN, "This page is served to this device's own browser only.\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(CACHE_CONTROL, "no-store");
    set(REFERRER_POLICY, "no-referrer");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|value| value.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    // Browsers send an origin with everything but plain reads, web sockets included.
    let own = headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == format!("http://{host}").as_bytes());
    local && own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a header value"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("a header value"));
        }
        names_loopback(&headers)
    }

    #[test]
    fn other_origins_are_refused() {
        assert!(passes("127.0.0.1:80", None));
        assert!(passes("localhost:80", Some("http://localhost:80")));
        assert!(passes("[::1]:80", None));
        assert!(!passes("evil.example:80", None));
        assert!(!passes("127.0.0.1:80", Some("http://evil.example")));
        assert!(!passes("127.0.0.1:80", Some("http://127.0.0.1:81")));
    }

    #[tokio::test]
    async fn only_loopback_is_served() {
        let outside = "0.0.0.0:0".parse().expect("an address");
        assert!(matches!(Web::bind(outside).await, Err(WebError::NotLoopback(_))));
    }
}
