//! A vault's feed as the contract describes it, over a real socket, that can be told to misbehave.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::Stream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use volar_core::clock::Timestamp;
use volar_core::id::SubjectId;
use volar_core::secret::Key;
use volar_core::shard::Shard;
use volar_core::template::{Probe, Reference};
use volar_core::ticket::TicketKey;
use volar_matcher::testing::MODEL;
use volar_proto::v1;
use volar_proto::v1::feed_event::Change;
use volar_proto::v1::follow_response::Item;
use volar_proto::v1::scan_service_server::{ScanService, ScanServiceServer};
use volar_proto::v1::second_factor_service_server::{SecondFactorService, SecondFactorServiceServer};
use volar_proto::v1::template_feed_server::{TemplateFeed, TemplateFeedServer};
use volar_service::fault::Fault;

pub(crate) const KEY: [u8; 32] = [9; 32];
pub(crate) const TICKET_LIFETIME_MS: u64 = 60_000;

/// What the vault knows and has heard.
pub(crate) struct Books {
    pub(crate) feed_id: String,
    pub(crate) generation: u32,
    pub(crate) sites: Vec<String>,
    pub(crate) events: Vec<v1::FeedEvent>,
    pub(crate) key_epoch: u32,
    /// Streams to play, each then ended, before the feed is followed in earnest.
    pub(crate) scripts: VecDeque<Vec<Item>>,
    /// Whether a stream ever says that it is caught up.
    pub(crate) says_caught_up: bool,
    /// Verdicts to refuse before one is taken.
    pub(crate) verdicts_refused: usize,
    pub(crate) follows: Vec<u64>,
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) verdicts: Vec<v1::ReportVerdictRequest>,
    /// What is said of second factors.
    pub(crate) factor: Factor,
    pub(crate) checks: Vec<v1::CheckSecondFactorRequest>,
    /// What is said to reports of scans, in turn; then they are taken.
    pub(crate) scans_refused: VecDeque<Code>,
    pub(crate) scans: Vec<v1::ReportScansRequest>,
}

/// What the vault says of second factors.
#[derive(Clone, Debug)]
pub(crate) enum Factor {
    Is(Option<v1::check_second_factor_response::Outcome>),
    Fails(Code, &'static str),
    Silent,
}

/// A vault that can be stopped and started.
pub(crate) struct Vault {
    pub(crate) books: Arc<Mutex<Books>>,
    changed: watch::Sender<()>,
    address: SocketAddr,
    running: Option<(JoinHandle<()>, CancellationToken)>,
}

#[derive(Clone)]
struct Feed {
    books: Arc<Mutex<Books>>,
    changed: watch::Receiver<()>,
    stopping: CancellationToken,
}

impl Vault {
    pub(crate) async fn start(now: Timestamp) -> Self {
        let books = Books {
            feed_id: "first".to_owned(),
            generation: 1,
            sites: Vec::new(),
            events: Vec::new(),
            key_epoch: TicketKey::epoch_at(now),
            scripts: VecDeque::new(),
            says_caught_up: true,
            verdicts_refused: 0,
            follows: Vec::new(),
            acknowledged: Vec::new(),
            verdicts: Vec::new(),
            factor: Factor::Silent,
            checks: Vec::new(),
            scans_refused: VecDeque::new(),
            scans: Vec::new(),
        };
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut vault =
            Self { books: Arc::new(Mutex::new(books)), changed: watch::channel(()).0, address, running: None };
        vault.come_back().await;
        vault
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL").connect_lazy()
    }

    pub(crate) async fn go_away(&mut self) {
        let (task, stopping) = self.running.take().expect("the vault runs");
        stopping.cancel();
        task.await.expect("the server ends");
    }

    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("a free port");
        self.address = listener.local_addr().expect("bound");
        let stopping = CancellationToken::new();
        let feed = Feed { books: self.books.clone(), changed: self.changed.subscribe(), stopping: stopping.clone() };
        let stopped = stopping.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            let server = Server::builder()
                .add_service(SecondFactorServiceServer::new(feed.clone()))
                .add_service(ScanServiceServer::new(feed.clone()))
                .add_service(TemplateFeedServer::new(feed));
            server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await.expect("serves");
        });
        self.running = Some((task, stopping));
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no test panics while it holds the books")
    }

    /// Appends an event and gives its number.
    pub(crate) fn append(&self, subject: SubjectId, change: Change) -> u64 {
        let mut books = self.books();
        let sequence = books.events.len() as u64 + 1;
        books.events.push(event(sequence, subject, change));
        drop(books);
        self.changed.send_replace(());
        sequence
    }

    pub(crate) fn enroll(&self, subject: SubjectId, references: &[Reference], probe: &Probe) -> u64 {
        self.append(subject, enrolled(references, Some(probe)))
    }

    /// Ends the streams under way, as a broken line does.
    pub(crate) fn hang_up(&self) {
        self.books().scripts.push_back(Vec::new());
        self.poke();
    }

    /// Makes streams look at the books again: they send what is new, and end if a script waits to be played.
    pub(crate) fn poke(&self) {
        self.changed.send_replace(());
    }
}

#[tonic::async_trait]
impl TemplateFeed for Feed {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<v1::FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<v1::FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let request = request.into_inner();
        assert_eq!(request.gallery, "members");
        let (sender, items) = mpsc::channel(16);
        let script = {
            let mut books = self.lock();
            books.follows.push(request.from_sequence);
            books.scripts.pop_front()
        };
        let feed = self.clone();
        tokio::spawn(async move {
            match script {
                Some(items) => {
                    for item in items {
                        let _ = sender.send(Ok(v1::FollowResponse { item: Some(item) })).await;
                    }
                }
                None => feed.play(request, sender).await,
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(items))))
    }

    async fn report_verdict(
        &self,
        request: Request<v1::ReportVerdictRequest>,
    ) -> Result<Response<v1::ReportVerdictResponse>, Status> {
        let mut books = self.lock();
        books.verdicts.push(request.into_inner());
        if books.verdicts_refused > 0 {
            books.verdicts_refused -= 1;
            return Err(Status::unavailable("not now"));
        }
        Ok(Response::new(v1::ReportVerdictResponse::default()))
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRequest>,
    ) -> Result<Response<v1::AcknowledgeResponse>, Status> {
        self.lock().acknowledged.push(request.into_inner().sequence);
        Ok(Response::new(v1::AcknowledgeResponse {}))
    }
}

#[tonic::async_trait]
impl SecondFactorService for Feed {
    async fn check_second_factor(
        &self,
        request: Request<v1::CheckSecondFactorRequest>,
    ) -> Result<Response<v1::CheckSecondFactorResponse>, Status> {
        let factor = {
            let mut books = self.lock();
            books.checks.push(request.into_inner());
            books.factor.clone()
        };
        match factor {
            Factor::Is(outcome) => Ok(Response::new(v1::CheckSecondFactorResponse { outcome })),
            Factor::Fails(code, reason) => Err(Fault::new(code, reason, "as the test wants it").into()),
            Factor::Silent => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl ScanService for Feed {
    async fn report_scans(
        &self,
        request: Request<v1::ReportScansRequest>,
    ) -> Result<Response<v1::ReportScansResponse>, Status> {
        let mut books = self.lock();
        books.scans.push(request.into_inner());
        match books.scans_refused.pop_front() {
            Some(code) => Err(Status::new(code, "as the test wants it")),
            None => Ok(Response::new(v1::ReportScansResponse {})),
        }
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no test panics while it holds the books")
    }

    async fn play(mut self, request: v1::FollowRequest, sender: mpsc::Sender<Result<v1::FollowResponse, Status>>) {
        let mut next = request.from_sequence;
        let mut opening = {
            let books = self.lock();
            vec![start(&books), ticket_key(books.key_epoch)]
        };
        let mut greeted = false;
        loop {
            let (fresh, hung_up) = {
                let books = self.lock();
                let fresh = books.events.iter().filter(|event| event.sequence >= next && !request.keys_only).cloned();
                let fresh: Vec<_> = fresh.map(|event| Item::Event(told_to(request.shard, event))).collect();
                next = next.max(books.events.len() as u64 + 1);
                (fresh, !books.scripts.is_empty())
            };
            if hung_up {
                return;
            }
            let mut items = std::mem::take(&mut opening);
            items.extend(fresh);
            if !greeted && self.lock().says_caught_up {
                items.push(caught_up(next - 1));
                greeted = true;
            }
            for item in items {
                if sender.send(Ok(v1::FollowResponse { item: Some(item) })).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return },
                () = self.stopping.cancelled() => return,
            }
        }
    }
}

/// An event as a shard hears it: without others' references.
fn told_to(shard: Option<v1::Shard>, mut event: v1::FeedEvent) -> v1::FeedEvent {
    let shard = shard.map_or(Shard::WHOLE, |shard| Shard::new(shard.index, shard.count).expect("a part"));
    let subject: [u8; 16] = event.subject_id.as_slice().try_into().unwrap_or_default();
    if let Some(Change::Enrolled(enrolled)) = &mut event.change
        && !shard.holds(SubjectId::from_bytes(subject))
    {
        enrolled.elsewhere = true;
        enrolled.palms.iter_mut().for_each(|palm| palm.references.clear());
    }
    event
}

pub(crate) fn start(books: &Books) -> Item {
    Item::Start(v1::FeedStart {
        feed_id: books.feed_id.clone(),
        generation: books.generation,
        model: MODEL.to_owned(),
        last_sequence: books.events.len() as u64,
        sites: books.sites.clone(),
    })
}

pub(crate) fn caught_up(last_sequence: u64) -> Item {
    Item::CaughtUp(v1::CaughtUp { last_sequence })
}

pub(crate) fn ticket_key(epoch: u32) -> Item {
    Item::TicketKey(v1::TicketKey { epoch, key: KEY.to_vec(), ticket_lifetime_ms: TICKET_LIFETIME_MS })
}

/// The key of the tickets, for opening them.
pub(crate) fn opening_key(epoch: u32) -> Option<TicketKey> {
    Some(TicketKey { epoch, key: Key::new(KEY) })
}

pub(crate) fn event(sequence: u64, subject: SubjectId, change: Change) -> v1::FeedEvent {
    v1::FeedEvent { sequence, subject_id: subject.as_bytes().to_vec(), change: Some(change) }
}

pub(crate) fn enrolled(references: &[Reference], probe: Option<&Probe>) -> Change {
    let references = references.iter().map(|reference| v1::Reference {
        embedding: reference.embedding.expose().to_vec(),
        orientation_code: reference.code.to_bytes(),
        quality: u32::from(reference.quality),
    });
    let palm = v1::EnrolledPalm {
        position: v1::PalmPosition::Left.into(),
        references: references.collect(),
        probe: probe.map(wire_probe),
    };
    Change::Enrolled(v1::SubjectEnrolled { palms: vec![palm], verdict_wanted: probe.is_some(), elsewhere: false })
}

pub(crate) fn wire_probe(probe: &Probe) -> v1::Probe {
    v1::Probe {
        embedding: probe.embedding.expose().to_vec(),
        orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
        quality: u32::from(probe.quality),
    }
}
