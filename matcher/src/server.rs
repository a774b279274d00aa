//! Puts the parts together and runs them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use volar_core::id::GalleryId;
use volar_core::score::ScoreModel;
use volar_core::shard::Shard;
use volar_proto::v1::identification_service_server::IdentificationServiceServer;
use volar_proto::v1::shard_service_server::ShardServiceServer;
use volar_service::access::AccessTable;
use volar_service::cli::{Context, Exit};
use volar_service::identity::{Peer, Role};
use volar_service::server::Server;
use volar_service::system::{SystemClock, SystemRandomness};

use crate::config::{Config, RouterConfig};
use crate::decision::SecondFactor;
use crate::feed::{Follower, Wanted};
use crate::gallery::Gallery;
use crate::identify::{ArcMatcher, Matcher, ServedGallery};
use crate::lockout::Lockout;
use crate::parameters::SCANS_LAST_TIME_MAX;
use crate::pool::SearchPool;
use crate::replay::Replays;
use crate::router::{Members, NamedReplicas, Router};
use crate::scan_log::ScanLog;
use crate::search::{LocalSearch, Search};
use crate::shard_service::{Held, ShardServer};
use crate::tail_watch::TailWatch;
use crate::tickets::TicketKeys;

/// Who may call what.
pub const ACCESS: AccessTable = AccessTable::new(&[
    ("/volar.v1.IdentificationService/Identify", &[Role::Gate, Role::Kiosk]),
    ("/volar.v1.IdentificationService/VerifySecondFactor", &[Role::Gate]),
    ("/volar.v1.ShardService/Search", &[Role::Matcher]),
    ("/volar.v1.ShardService/GetShard", &[Role::Matcher]),
]);

/// What runs beside the server until it is told to stop.
type Task = BoxFuture<'static, ()>;

/// Serves until the context's shutdown. No template is left in memory when this returns.
pub async fn run(config: Config, context: Context) -> Result<(), Exit> {
    config.check().map_err(Exit::usage)?;
    let own_name = config.tls.own_name().map_err(Exit::usage)?;
    if own_name.role != Role::Matcher {
        return Err(Exit::usage(format!("the certificate names {own_name}; a matcher needs one with role matcher")));
    }
    let server = Server::bind(&config.server, &config.tls, ACCESS).await.map_err(Exit::unavailable)?;
    let mut parts = Parts {
        score_model: config.decision.read_score_model().map_err(Exit::usage)?,
        vault: config.tls.channel(&config.vault).map_err(Exit::usage)?,
        own_name,
        tickets: Arc::default(),
        shutdown: context.shutdown.clone(),
        tasks: Vec::new(),
        config,
    };
    let shard = parts.config.shard.unwrap_or(Shard::WHOLE);
    let (searches, held) = match parts.config.router.clone() {
        None => parts.hold(shard)?,
        Some(router) => (parts.route(&router)?, None),
    };
    let Parts { config, own_name, tickets, tasks, vault, .. } = parts;

    let readiness: Vec<_> = searches.iter().map(|searched| searched.ready.clone()).collect();
    let served = |Searched { id, search, .. }| {
        let tail = TailWatch::new(config.decision.step_up_fpir);
        (id, ServedGallery { search, tail })
    };
    let clock = Arc::new(SystemClock);
    let randomness = Arc::new(SystemRandomness);
    let (scans, teller) = ScanLog::new(vault.clone(), randomness.clone());
    let matcher = Arc::new(Matcher {
        tenant: own_name.tenant,
        shard,
        galleries: searches.into_iter().map(served).collect(),
        tickets,
        lockout: Arc::new(Lockout::new(config.lockout, clock.clone())),
        replays: Replays::default(),
        scans,
        second_factor: (config.decision.second_factor == SecondFactor::On).then_some(vault),
        policy: config.decision,
        clock,
        randomness,
    });

    let shutdown = context.shutdown.clone();
    let health = server.health();
    say(&health, false).await;
    context.announce(server.address()).map_err(Exit::unavailable)?;
    let running = join_all(tasks.into_iter().map(tokio::spawn));
    let telling = tokio::spawn(tell_health(health, readiness, shutdown.clone()));
    let telling_scans = tokio::spawn(teller.run(shutdown.clone()));
    let served = server.serve(routes(&matcher, shard, held), shutdown.clone()).await;
    // A server that failed takes the rest down with it.
    shutdown.cancel();
    running.await;
    let _ = telling.await;
    // Nobody notes anything any more: the last ones are told.
    drop(matcher);
    let _ = tokio::time::timeout(SCANS_LAST_TIME_MAX, telling_scans).await;
    served.map_err(Exit::internal)
}

/// What galleries are made from.
struct Parts {
    config: Config,
    own_name: Peer,
    vault: Channel,
    score_model: Option<ScoreModel>,
    tickets: Arc<TicketKeys>,
    shutdown: CancellationToken,
    tasks: Vec<Task>,
}

/// A gallery to serve.
struct Searched {
    id: GalleryId,
    search: Arc<dyn Search>,
    ready: watch::Receiver<bool>,
}

type HeldGalleries = HashMap<GalleryId, Held>;

impl Parts {
    /// Galleries of which this process holds `shard` in memory.
    fn hold(&mut self, shard: Shard) -> Result<(Vec<Searched>, Option<HeldGalleries>), Exit> {
        let threads = match self.config.search.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let wait_max = Duration::from_millis(self.config.search.wait_milliseconds);
        let pool = Arc::new(SearchPool::searching(threads, wait_max).map_err(Exit::unavailable)?);
        let (mut searches, mut held) = (Vec::new(), HeldGalleries::new());
        for id in self.config.galleries.clone() {
            let (gallery, follower, ready) = self.follow(&id, Wanted::Shard(shard));
            held.insert(
                id.clone(),
                Held { gallery: gallery.clone(), ready: ready.clone(), position: follower.position() },
            );
            self.tasks.push(follower.run(self.shutdown.clone()).boxed());
            let search = Arc::new(LocalSearch { gallery, ready: ready.clone(), pool: pool.clone() });
            searches.push(Searched { id, search, ready });
        }
        Ok((searches, Some(held)))
    }

    /// Galleries that the shards of `router` hold.
    fn route(&mut self, router: &RouterConfig) -> Result<Vec<Searched>, Exit> {
        let mut members: Vec<Arc<dyn Members>> = Vec::new();
        for urls in &router.shards {
            let replicas = Arc::new(NamedReplicas::new(self.config.tls.clone(), urls).map_err(Exit::usage)?);
            self.tasks.push(replicas.clone().run(self.shutdown.clone()).boxed());
            members.push(replicas);
        }
        let mut searches = Vec::new();
        for id in self.config.galleries.clone() {
            let (gallery, follower, following) = self.follow(&id, Wanted::Keys);
            let hedge = Duration::from_millis(router.hedge_milliseconds);
            let position = follower.position();
            self.tasks.push(follower.run(self.shutdown.clone()).boxed());
            let search = Arc::new(Router::new(id.clone(), members.clone(), hedge, gallery, following, position));
            let (tell, ready) = watch::channel(false);
            self.tasks.push(search.clone().run(tell, self.shutdown.clone()).boxed());
            searches.push(Searched { id, search, ready });
        }
        Ok(searches)
    }

    fn follow(&self, id: &GalleryId, wanted: Wanted) -> (Arc<Gallery>, Follower, watch::Receiver<bool>) {
        let gallery = Gallery::new(self.config.decision.clone()).with_score_model(self.score_model.clone());
        let gallery = Arc::new(gallery);
        let (own_name, tickets, vault) = (self.own_name.clone(), self.tickets.clone(), self.vault.clone());
        let (follower, ready) = Follower::new(id.clone(), wanted, own_name, gallery.clone(), tickets, vault);
        (gallery, follower, ready)
    }
}

/// Identification, and a shard's part where galleries are held here.
fn routes(matcher: &Arc<Matcher>, shard: Shard, held: Option<HeldGalleries>) -> Routes {
    let identification = IdentificationServiceServer::new(ArcMatcher(matcher.clone()))
        .max_decoding_message_size(volar_proto::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(volar_proto::MESSAGE_BYTES_MAX);
    let routes = Routes::new(identification);
    let Some(held) = held else { return routes };
    let shard = ShardServiceServer::new(ShardServer { shard, matcher: matcher.clone(), held })
        .max_decoding_message_size(volar_proto::MESSAGE_BYTES_MAX);
    routes.add_service(shard)
}

/// Serving as soon as every gallery is ready; not serving while one starts over, and from shutdown on.
async fn tell_health(health: HealthReporter, mut readiness: Vec<watch::Receiver<bool>>, shutdown: CancellationToken) {
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
    health.set_service_status(ShardServiceServer::<ShardServer>::NAME, status).await;
}
