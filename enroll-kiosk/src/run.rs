//! Puts a configured kiosk together and runs it.

use std::sync::Arc;

use volar_core::score::ScoreModel;
use volar_palm::embedding;
use volar_palm::guided::Guide;
use volar_palm::pipeline::Pipeline;
use volar_palm::sensor::{self, Opened};
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_service::web::Web;

use crate::config::Config;
use crate::kiosk::{Kiosk, Parts};
use crate::matcher_client::MatcherClient;
use crate::vault_client::VaultClient;
use crate::{payment, sensor_loop, web, work};

/// Runs a kiosk until shutdown.
pub async fn run(config: Config, context: Context) -> Result<(), Exit> {
    config.check().map_err(Exit::usage)?;
    let own = config.tls.own_name().map_err(Exit::usage)?;
    if own.role != Role::Kiosk {
        let role = own.role;
        return Err(Exit::usage(format!("the certificate in tls.certificate is for role {role}; it must be kiosk")));
    }
    let vault = config.tls.channel(&config.vault.url).map_err(Exit::usage)?;
    let matcher = config.tls.channel(&config.matcher.url).map_err(Exit::usage)?;
    let page = Web::bind(config.page.listen).await.map_err(Exit::unavailable)?;

    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    let Opened { sensor, stage } = sensor::open(&config.sensor, clock.clone()).map_err(Exit::unavailable)?;
    let pipeline = Arc::new(Pipeline::new(embedding::shipped(), config.pipeline.clone()));
    tracing::info!(sensor = sensor.description(), model = %pipeline.model(), "sensor opened");
    let scores = ScoreModel::for_model(&pipeline.model()).map_err(Exit::internal)?;
    let kiosk = Kiosk::new(Parts {
        rules: config.rules(scores),
        notice: config.notice.clone(),
        vault: VaultClient::new(vault, config.galleries.clone()),
        matcher: MatcherClient::new(matcher, config.lane.clone()),
        provider: payment::open(&config.payment, randomness.clone()),
        model: pipeline.model(),
        clock: clock.clone(),
        randomness,
        stage,
        mirror_picture: config.page.mirror_picture,
        shutdown: context.shutdown.clone(),
    });
    let guide = Box::new(Guide::new(pipeline, config.guide.clone()));
    sensor_loop::spawn(sensor, guide, kiosk.clone(), clock, context.shutdown.clone()).map_err(Exit::internal)?;
    tokio::spawn(work::keep_time(kiosk.clone()));
    tokio::spawn(work::watch_vault(kiosk.clone()));

    let router = web::router(kiosk, &config.sensor);
    context.announce(page.address()).map_err(Exit::unavailable)?;
    page.serve(router, context.shutdown.clone()).await.map_err(Exit::internal)
}
