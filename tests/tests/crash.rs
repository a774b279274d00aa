//! The vault is killed with SIGKILL while kiosks enrol, again and again: what it acknowledged is there afterwards,
//! whole, and what it did not acknowledge is absent or whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use volar_proto::v1::EnrollRequest;
use volar_tests::client::{Clients, enroll, fresh_id, reason};
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;

const KILLS: usize = 50;
const KIOSKS: u64 = 3;
/// The vault is killed this long after it came up: at first it is idle, then in the middle of many writes.
const LIFE_MS: std::ops::Range<u64> = 20..700;
/// Between two enrolments of a kiosk: enough of them meet each kill, and the matcher that searches all of them for
/// duplicates afterwards is done within a minute.
const PAUSE: Duration = Duration::from_millis(10);

/// What one kiosk knows for certain.
#[derive(Default)]
struct Ledger {
    /// Answered: person, request, enrollment id.
    acknowledged: Vec<(u64, EnrollRequest, String)>,
    /// Sent, and never answered.
    open: Vec<(u64, EnrollRequest)>,
}

/// Enrols people, one after another, whatever happens to the vault.
async fn kiosk(
    number: u64,
    clients: Clients,
    palms: Arc<Palms>,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Ledger {
    let mut ledger = Ledger::default();
    let mut client = clients.enrollment();
    let mut random = ChaCha8Rng::seed_from_u64(number);
    while !stop.load(Ordering::SeqCst) {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        let request = enroll(&palms, &Person::new(seed), false);
        match client.enroll(request.clone()).await {
            Ok(response) => {
                ledger.acknowledged.push((seed, request, response.into_inner().enrollment_id));
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => {
                ledger.open.push((seed, request));
                tokio::time::sleep(Duration::from_millis(random.random_range(5..30))).await;
            }
        }
    }
    ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_acknowledged_and_leave_nothing_half() {
    let mut system = System::vault();
    let clients = system.clients();
    let palms = Arc::new(clients.palms().await);
    let (next, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let kiosks: Vec<_> = (0..KIOSKS)
        .map(|number| tokio::spawn(kiosk(number, clients.clone(), palms.clone(), next.clone(), stop.clone())))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(50);
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        system.kill_vault(kill);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);
    let mut ledger = Ledger::default();
    for kiosk in kiosks {
        let kept = kiosk.await.expect("a kiosk does not panic");
        ledger.acknowledged.extend(kept.acknowledged);
        ledger.open.extend(kept.open);
    }
    assert!(ledger.acknowledged.len() > KILLS, "only {} acknowledged: no load", ledger.acknowledged.len());
    assert!(!ledger.open.is_empty(), "no kill met a call");

    let stored = clients.subjects().await;
    let ids: HashSet<&str> = stored.iter().map(|subject| subject.subject_id.as_str()).collect();
    assert_eq!(ids.len(), stored.len(), "nobody is listed twice");
    for subject in &stored {
        assert_eq!(subject.positions.len(), 2, "{subject:?} is half");
        assert_eq!(subject.consent_policy_version, "2026-11", "{subject:?} lacks its consent");
    }
    let acknowledged = ledger.acknowledged.len();
    assert!((acknowledged..=acknowledged + ledger.open.len()).contains(&stored.len()));

    check_acknowledged(&clients, &ledger).await;
    let found = check_open(&clients, &ledger).await;
    assert_eq!(clients.subjects().await.len(), acknowledged + ledger.open.len(), "repeats store nobody twice");
    println!(
        "{KILLS} kills: {acknowledged} acknowledged enrolments, all there; of {} unanswered ones {found} were stored",
        ledger.open.len()
    );
    check_admission(&mut system, &palms, &ledger).await;
}

/// Each acknowledged enrolment still answers, and its repeat gets the first answer.
async fn check_acknowledged(clients: &Clients, ledger: &Ledger) {
    let mut client = clients.enrollment();
    for (seed, request, enrollment_id) in &ledger.acknowledged {
        let again = client.enroll(request.clone()).await;
        let again = again.unwrap_or_else(|status| panic!("person {seed} is lost: {}", reason(&status)));
        assert_eq!(&again.into_inner().enrollment_id, enrollment_id, "person {seed} was stored twice");
    }
}

/// The repeat of an unanswered enrolment makes it whole, whether it had been stored or not. How many had been.
async fn check_open(clients: &Clients, ledger: &Ledger) -> usize {
    let before = clients.subjects().await.len();
    let mut client = clients.enrollment();
    for (seed, request) in &ledger.open {
        let repeated = client.enroll(request.clone()).await;
        repeated.unwrap_or_else(|status| panic!("person {seed} cannot be enrolled again: {}", reason(&status)));
    }
    let added = clients.subjects().await.len() - before;
    ledger.open.len() - added
}

/// A matcher that follows the survivors' feed admits everyone, and their tickets are theirs: claims reach the person
/// (who has no payment) and nobody is missing from the feed.
async fn check_admission(system: &mut System, palms: &Palms, ledger: &Ledger) {
    tokio::task::block_in_place(|| system.deployment.start_matcher()).expect("the matcher starts");
    let clients = system.clients();
    let everyone: Vec<u64> = ledger.acknowledged.iter().map(|(seed, ..)| *seed).collect();
    let mut pseudonyms = HashSet::new();
    for seed in everyone.iter().step_by((everyone.len() / 40).max(1)) {
        let admitted = clients.admit(palms, &Person::new(*seed)).await;
        let claim = volar_proto::v1::ClaimRequest { idempotency_id: fresh_id(), ticket: admitted.ticket };
        let status = clients.checkout().claim(claim).await.err().expect("nobody linked a payment");
        assert_eq!(reason(&status), "NO_PAYMENT_REFERENCE", "person {seed}");
        pseudonyms.insert(admitted.ticket_id);
    }
    assert!(pseudonyms.len() >= 20, "each admission has a ticket of its own");
}
