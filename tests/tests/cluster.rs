//! Two shards of two replicas and their router, killed with SIGKILL one after the other under load: never a wrong answer,
//! and nothing to do by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tonic::Code;
use volar_proto::v1::{Decision, EnrollmentState};
use volar_tests::client::{Clients, enroll, identify};
use volar_tests::cluster::Cluster;
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;

const SHARDS: usize = 2;
const REPLICAS: usize = 2;
const KILLS: usize = 10;
const PEOPLE: u64 = 16;
const GATES: usize = 3;
/// Between two kills: a process comes back and catches up in about a second.
const PAUSE_MS: std::ops::Range<u64> = 1_200..2_000;

/// What gates were told.
#[derive(Default)]
struct Told {
    right: AtomicUsize,
    /// Refused for a moment, as a gate that asks again bridges.
    again: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_wrong_whichever_process_is_killed() {
    let mut system = System::vault();
    let mut cluster = Cluster::start(&system, SHARDS, REPLICAS);
    let clients = cluster.clients();
    let palms = Arc::new(clients.palms().await);
    for seed in 1..=PEOPLE {
        let request = enroll(&palms, &Person::new(seed), false);
        let answer = clients.enrollment().enroll(request).await.expect("enrolled").into_inner();
        assert_eq!(clients.settled(&answer.enrollment_id).await, EnrollmentState::Active, "every shard has spoken");
    }
    for seed in 1..=PEOPLE {
        clients.admit(&palms, &Person::new(seed)).await;
    }

    let (stop, stopped) = watch::channel(false);
    let told = Arc::new(Told::default());
    let gates: Vec<_> = (0..GATES)
        .map(|gate| tokio::spawn(ask(gate, clients.clone(), palms.clone(), told.clone(), stopped.clone())))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
        // Each in its turn, and the vault now and then: doors open without it.
        if kill % 5 == 4 {
            system.kill_vault(kill);
        } else {
            let members = cluster.len();
            tokio::task::block_in_place(|| cluster.kill(kill % members));
        }
    }
    tokio::time::sleep(Duration::from_millis(PAUSE_MS.end)).await;
    stop.send_replace(true);
    for gate in gates {
        gate.await.expect("no gate was told something wrong");
    }
    let (right, again) = (told.right.load(Ordering::SeqCst), told.again.load(Ordering::SeqCst));
    println!("{KILLS} kills: {right} right answers, {again} times asked again, none wrong");
    assert!(right > 50 * KILLS, "only {right} answers: no load");
    for seed in 1..=PEOPLE {
        clients.admit(&palms, &Person::new(seed)).await;
    }
}

/// Shows enrolled and strange palms to the router until told to stop.
async fn ask(gate: usize, clients: Clients, palms: Arc<Palms>, told: Arc<Told>, stopped: watch::Receiver<bool>) {
    let mut client = clients.identification();
    for number in 0_u64.. {
        if *stopped.borrow() {
            return;
        }
        let enrolled = number % 4 != 3;
        let person = if enrolled { 1 + (number + 5 * gate as u64) % PEOPLE } else { 1_000 + number };
        // Lanes of their own: strangers lock one after five.
        let request = identify(&palms, &Person::new(person), &format!("lane-{gate}-{number}"));
        let asked = Instant::now();
        loop {
            let wait = match client.identify(request.clone()).await {
                Ok(response) => {
                    let expected = if enrolled { Decision::Admitted } else { Decision::NoMatch };
                    assert_eq!(
                        response.get_ref().decision(),
                        expected,
                        "person {person}: {}",
                        response.get_ref().reason
                    );
                    told.right.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                // The router itself was killed, or the last replica of a shard is coming back.
                Err(status) if matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown) => 50,
                Err(status) => panic!("person {person}: {status}"),
            };
            told.again.fetch_add(1, Ordering::SeqCst);
            assert!(asked.elapsed() < Duration::from_secs(30), "no answer for half a minute");
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}
