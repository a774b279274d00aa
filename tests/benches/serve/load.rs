//! Calls that are due at random moments, a given number a second on average.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::transport::Channel;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;
use volar_proto::v1::{Decision, IdentifyRequest};
use volar_service::fault::Fault;
use volar_tests::client::{Clients, fresh_id, identify};
use volar_tests::palms::{Palms, Person};

/// People whose palms are shown, over and over: making a probe takes longer than searching for it.
const VISITORS: u64 = 400;
/// Lanes that they come through, so that no lane holds up another.
const LANES: u64 = 2_048;
const CONNECTIONS: usize = 8;

/// One of so many visitors is not enrolled, where strangers come too.
const STRANGERS: u64 = 8;
/// The first stranger's number, far from everyone else's.
const FIRST_STRANGER: u64 = 1 << 41;

/// People at lanes.
pub(crate) struct Load {
    clients: Vec<IdentificationServiceClient<Channel>>,
    /// Each with the decision that is right.
    requests: Vec<(IdentifyRequest, Decision)>,
    turn: AtomicU64,
}

/// One person's showing of a palm.
pub(crate) struct Call {
    /// When it was to be made, from the load's start.
    pub(crate) due: Duration,
    /// From then until the answer.
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

#[derive(PartialEq, Eq)]
pub(crate) enum Outcome {
    Right,
    Wrong,
    /// No decision, and why: the gate asks again.
    Refused(String),
}

/// What one load gave.
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) calls: usize,
    /// People who are enrolled and were not admitted.
    pub(crate) wrong: usize,
    /// Calls without a decision, by why.
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
}

impl Load {
    /// Of `people` who are enrolled.
    pub(crate) fn prepare(clients: &Clients, palms: &Palms, people: u64) -> Self {
        let visitors = VISITORS.min(people);
        let person = |visitor: u64| Person::new(1 + visitor * (people / visitors));
        let request = |visitor| (identify(palms, &person(visitor), "lane"), Decision::Admitted);
        let requests = (0..visitors).map(request).collect();
        let clients = (0..CONNECTIONS).map(|_| clients.identification()).collect();
        Self { clients, requests, turn: AtomicU64::new(0) }
    }

    /// The same, and strangers among them.
    pub(crate) fn with_strangers(mut self, palms: &Palms) -> Self {
        let strangers = (self.requests.len() as u64).div_ceil(STRANGERS - 1);
        for stranger in 0..strangers {
            let request = identify(palms, &Person::new(FIRST_STRANGER + stranger), "lane");
            let place = (stranger * STRANGERS) as usize;
            self.requests.insert(place.min(self.requests.len()), (request, Decision::NoMatch));
        }
        self
    }

    /// Offers `rate` calls a second for `time`.
    pub(crate) async fn offer(&self, rate: f64, time: Duration) -> Step {
        Step::of(rate, &self.calls(rate, time).await)
    }

    /// Every call of `rate` a second for `time`, in the order of answers.
    pub(crate) async fn calls(&self, rate: f64, time: Duration) -> Vec<Call> {
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
            let (mut request, right) = self.requests[turn as usize % self.requests.len()].clone();
            // A lane is closed for a while after a few strangers, so each comes through another.
            let lane = if right == Decision::Admitted { turn % LANES } else { LANES + turn };
            (request.idempotency_id, request.lane) = (fresh_id(), format!("lane-{lane}"));
            let mut client = self.clients[turn as usize % self.clients.len()].clone();
            let sender = Arc::clone(&sender);
            tokio::spawn(async move {
                let outcome = match client.identify(request).await {
                    Ok(answer) if answer.get_ref().decision() == right => Outcome::Right,
                    Ok(_) => Outcome::Wrong,
                    Err(status) => Outcome::Refused(reason(&status)),
                };
                // Nobody hangs up before the last answer.
                let _ = sender.send(Call { due, took: (start + due).elapsed(), outcome });
            });
        }
        drop(sender);
        let mut calls = Vec::new();
        while let Some(call) = answers.recv().await {
            calls.push(call);
        }
        calls
    }
}

/// The reason that a server gives, else the status.
fn reason(status: &Status) -> String {
    Fault::reason_of(status).unwrap_or_else(|| status.code().to_string())
}

/// The time that a share of the calls took at most.
pub(crate) fn quantile<'a>(calls: impl IntoIterator<Item = &'a Call>, share: f64) -> Duration {
    let mut times: Vec<Duration> = calls.into_iter().map(|call| call.took).collect();
    times.sort_unstable();
    let rank = ((times.len() as f64 * share).ceil() as usize).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}

impl Step {
    pub(crate) fn of(rate: f64, calls: &[Call]) -> Self {
        let mut refused = BTreeMap::new();
        for call in calls {
            if let Outcome::Refused(why) = &call.outcome {
                *refused.entry(why.clone()).or_default() += 1;
            }
        }
        let wrong = calls.iter().filter(|call| call.outcome == Outcome::Wrong).count();
        let at = |share| quantile(calls, share);
        Self { rate, calls: calls.len(), wrong, refused, p50: at(0.5), p99: at(0.99), longest: at(1.0) }
    }

    /// Calls that were not answered rightly.
    pub(crate) fn errors(&self) -> usize {
        self.wrong + self.refused.values().sum::<usize>()
    }

    pub(crate) fn to_json(&self) -> Value {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        json!({
            "offered_per_second": self.rate,
            "calls": self.calls,
            "wrong": self.wrong,
            "refused": self.refused.values().sum::<usize>(),
            "refused_because": self.refused,
            "p50_ms": milliseconds(self.p50),
            "p99_ms": milliseconds(self.p99),
            "longest_ms": milliseconds(self.longest),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, calls, wrong, refused, p50, p99, longest } = self;
        write!(
            formatter,
            "{rate:.0} a second: {calls} calls, {wrong} wrong, refused {refused:?}, p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}"
        )
    }
}
