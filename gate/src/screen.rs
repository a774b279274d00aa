//! What the reader's small screen shows. Nothing of a person is in it: no picture, no outline, no ticket.

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use volar_core::id::LaneId;
use volar_palm::guidance::Guidance;

use crate::config::{Language, WhenUnreachable};
use crate::keypad::{Keypad, NotAsked, Typed};

/// `GET /api/state`, and each text frame of `GET /api/live`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Which screen.
    pub screen: Screen,
    /// What the person can do, on `guidance` and `retry`; null while all is well.
    pub guidance: Option<Guidance>,
    /// How far the capture has come, 0 to 1, in tenths.
    pub progress: f32,
    /// Why, in UPPER_SNAKE_CASE, where there is a reason.
    pub reason: Option<String>,
    /// On `locked-out`: when hands are taken again; on `keypad`: until when digits are. Milliseconds since the Unix epoch.
    pub until_unix_ms: Option<u64>,
    /// What never changes while the gate runs.
    #[serde(flatten)]
    pub fixed: Fixed,
}

/// The part of [`State`] that the configuration gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fixed {
    /// The page's language.
    pub language: Language,
    /// The gate's lane.
    pub lane: LaneId,
    /// The other way to enter, in the shop's words.
    pub other_way: Option<String>,
    /// What happens while the matcher cannot be reached.
    pub when_unreachable: WhenUnreachable,
    /// Whether `POST /stage` says what is in front of the sensor.
    pub stage: bool,
}

/// The screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Screen {
    /// The gate is not ready yet.
    Starting,
    /// Hold your hand here.
    Idle,
    /// A hand is there: what to do with it.
    Guidance,
    /// Captured; the matcher is asked.
    Identifying,
    /// Come in.
    Admitted,
    /// A second factor is needed: code or staff.
    StepUp,
    /// A second factor is needed: type it.
    Keypad,
    /// What was typed is not it: again, or staff.
    CodeRefused,
    /// What was typed cannot be checked, or will not be for a while: staff.
    CodeUnavailable,
    /// Not recognised, or rejected: code or staff.
    Refused,
    /// Show the hand again.
    Retry,
    /// Too many failures: code or staff, and when to try again.
    LockedOut,
    /// The matcher cannot be asked: the other way to enter, or come in, by the policy.
    Unreachable,
    /// The sensor is gone: the other way to enter.
    Sensor,
}

/// The gate's end of the screen.
#[derive(Clone, Debug)]
pub struct Display {
    state: watch::Sender<State>,
    keypad: Keypad,
}

impl Display {
    /// A screen that says that the gate starts.
    pub fn new(fixed: Fixed) -> Self {
        let state =
            State { screen: Screen::Starting, guidance: None, progress: 0.0, reason: None, until_unix_ms: None, fixed };
        Self { state: watch::Sender::new(state), keypad: Keypad::default() }
    }

    /// Shows a screen without particulars.
    pub fn show(&self, screen: Screen) {
        self.change(screen, None, 0.0, None, None);
    }

    /// Shows a screen with its reason.
    pub fn show_because(&self, screen: Screen, reason: &str) {
        self.change(screen, None, 0.0, Some(reason), None);
    }

    /// Shows what to do with a hand.
    pub fn guide(&self, guidance: Option<Guidance>, progress: f32) {
        // In tenths: a ring does not turn more smoothly, and the page is told ten times at most.
        self.change(Screen::Guidance, guidance, (progress.clamp(0.0, 1.0) * 10.0).round() / 10.0, None, None);
    }

    /// Shows until when hands are not taken.
    pub fn lock(&self, reason: &str, until_unix_ms: u64) {
        self.change(Screen::LockedOut, None, 0.0, Some(reason), Some(until_unix_ms));
    }

    /// Shows the keypad; tells what is typed, or that another screen took its place first.
    pub fn ask(&self, until_unix_ms: u64) -> oneshot::Receiver<Typed> {
        let typed = self.keypad.open();
        self.change(Screen::Keypad, None, 0.0, None, Some(until_unix_ms));
        typed
    }

    /// Somebody types at the keypad.
    pub fn typed(&self, typed: Typed) -> Result<(), NotAsked> {
        self.keypad.answer(typed)
    }

    /// What is shown now, and each change.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// What is shown now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    fn change(
        &self,
        screen: Screen,
        guidance: Option<Guidance>,
        progress: f32,
        reason: Option<&str>,
        until_unix_ms: Option<u64>,
    ) {
        if screen != Screen::Keypad {
            self.keypad.close();
        }
        self.state.send_if_modified(|state| {
            let reason = reason.map(str::to_owned);
            let next = State { screen, guidance, progress, reason, until_unix_ms, fixed: state.fixed.clone() };
            let changed = *state != next;
            *state = next;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_as_documented_and_changes_are_told_once() {
        let lane = "lane-1".parse().expect("a slug");
        let when_unreachable = WhenUnreachable::StayClosed;
        let fixed = Fixed { language: Language::De, lane, other_way: None, when_unreachable, stage: true };
        let display = Display::new(fixed);
        let mut changes = display.subscribe();
        display.guide(Some(Guidance::Closer), 0.33);
        assert!(changes.has_changed().expect("the display is there"));
        let state = serde_json::to_value(&*changes.borrow_and_update()).expect("JSON");
        assert_eq!(state["screen"], "guidance");
        assert_eq!(state["guidance"], "closer");
        assert_eq!(state["language"], "de");
        assert_eq!(state["when_unreachable"], "stay-closed");
        assert_eq!(state["stage"], true);
        display.guide(Some(Guidance::Closer), 0.34);
        assert!(!changes.has_changed().expect("the display is there"), "the same tenth");
    }
}
