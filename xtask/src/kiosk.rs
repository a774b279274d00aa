//! The kiosk's own interface, as its page uses it: what a person at the kiosk does, done by a program.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, Page};
use crate::signals;

/// Between two looks at the kiosk's state.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A visit of two simulated palms takes a few seconds; on a busy machine far longer.
const VISIT_TIME_MAX: Duration = Duration::from_secs(120);

/// A kiosk's page.
#[derive(Clone, Debug)]
pub struct Kiosk(pub Page);

/// What the page shows.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// Which screen.
    pub screen: String,
    /// On the capture screen.
    pub capture: Option<Capture>,
    /// Once there is an outcome.
    pub result: Option<Outcome>,
}

/// Progress of a capture.
#[derive(Clone, Debug, Deserialize)]
pub struct Capture {
    /// `left` or `right`; unset where any hand will do.
    pub hand: Option<String>,
    /// Views captured of this hand.
    pub captured: u32,
    /// Views wanted of it.
    pub wanted: u32,
    /// What the person could do better.
    pub guidance: Option<String>,
}

/// How a visit ended.
#[derive(Clone, Debug, Deserialize)]
pub struct Outcome {
    /// `active`, `in-review`, `removed`, `not-recognised` and so on.
    pub kind: String,
}

/// A person who comes to enrol.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// Hands to enrol: `left`, `right` or both.
    pub hands: &'a [&'a str],
    /// The test provider's account that pays; `None` leaves payment out.
    pub account: Option<&'a str>,
    /// Their code for the gate, where one is offered; `None` leaves it out.
    pub code: Option<&'a str>,
}

impl Kiosk {
    /// The kiosk at `address`.
    pub fn at(address: &str) -> Self {
        Self(Page::at(address))
    }

    /// What it shows now.
    pub fn state(&self) -> anyhow::Result<State> {
        self.0.read("/api/state")
    }

    /// Puts `scene` before its sensor.
    pub fn stage(&self, scene: &Value) -> anyhow::Result<()> {
        self.0.send::<Value>("/stage", scene).map(drop)
    }

    /// Presses a button: `path` below `/api/`.
    pub fn press(&self, path: &str, body: &Value) -> anyhow::Result<State> {
        self.0.send(&format!("/api/{path}"), body)
    }

    /// Presses a button that may not be there.
    pub fn try_press(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.0.post(&format!("/api/{path}"), body)
    }

    /// Forgets whoever is there and returns to the welcome screen.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.stage(&json!({"show": "empty"})).or_else(|_| self.stage(&json!({"show": "files", "paths": []})))?;
        self.0.delete("/api/session").map(drop)
    }

    /// From the welcome screen to the capture of `hands`, notice read and release given.
    pub fn begin(&self, hands: &[&str]) -> anyhow::Result<State> {
        self.reset()?;
        self.press("session", &json!({"language": "en"}))?;
        self.press("session/consent", &json!({"accepted": true}))?;
        self.press("session/hands", &json!({"hands": hands}))
    }

    /// A whole enrolment. `scene` says what is before the sensor for each hand asked for. Returns the outcome's kind.
    pub fn enroll(&self, visit: &Visit<'_>, scene: impl Fn(&str) -> Value) -> anyhow::Result<String> {
        self.begin(visit.hands)?;
        let mut shown = None;
        let state = self.watch_until(|state| {
            let hand = state.capture.as_ref().and_then(|capture| capture.hand.clone());
            if state.screen == "capture" && hand.is_some() && hand != shown {
                let hand = hand.unwrap_or_default();
                self.stage(&scene(&hand))?;
                shown = Some(hand);
            }
            Ok(!matches!(state.screen.as_str(), "hands" | "capture" | "enrolling"))
        })?;
        let state = if state.screen == "second-factor" { self.choose(visit.code)? } else { state };
        self.finish(state, visit.account)
    }

    /// Answers the second factor's screen.
    fn choose(&self, code: Option<&str>) -> anyhow::Result<State> {
        let body = code.map_or(json!({"skip": true}), |code| json!({"kind": "code", "digits": code}));
        self.press("session/second-factor", &body)?;
        self.watch_until(|state| Ok(state.screen != "second-factor"))
    }

    /// Links payment if asked for, and waits for the outcome.
    pub fn finish(&self, state: State, account: Option<&str>) -> anyhow::Result<String> {
        if state.screen == "payment" {
            self.pay(account)?;
        }
        let state = self.watch_until(|state| {
            let pending = state.result.as_ref().is_some_and(|result| result.kind == "pending");
            Ok(!pending && !matches!(state.screen.as_str(), "payment" | "enrolling"))
        })?;
        let kind = state.result.map_or(state.screen, |result| result.kind);
        self.reset()?;
        Ok(kind)
    }

    /// Answers the payment screen, as soon as the provider's form is there.
    fn pay(&self, account: Option<&str>) -> anyhow::Result<()> {
        let body = account.map_or(json!({"skip": true}), |account| json!({"account": account}));
        let end = Instant::now() + VISIT_TIME_MAX;
        loop {
            let answer = self.try_press("session/payment", &body)?;
            match answer.status {
                200 => return Ok(()),
                409 if Instant::now() < end => signals::sleep(LOOK_EVERY)?,
                status => bail!("the kiosk refuses to link a payment ({status}): {}", answer.body),
            }
        }
    }

    /// "Remove me": the palm itself asks. Returns the outcome's kind.
    pub fn remove(&self, scene: &Value) -> anyhow::Result<String> {
        self.reset()?;
        self.press("removal", &json!({"language": "en"}))?;
        self.stage(scene)?;
        let state = self.watch_until(|state| Ok(state.screen != "removal"))?;
        let kind = state.result.map_or(state.screen, |result| result.kind);
        self.reset()?;
        Ok(kind)
    }

    /// Looks at the state until `done`; returns the state that was.
    pub fn watch_until(&self, mut done: impl FnMut(&State) -> anyhow::Result<bool>) -> anyhow::Result<State> {
        let end = Instant::now() + VISIT_TIME_MAX;
        loop {
            let state = self.state()?;
            if done(&state)? {
                return Ok(state);
            }
            if Instant::now() > end {
                bail!("the kiosk still shows {state:?} after {} s", VISIT_TIME_MAX.as_secs());
            }
            signals::sleep(LOOK_EVERY)?;
        }
    }
}
