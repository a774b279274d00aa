//! The kiosk's page, as any program on the same machine reaches it: bytes on a connection, HTTP or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};
use volar_core::clock::{ManualClock, Timestamp};
use volar_core::randomness::SeededRandomness;
use volar_core::score::ScoreModel;
use volar_kiosk::config::{self, Config};
use volar_kiosk::kiosk::{Kiosk, Parts};
use volar_kiosk::matcher_client::MatcherClient;
use volar_kiosk::payment::TestProvider;
use volar_kiosk::vault_client::VaultClient;
use volar_kiosk::web;

/// Longest that a connection whose other side has said everything is served.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn requests(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(served(bytes));
    // What is still under way, such as a call to the vault, ends with the runtime.
    drop(runtime);
    for status in String::from_utf8_lossy(&answer).split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)) {
        assert!(!matches!(status, "500" | "501" | "502" | "504"), "answered {status}");
    }
}

async fn served(bytes: &[u8]) -> Vec<u8> {
    let shutdown = CancellationToken::new();
    let config: Config = toml::from_str(config::DEFAULT).expect("the defaults are valid");
    let router = web::router(kiosk(&config, &shutdown), &config.sensor);
    let service = TowerToHyperService::new(volar_service::web::guarded(router));
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
    let client = async {
        // A server that has heard enough closes its side, and nobody takes the rest.
        let _ = ours.write_all(bytes).await;
        let _ = ours.shutdown().await;
        let mut answer = Vec::new();
        let _ = ours.read_to_end(&mut answer).await;
        answer
    };
    let both = async { tokio::join!(client, connection.with_upgrades()).0 };
    let answer = tokio::time::timeout(PATIENCE, both).await.expect("a connection ends when the other side has");
    shutdown.cancel();
    answer
}

fn kiosk(config: &Config, shutdown: &CancellationToken) -> Arc<Kiosk> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(1_795_000_000_000)));
    let randomness = Arc::new(SeededRandomness::new(3));
    let (galleries, lane) = (config.galleries.clone(), config.lane.clone());
    let model = "palm-lines-3".parse().expect("a slug");
    Kiosk::new(Parts {
        rules: config.rules(ScoreModel::for_model(&model).expect("shipped")),
        notice: config.notice.clone(),
        vault: VaultClient::new(nowhere(), galleries),
        matcher: MatcherClient::new(nowhere(), lane),
        provider: Arc::new(TestProvider::new(randomness.clone())),
        model,
        clock,
        randomness,
        stage: None,
        mirror_picture: true,
        shutdown: shutdown.clone(),
    })
}

/// A server that is away.
fn nowhere() -> Channel {
    let away =
        tower::service_fn(|_: Uri| async { Err::<TokioIo<tokio::io::DuplexStream>, _>(io::Error::other("away")) });
    Endpoint::from_static("http://away").connect_with_connector_lazy(away)
}
