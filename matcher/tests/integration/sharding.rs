//! A gallery spread over shards, each with two replicas, behind a router: says what one matcher of the whole says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use volar_core::clock::ManualClock;
use volar_core::shard::Shard;
use volar_core::template::Template;
use volar_matcher::decision::{Decision, DecisionPolicy};
use volar_matcher::feed::{Follower, Wanted};
use volar_matcher::gallery::Gallery;
use volar_matcher::identify::Matcher;
use volar_matcher::parameters::SEARCH_WAIT_MAX;
use volar_matcher::pool::SearchPool;
use volar_matcher::router::{Members, Replica, Router};
use volar_matcher::search::LocalSearch;
use volar_matcher::shard_service::{Held, ShardServer};
use volar_matcher::testing::subject;
use volar_matcher::tickets::TicketKeys;
use volar_proto::v1;
use volar_proto::v1::report_verdict_request::Verdict;
use volar_proto::v1::shard_service_server::{ShardService, ShardServiceServer};
use volar_service::identity::{Peer, Role};

use crate::vault::Vault;
use crate::world::{World, eventually, matcher, peer};

/// How a replica behaves.
#[derive(Clone, Debug, PartialEq)]
enum Mood {
    Well,
    Away,
    /// Takes this long for a search.
    Slow(Duration),
    /// Says that it holds another shard.
    Lying,
    /// Says that its palms come from another feed.
    Restored,
}

/// A matcher of one shard, on a socket of its own.
#[derive(Clone)]
struct ShardProcess {
    server: Arc<ShardServer>,
    mood: Arc<Mutex<Mood>>,
    searches: Arc<AtomicUsize>,
}

impl ShardProcess {
    async fn start(name: &str, shard: Shard, vault: &Vault, clock: Arc<ManualClock>) -> (Self, SocketAddr) {
        let gallery = Arc::new(Gallery::new(DecisionPolicy::default()));
        let tickets = Arc::new(TicketKeys::default());
        let own_name: Peer = format!("spiffe://volar/acme/north/matcher/{name}").parse().expect("a good name");
        let id = "members".parse().expect("a slug");
        let (follower, ready) =
            Follower::new(id, Wanted::Shard(shard), own_name, gallery.clone(), tickets.clone(), vault.channel());
        let held = Held { gallery: gallery.clone(), ready: ready.clone(), position: follower.position() };
        tokio::spawn(follower.run(CancellationToken::new()));
        let pool = Arc::new(SearchPool::searching(1, SEARCH_WAIT_MAX).expect("a thread"));
        let matcher = matcher(shard, Arc::new(LocalSearch { gallery, ready, pool }), tickets, clock, None);
        let held = [("members".parse().expect("a slug"), held)].into();
        let process = Self {
            server: Arc::new(ShardServer { shard, matcher, held }),
            mood: Arc::new(Mutex::new(Mood::Well)),
            searches: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        // The router's name comes from its certificate; here from the test.
        let named = |mut request: Request<()>| {
            request.extensions_mut().insert(peer(Role::Matcher));
            Ok(request)
        };
        let service = ShardServiceServer::with_interceptor(process.clone(), named);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        (process, address)
    }

    fn mood(&self) -> Mood {
        self.mood.lock().expect("nothing panics here").clone()
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("nothing panics here") = mood;
    }

    fn lie(&self, shard: &mut Option<v1::Shard>, feed_id: &mut String) {
        match self.mood() {
            Mood::Lying => *shard = shard.map(|shard| v1::Shard { index: 1 - shard.index, ..shard }),
            Mood::Restored => "another".clone_into(feed_id),
            _ => {}
        }
    }
}

#[tonic::async_trait]
impl ShardService for ShardProcess {
    async fn search(&self, request: Request<v1::SearchRequest>) -> Result<Response<v1::SearchResponse>, Status> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        match self.mood() {
            Mood::Away => return Err(Status::unavailable("gone")),
            Mood::Slow(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        let mut response = self.server.search(request).await?;
        let answer = response.get_mut();
        self.lie(&mut answer.shard, &mut answer.feed_id);
        Ok(response)
    }

    async fn get_shard(&self, request: Request<v1::GetShardRequest>) -> Result<Response<v1::GetShardResponse>, Status> {
        if self.mood() == Mood::Away {
            return Err(Status::unavailable("gone"));
        }
        let mut response = self.server.get_shard(request).await?;
        let answer = response.get_mut();
        self.lie(&mut answer.shard, &mut answer.feed_id);
        Ok(response)
    }
}

/// Two shards of two replicas, their router, and a matcher of the whole, all on one vault.
pub(crate) struct Cluster {
    pub(crate) whole: World,
    pub(crate) router: Arc<Matcher>,
    ready: watch::Receiver<bool>,
    processes: Vec<ShardProcess>,
    replicas: Vec<Arc<Replica>>,
}

impl Cluster {
    pub(crate) async fn start(seed: u64) -> Self {
        Self::hedging(seed, Duration::from_millis(20)).await
    }

    /// One that asks a second replica after `hedge`.
    async fn hedging(seed: u64, hedge: Duration) -> Self {
        let whole = World::ready(seed).await;
        let (mut processes, mut replicas, mut members) = (Vec::new(), Vec::new(), Vec::<Arc<dyn Members>>::new());
        for index in 0..2 {
            let shard = Shard::new(index, 2).expect("a part");
            let mut both = Vec::new();
            for letter in ["a", "b"] {
                let name = format!("m-{index}{letter}");
                let (process, address) = ShardProcess::start(&name, shard, &whole.vault, whole.clock.clone()).await;
                let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
                processes.push(process);
                both.push(Arc::new(Replica::new(name, channel)));
            }
            replicas.extend(both.clone());
            members.push(Arc::new(both));
        }
        let gallery = Arc::new(Gallery::new(DecisionPolicy::default()));
        let tickets = Arc::new(TicketKeys::default());
        let id = || "members".parse().expect("a slug");
        let (own_name, channel) = (peer(Role::Matcher), whole.vault.channel());
        let (follower, following) =
            Follower::new(id(), Wanted::Keys, own_name, gallery.clone(), tickets.clone(), channel);
        let router = Arc::new(Router::new(id(), members, hedge, gallery, following, follower.position()));
        tokio::spawn(follower.run(CancellationToken::new()));
        let (tell, ready) = watch::channel(false);
        tokio::spawn(router.clone().run(tell, CancellationToken::new()));
        let router = matcher(Shard::WHOLE, router, tickets, whole.clock.clone(), Some(whole.vault.channel()));
        let mut cluster = Self { whole, router, ready, processes, replicas };
        cluster.becomes_ready().await;
        cluster
    }

    async fn becomes_ready(&mut self) {
        let waiting = self.ready.wait_for(|now| *now);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time").expect("the router runs");
        eventually("well", || self.replicas.iter().all(|replica| replica.is_well())).await;
    }

    /// Admits people 1 to `count`.
    pub(crate) async fn admit(&mut self, count: u32) -> Vec<Template> {
        let templates: Vec<_> = (0..count).map(|_| self.whole.palms.template()).collect();
        for (number, template) in (1..).zip(&templates) {
            self.whole.admit(number, template).await;
        }
        let last = u64::from(2 * count);
        let applied =
            |process: &ShardProcess| process.server.held.values().all(|held| held.position.borrow().applied >= last);
        eventually("in every shard", || self.processes.iter().all(applied)).await;
        templates
    }

    /// The router's word on a palm, or the reason why it has none.
    async fn says(&self, template: &Template, lane: &str) -> Result<Decision, String> {
        let answer = self.router.identify(peer(Role::Gate), self.whole.request(template, lane)).await;
        answer.map(|answer| answer.decision).map_err(|fault| fault.reason.to_owned())
    }

    /// The same, asking again as a gate does: on a busy machine a good replica may be slow too.
    async fn says_at_last(&self, template: &Template, lane: &str) -> Decision {
        for _ in 0..100 {
            match self.says(template, lane).await {
                Ok(decision) => return decision,
                Err(reason) => assert_eq!(reason, "SHARD_MISSING"),
            }
        }
        panic!("no answer in a hundred tries");
    }

    fn shard(&self, index: usize) -> &[ShardProcess] {
        &self.processes[2 * index..2 * index + 2]
    }
}

/// Numbers of people whom shard `index` of two holds, among the first `count`.
fn held_by(index: u32, count: u32) -> Vec<u32> {
    let shard = Shard::new(index, 2).expect("a part");
    let held: Vec<u32> = (1..=count).filter(|&number| shard.holds(subject(number))).collect();
    assert!(!held.is_empty() && held.len() < count as usize, "both shards hold somebody");
    held
}

#[tokio::test]
async fn a_router_says_what_a_matcher_of_the_whole_says() {
    let mut cluster = Cluster::start(60).await;
    let templates = cluster.admit(24).await;
    for (number, template) in (1..).zip(&templates) {
        let mate = cluster.whole.palms.mate(template);
        assert_eq!(cluster.says_at_last(&mate, "a").await, Decision::Admitted(subject(number)));
        let whole = cluster.whole.identify(&mate, "a").await.expect("an answer");
        assert_eq!(whole.decision, Decision::Admitted(subject(number)));
    }
    let stranger = cluster.whole.palms.template();
    assert_eq!(cluster.says_at_last(&stranger, "b").await, Decision::NoMatch);
    let palms: Vec<usize> = (0..2)
        .map(|index| cluster.shard(index)[0].server.held.values().map(|held| held.gallery.palms().0).sum())
        .collect();
    assert_eq!(palms, [held_by(0, 24).len(), held_by(1, 24).len()], "each holds its own alone");
}

#[tokio::test]
async fn without_a_shard_a_sure_match_stands_and_nothing_else_is_said() {
    let mut cluster = Cluster::start(61).await;
    let templates = cluster.admit(12).await;
    cluster.shard(1).iter().for_each(|process| process.becomes(Mood::Away));
    for number in held_by(0, 12) {
        let mate = cluster.whole.palms.mate(&templates[number as usize - 1]);
        assert_eq!(cluster.says_at_last(&mate, "a").await, Decision::Admitted(subject(number)));
    }
    let missing = Err("SHARD_MISSING".to_owned());
    for number in held_by(1, 12) {
        let mate = cluster.whole.palms.mate(&templates[number as usize - 1]);
        assert_eq!(cluster.says(&mate, "b").await, missing);
    }
    let stranger = cluster.whole.palms.template();
    // More often than a lane may fail: nothing is held against anybody whom nobody could look for.
    for _ in 0..6 {
        assert_eq!(cluster.says(&stranger, "b").await, missing);
    }
    cluster.shard(1).iter().for_each(|process| process.becomes(Mood::Well));
    cluster.becomes_ready().await;
    assert_eq!(cluster.says_at_last(&stranger, "b").await, Decision::NoMatch);
}

#[tokio::test]
async fn one_good_replica_is_enough_whatever_the_other_does() {
    let mut cluster = Cluster::start(62).await;
    let templates = cluster.admit(8).await;
    for mood in [Mood::Away, Mood::Lying, Mood::Restored, Mood::Slow(Duration::from_secs(60))] {
        for index in 0..2 {
            cluster.shard(index)[0].becomes(mood.clone());
        }
        for (number, template) in (1..).zip(&templates) {
            let mate = cluster.whole.palms.mate(template);
            assert_eq!(cluster.says_at_last(&mate, "a").await, Decision::Admitted(subject(number)), "{mood:?}");
        }
        let stranger = cluster.whole.palms.template();
        assert_eq!(cluster.says_at_last(&stranger, "c").await, Decision::NoMatch, "{mood:?}");
        cluster.processes.iter().for_each(|process| process.becomes(Mood::Well));
        cluster.becomes_ready().await;
    }
}

#[tokio::test]
async fn replicas_share_the_work_and_one_that_is_away_is_left_alone() {
    // Later than any answer comes, even on a busy machine: nobody is asked because another is slow.
    let mut cluster = Cluster::hedging(63, Duration::from_secs(60)).await;
    let templates = cluster.admit(2).await;
    let asked = |cluster: &Cluster| -> Vec<usize> {
        cluster.processes.iter().map(|process| process.searches.swap(0, Ordering::SeqCst)).collect()
    };
    for _ in 0..20 {
        cluster.says_at_last(&templates[0], "a").await;
    }
    assert!(asked(&cluster).iter().all(|&searches| searches >= 10), "each in its turn");
    cluster.shard(0)[0].becomes(Mood::Away);
    eventually("found ill", || !cluster.replicas[0].is_well()).await;
    asked(&cluster);
    for _ in 0..20 {
        cluster.says_at_last(&templates[0], "a").await;
    }
    assert_eq!(asked(&cluster)[0], 0);
}

#[tokio::test]
async fn a_duplicate_is_found_whichever_shard_holds_the_first() {
    let mut cluster = Cluster::start(64).await;
    let templates = cluster.admit(6).await;
    let before = cluster.whole.vault.books().verdicts.len();
    for (number, template) in (1..).zip(&templates) {
        let again = cluster.whole.palms.mate(template);
        cluster.whole.enroll(100 + number, &again).await;
    }
    // Of each: the matcher of the whole, and two replicas of two shards.
    let expected = 6 * 5;
    eventually("reported", || cluster.whole.vault.books().verdicts.len() >= before + expected).await;
    let books = cluster.whole.vault.books();
    for (number, sequence) in (1..=6).zip(13_u64..) {
        for report in books.verdicts.iter().filter(|report| report.sequence == sequence) {
            let wire = report.shard.expect("every verdict names its part");
            let shard = Shard::new(wire.index, wire.count).expect("a part");
            let suspected = match report.verdict.as_ref().expect("a verdict") {
                Verdict::Clear(_) => None,
                Verdict::SuspectedDuplicate(suspected) => Some(suspected.of_subject_id.clone()),
            };
            let expected = shard.holds(subject(number)).then(|| subject(number).as_bytes().to_vec());
            assert_eq!(suspected, expected, "{shard}");
        }
    }
}

#[tokio::test]
async fn a_shard_answers_no_gate() {
    let cluster = Cluster::start(65).await;
    let anybody = cluster.whole.request(&World::new(66).await.palms.template(), "a");
    let fault = cluster.shard(0)[0].server.matcher.identify(peer(Role::Gate), anybody).await.expect_err("refused");
    assert_eq!(fault.reason, "SHARD_ONLY");
}
