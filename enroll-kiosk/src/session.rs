//! A visit to the kiosk as a state machine: a person's touches, the sensor's frames, the servers' answers and the
//! passing of time go in; a screen and a list of things to be done come out. It does no work of its own, reads no
//! clock, and can be replayed.
//!
//! ```text
//! welcome ─▶ notice ─▶ hands ─▶ capture ─▶ enrolling ─▶ second-factor ─▶ payment ─▶ result
//!    │          └─▶ declined ◀── (from every screen before the result)
//!    └─▶ removal ─▶ removed, or result
//! ```
//!
//! Whatever ends a session drops its templates (they zero themselves) and cancels an enrollment that was not finished.

mod answers;
mod capture;
mod factor;
mod likeness;
mod phase;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use volar_core::clock::Timestamp;
use volar_core::score::ScoreModel;
use volar_core::template::Position;
use volar_palm::guided::Observation;

use crate::notice::Consent;
use crate::payment::Begun;
use crate::texts::Language;
pub(crate) use capture::Capturing;
pub use capture::{CaptureConfig, Next};
pub use phase::{Effect, Ending, Identified, OrderError, Outcome, Palm, Receipt, Standing};
pub(crate) use phase::{FactorStep, PaymentStep, Phase, RemovalStep};

/// `[session]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Seconds without a touch or a hand after which a session ends and forgets everything.
    pub idle_seconds: u64,
    /// The last seconds of those, counted down on the screen.
    pub countdown_seconds: u64,
    /// Seconds after which a last screen (result, receipt, without palm) gives way to the welcome.
    pub last_screen_seconds: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { idle_seconds: 60, countdown_seconds: 15, last_screen_seconds: 45 }
    }
}

impl SessionConfig {
    /// Checks the relations between the numbers.
    pub fn check(&self) -> Result<(), String> {
        if self.idle_seconds <= self.countdown_seconds || self.countdown_seconds == 0 {
            return Err("session.countdown_seconds must be above 0 and below session.idle_seconds".to_owned());
        }
        if self.last_screen_seconds == 0 {
            return Err("session.last_screen_seconds must be above 0".to_owned());
        }
        Ok(())
    }
}

/// How sessions go at this kiosk.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Times.
    pub session: SessionConfig,
    /// Captures.
    pub capture: CaptureConfig,
    /// How strangers score under this kiosk's embedding model.
    pub scores: ScoreModel,
    /// The language of the welcome.
    pub language: Language,
    /// Whether people are offered a second factor.
    pub second_factor: bool,
    /// Whether nobody is enrolled without a payment.
    pub payment_required: bool,
}

/// Whether something that the kiosk needs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The vault does not answer.
    Vault,
    /// The matcher does not answer.
    Matcher,
    /// The sensor delivers no frames.
    Sensor,
    /// The gallery is of another embedding model than this kiosk's software.
    Model,
}

impl Missing {
    /// The word that screens and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Matcher => "matcher",
            Self::Sensor => "sensor",
            Self::Model => "model",
        }
    }
}

/// The kiosk's one session, or the welcome between two.
pub struct Session {
    pub(crate) rules: Rules,
    pub(crate) phase: Phase,
    pub(crate) language: Language,
    /// What the vault lacks for enrolling anybody, before a session starts.
    vault_missing: Option<Missing>,
    sensor_missing: bool,
    /// A server that this session waits for.
    waiting_for: Option<Missing>,
    /// Counts sessions, so that an answer to an earlier one is recognised.
    number: u64,
    captures: u64,
    active_at: Timestamp,
    started_at: Timestamp,
    effects: Vec<Effect>,
    endings: Vec<(Ending, Duration)>,
    captured_in: Vec<Duration>,
}

impl Session {
    /// The welcome. Until the vault has been reached, the kiosk counts as out of service.
    pub fn new(rules: Rules, now: Timestamp) -> Self {
        let language = rules.language;
        Self {
            rules,
            phase: Phase::Welcome,
            language,
            vault_missing: Some(Missing::Vault),
            sensor_missing: false,
            waiting_for: None,
            number: 0,
            captures: 0,
            active_at: now,
            started_at: now,
            effects: Vec::new(),
            endings: Vec::new(),
            captured_in: Vec::new(),
        }
    }

    /// The session's number; changes whenever one ends.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What is to be done, once.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Sessions that have ended since the last call, and how long they took.
    pub fn take_endings(&mut self) -> Vec<(Ending, Duration)> {
        std::mem::take(&mut self.endings)
    }

    /// How long each capture took that was completed since the last call, from the hand's appearance on.
    pub fn take_captures(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.captured_in)
    }

    /// welcome -> notice.
    pub fn start(&mut self, language: Language, now: Timestamp) -> Result<(), OrderError> {
        self.begin(language, Phase::Notice, now)
    }

    /// welcome -> removal.
    pub fn start_removal(&mut self, language: Language, now: Timestamp) -> Result<(), OrderError> {
        let capture = Capturing::once(self.next_capture());
        self.begin(language, Phase::Removal { step: RemovalStep::Capture(capture), tries: 1 }, now)
    }

    /// notice -> hands.
    pub fn consent(&mut self, consent: Consent, now: Timestamp) -> Result<(), OrderError> {
        let Phase::Notice = self.phase else { return Err(self.wrong_screen("notice")) };
        self.touch(now);
        self.phase = Phase::Hands { consent };
        Ok(())
    }

    /// hands -> capture.
    pub fn choose_hands(&mut self, hands: &[Position], now: Timestamp) -> Result<(), OrderError> {
        let Phase::Hands { consent } = &self.phase else { return Err(self.wrong_screen("hands")) };
        let (&[first] | &[first, _]) = hands else { return Err(OrderError::Hands) };
        if hands.get(1) == Some(&first) {
            return Err(OrderError::Hands);
        }
        let consent = consent.clone();
        self.touch(now);
        let number = self.next_capture();
        let capturing = Capturing::new(first, &self.rules, number, false);
        self.phase = Phase::Capture { consent, hands: hands.to_vec(), done: Vec::new(), now: capturing };
        Ok(())
    }

    /// payment: the page's answer is being checked by the provider; hands out what was begun.
    pub fn answer_payment(&mut self, now: Timestamp) -> Result<Begun, OrderError> {
        let begun = self.asking(now)?;
        let Phase::Payment { step, error, .. } = &mut self.phase else { unreachable!("asking() saw the payment") };
        *step = PaymentStep::Checking(begun.clone());
        *error = None;
        Ok(begun)
    }

    /// payment: the person goes without.
    pub fn skip_payment(&mut self, now: Timestamp) -> Result<(), OrderError> {
        let begun = self.asking(now)?;
        if self.rules.payment_required {
            return Err(OrderError::PaymentRequired);
        }
        let Phase::Payment { step, enrollment, .. } = &mut self.phase else { unreachable!("asking() saw the payment") };
        *step = PaymentStep::Binding(begun);
        let effect = Effect::Bind(*enrollment, None);
        self.effects.push(effect);
        Ok(())
    }

    /// From wherever -> declined: everything is forgotten, and the screen says how to do without a palm.
    pub fn decline(&mut self, now: Timestamp) {
        let language = self.language;
        self.end(Ending::Declined, now);
        self.language = language;
        self.phase = Phase::Declined;
    }

    /// From wherever -> welcome: everything is forgotten.
    pub fn cancel(&mut self, now: Timestamp) {
        self.end(Ending::Cancelled, now);
    }

    /// Changes the language of the screens. A release that was given keeps the language that it was given in.
    pub fn speak(&mut self, language: Language, now: Timestamp) {
        self.touch(now);
        self.language = language;
    }

    /// Somebody is there.
    pub fn touch(&mut self, now: Timestamp) {
        self.active_at = now;
    }

    /// Time passes: ends what was abandoned, and captures whose patience is over.
    pub fn tick(&mut self, now: Timestamp) {
        let quiet = now.since(self.active_at);
        let rules = &self.rules.session;
        match &self.phase {
            Phase::Welcome => {}
            Phase::Result { .. } | Phase::Removed { .. } | Phase::Declined => {
                if quiet >= Duration::from_secs(rules.last_screen_seconds) {
                    self.end(Ending::Completed, now);
                }
            }
            _ if quiet >= Duration::from_secs(rules.idle_seconds) => self.end(Ending::Abandoned, now),
            _ => self.advance_capture(now),
        }
    }

    /// Seconds left before an abandoned session ends, once they are few.
    pub fn countdown(&self, now: Timestamp) -> Option<u64> {
        let over =
            matches!(self.phase, Phase::Welcome | Phase::Result { .. } | Phase::Removed { .. } | Phase::Declined);
        let left = Duration::from_secs(self.rules.session.idle_seconds).saturating_sub(now.since(self.active_at));
        let seconds = left.as_millis().div_ceil(1_000) as u64;
        (!over && seconds <= self.rules.session.countdown_seconds).then_some(seconds)
    }

    /// The capture under way, by number, if frames are wanted.
    pub fn watching(&self) -> Option<u64> {
        self.capturing().map(|capturing| capturing.number)
    }

    /// What a frame of capture `number` showed. One of a capture that is over is ignored.
    pub fn observe(&mut self, number: u64, seen: Observation, frame_size: (u32, u32), now: Timestamp) -> Next {
        let capturing = match &mut self.phase {
            Phase::Capture { now, .. } => now,
            Phase::Removal { step: RemovalStep::Capture(capturing), .. } => capturing,
            _ => return Next::Watch,
        };
        if capturing.number != number {
            return Next::Watch;
        }
        let next = capturing.observe(seen, frame_size, now);
        if capturing.hand_present {
            self.active_at = now;
        }
        self.advance_capture(now);
        next
    }

    /// Whether the sensor delivers frames.
    pub fn sensor_works(&mut self, works: bool) {
        self.sensor_missing = !works;
    }

    /// Whether the sensor delivers no frames.
    pub fn is_sensor_missing(&self) -> bool {
        self.sensor_missing
    }

    /// What the vault lacks for enrolling anybody, found when it was asked last.
    pub fn vault_lacks(&mut self, missing: Option<Missing>) {
        self.vault_missing = missing;
    }

    /// What the person has to wait for, if anything.
    pub fn missing(&self) -> Option<Missing> {
        match &self.phase {
            Phase::Welcome => self.vault_missing.or(self.sensor_missing.then_some(Missing::Sensor)),
            Phase::Capture { .. } | Phase::Removal { step: RemovalStep::Capture(_), .. } => {
                self.sensor_missing.then_some(Missing::Sensor)
            }
            Phase::Enrolling { .. } | Phase::SecondFactor { .. } | Phase::Payment { .. } | Phase::Removal { .. } => {
                self.waiting_for
            }
            _ => None,
        }
    }

    /// The screen's name.
    pub fn screen(&self) -> &'static str {
        if self.missing().is_some() {
            return "unavailable";
        }
        match &self.phase {
            Phase::Welcome => "welcome",
            Phase::Notice => "notice",
            Phase::Hands { .. } => "hands",
            Phase::Capture { .. } => "capture",
            Phase::Enrolling { .. } => "enrolling",
            Phase::SecondFactor { .. } => "second-factor",
            Phase::Payment { .. } => "payment",
            Phase::Result { .. } => "result",
            Phase::Removal { .. } => "removal",
            Phase::Removed { .. } => "removed",
            Phase::Declined => "declined",
        }
    }

    pub(crate) fn capturing(&self) -> Option<&Capturing> {
        match &self.phase {
            Phase::Capture { now, .. } => Some(now),
            Phase::Removal { step: RemovalStep::Capture(capturing), .. } => Some(capturing),
            _ => None,
        }
    }

    fn begin(&mut self, language: Language, phase: Phase, now: Timestamp) -> Result<(), OrderError> {
        let Phase::Welcome = self.phase else { return Err(OrderError::SessionUnderWay { screen: self.screen() }) };
        if let Some(missing) = self.missing() {
            return Err(OrderError::Unavailable { reason: missing.as_str() });
        }
        self.number += 1;
        self.language = language;
        self.phase = phase;
        self.touch(now);
        self.started_at = now;
        Ok(())
    }

    fn next_capture(&mut self) -> u64 {
        self.captures += 1;
        self.captures
    }

    /// Goes on to the next hand, or to the servers, once a capture is complete.
    fn advance_capture(&mut self, moment: Timestamp) {
        if !self.capturing().is_some_and(|capturing| capturing.is_complete(moment)) {
            return;
        }
        let took = self.capturing().and_then(|capturing| capturing.appeared_at).map(|since| moment.since(since));
        self.captured_in.extend(took);
        let number = self.next_capture();
        match &mut self.phase {
            Phase::Capture { consent, hands, done, now } => {
                done.extend(now.palm());
                if let Some(&hand) = hands.get(done.len()) {
                    *now = Capturing::new(hand, &self.rules, number, true);
                    return;
                }
                let effect = Effect::Enroll { consent: consent.clone(), palms: std::mem::take(done) };
                self.effects.push(effect);
                self.waiting_for = None;
                self.phase = Phase::Enrolling { enrollment: None, since: moment };
            }
            Phase::Removal { step, .. } => {
                let RemovalStep::Capture(capturing) = step else { return };
                let Some(mut palm) = capturing.palm() else { return };
                self.effects.push(Effect::Identify(palm.templates.remove(0)));
                self.waiting_for = None;
                *step = RemovalStep::Identifying;
            }
            _ => {}
        }
        self.touch(moment);
    }

    /// What the payment screen asks, if it is up and waits for an answer.
    fn asking(&mut self, now: Timestamp) -> Result<Begun, OrderError> {
        let Phase::Payment { step, .. } = &self.phase else { return Err(self.wrong_screen("payment")) };
        let PaymentStep::Asking(begun) = step else { return Err(OrderError::PaymentBusy) };
        let begun = begun.clone();
        self.touch(now);
        Ok(begun)
    }

    fn wrong_screen(&self, wanted: &'static str) -> OrderError {
        OrderError::WrongScreen { wanted, screen: self.screen() }
    }

    /// Forgets everything of the session; what it stored and did not finish is undone.
    fn end(&mut self, ending: Ending, now: Timestamp) {
        let unfinished = match &self.phase {
            Phase::Enrolling { enrollment, .. } => *enrollment,
            Phase::SecondFactor { enrollment, .. } | Phase::Payment { enrollment, .. } => Some(*enrollment),
            _ => None,
        };
        self.effects.extend(unfinished.map(Effect::Cancel));
        let counted = match &self.phase {
            Phase::Welcome | Phase::Declined => None,
            Phase::Result { outcome: Outcome::Enrolled(Standing::Erased), .. } => Some(Ending::Failed),
            Phase::Result { outcome: Outcome::Enrolled(_), .. } | Phase::Removed { .. } => Some(Ending::Completed),
            Phase::Result { .. } => Some(Ending::Failed),
            _ => Some(ending),
        };
        // Declining from the welcome counts too: it is how somebody decided.
        let counted = counted.or((ending == Ending::Declined).then_some(ending));
        self.endings.extend(counted.map(|counted| (counted, now.since(self.started_at))));
        self.effects.push(Effect::Forget);
        self.number += 1;
        self.phase = Phase::Welcome;
        self.language = self.rules.language;
        self.waiting_for = None;
        self.active_at = now;
        self.started_at = now;
    }
}
