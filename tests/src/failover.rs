//! Kiosks and a gate that go on while the vault's database fails under them, and what they were promised.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use volar_proto::v1::{Decision, EnrollRequest, GetEnrollmentRequest};

use crate::client::{Clients, enroll, fresh_id, identify, reason};
use crate::palms::{Palms, Person};
use crate::patroni::{Network, Patroni, Whole};
use crate::system::System;

/// Enrolments a second, all kiosks together, while the database is well.
const RATE: u64 = 50;
/// Each waits for one answer at a time.
const KIOSKS: u64 = 10;
/// Between two tries of a kiosk that was refused.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two visitors of the gate.
const VISIT: Duration = Duration::from_millis(200);
/// Whoever visits the gate.
const VISITOR: u64 = 1;
/// One request in so many is kept, to be repeated at the end.
const KEPT: u64 = 20;
/// Writes go on again within this time of whatever befell one server.
pub const OUTAGE_MAX: Duration = Duration::from_secs(30);
/// After the last trouble every kiosk has its answer within this time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// A vault on a cluster, a matcher that follows it, kiosks that enrol and a gate that identifies.
pub struct Failover {
    system: System,
    /// The database, which outlives those who use it.
    pub database: Patroni,
    clients: Clients,
    palms: Arc<Palms>,
    shared: Arc<Shared>,
    kiosks: Vec<JoinHandle<()>>,
    gate: JoinHandle<()>,
}

/// What kiosks and gate have been told.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// How often an enrolment was refused for now, by reason.
    refusals: Mutex<BTreeMap<String, u64>>,
    /// What a kiosk was told that no asking again mends.
    for_good: Mutex<Option<String>>,
    admissions: AtomicU64,
    /// What the gate was told instead, and when.
    not_admitted: Mutex<Vec<String>>,
    slowest_ms: AtomicU64,
}

struct Acknowledged {
    enrollment_id: String,
    at: Instant,
    request: Option<EnrollRequest>,
}

/// What it came to.
#[derive(Debug)]
pub struct Outcome {
    /// Enrolments acknowledged, each of which is there once.
    pub acknowledged: usize,
    /// Enrolments refused for now and made again, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// People whom the gate admitted, each with a ticket, without one failure.
    pub admissions: u64,
    /// The longest that one of them waited.
    pub slowest_admission: Duration,
}

impl Failover {
    /// Starts everything; kiosks and gate are at work when this returns.
    pub async fn start(network: Network) -> Self {
        let (database, system) = tokio::task::block_in_place(|| {
            let database = Patroni::start(network);
            let system = System::servers_on(database.store());
            (database, system)
        });
        let clients = system.clients();
        let palms = Arc::new(clients.palms().await);
        let visitor = enroll(&palms, &Person::new(VISITOR), false);
        let enrolled = clients.enrollment().enroll(visitor).await.expect("a good enrolment").into_inner();
        clients.admit(&palms, &Person::new(VISITOR)).await;
        let shared = Arc::new(Shared { next: AtomicU64::new(VISITOR + 1), ..Shared::default() });
        shared.acknowledge(Acknowledged { enrollment_id: enrolled.enrollment_id, at: Instant::now(), request: None });
        let mut due = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).expect("few"));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let due = Arc::new(tokio::sync::Mutex::new(due));
        let kiosks = (0..KIOSKS)
            .map(|_| {
                let (clients, palms, shared) = (clients.clone(), palms.clone(), shared.clone());
                let due = due.clone();
                tokio::spawn(async move {
                    while !shared.stop.load(Ordering::SeqCst) {
                        due.lock().await.tick().await;
                        kiosk(&clients, &palms, &shared).await;
                    }
                })
            })
            .collect();
        let gate = tokio::spawn(visit(clients.clone(), palms.clone(), shared.clone()));
        Self { system, database, clients, palms, shared, kiosks, gate }
    }

    /// How many enrolments have been acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged().len()
    }

    /// Waits until enrolments that were sent after this call are acknowledged again.
    ///
    /// # Panics
    /// If that takes four times the promised time.
    pub async fn wait_for_writes(&self) {
        let start = Instant::now();
        // Whatever was under way is one a kiosk; the next is new.
        let enough = self.acknowledged() + usize::try_from(KIOSKS).expect("few") + 1;
        while self.acknowledged() < enough {
            self.check_refusals();
            assert!(start.elapsed() < OUTAGE_MAX * 4, "no write for {:?}: {:?}", start.elapsed(), self.refusals());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn check_refusals(&self) {
        let for_good = self.shared.for_good.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusal) = &*for_good {
            let log = std::fs::read_to_string(self.system.folder().join("logs/vault.log")).unwrap_or_default();
            let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
            panic!("{refusal}; the vault's last errors:\n{}", errors[errors.len().saturating_sub(20)..].join("\n"));
        }
    }

    /// The longest time without an acknowledgement since `since`.
    pub fn outage_since(&self, since: Instant) -> Duration {
        let acknowledged = self.shared.acknowledged();
        let mut last = since;
        let mut longest = Duration::ZERO;
        for at in acknowledged.iter().map(|one| one.at).filter(|at| *at > since) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }

    /// Reasons why enrolments were refused for now, so far.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills the primary, waits until writes go on, and has the killed one follow. Gives the time without writes, and how
    /// long the killed one took to be a synchronous cluster's part again.
    pub async fn kill_primary(&self) -> (Duration, Whole) {
        let former = tokio::task::block_in_place(|| self.database.primary()).expect("one leads");
        let since = Instant::now();
        tokio::task::block_in_place(|| {
            self.database.kill(former);
            self.database.wait_for_another_primary(former);
        });
        self.wait_for_writes().await;
        let outage = self.outage_since(since);
        let whole = tokio::task::block_in_place(|| {
            self.database.restart(former);
            self.database.wait_until_whole()
        });
        (outage, whole)
    }

    /// Lets every kiosk have its answer, and checks all that was promised.
    ///
    /// # Panics
    /// If an acknowledged enrolment is not there or is there twice, or anybody was not admitted.
    pub async fn finish(mut self) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        for kiosk in self.kiosks.drain(..) {
            let ended = tokio::time::timeout(ANSWER_TIME_MAX, kiosk).await;
            ended.expect("a kiosk waits for its answer for ever").expect("a kiosk does not panic");
        }
        self.check_refusals();
        (&mut self.gate).await.expect("the gate does not panic");
        self.check_admissions();
        self.check_enrollments().await;
        // And after a start of the vault, which has forgotten what it had in memory.
        self.system.kill_vault(0);
        self.check_enrollments().await;
        let last = Person::new(self.shared.next.load(Ordering::SeqCst) - 1);
        self.clients.admit(&self.palms, &last).await;
        Outcome {
            acknowledged: self.acknowledged(),
            refusals: self.refusals(),
            admissions: self.shared.admissions.load(Ordering::SeqCst),
            slowest_admission: Duration::from_millis(self.shared.slowest_ms.load(Ordering::SeqCst)),
        }
    }

    fn check_admissions(&self) {
        let not_admitted = self.shared.not_admitted.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(not_admitted.is_empty(), "the gate did not admit: {not_admitted:?}");
        assert!(self.shared.admissions.load(Ordering::SeqCst) > 0, "nobody came to the gate");
    }

    /// Everybody acknowledged is there, nobody is there twice or half, and a repeat gets the first answer.
    async fn check_enrollments(&self) {
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged());
        let ids: HashSet<&str> = acknowledged.iter().map(|one| one.enrollment_id.as_str()).collect();
        assert_eq!(ids.len(), acknowledged.len(), "one enrollment was given to two");
        let mut client = self.clients.enrollment();
        for one in &acknowledged {
            let request = GetEnrollmentRequest { enrollment_id: one.enrollment_id.clone(), wait_milliseconds: 0 };
            let known = client.get_enrollment(request).await;
            known.unwrap_or_else(|status| panic!("an acknowledged enrolment is lost: {}", reason(&status)));
            if let Some(request) = &one.request {
                let again = client.enroll(request.clone()).await.expect("repeated").into_inner();
                assert_eq!(again.enrollment_id, one.enrollment_id, "a repeat was stored again");
            }
        }
        let stored = self.clients.subjects().await;
        let people: HashSet<&str> = stored.iter().map(|subject| subject.subject_id.as_str()).collect();
        assert_eq!((people.len(), stored.len()), (acknowledged.len(), acknowledged.len()), "stored twice, or lost");
        assert!(stored.iter().all(|subject| subject.positions.len() == 2), "somebody is half");
        *self.shared.acknowledged() = acknowledged;
    }
}

impl Shared {
    fn acknowledged(&self) -> std::sync::MutexGuard<'_, Vec<Acknowledged>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledge(&self, one: Acknowledged) {
        self.acknowledged().push(one);
    }
}

/// Enrols one person as a kiosk does: the same request again until it is answered.
async fn kiosk(clients: &Clients, palms: &Palms, shared: &Shared) {
    let seed = shared.next.fetch_add(1, Ordering::SeqCst);
    let request = enroll(palms, &Person::new(seed), false);
    let mut client = clients.enrollment();
    loop {
        match client.enroll(request.clone()).await {
            Ok(response) => {
                let enrollment_id = response.into_inner().enrollment_id;
                let request = seed.is_multiple_of(KEPT).then_some(request);
                return shared.acknowledge(Acknowledged { enrollment_id, at: Instant::now(), request });
            }
            Err(status) => {
                // CANCELLED is what a server says whose own time limit for a call is over; its outcome is unknown.
                let passes = [tonic::Code::Unavailable, tonic::Code::DeadlineExceeded, tonic::Code::Cancelled];
                let passes = passes.contains(&status.code());
                if !passes {
                    let mut for_good = shared.for_good.lock().unwrap_or_else(PoisonError::into_inner);
                    for_good.get_or_insert_with(|| format!("person {seed} is refused for good: {status:?}"));
                    return;
                }
                let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                *refusals.entry(reason(&status)).or_default() += 1;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Somebody whom the matcher knows comes again and again.
async fn visit(clients: Clients, palms: Arc<Palms>, shared: Arc<Shared>) {
    let visitor = Person::new(VISITOR);
    let mut client = clients.identification();
    while !shared.stop.load(Ordering::SeqCst) {
        let mut request = identify(&palms, &visitor, "lane-1");
        request.idempotency_id = fresh_id();
        let start = Instant::now();
        let said = match client.identify(request).await {
            Ok(response) => {
                let response = response.into_inner();
                let admitted = response.decision == Decision::Admitted as i32 && !response.ticket.is_empty();
                (!admitted).then(|| response.reason.clone())
            }
            Err(status) => Some(reason(&status)),
        };
        let waited = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.slowest_ms.fetch_max(waited, Ordering::SeqCst);
        match said {
            None => drop(shared.admissions.fetch_add(1, Ordering::SeqCst)),
            Some(said) => shared.not_admitted.lock().unwrap_or_else(PoisonError::into_inner).push(said),
        }
        tokio::time::sleep(VISIT).await;
    }
}
