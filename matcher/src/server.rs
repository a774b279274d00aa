//! Puts the parts together and runs them.

use std::sync::Arc;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use volar_proto::v1::identification_service_server::IdentificationServiceServer;
use volar_service::access::AccessTable;
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::server::Server;
use volar_service::system::{SystemClock, SystemRandomness};

use crate::config::Config;
use crate::feed::Follower;
use crate::gallery::Gallery;
use crate::identify::{ArcMatcher, Matcher, ServedGallery};
use crate::lockout::Lockout;
use crate::pool::SearchPool;
use crate::replay::Replays;
use crate::tail_watch::TailWatch;
use crate::tickets::TicketKeys;

/// Who may call what.
pub const ACCESS: AccessTable =
    AccessTable::new(&[("/volar.v1.IdentificationService/Identify", &[Role::Gate, Role::Kiosk])]);

/// Serves until the context's shutdown. No template is left in memory when this returns.
pub async fn run(config: Config, context: Context) -> Result<(), Exit> {
    config.check().map_err(Exit::usage)?;
    let score_model = config.decision.read_score_model().map_err(Exit::usage)?;
    let own_name = config.tls.own_name().map_err(Exit::usage)?;
    if own_name.role != Role::Matcher {
        return Err(Exit::usage(format!("the certificate names {own_name}; a matcher needs one with role matcher")));
    }
    let channel = config.tls.channel(&config.vault).map_err(Exit::usage)?;
    let server = Server::bind(&config.server, &config.tls, ACCESS).await.map_err(Exit::unavailable)?;

    let tickets = Arc::new(TicketKeys::default());
    let (mut galleries, mut followers) = (Vec::new(), Vec::new());
    for id in config.galleries {
        let gallery = Arc::new(Gallery::new(config.decision.clone()).with_score_model(score_model.clone()));
        let (follower, ready) =
            Follower::new(id.clone(), own_name.clone(), gallery.clone(), tickets.clone(), channel.clone());
        followers.push(follower);
        let tail = TailWatch::new(config.decision.step_up_fpir);
        galleries.push((id, ServedGallery { gallery, ready, tail }));
    }
    let readiness: Vec<_> = galleries.iter().map(|(_, served)| served.ready.clone()).collect();
    let clock = Arc::new(SystemClock);
    let threads = match config.search.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let matcher = Arc::new(Matcher {
        tenant: own_name.tenant,
        galleries: galleries.into_iter().collect(),
        tickets,
        lockout: Arc::new(Lockout::new(config.lockout, clock.clone())),
        replays: Replays::default(),
        pool: SearchPool::searching(threads, config.search.queue).map_err(Exit::unavailable)?,
        clock,
        randomness: Arc::new(SystemRandomness),
    });

    let service = IdentificationServiceServer::new(ArcMatcher(matcher))
        .max_decoding_message_size(volar_proto::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(volar_proto::MESSAGE_BYTES_MAX);
    let health = server.health();
    let shutdown = context.shutdown.clone();
    say(&health, false).await;
    context.announce(server.address()).map_err(Exit::unavailable)?;
    let following = join_all(followers.into_iter().map(|follower| tokio::spawn(follower.run(shutdown.clone()))));
    let telling = tokio::spawn(tell_health(health, readiness, shutdown.clone()));
    let served = server.serve(Routes::new(service), shutdown.clone()).await;
    // A server that failed takes the rest down with it.
    shutdown.cancel();
    following.await;
    let _ = telling.await;
    served.map_err(Exit::internal)
}

/// Serving as soon as every gallery is ready; not serving while one starts over, and from shutdown on.
async fn tell_health(
    health: HealthReporter,
    mut readiness: Vec<tokio::sync::watch::Receiver<bool>>,
    shutdown: CancellationToken,
) {
    loop {
        let ready = !shutdown.is_cancelled() && readiness.iter_mut().all(|ready| *ready.borrow_and_update());
        say(&health, ready).await;
        if shutdown.is_cancelled() {
            return;
        }
        let changes = readiness.iter_mut().map(|ready| Box::pin(ready.changed()));
        tokio::select! {
            _ = futures::future::select_all(changes) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn say(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    health.set_service_status("", status).await;
    health.set_service_status(IdentificationServiceServer::<ArcMatcher>::NAME, status).await;
}
