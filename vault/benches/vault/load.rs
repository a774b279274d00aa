//! A vault under load from threads that each wait for one answer at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use volar_core::clock::Clock;
use volar_core::id::{EnrollmentId, IdempotencyId, SubjectId, TicketId};
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, Ticket};
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::enrollment::Enroll;
use volar_vault::erasure::Erase;
use volar_vault::feed::News;
use volar_vault::format::v1::{Payment, State};
use volar_vault::keys::KeyFile;
use volar_vault::parameters::FEED_BATCH;
use volar_vault::store::Store;
use volar_vault::vault::{Call, Parts, Vault};

use crate::engines::Place;
use crate::{CODES, REFERENCES, Size, people};

/// Different people; the rest repeat them, sealed anew each time.
const REQUESTS: usize = 32;
/// The feed is read for at least this long.
const FEED_TIME: Duration = Duration::from_secs(4);

/// An open vault and whom to enrol.
pub(crate) struct Load {
    pub(crate) vault: Arc<Vault>,
    pub(crate) requests: Vec<Enroll>,
    size: Size,
    enrolled: Mutex<Vec<EnrollmentId>>,
    subjects: Mutex<Vec<SubjectId>>,
}

/// How fast something went.
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Load {
    pub(crate) fn open(place: &Place, size: Size) -> Self {
        Self::over(place, place.store(), size)
    }

    pub(crate) fn over(place: &Place, store: Box<dyn Store>, size: Size) -> Self {
        let key = place.path("vault.key");
        KeyFile::create(&key, &SystemRandomness).expect("writable");
        let mut config: Config = toml::from_str(DEFAULTS).expect("valid");
        // Nobody follows.
        config.erasure.wait_milliseconds = 0;
        let parts = Parts {
            store,
            key_table: &place.path("keys"),
            holder: Arc::new(KeyFile::open(&key).expect("just made")),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
        };
        let vault = Arc::new(Vault::open(parts, config.settings().expect("the defaults")).expect("opens"));
        let requests = (0..REQUESTS.min(size.people))
            .map(|_| people::enrollment(&SystemRandomness, SystemClock.now(), REFERENCES, CODES))
            .collect();
        Self { vault, requests, size, enrolled: Mutex::default(), subjects: Mutex::default() }
    }

    pub(crate) fn enroll(&self) -> Pace {
        pace(self.size.clients, self.size.people, |number| {
            let enrollment = enroll_one(&self.vault, &self.requests[number % self.requests.len()]);
            self.enrolled.lock().expect("no panic").push(enrollment);
        })
    }

    /// A clear verdict and a payment for everybody enrolled.
    pub(crate) fn activate(&self) {
        let enrolled = self.enrolled.lock().expect("no panic").clone();
        pace(self.size.clients, enrolled.len(), |number| {
            let sequence = number as u64 + 1;
            let state = self.vault.report_verdict(&peer("matcher"), &call(), &gallery(), sequence, Shard::WHOLE, None);
            assert_eq!(state.expect("taken"), Some(State::Active));
            self.vault.bind_payment(&peer("kiosk"), &call(), enrolled[number], &payment()).expect("bound");
        });
        let everybody =
            self.vault.events(&peer("matcher"), &gallery(), Shard::WHOLE, 1, usize::MAX).expect("readable").0;
        let enrolled = everybody.iter().filter(|item| matches!(item.news, News::Enrolled { .. }));
        *self.subjects.lock().expect("no panic") = enrolled.map(|item| item.subject).collect();
    }

    /// References from sealed records to plain templates, a second, over all threads.
    pub(crate) fn feed(&self, threads: usize) -> f64 {
        let (templates, started) = (AtomicUsize::new(0), Instant::now());
        let people = self.enrolled.lock().expect("no panic").len();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (templates, part) = (&templates, people / threads);
                scope.spawn(move || {
                    let (first, end) = (thread * part, (thread + 1) * part);
                    // At least once through, and then until time is up.
                    let mut from = first;
                    while started.elapsed() < FEED_TIME {
                        let limit = FEED_BATCH.min(end - from);
                        let read =
                            self.vault.events(&peer("matcher"), &gallery(), Shard::WHOLE, from as u64 + 1, limit);
                        for item in read.expect("readable").0 {
                            if let News::Enrolled { palms, .. } = &item.news {
                                let references = palms.iter().map(|palm| palm.references.len());
                                templates.fetch_add(references.sum(), Ordering::Relaxed);
                            }
                        }
                        from += limit;
                        if from >= end {
                            from = first;
                        }
                    }
                });
            }
        });
        templates.into_inner() as f64 / started.elapsed().as_secs_f64()
    }

    pub(crate) fn claim(&self) -> Pace {
        let subjects = self.subjects.lock().expect("no panic").clone();
        let key = self.vault.ticket_key(&peer("matcher")).expect("a key");
        let tickets: Vec<Vec<u8>> =
            subjects.iter().map(|subject| ticket(*subject).seal(&key, &SystemRandomness)).collect();
        pace(self.size.clients, tickets.len(), |number| {
            self.vault.claim(&peer("checkout"), &call(), &tickets[number]).expect("claimed");
        })
    }

    pub(crate) fn erase(&self) -> Pace {
        let subjects = self.subjects.lock().expect("no panic").clone();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        pace(self.size.clients, subjects.len() / 4, |number| {
            let operator = peer("operator");
            let erased = self.vault.erase(&operator, call(), Erase::Subject(subjects[number]));
            runtime.block_on(erased).expect("erased");
        })
    }
}

/// Has `clients` threads do `count` pieces of work.
pub(crate) fn pace(clients: usize, count: usize, work: impl Fn(usize) + Sync) -> Pace {
    let (next, times, started) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let begun = Instant::now();
                    work(number);
                    times.lock().expect("no panic").push(begun.elapsed());
                }
            });
        }
    });
    let elapsed = started.elapsed().as_secs_f64();
    let mut times = times.into_inner().expect("no panic");
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    Pace { per_second: count as f64 / elapsed, p50_ms: at(0.5), p99_ms: at(0.99) }
}

pub(crate) fn enroll_one(vault: &Vault, request: &Enroll) -> EnrollmentId {
    vault.enroll(&peer("kiosk"), &call(), request).expect("enrolled")
}

fn peer(role: &str) -> Peer {
    format!("spiffe://volar/acme/north/{role}/{role}-1").parse().expect("a peer's name")
}

fn gallery() -> volar_core::id::GalleryId {
    "members".parse().expect("a slug")
}

fn call() -> Call {
    Call { id: IdempotencyId::random(&SystemRandomness), body_sha256: [0; 32] }
}

fn payment() -> Payment {
    Payment {
        provider: "test".to_owned(),
        customer: "cus_test_somebody".to_owned(),
        payment_method: "pm_test_somebody".to_owned(),
        label: "Test account".to_owned(),
    }
}

fn ticket(subject: SubjectId) -> Ticket {
    let now = SystemClock.now();
    Ticket {
        id: TicketId::random(&SystemRandomness),
        purpose: Purpose::Admission,
        tenant: "acme".parse().expect("a slug"),
        gallery: gallery(),
        subject,
        site: "north".parse().expect("a slug"),
        device: "gate-1".parse().expect("a slug"),
        lane: "lane-1".parse().expect("a slug"),
        decided_at: now,
        expires_at: now.after(Duration::from_secs(900)),
    }
}
