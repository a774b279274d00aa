//! Calls that are due at random moments, a given number a second on average.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;
use volar_proto::v1::{Decision, IdentifyRequest};
use volar_tests::client::{Clients, fresh_id, identify};
use volar_tests::palms::{Palms, Person};

/// People whose palms are shown, over and over: making a probe takes longer than searching for it.
const VISITORS: u64 = 400;
/// Lanes that they come through, so that no lane holds up another.
const LANES: u64 = 2_048;
const CONNECTIONS: usize = 8;

/// People at lanes.
pub(crate) struct Load {
    clients: Vec<IdentificationServiceClient<Channel>>,
    requests: Vec<IdentifyRequest>,
    turn: AtomicU64,
}

/// What one load gave.
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) calls: usize,
    /// Calls refused, and people not admitted.
    pub(crate) errors: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
}

impl Load {
    pub(crate) fn prepare(clients: &Clients, palms: &Palms, people: u64) -> Self {
        let visitors = VISITORS.min(people);
        let person = |visitor: u64| Person::new(1 + visitor * (people / visitors));
        let requests = (0..visitors).map(|visitor| identify(palms, &person(visitor), "lane")).collect();
        let clients = (0..CONNECTIONS).map(|_| clients.identification()).collect();
        Self { clients, requests, turn: AtomicU64::new(0) }
    }

    /// Offers `rate` calls a second for `time`.
    pub(crate) async fn offer(&self, rate: f64, time: Duration) -> Step {
        let mut random = ChaCha8Rng::seed_from_u64(rate.to_bits());
        let (sender, mut answers) = mpsc::unbounded_channel();
        let sender = Arc::new(sender);
        let (start, mut due) = (Instant::now(), Duration::ZERO);
        loop {
            let share: f64 = random.random();
            due += Duration::from_secs_f64(-(1.0 - share).ln() / rate);
            if due >= time {
                break;
            }
            sleep_until(start + due).await;
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let mut request = self.requests[turn as usize % self.requests.len()].clone();
            (request.idempotency_id, request.lane) = (fresh_id(), format!("lane-{}", turn % LANES));
            let mut client = self.clients[turn as usize % self.clients.len()].clone();
            let (sender, due) = (Arc::clone(&sender), start + due);
            tokio::spawn(async move {
                let answer = client.identify(request).await;
                let admitted = answer.is_ok_and(|answer| answer.into_inner().decision() == Decision::Admitted);
                // Nobody hangs up before the last answer.
                let _ = sender.send((due.elapsed(), admitted));
            });
        }
        drop(sender);
        let (mut times, mut errors) = (Vec::new(), 0);
        while let Some((took, admitted)) = answers.recv().await {
            times.push(took);
            errors += usize::from(!admitted);
        }
        times.sort_unstable();
        let at = |share: f64| {
            let rank = ((times.len() as f64 * share).ceil() as usize).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Step { rate, calls: times.len(), errors, p50: at(0.5), p99: at(0.99), longest: at(1.0) }
    }
}

impl Step {
    pub(crate) fn to_json(&self) -> Value {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        json!({
            "offered_per_second": self.rate,
            "calls": self.calls,
            "errors": self.errors,
            "p50_ms": milliseconds(self.p50),
            "p99_ms": milliseconds(self.p99),
            "longest_ms": milliseconds(self.longest),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, calls, errors, p50, p99, longest } = self;
        write!(
            formatter,
            "{rate:.0} a second: {calls} calls, {errors} errors, p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}"
        )
    }
}
