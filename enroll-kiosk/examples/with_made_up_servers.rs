//! The kiosk's page over made-up servers and a simulated sensor, for work on the page: everybody is accepted, and
//! everybody is known. Takes the port to serve at.

// An example is an edge.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use support::Servers;
use tokio_util::sync::CancellationToken;
use volar_core::score::ScoreModel;
use volar_kiosk::config::{self, Config};
use volar_kiosk::kiosk::{Kiosk, Parts};
use volar_kiosk::matcher_client::MatcherClient;
use volar_kiosk::payment::TestProvider;
use volar_kiosk::vault_client::VaultClient;
use volar_kiosk::{sensor_loop, web, work};
use volar_palm::embedding;
use volar_palm::guided::Guide;
use volar_palm::pipeline::Pipeline;
use volar_palm::sensor::{self, Opened};
use volar_service::system::{SystemClock, SystemRandomness};
use volar_service::web::Web;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7410), |port| port.parse())?;
    let config: Config = toml::from_str(config::DEFAULT)?;
    let servers = Servers::start().await;
    let (clock, randomness, shutdown) = (Arc::new(SystemClock), Arc::new(SystemRandomness), CancellationToken::new());
    let Opened { sensor, stage } = sensor::open(&config.sensor, clock.clone())?;
    let pipeline = Arc::new(Pipeline::new(embedding::shipped(), config.pipeline.clone()));
    let kiosk = Kiosk::new(Parts {
        rules: config.rules(ScoreModel::for_model(&pipeline.model())?),
        notice: config.notice.clone(),
        vault: VaultClient::new(servers.channel(), config.galleries.clone()),
        matcher: MatcherClient::new(servers.channel(), config.lane.clone()),
        provider: Arc::new(TestProvider::new(randomness.clone())),
        model: pipeline.model(),
        clock: clock.clone(),
        randomness,
        stage,
        mirror_picture: config.page.mirror_picture,
        shutdown: shutdown.clone(),
    });
    let guide = Box::new(Guide::new(pipeline, config.guide.clone()));
    sensor_loop::spawn(sensor, guide, kiosk.clone(), clock, shutdown.clone())?;
    tokio::spawn(work::keep_time(kiosk.clone()));
    tokio::spawn(work::watch_vault(kiosk.clone()));
    let page = Web::bind(([127, 0, 0, 1], port).into()).await?;
    println!("http://{}/", page.address());
    page.serve(web::router(kiosk, &config.sensor), shutdown).await?;
    Ok(())
}
