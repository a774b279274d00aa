//! Rotation under load, to be killed: the crash test of rotations runs it, and so may whoever wants to measure one.
//!
//! - `rotate FOLDER fill PEOPLE WRITERS`: enrols people, active and with payment, and prints how long that took.
//! - `rotate FOLDER run WRITERS`: begins a rotation of tenant `acme`, or goes on with the one under way, while WRITERS
//!   threads enrol, claim and erase people of their own. Prints `rotating`, then `member SUBJECT` or `erased SUBJECT` for
//!   what was acknowledged, then `done` and how long it took, and ends.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use volar_core::clock::Clock;
use volar_core::id::{EnrollmentId, GalleryId, IdempotencyId, SubjectId, TenantId, TicketId};
use volar_core::randomness::Randomness;
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, Ticket};
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::enrollment::Enroll;
use volar_vault::erasure::Erase;
use volar_vault::format::v1::{Payment, State};
use volar_vault::server;
use volar_vault::store::StoreError;
use volar_vault::vault::{Call, Vault};

#[path = "../tests/it/people.rs"]
mod people;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [folder, "fill", people, writers] => fill(&open(Path::new(folder))?, people.parse()?, writers.parse()?),
        [folder, "run", writers] => rotate(&Arc::new(open(Path::new(folder))?), writers.parse()?),
        _ => Err("usage: rotate FOLDER fill PEOPLE WRITERS | rotate FOLDER run WRITERS".into()),
    }
}

fn open(folder: &Path) -> Result<Vault, Failure> {
    let mut config: Config = toml::from_str(DEFAULTS)?;
    config.keys.file = Some(folder.join("vault.key"));
    config.store.folder = folder.join("store");
    config.store.key_table = folder.join("keys");
    config.store.verify_at_start = false;
    let mut settings = config.settings()?;
    settings.erasure_wait = std::time::Duration::ZERO;
    server::init(&config, false)?;
    loop {
        match server::open(&config, settings.clone()) {
            // A process that is being started elsewhere holds its parent's files for a moment.
            Err(volar_vault::error::VaultError::Store(StoreError::InUse { .. })) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            opened => return Ok(opened?),
        }
    }
}

fn fill(vault: &Vault, people: u64, writers: usize) -> Result<(), Failure> {
    let (started, taken) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let visitor = Visitor::new();
                while taken.fetch_add(1, Ordering::Relaxed) < people {
                    visitor.joins(vault);
                }
            });
        }
    });
    say(&format!("{people} people in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn rotate(vault: &Arc<Vault>, writers: usize) -> Result<(), Failure> {
    let operator = peer("operator");
    let tenant: TenantId = "acme".parse()?;
    let before = vault.keys(&operator, false)?;
    if before.versions.len() == 1 {
        vault.begin_rotation(&tenant, before.versions[0].version)?;
    }
    say("rotating");
    let (started, over) = (Instant::now(), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let visitor = Visitor::new();
                while !over.load(Ordering::SeqCst) {
                    visitor.comes_and_goes(vault);
                }
            });
        }
        let ended = vault.finish_rotation(&tenant);
        over.store(true, Ordering::SeqCst);
        ended
    });
    ended?;
    say(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Somebody at the kiosk, the gate and the checkout.
struct Visitor {
    request: Enroll,
    runtime: tokio::runtime::Runtime,
}

impl Visitor {
    fn new() -> Self {
        let request = people::enrollment(&SystemRandomness, SystemClock.now(), 1, 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { request, runtime }
    }

    fn joins(&self, vault: &Vault) -> SubjectId {
        let kiosk = peer("kiosk");
        let enrollment: EnrollmentId = vault.enroll(&kiosk, &call(), &self.request).expect("enrolled");
        let payment = Payment {
            provider: "test".to_owned(),
            customer: "cus_test".to_owned(),
            payment_method: "pm_test".to_owned(),
            label: "Test account".to_owned(),
        };
        vault.bind_payment(&kiosk, &call(), enrollment, &payment).expect("bound");
        let (subject, sequence) = self.found(vault, enrollment);
        vault.report_verdict(&peer("matcher"), &call(), &members(), sequence, Shard::WHOLE, None).expect("reported");
        subject
    }

    /// Whose an enrollment is, and its event's number.
    fn found(&self, vault: &Vault, enrollment: EnrollmentId) -> (SubjectId, u64) {
        let operator = peer("operator");
        let mut token = String::new();
        loop {
            let page = vault.subjects(&operator, &members(), Some(State::Pending), 1_000, &token).expect("readable");
            if let Some((subject, record)) = page.subjects.iter().find(|(_, record)| record.enrollment == enrollment) {
                return (*subject, record.memberships[0].sequence);
            }
            token = page.next;
            assert!(!token.is_empty(), "an enrollment that was acknowledged is pending");
        }
    }

    fn comes_and_goes(&self, vault: &Arc<Vault>) {
        let subject = self.joins(vault);
        say(&format!("member {subject}"));
        let (now, checkout) = (SystemClock.now(), peer("checkout"));
        let ticket = Ticket {
            id: TicketId::random(&SystemRandomness),
            purpose: Purpose::Admission,
            tenant: "acme".parse().expect("a slug"),
            gallery: members(),
            subject,
            site: "north".parse().expect("a slug"),
            device: "gate-1".parse().expect("a slug"),
            lane: "lane-1".parse().expect("a slug"),
            decided_at: now,
            expires_at: now.after(std::time::Duration::from_secs(600)),
        };
        let sealed = ticket.seal(&vault.ticket_key(&peer("matcher")).expect("a key"), &SystemRandomness);
        vault.claim(&checkout, &call(), &sealed).expect("claimed");
        let randomness: &dyn Randomness = &SystemRandomness;
        if randomness.bytes::<1>()[0] < 128 {
            let operator = peer("operator");
            let erased = vault.erase(&operator, call(), Erase::Subject(subject));
            self.runtime.block_on(erased).expect("erased");
            say(&format!("erased {subject}"));
        }
    }
}

fn members() -> GalleryId {
    "members".parse().expect("a slug")
}

fn peer(role: &str) -> Peer {
    format!("spiffe://volar/acme/north/{role}/{role}-1").parse().expect("a peer's name")
}

fn call() -> Call {
    Call { id: IdempotencyId::random(&SystemRandomness), body_sha256: [0; 32] }
}

/// One write a line: a killed process leaves whole lines.
fn say(text: &str) {
    std::io::stdout().write_all(format!("{text}\n").as_bytes()).expect("somebody listens");
}
