//! A matcher, put together as its server does it, and a vault to follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use volar_core::clock::{Clock, ManualClock, Timestamp};
use volar_core::id::{IdempotencyId, SubjectId};
use volar_core::randomness::SeededRandomness;
use volar_core::shard::Shard;
use volar_core::template::Template;
use volar_matcher::decision::DecisionPolicy;
use volar_matcher::feed::{Follower, Wanted};
use volar_matcher::gallery::Gallery;
use volar_matcher::identify::{Answer, Matcher, ServedGallery};
use volar_matcher::lockout::{Lockout, LockoutPolicy};
use volar_matcher::parameters::SEARCH_WAIT_MAX;
use volar_matcher::pool::SearchPool;
use volar_matcher::replay::Replays;
use volar_matcher::scan_log::ScanLog;
use volar_matcher::search::{LocalSearch, Search};
use volar_matcher::tail_watch::TailWatch;
use volar_matcher::testing::{MODEL, Palms, subject};
use volar_matcher::tickets::TicketKeys;
use volar_proto::v1;
use volar_proto::v1::feed_event::Change;
use volar_service::fault::Fault;
use volar_service::identity::{Peer, Role};

use crate::vault::{Vault, wire_probe};

pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) matcher: Arc<Matcher>,
    pub(crate) gallery: Arc<Gallery>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) palms: Palms,
    randomness: SeededRandomness,
    following: Option<(JoinHandle<()>, CancellationToken)>,
}

impl World {
    /// A matcher that follows a vault with nobody enrolled, without waiting for it.
    pub(crate) async fn new(seed: u64) -> Self {
        let now = Timestamp::from_unix_milliseconds(20_000 * 24 * 60 * 60 * 1_000 + 1);
        let clock = Arc::new(ManualClock::new(now));
        let vault = Vault::start(now).await;
        let (palms, randomness) = (Palms::new(seed), SeededRandomness::new(seed));
        Self::around(vault, clock, palms, randomness)
    }

    /// The same, once it is ready.
    pub(crate) async fn ready(seed: u64) -> Self {
        let mut world = Self::new(seed).await;
        world.becomes_ready().await;
        world
    }

    fn around(vault: Vault, clock: Arc<ManualClock>, palms: Palms, randomness: SeededRandomness) -> Self {
        let gallery = Arc::new(Gallery::new(DecisionPolicy::default()));
        let tickets = Arc::new(TicketKeys::default());
        let own_name: Peer = "spiffe://volar/acme/north/matcher/m1".parse().expect("a good name");
        let id = "members".parse().expect("a slug");
        let (follower, ready) =
            Follower::new(id, Wanted::Shard(Shard::WHOLE), own_name, gallery.clone(), tickets.clone(), vault.channel());
        let pool = Arc::new(SearchPool::searching(2, SEARCH_WAIT_MAX).expect("two threads"));
        let search = Arc::new(LocalSearch { gallery: gallery.clone(), ready: ready.clone(), pool });
        let matcher = matcher(Shard::WHOLE, search, tickets, clock.clone(), Some(vault.channel()));
        let stop = CancellationToken::new();
        let following = Some((tokio::spawn(follower.run(stop.clone())), stop));
        Self { vault, matcher, gallery, ready, clock, palms, randomness, following }
    }

    /// Stops the matcher and starts another on the same vault.
    pub(crate) async fn restart_matcher(mut self) -> Self {
        let (task, stop) = self.following.take().expect("the matcher follows");
        stop.cancel();
        task.await.expect("the follower ends");
        Self::around(self.vault, self.clock, self.palms, self.randomness)
    }

    pub(crate) async fn becomes_ready(&mut self) {
        self.becomes(true).await;
    }

    pub(crate) async fn becomes(&mut self, ready: bool) {
        let waiting = self.ready.wait_for(|now| *now == ready);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time").expect("the follower lives");
    }

    /// Enrols a palm with a verdict wanted and waits until it took effect.
    pub(crate) async fn enroll(&self, number: u32, template: &Template) -> SubjectId {
        let sequence =
            self.vault.enroll(subject(number), &[self.palms.reference(template)], &self.palms.probe(template));
        self.took_effect(sequence).await;
        subject(number)
    }

    /// Enrols and activates.
    pub(crate) async fn admit(&self, number: u32, template: &Template) -> SubjectId {
        let subject = self.enroll(number, template).await;
        self.change(subject, Change::Activated(v1::SubjectActivated {})).await;
        subject
    }

    pub(crate) async fn change(&self, subject: SubjectId, change: Change) {
        let sequence = self.vault.append(subject, change);
        self.took_effect(sequence).await;
    }

    pub(crate) async fn took_effect(&self, sequence: u64) {
        eventually("acknowledged", || self.vault.books().acknowledged.last().is_some_and(|&last| last >= sequence))
            .await;
    }

    /// A gate's request for a palm.
    pub(crate) fn request(&self, template: &Template, lane: &str) -> v1::IdentifyRequest {
        v1::IdentifyRequest {
            idempotency_id: IdempotencyId::random(&self.randomness).to_string(),
            lane: lane.to_owned(),
            purpose: v1::Purpose::Admission.into(),
            probes: vec![v1::GalleryProbe {
                gallery: "members".to_owned(),
                generation: 1,
                model: MODEL.to_owned(),
                probe: Some(wire_probe(&self.palms.probe(template))),
            }],
        }
    }

    pub(crate) async fn send(&self, request: v1::IdentifyRequest) -> Result<Answer, Fault> {
        self.matcher.identify(peer(Role::Gate), request).await
    }

    /// A gate's answer for a palm: decision and reason.
    pub(crate) async fn identify(&self, template: &Template, lane: &str) -> Result<Answer, Fault> {
        self.send(self.request(template, lane)).await
    }

    pub(crate) async fn says(&self, template: &Template, lane: &str) -> (&'static str, &'static str) {
        let answer = self.identify(template, lane).await.expect("an answer");
        let admitted = answer.decision.as_str() == "admitted";
        assert_eq!(answer.ticket.is_some(), admitted, "a ticket with ADMITTED and never otherwise");
        let unsure = answer.decision.as_str() == "step-up";
        assert_eq!(answer.challenge.is_some(), unsure, "a challenge with STEP_UP and never otherwise");
        (answer.decision.as_str(), answer.reason.as_str())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A matcher of gallery "members", put together as its server does it.
pub(crate) fn matcher(
    shard: Shard,
    search: Arc<dyn Search>,
    tickets: Arc<TicketKeys>,
    clock: Arc<ManualClock>,
    second_factor: Option<Channel>,
) -> Arc<Matcher> {
    let policy = DecisionPolicy::default();
    let randomness = Arc::new(SeededRandomness::new(99));
    let nowhere = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let (scans, teller) = ScanLog::new(second_factor.clone().unwrap_or_else(nowhere), randomness.clone());
    tokio::spawn(teller.run(CancellationToken::new()));
    let served = ServedGallery { search, tail: TailWatch::new(policy.step_up_fpir) };
    Arc::new(Matcher {
        tenant: "acme".parse().expect("a slug"),
        shard,
        galleries: [("members".parse().expect("a slug"), served)].into(),
        tickets,
        lockout: Arc::new(Lockout::new(LockoutPolicy::default(), clock.clone())),
        replays: Replays::default(),
        scans,
        second_factor,
        policy,
        clock,
        randomness,
    })
}

pub(crate) fn peer(role: Role) -> Peer {
    format!("spiffe://volar/acme/north/{role}/one").parse().expect("a good name")
}

/// Waits until something holds; fails after twenty seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {what} in time");
}
