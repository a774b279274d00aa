//! The vault is killed with SIGKILL while operators erase people, again and again, with a matcher following: an
//! acknowledged erasure stays, an unacknowledged one can be repeated, and nobody is admitted after theirs.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use volar_proto::v1::{Decision, EnrollmentState, EraseSubjectRequest, ErasureReceipt};
use volar_tests::client::{Clients, enroll, fresh_id, identify, reason};
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;

const KILLS: usize = 12;
const PEOPLE: u64 = 160;
/// Never erased.
const BYSTANDERS: u64 = 8;
const OPERATORS: usize = 3;
/// The vault is killed this long after it came up.
const LIFE_MS: std::ops::Range<u64> = 20..250;
/// Between two erasures of an operator, so that each kill meets some.
const PAUSE: Duration = Duration::from_millis(25);
/// A matcher that was away when somebody was erased must have caught up within this time.
const CATCHING_UP: Duration = Duration::from_secs(15);

/// Somebody to be erased, and the call that does it.
#[derive(Clone)]
struct Leaving {
    seed: u64,
    request: EraseSubjectRequest,
    /// Made while they were enrolled.
    ticket: Vec<u8>,
}

/// What an operator knows for certain.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<(Leaving, ErasureReceipt)>,
    /// Sent, and never answered.
    open: Vec<Leaving>,
    /// Acknowledgements that named the matcher as late.
    late: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_back_whenever_the_vault_is_killed() {
    let mut system = System::servers();
    let clients = system.clients();
    let palms = Arc::new(clients.palms().await);
    let leaving = Arc::new(enrolled(&clients, &palms).await);
    let next = Arc::new(AtomicUsize::new(0));
    let (killing, killed) = watch::channel(false);
    let operators: Vec<_> = (0..OPERATORS)
        .map(|_| tokio::spawn(operator(clients.clone(), palms.clone(), leaving.clone(), next.clone(), killed.clone())))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        system.kill_vault(kill);
    }
    killing.send_replace(true);
    let mut ledger = Ledger::default();
    for operator in operators {
        let kept = operator.await.expect("an operator does not panic");
        ledger.acknowledged.extend(kept.acknowledged);
        ledger.open.extend(kept.open);
        ledger.late += kept.late;
    }
    assert!(ledger.acknowledged.len() > KILLS, "only {} acknowledged: no load", ledger.acknowledged.len());
    assert!(!ledger.open.is_empty(), "no kill met an erasure");

    let whole = check_repeats(&clients, &ledger).await;
    println!(
        "{KILLS} kills: {} acknowledged erasures, {} while the matcher was away; of {} unanswered ones {whole} were done",
        ledger.acknowledged.len(),
        ledger.late,
        ledger.open.len()
    );
    check_nobody_is_back(&clients, &palms, &ledger).await;
    // A matcher that starts anew is told everything from the beginning.
    tokio::task::block_in_place(|| {
        system.deployment.matcher_process().expect("it runs").kill();
        system.deployment.start_matcher()
    })
    .expect("the matcher starts again");
    check_nobody_is_back(&system.clients(), &palms, &ledger).await;
}

/// Enrols everybody, and prepares to erase all but the bystanders.
async fn enrolled(clients: &Clients, palms: &Palms) -> Vec<Leaving> {
    let (mut client, mut known, mut people) = (clients.enrollment(), HashSet::new(), Vec::new());
    for seed in 1..=PEOPLE {
        let response = client.enroll(enroll(palms, &Person::new(seed), false)).await.expect("a sound vault enrols");
        let subjects = clients.subjects().await.into_iter().map(|subject| subject.subject_id);
        let subject_id = subjects.filter(|id| known.insert(id.clone())).last().expect("one more is listed");
        people.push((seed, response.into_inner().enrollment_id, subject_id));
    }
    let mut leaving = Vec::new();
    for (seed, enrollment_id, subject_id) in people {
        assert_eq!(clients.settled(&enrollment_id).await, EnrollmentState::Active);
        let ticket = clients.admit(palms, &Person::new(seed)).await.ticket;
        if seed > BYSTANDERS {
            let request = EraseSubjectRequest { idempotency_id: fresh_id(), subject_id };
            leaving.push(Leaving { seed, request, ticket });
        }
    }
    leaving
}

/// Erases people, one after another, whatever happens to the vault, until the killing is over or nobody is left.
async fn operator(
    clients: Clients,
    palms: Arc<Palms>,
    leaving: Arc<Vec<Leaving>>,
    next: Arc<AtomicUsize>,
    over: watch::Receiver<bool>,
) -> Ledger {
    let (mut ledger, mut admin) = (Ledger::default(), clients.admin());
    while !*over.borrow() {
        let Some(person) = leaving.get(next.fetch_add(1, Ordering::SeqCst)) else { break };
        match admin.erase_subject(person.request.clone()).await {
            Ok(response) => {
                let receipt = response.into_inner().receipt.expect("an erasure has a receipt");
                ledger.late += usize::from(stays_out(&clients, &palms, person, &receipt).await);
                ledger.acknowledged.push((person.clone(), receipt));
            }
            Err(_) => ledger.open.push(person.clone()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    ledger
}

/// Nobody is admitted after a receipt that the matcher confirmed, and soon after one that names it as late. Whether it
/// was late.
async fn stays_out(clients: &Clients, palms: &Palms, person: &Leaving, receipt: &ErasureReceipt) -> bool {
    let confirmed = !receipt.matchers_confirmed.is_empty();
    let end = std::time::Instant::now() + CATCHING_UP;
    while decision(clients, palms, person.seed).await == Decision::Admitted {
        assert!(!confirmed, "person {} is admitted after the matcher had confirmed", person.seed);
        assert!(std::time::Instant::now() < end, "person {} is still admitted", person.seed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    !confirmed
}

/// At a lane of the person's own, so that no failures lock it.
async fn decision(clients: &Clients, palms: &Palms, seed: u64) -> Decision {
    let request = identify(palms, &Person::new(seed), &format!("lane-{seed}"));
    clients.identification().identify(request).await.expect("the matcher answers").into_inner().decision()
}

/// Every acknowledged erasure repeats its receipt; every unanswered one is answered now, and a second time the same. How
/// many of those had been done already.
async fn check_repeats(clients: &Clients, ledger: &Ledger) -> usize {
    let listed: HashSet<_> = clients.subjects().await.into_iter().map(|subject| subject.subject_id).collect();
    let mut admin = clients.admin();
    for (person, receipt) in &ledger.acknowledged {
        assert!(!listed.contains(&person.request.subject_id), "person {} came back", person.seed);
        let again = admin.erase_subject(person.request.clone()).await.expect("a repeat is answered").into_inner();
        assert_eq!(again.receipt.as_ref(), Some(receipt), "person {} has two receipts", person.seed);
    }
    for person in &ledger.open {
        let first = admin.erase_subject(person.request.clone()).await;
        let first =
            first.unwrap_or_else(|status| panic!("person {} cannot be erased: {}", person.seed, reason(&status)));
        let again = admin.erase_subject(person.request.clone()).await.expect("a repeat is answered");
        assert_eq!(first.into_inner(), again.into_inner(), "person {} has two receipts", person.seed);
    }
    ledger.open.iter().filter(|person| !listed.contains(&person.request.subject_id)).count()
}

/// The erased are known to nobody and their tickets are worth nothing; everybody else is where they were.
async fn check_nobody_is_back(clients: &Clients, palms: &Palms, ledger: &Ledger) {
    for seed in 1..=BYSTANDERS {
        clients.admit(palms, &Person::new(seed)).await;
    }
    let erased = ledger.acknowledged.iter().map(|(person, _)| person).chain(&ledger.open);
    let mut gone = HashSet::new();
    for person in erased {
        assert_ne!(decision(clients, palms, person.seed).await, Decision::Admitted, "person {}", person.seed);
        let status = clients.claim(&person.ticket).await.err().expect("a ticket of the erased");
        assert_eq!(reason(&status), "SUBJECT_ERASED", "person {}", person.seed);
        gone.insert(person.request.subject_id.clone());
    }
    let listed = clients.subjects().await;
    assert!(listed.iter().all(|subject| !gone.contains(&subject.subject_id)));
    assert_eq!(listed.len() + gone.len(), usize::try_from(PEOPLE).expect("few"), "somebody else is gone");
}
