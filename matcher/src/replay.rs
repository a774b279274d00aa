//! A repeated call gets the first one's answer: no second search, no second ticket, no second failure on the lane.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use ring::digest::{Context, SHA256};
use tokio::sync::watch;
use volar_core::clock::Timestamp;
use volar_core::id::IdempotencyId;
use volar_service::fault::Fault;
use volar_service::identity::Peer;

use crate::identify::Answer;
use crate::parameters::{REPLAY_TIME, REPLAYS_MAX};

/// SHA-256 of a request's body.
pub type Digest = [u8; 32];
/// What became of a call: nothing yet, an answer, or a fault.
pub type Outcome = Option<Result<Answer, Fault>>;
/// SHA-256 of the peer's name and the call's id: ids of two peers never meet, and a name is not kept a hundred thousand
/// times.
type Caller = [u8; 32];

/// What a call finds.
pub enum Entrance {
    /// It is the first: whoever holds this makes the answer and must [`Entrance::settle`](Replays::settle) it.
    First(Turn),
    /// It is a repeat: the answer is here or will come.
    Repeat(watch::Receiver<Outcome>),
}

/// The duty to answer a first call. Dropped without an answer, it lets a repeat be the first again.
pub struct Turn {
    caller: Caller,
    sender: watch::Sender<Outcome>,
}

impl Turn {
    /// Where the answer will come.
    pub fn subscribe(&self) -> watch::Receiver<Outcome> {
        self.sender.subscribe()
    }
}

/// The id was used for another body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this idempotency id was used for another request; make a new id for each new request")]
pub struct Conflict;

/// The answers of the last two minutes.
#[derive(Default)]
pub struct Replays(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    entries: HashMap<Caller, Entry>,
    /// Callers in the order in which they came. Ones that were let go since may still be here.
    order: VecDeque<(Timestamp, Caller)>,
}

struct Entry {
    at: Timestamp,
    digest: Digest,
    progress: Progress,
}

/// A channel takes more memory than an answer, so it goes once there is one.
enum Progress {
    Awaited(watch::Receiver<Outcome>),
    Answered(Box<Answer>),
}

impl Replays {
    /// Looks a call up and remembers it if it is the first.
    pub fn enter(&self, peer: &Peer, id: IdempotencyId, digest: Digest, now: Timestamp) -> Result<Entrance, Conflict> {
        let caller = caller(peer, id);
        let memory = &mut *self.memory();
        memory.forget_old(now);
        if let Some(entry) = memory.entries.get(&caller)
            && !entry.abandoned()
        {
            let same = entry.digest == digest;
            return if same { Ok(Entrance::Repeat(entry.outcome())) } else { Err(Conflict) };
        }
        let (sender, awaited) = watch::channel(None);
        memory.entries.insert(caller, Entry { at: now, digest, progress: Progress::Awaited(awaited) });
        memory.order.push_back((now, caller));
        Ok(Entrance::First(Turn { caller, sender }))
    }

    /// Gives a first call and its repeats their outcome. A fault is not kept: the next repeat tries again.
    pub fn settle(&self, turn: Turn, outcome: Result<Answer, Fault>) {
        let memory = &mut *self.memory();
        match &outcome {
            Ok(answer) => {
                if let Some(entry) = memory.entries.get_mut(&turn.caller) {
                    entry.progress = Progress::Answered(Box::new(answer.clone()));
                }
            }
            Err(_) => drop(memory.entries.remove(&turn.caller)),
        }
        turn.sender.send_replace(Some(outcome));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().expect("looking up does not panic")
    }
}

fn caller(peer: &Peer, id: IdempotencyId) -> Caller {
    let mut digest = Context::new(&SHA256);
    digest.update(id.as_bytes());
    digest.update(peer.to_string().as_bytes());
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Entry {
    /// Where the answer is or will come.
    fn outcome(&self) -> watch::Receiver<Outcome> {
        match &self.progress {
            Progress::Awaited(awaited) => awaited.clone(),
            Progress::Answered(answer) => watch::channel(Some(Ok((**answer).clone()))).1,
        }
    }

    /// Whoever had the turn is gone without an answer.
    fn abandoned(&self) -> bool {
        match &self.progress {
            Progress::Awaited(awaited) => awaited.has_changed().is_err() && awaited.borrow().is_none(),
            Progress::Answered(_) => false,
        }
    }
}

impl Memory {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.order.front() {
            if now.since(*at) < REPLAY_TIME && self.order.len() < REPLAYS_MAX {
                break;
            }
            let (at, caller) = self.order.pop_front().expect("there is a front");
            if self.entries.get(&caller).is_some_and(|entry| entry.at == at) {
                self.entries.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Decision, Reason};
    use volar_core::randomness::SeededRandomness;

    fn peer() -> Peer {
        "spiffe://volar/acme/north/gate/gate-1".parse().expect("a good name")
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_unix_milliseconds(milliseconds)
    }

    fn answer(milliseconds: u64) -> Answer {
        Answer {
            decision: Decision::NoMatch,
            reason: Reason::BelowThreshold,
            ticket: None,
            challenge: None,
            decided_at: at(milliseconds),
            retry_after: None,
        }
    }

    fn first(entrance: Result<Entrance, Conflict>) -> Turn {
        match entrance {
            Ok(Entrance::First(turn)) => turn,
            _ => panic!("must be the first"),
        }
    }

    fn repeat(entrance: Result<Entrance, Conflict>) -> Outcome {
        match entrance {
            Ok(Entrance::Repeat(outcome)) => outcome.borrow().clone(),
            _ => panic!("must be a repeat"),
        }
    }

    #[test]
    fn a_repeat_gets_the_first_answer_and_another_body_a_conflict() {
        let (replays, id) = (Replays::default(), IdempotencyId::random(&SeededRandomness::new(1)));
        let turn = first(replays.enter(&peer(), id, [1; 32], at(0)));
        assert_eq!(repeat(replays.enter(&peer(), id, [1; 32], at(1))), None);
        replays.settle(turn, Ok(answer(5)));
        assert_eq!(repeat(replays.enter(&peer(), id, [1; 32], at(2))), Some(Ok(answer(5))));
        assert!(matches!(replays.enter(&peer(), id, [2; 32], at(2)), Err(Conflict)));
        let other = "spiffe://volar/acme/north/gate/gate-2".parse().expect("a good name");
        drop(first(replays.enter(&other, id, [2; 32], at(2))));
    }

    #[test]
    fn after_two_minutes_an_answer_is_forgotten() {
        let (replays, id) = (Replays::default(), IdempotencyId::random(&SeededRandomness::new(1)));
        let turn = first(replays.enter(&peer(), id, [1; 32], at(0)));
        replays.settle(turn, Ok(answer(5)));
        assert_eq!(repeat(replays.enter(&peer(), id, [1; 32], at(119_999))), Some(Ok(answer(5))));
        first(replays.enter(&peer(), id, [1; 32], at(120_000)));
    }

    #[test]
    fn faults_and_lost_turns_are_tried_again() {
        let (replays, id) = (Replays::default(), IdempotencyId::random(&SeededRandomness::new(1)));
        let turn = first(replays.enter(&peer(), id, [1; 32], at(0)));
        replays.settle(turn, Err(Fault::new(tonic::Code::ResourceExhausted, "MATCHER_BUSY", "busy")));
        drop(first(replays.enter(&peer(), id, [1; 32], at(1))));
        first(replays.enter(&peer(), id, [1; 32], at(2)));
    }

    #[test]
    fn memory_is_bounded() {
        let (replays, randomness) = (Replays::default(), SeededRandomness::new(1));
        for _ in 0..REPLAYS_MAX + 100 {
            let turn = first(replays.enter(&peer(), IdempotencyId::random(&randomness), [1; 32], at(0)));
            replays.settle(turn, Ok(answer(0)));
        }
        assert!(replays.memory().entries.len() <= REPLAYS_MAX);
        assert!(replays.memory().order.len() <= REPLAYS_MAX);
    }
}
