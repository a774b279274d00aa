//! The gate. It wakes on a hand, captures it, asks whose it is, acts, waits for the hand to leave, and is ready again.

mod factor;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use volar_core::clock::Clock;
use volar_core::galleries::Galleries;
use volar_core::id::DeviceId;
use volar_palm::guidance::Guidance;
use volar_palm::guided::Presence;

use crate::act::Act;
use crate::config::WhenUnreachable;
use crate::event::{Decided, Decision, Milliseconds, SensorState, What};
use crate::eye::{Captured, Look, Sighting, Watch};
use crate::identify::{Answer, Challenge, Identifier, Outcome, Trouble};
use crate::link::Link;
use crate::parameters::{ADMITTED_SHOWN, CAPTURE_AGE_MAX, REFUSED_SHOWN, RETRY_SHOWN, TRIES_MAX};
use crate::screen::{Display, Screen};
use crate::steady::Steady;

/// What an agent works with.
pub struct Parts {
    /// The sensor's thread.
    pub watch: Watch,
    /// Asks the matcher.
    pub identifier: Identifier,
    /// Whether the matcher answers.
    pub link: Link,
    /// Tells other programs.
    pub act: Act,
    /// Tells the person.
    pub display: Display,
    /// The time of day, for the screen's countdown.
    pub clock: Arc<dyn Clock>,
    /// What to do while the matcher cannot be reached.
    pub when_unreachable: WhenUnreachable,
    /// This gate's name, for its first event.
    pub device: DeviceId,
    /// The galleries, for the same.
    pub galleries: Galleries,
    /// Whether somebody can type at this gate.
    pub keypad: bool,
}

/// An entry gate's agent.
pub struct Agent {
    parts: Parts,
    link_changes: watch::Receiver<Option<Trouble>>,
    ready: bool,
    /// The sensor delivers.
    seeing: bool,
    /// The last question went unanswered.
    troubled: bool,
    /// The matcher takes no hand from this lane for a while.
    locked: Option<Lock>,
    /// The matcher compares no digits from this lane until then.
    codes_locked_until: Option<Instant>,
    /// A decision stays on the screen until then.
    shown_until: Option<Instant>,
}

/// A lane's lock-out, as the matcher announced it.
struct Lock {
    until: Instant,
    until_unix_ms: u64,
    reason: String,
}

/// What is to be done about a hand that was asked about.
enum Next {
    /// Nothing more.
    Nothing,
    /// It is to be captured again.
    Again,
    /// Its owner is to type their second factor.
    SecondFactor(Challenge),
}

/// One hand before the sensor, from appearing to leaving.
struct Visit {
    began: Instant,
    guidance: Steady<Option<Guidance>>,
    captured: bool,
    gone: bool,
}

impl Agent {
    /// An agent that has seen nothing yet.
    pub fn new(parts: Parts) -> Self {
        let link_changes = parts.link.subscribe();
        Self {
            parts,
            link_changes,
            ready: false,
            seeing: false,
            troubled: false,
            locked: None,
            codes_locked_until: None,
            shown_until: None,
        }
    }

    /// Works until the sensor's thread ends.
    pub async fn run(mut self) {
        while let Some(mut visit) = self.wake().await {
            self.serve(&mut visit).await;
            self.until_gone(&mut visit).await;
        }
    }

    /// Waits for a hand; `None` once there will be none.
    async fn wake(&mut self) -> Option<Visit> {
        loop {
            let unlocked = self.locked.as_ref().map(|lock| lock.until);
            let change = [unlocked, self.shown_until].into_iter().flatten().min();
            tokio::select! {
                sighting = self.parts.watch.next() => match sighting? {
                    Sighting::Seen(look) if is_hand(&look) && self.locked.is_none() => return Some(self.greet()),
                    Sighting::Seen(_) => {}
                    other => self.note_sensor(other),
                },
                Ok(()) = self.link_changes.changed() => self.note_link(),
                () = at(change) => self.note_time(),
            }
        }
    }

    /// From a hand to a decision, again if the matcher wants another capture.
    async fn serve(&mut self, visit: &mut Visit) {
        for attempt in 1..=TRIES_MAX {
            let Some(captured) = self.capture(visit).await else { return };
            let asked = self.identify(visit, captured).await;
            match self.decide(asked) {
                Next::Again if attempt < TRIES_MAX => {
                    sleep(RETRY_SHOWN).await;
                    self.parts.watch.rearm();
                }
                Next::SecondFactor(challenge) => return self.second_factor(visit, &challenge).await,
                Next::Again | Next::Nothing => return,
            }
        }
    }

    /// Guides the hand until it is captured; `None` if it leaves.
    async fn capture(&mut self, visit: &mut Visit) -> Option<Captured> {
        while let Some(look) = self.look(visit).await {
            if let Some(captured) = look.capture {
                if captured.delivered.elapsed() <= CAPTURE_AGE_MAX {
                    visit.captured = true;
                    metrics::counter!("volar_gate_captures_total").increment(1);
                    return Some(captured);
                }
                self.parts.watch.rearm();
            }
            let change = visit.guidance.settle(look.guidance, Instant::now());
            self.parts.display.guide(visit.guidance.shown().flatten(), look.progress);
            if let Some(guidance) = change {
                self.parts.act.tell(What::Guidance { guidance });
            }
        }
        None
    }

    /// Asks whose hand it is, with the time that it took.
    async fn identify(&mut self, visit: &Visit, captured: Captured) -> (Outcome, Milliseconds) {
        self.parts.display.show(Screen::Identifying);
        let asked = Instant::now();
        let outcome = self.parts.identifier.identify(&captured.template).await;
        let now = Instant::now();
        metrics::histogram!("volar_gate_identify_seconds").record((now - asked).as_secs_f64());
        metrics::histogram!("volar_gate_decision_seconds").record((now - captured.delivered).as_secs_f64());
        let took = Milliseconds {
            presented: milliseconds(visit.began, captured.delivered),
            capture: milliseconds(captured.delivered, captured.ready),
            identify: milliseconds(asked, now),
            total: milliseconds(captured.delivered, now),
        };
        (outcome, took)
    }

    /// Acts on the matcher's answer, or on its having none.
    fn decide(&mut self, (outcome, milliseconds): (Outcome, Milliseconds)) -> Next {
        match outcome {
            Outcome::Answered(answer) => {
                self.recover();
                let challenge = answer.challenge.clone().filter(|_| self.parts.keypad);
                if challenge.is_none() {
                    self.show_answer(&answer);
                }
                let Answer { decision, reason, ticket, ticket_id, retry_after_ms, .. } = answer;
                tracing::info!(decision = decision.as_str(), reason, milliseconds = milliseconds.total, "decision");
                let decided = Decided { decision, reason, ticket, ticket_id, milliseconds, retry_after_ms };
                self.parts.act.decide(decided);
                match (decision, challenge) {
                    (Decision::Retry, _) => Next::Again,
                    (_, Some(challenge)) => Next::SecondFactor(challenge),
                    _ => Next::Nothing,
                }
            }
            Outcome::Unreachable(trouble) => {
                self.parts.link.down(trouble.clone());
                self.unanswered(trouble, self.parts.when_unreachable == WhenUnreachable::Open);
                Next::Nothing
            }
            Outcome::Refused(trouble) => {
                self.unanswered(trouble, false);
                Next::Nothing
            }
        }
    }

    fn show_answer(&mut self, answer: &Answer) {
        let (screen, shown) = match answer.decision {
            Decision::Admitted => (Screen::Admitted, ADMITTED_SHOWN),
            Decision::StepUp => (Screen::StepUp, REFUSED_SHOWN),
            Decision::Retry => (Screen::Retry, RETRY_SHOWN),
            Decision::NoMatch | Decision::Rejected => (Screen::Refused, REFUSED_SHOWN),
        };
        self.shown_until = Some(Instant::now() + shown);
        if answer.decision == Decision::Rejected && answer.retry_after_ms > 0 {
            let wait = Duration::from_millis(answer.retry_after_ms);
            let until_unix_ms = self.parts.clock.now().after(wait).unix_milliseconds();
            self.parts.display.lock(&answer.reason, until_unix_ms);
            let reason = answer.reason.clone();
            self.locked = Some(Lock { until: Instant::now() + wait, until_unix_ms, reason });
        } else {
            self.parts.display.show_because(screen, &answer.reason);
        }
    }

    /// A hand got no decision: says so, and opens if that is the policy.
    fn unanswered(&mut self, trouble: Trouble, open: bool) {
        self.troubled = true;
        self.shown_until = Some(Instant::now() + REFUSED_SHOWN);
        self.parts.display.show_because(Screen::Unreachable, &trouble.reason);
        self.tell_unreachable(trouble, open);
    }

    fn tell_unreachable(&self, Trouble { reason, message }: Trouble, opened: bool) {
        tracing::warn!(reason, message, opened, "no decision can be had from the matcher");
        metrics::gauge!("volar_gate_unreachable").set(1.0);
        let what = What::Unreachable { reason, message, policy: self.parts.when_unreachable, opened };
        if opened { self.parts.act.open_unidentified(what) } else { self.parts.act.tell(what) }
    }

    /// The matcher answers.
    fn recover(&mut self) {
        self.parts.link.up();
        if std::mem::replace(&mut self.troubled, false) {
            metrics::gauge!("volar_gate_unreachable").set(0.0);
            self.parts.act.tell(What::Recovered);
        }
    }

    /// Waits until the hand is gone, with the decision on the screen.
    async fn until_gone(&mut self, visit: &mut Visit) {
        while self.look(visit).await.is_some() {}
        let guidance = visit.guidance.shown().flatten();
        self.parts.act.tell(What::Left { captured: visit.captured, guidance });
        if self.seeing && self.shown_until.is_none_or(|until| until <= Instant::now()) {
            self.rest();
        }
    }

    /// The next look at the visit's hand; `None` once it has gone, or the sensor has.
    async fn look(&mut self, visit: &mut Visit) -> Option<Look> {
        while !visit.gone {
            match self.parts.watch.next().await {
                Some(Sighting::Seen(look)) if is_hand(&look) => return Some(look),
                Some(Sighting::Seen(_)) | None => visit.gone = true,
                Some(other) => {
                    self.note_sensor(other);
                    visit.gone = !self.seeing;
                }
            }
        }
        None
    }

    fn greet(&mut self) -> Visit {
        self.shown_until = None;
        self.parts.act.tell(What::Hand);
        self.parts.display.guide(None, 0.0);
        Visit { began: Instant::now(), guidance: Steady::default(), captured: false, gone: false }
    }

    fn note_sensor(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Seen(_) => {}
            Sighting::Lost { reason, message } => {
                tracing::warn!(reason, message, "sensor lost");
                self.seeing = false;
                self.parts.display.show_because(Screen::Sensor, reason);
                let (reason, message) = (Some(reason), Some(message));
                self.parts.act.tell(What::Sensor { state: SensorState::Lost, reason, message });
            }
            Sighting::Back { sensor } => {
                tracing::info!(sensor, "sensor delivers");
                self.seeing = true;
                if std::mem::replace(&mut self.ready, true) {
                    self.parts.act.tell(What::Sensor { state: SensorState::Back, reason: None, message: None });
                } else {
                    let Parts { device, galleries, .. } = &self.parts;
                    let (device, galleries) = (device.clone(), galleries.clone());
                    self.parts.act.tell(What::Ready { device, galleries, sensor });
                }
                self.rest();
            }
        }
    }

    fn note_link(&mut self) {
        let trouble = self.link_changes.borrow_and_update().clone();
        match trouble {
            Some(trouble) if !self.troubled => {
                self.troubled = true;
                self.tell_unreachable(trouble, false);
            }
            // A hand found out first, and it has been told.
            Some(_) => {}
            None => self.recover(),
        }
        if self.seeing && self.shown_until.is_none() {
            self.rest();
        }
    }

    fn note_time(&mut self) {
        let now = Instant::now();
        self.shown_until = self.shown_until.filter(|until| *until > now);
        if self.locked.as_ref().is_some_and(|lock| lock.until <= now) {
            self.locked = None;
            // A hand that waited out the time has been captured, and was not asked about.
            self.parts.watch.rearm();
        }
        if self.seeing && self.shown_until.is_none() {
            self.rest();
        }
    }

    /// Shows what somebody who comes now should know.
    fn rest(&mut self) {
        self.shown_until = None;
        let display = &self.parts.display;
        match (&self.locked, &*self.link_changes.borrow()) {
            (Some(lock), _) => display.lock(&lock.reason, lock.until_unix_ms),
            (None, Some(trouble)) => display.show_because(Screen::Unreachable, &trouble.reason),
            (None, None) => display.show(Screen::Idle),
        }
    }
}

fn is_hand(look: &Look) -> bool {
    matches!(look.presence, Presence::Entered | Presence::Present)
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// At `moment`, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
