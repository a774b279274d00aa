//! A gallery too large for one machine: shards search their parts, and this puts their answers together.
//!
//! Each shard has replicas that hold the same. One is asked; if it is slow the next is asked too, and the first answer
//! counts. A shard none of whose replicas answers is missing: what is then still certain is said, and nothing else
//! ([`Matcher::identify`](crate::identify::Matcher::identify)). Nobody elects anybody: what a shard holds follows from the
//! vault's feed and its number, so any replica that has caught up will do.

mod members;
mod replica;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use volar_core::id::{GalleryId, SiteId};
use volar_core::shard::Shard;
use volar_core::template::Probe;
use volar_proto::v1::SearchRequest;
use volar_service::fault::Fault;

use crate::convert;
use crate::feed::Position;
use crate::gallery::{Gallery, Protection};
use crate::parameters::{REPLICA_CHECK, SHARD_TIME_MAX};
use crate::search::{Search, Searched, not_ready};
use crate::verify::Candidate;

pub use members::{Members, NamedReplicas};
pub use replica::{Replica, ReplicaError};

/// One gallery that is spread over shards.
pub struct Router {
    id: GalleryId,
    shards: Vec<RoutedShard>,
    hedge: Duration,
    /// Holds nobody: says what the gallery is protected with.
    gallery: Arc<Gallery>,
    /// Whether that, and a ticket key, are known.
    following: watch::Receiver<bool>,
    position: watch::Receiver<Position>,
}

/// One part of the gallery, as a router knows it.
struct RoutedShard {
    shard: Shard,
    members: Arc<dyn Members>,
    /// Active references when last heard, and none before: the threshold counts them even while the shard is missing.
    references: AtomicUsize,
    /// Turns replicas, so that each gets its share.
    turn: AtomicUsize,
}

/// Not known yet.
const UNKNOWN: usize = usize::MAX;

/// What one replica says of a probe.
struct Part {
    candidates: Vec<Candidate>,
    references: usize,
}

impl Router {
    /// A router of `id` to `members`, the replicas of each shard in order, that asks a second replica after `hedge`. The
    /// rest is what a follower of the gallery's keys alone gives.
    pub fn new(
        id: GalleryId,
        members: Vec<Arc<dyn Members>>,
        hedge: Duration,
        gallery: Arc<Gallery>,
        following: watch::Receiver<bool>,
        position: watch::Receiver<Position>,
    ) -> Self {
        let count = members.len() as u32;
        let shards = members.into_iter().zip(0..).map(|(members, index)| RoutedShard {
            shard: Shard::new(index, count).expect("a configuration has as many shards as there may be"),
            members,
            references: AtomicUsize::new(UNKNOWN),
            turn: AtomicUsize::new(0),
        });
        Self { id, shards: shards.collect(), hedge, gallery, following, position }
    }

    /// Keeps in touch with every replica until `shutdown`, and tells `ready` whether the gallery can be searched: once
    /// every shard has been heard of, and for as long as the keys are there.
    pub async fn run(self: Arc<Self>, ready: watch::Sender<bool>, shutdown: CancellationToken) {
        let check_always = async {
            loop {
                join_all(self.shards.iter().map(|shard| self.check(shard))).await;
                let now = self.can_search();
                ready.send_if_modified(|before| std::mem::replace(before, now) != now);
                sleep(REPLICA_CHECK).await;
            }
        };
        let _ = shutdown.run_until_cancelled(check_always).await;
        ready.send_replace(false);
    }

    fn can_search(&self) -> bool {
        let heard_of = |shard: &RoutedShard| shard.references.load(Ordering::Relaxed) != UNKNOWN;
        *self.following.borrow() && self.shards.iter().all(heard_of)
    }

    /// Asks every replica of a shard how it is.
    async fn check(&self, shard: &RoutedShard) {
        let feed_id = self.position.borrow().feed_id.clone();
        let replicas = shard.members.replicas();
        let checks = replicas.iter().map(|replica| replica.check(&self.id, shard.shard, &feed_id));
        // The largest: a replica that is catching up has not met everyone yet.
        let known = join_all(checks).await.into_iter().flatten().max();
        if let Some(known) = known {
            shard.references.store(known, Ordering::Relaxed);
        }
        let well = replicas.iter().filter(|replica| replica.is_well()).count();
        let (gallery, name) = (self.id.to_string(), shard.shard.to_string());
        metrics::gauge!("volar_matcher_router_replicas", "gallery" => gallery, "shard" => name).set(well as f64);
    }

    /// One shard's part, from whichever replica answers first; none if none does.
    async fn ask(&self, shard: &RoutedShard, request: &SearchRequest, feed_id: &str) -> Option<Part> {
        let replicas = in_turn(shard.members.replicas(), shard.turn.fetch_add(1, Ordering::Relaxed));
        let mut calls = replicas.iter().map(|replica| replica.search(shard.shard, request.clone(), feed_id));
        let mut asked = FuturesUnordered::new();
        asked.extend(calls.next());
        let first_answer = async {
            loop {
                tokio::select! {
                    answer = asked.next() => match answer {
                        Some(Ok(part)) => return Some(part),
                        Some(Err(_)) => asked.extend(calls.next()),
                        None => return None,
                    },
                    () = sleep(self.hedge), if calls.len() > 0 => {
                        metrics::counter!("volar_matcher_router_hedges_total").increment(1);
                        asked.extend(calls.next());
                    }
                }
            }
        };
        timeout(SHARD_TIME_MAX, first_answer).await.ok().flatten()
    }
}

#[tonic::async_trait]
impl Search for Router {
    fn protection(&self) -> Option<Protection> {
        self.gallery.protection().filter(|_| self.can_search())
    }

    fn serves(&self, site: &SiteId) -> bool {
        self.gallery.serves(site)
    }

    async fn search(&self, probe: Probe) -> Result<Searched, Fault> {
        let protection = self.gallery.protection().ok_or_else(not_ready)?;
        let feed_id = self.position.borrow().feed_id.clone();
        let mut request = convert::wire_search(&self.id, &protection, &probe);
        let parts = join_all(self.shards.iter().map(|shard| self.ask(shard, &request, &feed_id))).await;
        request.probe.iter_mut().for_each(convert::wipe);
        let mut searched = Searched { candidates: Vec::new(), references: 0, complete: true };
        for (shard, part) in self.shards.iter().zip(parts) {
            match part {
                Some(part) => {
                    shard.references.store(part.references, Ordering::Relaxed);
                    searched.references += part.references;
                    searched.candidates.extend(part.candidates);
                }
                None => {
                    metrics::counter!("volar_matcher_router_shard_missing_total").increment(1);
                    tracing::warn!(shard = %shard.shard, "no replica of a shard answered");
                    searched.references += match shard.references.load(Ordering::Relaxed) {
                        UNKNOWN => return Err(not_ready()),
                        known => known,
                    };
                    searched.complete = false;
                }
            }
        }
        searched.candidates.sort_unstable_by(Candidate::best_first);
        Ok(searched)
    }
}

/// Those that are well first, each in its turn; the others after them, for nothing is lost by asking.
fn in_turn(mut replicas: Vec<Arc<Replica>>, turn: usize) -> Vec<Arc<Replica>> {
    if !replicas.is_empty() {
        let first = turn % replicas.len();
        replicas.rotate_left(first);
    }
    replicas.sort_by_key(|replica| !replica.is_well());
    replicas
}
