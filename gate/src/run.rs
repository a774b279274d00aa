//! Puts a gate together and runs it.

use std::sync::Arc;

use tonic::transport::Channel;
use volar_palm::embedding;
use volar_palm::guided::Guide;
use volar_palm::pipeline::Pipeline;
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_service::web::Web;

use crate::act::Act;
use crate::agent::{Agent, Parts};
use crate::config::Config;
use crate::event::What;
use crate::eye::{self, GuidedSensor};
use crate::identify::Identifier;
use crate::link::{self, Link};
use crate::page;
use crate::protection::{KeySource, Protection, ProtectionError};
use crate::screen::{Display, Fixed, Screen};

/// Runs a gate until it is told to stop.
pub async fn run(config: Config, context: Context) -> Result<(), Exit> {
    config.check().map_err(Exit::usage)?;
    let peer = config.tls.own_name().map_err(Exit::usage)?;
    if peer.role != Role::Gate {
        return Err(Exit::usage(format!(
            "{}: the certificate's role is {}, a gate needs role gate",
            config.tls.certificate.display(),
            peer.role
        )));
    }
    let channel = |url: &str| config.tls.channel(url).map_err(Exit::usage);
    let (matcher, vault) = (channel(&config.matcher)?, channel(&config.vault)?);
    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));

    let embedder = embedding::shipped();
    let keys = KeySource::new(vault, config.galleries.clone(), embedder.model());
    let guide = Guide::new(Arc::new(Pipeline::new(embedder, config.pipeline.clone())), config.guide.clone());
    let (sensor, stage) = GuidedSensor::open(config.sensor.clone(), guide, clock.clone()).map_err(Exit::usage)?;

    let out = Box::new(std::io::stdout());
    let act =
        Act::start(config.lane.clone(), &config.on_admit, &config.hook, out, clock.clone()).map_err(Exit::internal)?;
    let display = Display::new(fixed(&config, stage.is_some()));
    let web = Web::bind(config.page.listen).await.map_err(Exit::unavailable)?;
    context.announce(web.address()).map_err(Exit::unavailable)?;
    let shutdown = context.shutdown.clone();
    let page = tokio::spawn(web.serve(page::router(display.clone(), stage), shutdown.clone()));

    let Some(protections) = protections(&keys, &config, &act, &display, &context).await else {
        return stopped(page).await;
    };
    let link = Link::default();
    let parts = Parts {
        watch: eye::start(sensor, shutdown.clone()).map_err(Exit::internal)?,
        identifier: identifier(&config, matcher.clone(), keys, protections, randomness),
        link: link.clone(),
        act,
        display,
        clock,
        when_unreachable: config.when_unreachable,
        device: peer.device,
        galleries: config.galleries.clone(),
        keypad: config.page.keypad,
    };
    tokio::spawn(link::monitor(matcher, link, shutdown.clone()));
    tokio::select! {
        () = Agent::new(parts).run() => {}
        () = shutdown.cancelled() => {}
    }
    if !shutdown.is_cancelled() {
        return Err(Exit::internal("the sensor's thread has ended; the log says why"));
    }
    stopped(page).await
}

fn fixed(config: &Config, stage: bool) -> Fixed {
    Fixed {
        language: config.page.language,
        lane: config.lane.clone(),
        other_way: config.page.other_way.clone(),
        when_unreachable: config.when_unreachable,
        stage,
    }
}

/// Fetches the keys, however long it takes; meanwhile the screen says that the gate cannot serve. `None` at shutdown.
async fn protections(
    keys: &KeySource,
    config: &Config,
    act: &Act,
    display: &Display,
    context: &Context,
) -> Option<Vec<Protection>> {
    let mut told = false;
    let failed = |error: &ProtectionError| {
        tracing::warn!(%error, "no protection key yet");
        if !std::mem::replace(&mut told, true) {
            display.show_because(Screen::Unreachable, "NO_PROTECTION_KEY");
            let (reason, message) = ("NO_PROTECTION_KEY".to_owned(), error.to_string());
            act.tell(What::Unreachable { reason, message, policy: config.when_unreachable, opened: false });
        }
    };
    let protections = keys.fetch_at_last(&context.shutdown, failed).await?;
    if told {
        act.tell(What::Recovered);
        display.show(Screen::Starting);
    }
    Some(protections)
}

fn identifier(
    config: &Config,
    matcher: Channel,
    keys: KeySource,
    protections: Vec<Protection>,
    randomness: Arc<SystemRandomness>,
) -> Identifier {
    Identifier::new(matcher, keys, protections, config.lane.clone(), config.decision_time_max(), randomness)
}

async fn stopped(page: tokio::task::JoinHandle<Result<(), volar_service::web::WebError>>) -> Result<(), Exit> {
    match page.await {
        Ok(ended) => ended.map_err(Exit::internal),
        Err(error) => Err(Exit::internal(error)),
    }
}
