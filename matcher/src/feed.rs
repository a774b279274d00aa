//! Follows one gallery's feed: checks that nothing is missing, brings each event into memory, and says so.
//!
//! The stream is trusted to come from the vault (mutual TLS) and not to be whole. Whatever does not fit drops the
//! stream; following begins again after the last event that took effect. A feed that is another one than before
//! (restored from a copy, protected anew) starts over from empty.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use volar_core::id::{GalleryId, ModelId, SiteId, SubjectId};
use volar_core::log_safe::log_safe;
use volar_core::score::ScoreModelError;
use volar_core::shard::Shard;
use volar_core::template::Probe;
use volar_proto::v1::FollowResponse;
use volar_proto::v1::template_feed_client::TemplateFeedClient;
use volar_service::fault::Fault;
use volar_service::identity::Peer;

use crate::acknowledge::Acknowledger;
use crate::convert::{self, MessageError};
use crate::duplicates::{self, Reporter, Verdict, waits};
use crate::gallery::{Gallery, GalleryError, Protection};
use crate::index::IndexedPalm;
use crate::parameters::{FEED_START_TIME_MAX, FOLLOW_AGAIN};
use crate::tickets::{SealingKey, TicketKeys};

/// An item of the feed.
pub enum Item {
    /// The first of every stream.
    Start(Start),
    /// A change.
    Event(Event),
    /// A key for tickets.
    TicketKey(SealingKey),
    /// Everything up to this number has been sent.
    CaughtUp(u64),
}

/// What a stream is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Changes when the vault is restored from a copy.
    pub feed_id: String,
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// The template model of its references.
    pub model: ModelId,
    /// The last number in the feed.
    pub last_sequence: u64,
    /// The sites whose devices may search it; none for every site of the tenant.
    pub sites: BTreeSet<SiteId>,
}

/// A change to one subject.
pub struct Event {
    /// One more than the event before.
    pub sequence: u64,
    /// The person.
    pub subject: SubjectId,
    /// What changed.
    pub change: Change,
}

/// What may happen to a subject.
pub enum Change {
    /// New, and not admitted yet.
    Enrolled {
        /// What to recognise the person by; none if another shard holds them.
        palms: Option<Vec<IndexedPalm>>,
        /// Present if a verdict is wanted: what to search for duplicates with, one a palm.
        probes: Option<Vec<Probe>>,
    },
    /// Admitted from now on.
    Activated,
    /// Gone.
    Erased,
    /// Searched for duplicates, not admitted.
    Held,
}

/// Why a stream was dropped.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The vault is away, or refuses.
    #[error("the vault ended the feed: {code:?} {reason} {message}")]
    Refused {
        /// gRPC code.
        code: Code,
        /// Volar's reason, if it gave one.
        reason: String,
        /// The vault's words.
        message: String,
    },
    /// The vault hung up in order, as it does when it stops.
    #[error("the vault closed the feed")]
    Closed,
    /// No first item in time.
    #[error("the vault sent nothing for {FEED_START_TIME_MAX:?}")]
    Silent,
    /// The first item is not a start, or a start came later.
    #[error("a stream must begin with its start and hold no other")]
    StartMisplaced,
    /// Another feed than before, or one that has lost its end.
    #[error("the feed is not the one followed before: starting over from empty")]
    Replaced,
    /// An event is missing, or events came in another order.
    #[error("event {expected} is missing: {found} came in its place")]
    Gap {
        /// The number due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A message breaks the contract.
    #[error("after event {after}: {source}")]
    Message {
        /// The last event that took effect.
        after: u64,
        /// What is wrong.
        source: MessageError,
    },
    /// An event that does not fit what came before.
    #[error("event {sequence}: {source}")]
    Event {
        /// Its number.
        sequence: u64,
        /// What is wrong.
        source: GalleryError,
    },
    /// Scores of this model cannot be judged.
    #[error("{0}; update the matcher")]
    Model(#[from] ScoreModelError),
}

impl FeedError {
    /// The error's word in metrics.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::StartMisplaced => "start-misplaced",
            Self::Replaced => "replaced",
            Self::Gap { .. } => "gap",
            Self::Message { .. } => "message",
            Self::Event { .. } => "event",
            Self::Model(_) => "model",
        }
    }
}

impl From<Status> for FeedError {
    fn from(status: Status) -> Self {
        let reason = Fault::reason_of(&status).unwrap_or_default();
        Self::Refused { code: status.code(), reason, message: status.message().to_owned() }
    }
}

/// What to follow of a gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its events, with the references of one part of its subjects.
    Shard(Shard),
    /// Its ticket keys and what it is protected with.
    Keys,
}

/// How far a gallery's contents have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The feed that they come from; empty before the first.
    pub feed_id: String,
    /// The last event that took effect.
    pub applied: u64,
}

/// Keeps one gallery in step with the vault.
pub struct Follower {
    id: Arc<GalleryId>,
    wanted: Wanted,
    own_name: Peer,
    gallery: Arc<Gallery>,
    tickets: Arc<TicketKeys>,
    channel: Channel,
    acknowledger: Acknowledger,
    ready: watch::Sender<bool>,
    feed: Option<Followed>,
    /// The last event that took effect.
    applied: u64,
    position: watch::Sender<Position>,
    /// Whether the present stream has said that it is caught up: then the vault is well, and waits start over.
    stream_was_good: bool,
}

/// The feed that the gallery's contents come from.
struct Followed {
    start: Start,
    reporter: Reporter,
    caught_up: bool,
}

impl Follower {
    /// A follower of `wanted` of `id` on the vault at the other end of `channel`, and a watch that says whether the gallery has
    /// everything that it needs to answer. Must be called inside a Tokio runtime.
    pub fn new(
        id: GalleryId,
        wanted: Wanted,
        own_name: Peer,
        gallery: Arc<Gallery>,
        tickets: Arc<TicketKeys>,
        channel: Channel,
    ) -> (Self, watch::Receiver<bool>) {
        let (ready, readiness) = watch::channel(false);
        let id = Arc::new(id);
        let acknowledger = Acknowledger::start(channel.clone(), id.clone());
        let follower = Self {
            id,
            wanted,
            own_name,
            gallery,
            tickets,
            channel,
            acknowledger,
            ready,
            feed: None,
            applied: 0,
            position: watch::Sender::default(),
            stream_was_good: false,
        };
        (follower, readiness)
    }

    /// How far the contents have come, now and later.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Follows until `shutdown`, then forgets the gallery. The vault may come and go meanwhile.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let _ = shutdown.run_until_cancelled(self.follow_always()).await;
        self.ready.send_replace(false);
        self.gallery.forget();
    }

    async fn follow_always(&mut self) {
        let mut waits = waits();
        let mut failures = 0_u32;
        loop {
            self.stream_was_good = false;
            let Err(error) = self.follow().await;
            if self.stream_was_good {
                (waits, failures) = (self::waits(), 0);
            }
            failures = failures.saturating_add(1);
            self.tell(&error, failures);
            if matches!(&error, FeedError::Replaced) {
                self.start_over();
            }
            sleep(waits.next().unwrap_or(FOLLOW_AGAIN.1)).await;
        }
    }

    fn tell(&self, error: &FeedError, failures: u32) {
        metrics::counter!("volar_matcher_feed_errors_total", "error" => error.as_str()).increment(1);
        let (gallery, after) = (log_safe(&*self.id), self.applied);
        match error {
            FeedError::Closed | FeedError::Refused { code: Code::Unavailable, .. } => {
                // A vault that stays away is one line, not one a second.
                if failures == 1 {
                    tracing::info!(%gallery, after, %error, "feed interrupted; following again");
                } else {
                    tracing::debug!(%gallery, after, %error, failures, "the vault is still away");
                }
            }
            _ => tracing::error!(%gallery, after, %error, failures, "feed dropped; following again"),
        }
    }

    /// One stream, to its end.
    async fn follow(&mut self) -> Result<std::convert::Infallible, FeedError> {
        let request = convert::follow(&self.id, self.wanted, self.applied + 1);
        let mut client =
            TemplateFeedClient::new(self.channel.clone()).max_decoding_message_size(volar_proto::MESSAGE_BYTES_MAX);
        let begin = async {
            let mut stream = client.follow(request).await?.into_inner();
            let first = self.next(&mut stream).await?;
            Ok::<_, FeedError>((stream, first))
        };
        let (mut stream, first) = timeout(FEED_START_TIME_MAX, begin).await.map_err(|_| FeedError::Silent)??;
        let Some(Item::Start(start)) = first else { return Err(FeedError::StartMisplaced) };
        self.begin(start)?;
        loop {
            match self.next(&mut stream).await? {
                None => {}
                Some(Item::Start(_)) => return Err(FeedError::StartMisplaced),
                // Whoever wants keys alone holds nobody, whatever is sent.
                Some(Item::Event(_)) if self.wanted == Wanted::Keys => {}
                Some(Item::Event(event)) => self.event(event).await?,
                Some(Item::TicketKey(key)) => self.tickets.learn(key),
                Some(Item::CaughtUp(last)) => self.caught_up(last)?,
            }
            self.tell_readiness();
        }
    }

    async fn next(&self, stream: &mut Streaming<FollowResponse>) -> Result<Option<Item>, FeedError> {
        let response = stream.next().await.ok_or(FeedError::Closed)??;
        convert::item(response).map_err(|source| FeedError::Message { after: self.applied, source })
    }

    fn begin(&mut self, start: Start) -> Result<(), FeedError> {
        if let Some(feed) = &self.feed {
            let same = (&feed.start.feed_id, feed.start.generation, &feed.start.model)
                == (&start.feed_id, start.generation, &start.model);
            // An end below ours: the vault lost events that it had sent.
            if !same || start.last_sequence < self.applied {
                return Err(FeedError::Replaced);
            }
            self.gallery.restrict_to(start.sites);
            return Ok(());
        }
        let model = self.gallery.score_model(&start.model)?;
        self.gallery.restrict_to(start.sites.clone());
        tracing::info!(gallery = %log_safe(&*self.id), generation = start.generation, model = %log_safe(&start.model),
            events = start.last_sequence, "following");
        self.gallery.restart(Protection { generation: start.generation, model });
        let origin = format!("{} {}", self.own_name, start.feed_id);
        let reporter = Reporter::start(self.channel.clone(), self.id.clone(), self.shard(), origin);
        self.position.send_replace(Position { feed_id: start.feed_id.clone(), applied: 0 });
        self.feed = Some(Followed { start, reporter, caught_up: false });
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), FeedError> {
        let (expected, found) = (self.applied + 1, event.sequence);
        if found < expected {
            // Known already; a repeat does no harm.
            return Ok(());
        }
        if found > expected {
            return Err(FeedError::Gap { expected, found });
        }
        // Searching and moving rows would hold up the threads that serve connections.
        let (gallery, shard) = (self.gallery.clone(), self.shard());
        let applied = tokio::task::spawn_blocking(move || apply(&gallery, shard, event)).await;
        let verdict = applied
            .expect("applying an event does not panic")
            .map_err(|source| FeedError::Event { sequence: found, source })?;
        self.applied = found;
        self.position.send_modify(|position| position.applied = found);
        self.acknowledger.took_effect(found);
        if let (Some(verdict), Some(feed)) = (verdict, &self.feed) {
            feed.reporter.report(verdict);
        }
        self.measure(found);
        Ok(())
    }

    fn caught_up(&mut self, last: u64) -> Result<(), FeedError> {
        if self.wanted != Wanted::Keys && last > self.applied {
            return Err(FeedError::Gap { expected: self.applied + 1, found: last + 1 });
        }
        if let Some(feed) = &mut self.feed
            && !std::mem::replace(&mut feed.caught_up, true)
        {
            tracing::info!(gallery = %log_safe(&*self.id), sequence = self.applied, "caught up");
        }
        self.stream_was_good = true;
        self.acknowledger.took_effect(self.applied);
        self.measure(last);
        Ok(())
    }

    fn start_over(&mut self) {
        self.ready.send_replace(false);
        self.gallery.forget();
        self.acknowledger.took_effect(0);
        self.feed = None;
        self.applied = 0;
        self.position.send_replace(Position::default());
    }

    fn shard(&self) -> Shard {
        match self.wanted {
            Wanted::Shard(shard) => shard,
            Wanted::Keys => Shard::WHOLE,
        }
    }

    /// Ready stays ready while the vault is away: doors open while it restarts.
    fn tell_readiness(&self) {
        let ready = self.tickets.known() && self.feed.as_ref().is_some_and(|feed| feed.caught_up);
        self.ready.send_if_modified(|before| std::mem::replace(before, ready) != ready);
    }

    fn measure(&self, last: u64) {
        let gallery = self.id.to_string();
        let known = self.feed.as_ref().map_or(last, |feed| feed.start.last_sequence.max(last));
        let (active, waiting) = self.gallery.palms();
        metrics::gauge!("volar_matcher_feed_sequence", "gallery" => gallery.clone()).set(self.applied as f64);
        metrics::gauge!("volar_matcher_feed_lag", "gallery" => gallery.clone())
            .set(known.saturating_sub(self.applied) as f64);
        metrics::gauge!("volar_matcher_palms", "gallery" => gallery.clone(), "standing" => "active").set(active as f64);
        metrics::gauge!("volar_matcher_palms", "gallery" => gallery, "standing" => "waiting").set(waiting as f64);
    }
}

/// Brings an event into memory. A wanted verdict is searched before the subject itself is there to be found. What becomes
/// of another shard's subjects is that shard's business.
fn apply(gallery: &Gallery, shard: Shard, event: Event) -> Result<Option<Verdict>, GalleryError> {
    match event.change {
        Change::Enrolled { palms, probes } => {
            let search = |probes: Vec<_>| duplicates::search(gallery, shard.count(), event.sequence, &probes);
            let verdict = probes.map(search).transpose()?;
            if let Some(palms) = palms {
                gallery.enroll(event.subject, &palms)?;
            }
            return Ok(verdict);
        }
        _ if !shard.holds(event.subject) => {}
        Change::Activated => gallery.activate(event.subject)?,
        Change::Held => gallery.hold(event.subject)?,
        Change::Erased => gallery.erase(event.subject)?,
    }
    Ok(None)
}
