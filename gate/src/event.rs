//! What the gate tells other programs: one JSON object a line on standard output, and the same to the HTTP hook.
//!
//! | `event` | when | fields besides `event`, `at_unix_ms`, `lane` |
//! |---|---|---|
//! | `ready` | the protection key is here and the sensor delivers: people can enter | `device`, `galleries`, `sensor` |
//! | `hand` | something appeared before the sensor | |
//! | `guidance` | what the person is asked to do has changed | `guidance` (such as `closer`, or null when all is well) |
//! | `decision` | the matcher has decided | see [`Decided`] |
//! | `second-factor` | digits are wanted, were typed, or were not | `state` (`asked`, `typed`, `cancelled`, `timed-out`, `unchecked`), `time_max_ms` when asked, `reason` and `message` when they could not be checked |
//! | `command` | what `on_admit` ran has ended | `ticket_id`, `exit_code` (null if killed), `timed_out`, `milliseconds`, `error` |
//! | `left` | the hand is gone | `captured`, `guidance` (the last one given) |
//! | `unreachable` | the matcher does not answer, or refuses | `reason`, `message`, `policy`, `opened` |
//! | `recovered` | it answers again | |
//! | `sensor` | the sensor was lost or is back | `state` (`lost` or `back`), `reason`, `message` |
//!
//! Fields are added between versions and never change their meaning. Only `decision` carries a ticket.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use volar_core::clock::Timestamp;
use volar_core::galleries::Galleries;
use volar_core::id::{DeviceId, LaneId};
use volar_palm::guidance::Guidance;

use crate::config::WhenUnreachable;

/// One line: when and where something happened, and what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When.
    #[serde(rename = "at_unix_ms", serialize_with = "unix_milliseconds")]
    pub at: Timestamp,
    /// The gate's lane.
    pub lane: LaneId,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// People can enter.
    Ready {
        /// This gate's name in its certificate.
        device: DeviceId,
        /// The galleries searched.
        galleries: Galleries,
        /// The sensor, in words.
        sensor: String,
    },
    /// Something appeared before the sensor.
    Hand,
    /// What the person is asked to do has changed.
    Guidance {
        /// `None` while all is well.
        guidance: Option<Guidance>,
    },
    /// The matcher has decided.
    Decision(Decided),
    /// A palm was not sure enough: digits are wanted, were typed, or were not. A `decision` of its own follows `typed`.
    SecondFactor {
        /// How far it is.
        state: FactorState,
        /// When asked: how long the keypad is shown, in milliseconds.
        time_max_ms: Option<u64>,
        /// Why digits could not be checked, in UPPER_SNAKE_CASE.
        reason: Option<String>,
        /// The same, for a person.
        message: Option<String>,
    },
    /// What `on_admit` ran has ended.
    Command(CommandEnded),
    /// The hand is gone.
    Left {
        /// Whether it was captured.
        captured: bool,
        /// The last guidance given.
        guidance: Option<Guidance>,
    },
    /// The matcher does not answer, or refuses.
    Unreachable {
        /// In UPPER_SNAKE_CASE.
        reason: String,
        /// What is wrong, for a person.
        message: String,
        /// What the configuration says to do.
        policy: WhenUnreachable,
        /// Whether the gate was opened for a hand because of it.
        opened: bool,
    },
    /// The matcher answers again.
    Recovered,
    /// The sensor was lost or is back.
    Sensor {
        /// Lost or back.
        state: SensorState,
        /// One word, such as `unplugged`; `None` when back.
        reason: Option<&'static str>,
        /// What is wrong and what to do, for a person.
        message: Option<String>,
    },
}

/// Whether the sensor delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensorState {
    /// It does not.
    Lost,
    /// It does again.
    Back,
}

/// How far a second factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorState {
    /// The keypad is shown.
    Asked,
    /// Somebody has typed.
    Typed,
    /// Somebody left it be, or the sensor was lost.
    Cancelled,
    /// Nobody has typed.
    TimedOut,
    /// Nobody can say whose the digits are: staff must help.
    Unchecked,
}

impl FactorState {
    /// The word used in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Typed => "typed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
            Self::Unchecked => "unchecked",
        }
    }
}

/// A decision of the matcher's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// Why, in UPPER_SNAKE_CASE.
    pub reason: String,
    /// The sealed ticket in base64url without padding, of an admission.
    pub ticket: Option<Ticket>,
    /// The ticket's id, for the books; it opens nothing.
    pub ticket_id: Option<String>,
    /// How long it took.
    pub milliseconds: Milliseconds,
    /// When to try again; 0 for at any time.
    pub retry_after_ms: u64,
}

/// The matcher's decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Recognised: there is a ticket.
    Admitted,
    /// Recognised, not surely enough without a second factor.
    StepUp,
    /// Nobody in the galleries.
    NoMatch,
    /// The capture does not allow a decision: show the hand again.
    Retry,
    /// Suspected attack, or the lane is locked out.
    Rejected,
}

impl Decision {
    /// The word used in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::StepUp => "step-up",
            Self::NoMatch => "no-match",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
        }
    }
}

/// How long a decision took, in milliseconds; written to a tenth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Milliseconds {
    /// From the hand's appearing to the frame that completed the capture.
    #[serde(serialize_with = "tenths")]
    pub presented: f64,
    /// From that frame's delivery to its template.
    #[serde(serialize_with = "tenths")]
    pub capture: f64,
    /// The matcher's answer: protecting the template and the call, retries included.
    #[serde(serialize_with = "tenths")]
    pub identify: f64,
    /// From that frame's delivery to the decision.
    #[serde(serialize_with = "tenths")]
    pub total: f64,
}

/// How a command that `on_admit` ran ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandEnded {
    /// The admission it ran for; `None` for an opening without the matcher.
    pub ticket_id: Option<String>,
    /// `None` if it was killed or did not start.
    pub exit_code: Option<i32>,
    /// Whether it ran out of time.
    pub timed_out: bool,
    /// How long it ran.
    #[serde(serialize_with = "tenths")]
    pub milliseconds: f64,
    /// Why it did not start.
    pub error: Option<String>,
}

/// A sealed admission ticket. Whoever has it and a checkout certificate can charge the person, once: it reaches the
/// programs that act on an admission and no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(Vec<u8>);

impl Ticket {
    /// As the matcher sealed it.
    pub fn new(sealed: Vec<u8>) -> Self {
        Self(sealed)
    }

    /// In base64url without padding, for the program that acts on the admission.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Ticket(sealed)")
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose())
    }
}

fn unix_milliseconds<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(moment.unix_milliseconds())
}

/// Rounded to a tenth: what lies below is the scheduler's.
fn tenths<S: Serializer>(milliseconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((milliseconds * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: What) -> serde_json::Value {
        let lane = "lane-1".parse().expect("a slug");
        let event = Event { at: Timestamp::from_unix_milliseconds(7), lane, what };
        serde_json::to_value(event).expect("an event is JSON")
    }

    #[test]
    fn lines_read_as_documented() {
        let decided = Decided {
            decision: Decision::StepUp,
            reason: "BELOW_THRESHOLD".to_owned(),
            ticket: None,
            ticket_id: None,
            milliseconds: Milliseconds { presented: 612.3499, capture: 27.0, identify: 4.25001, total: 0.04 },
            retry_after_ms: 0,
        };
        let read = line(What::Decision(decided.clone()));
        assert_eq!(read["event"], "decision");
        assert_eq!(read["at_unix_ms"], 7);
        assert_eq!(read["lane"], "lane-1");
        assert_eq!(read["decision"], "step-up");
        assert!(read["ticket"].is_null());
        let milliseconds = serde_json::to_string(&read["milliseconds"]).expect("JSON");
        assert_eq!(milliseconds, r#"{"capture":27.0,"identify":4.3,"presented":612.3,"total":0.0}"#);
        let ended =
            CommandEnded { ticket_id: None, exit_code: Some(0), timed_out: false, milliseconds: 12.345, error: None };
        assert_eq!(line(What::Command(ended))["milliseconds"], 12.3);

        let ticket = Some(Ticket::new(vec![0xfb, 0xff]));
        let read = line(What::Decision(Decided { decision: Decision::Admitted, ticket, ..decided }));
        assert_eq!(read["ticket"], "-_8");

        let asked = What::SecondFactor { state: FactorState::TimedOut, time_max_ms: None, reason: None, message: None };
        let read = line(asked);
        assert_eq!((&read["event"], &read["state"]), (&"second-factor".into(), &"timed-out".into()));
        assert_eq!(read["state"], FactorState::TimedOut.as_str());

        let read = line(What::Guidance { guidance: Some(Guidance::HoldStill) });
        assert_eq!(read["guidance"], "hold-still");
        let read = line(What::Sensor { state: SensorState::Back, reason: None, message: None });
        assert_eq!((&read["event"], &read["state"]), (&"sensor".into(), &"back".into()));
    }

    #[test]
    fn a_ticket_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Ticket::new(vec![1, 2, 3])), "Ticket(sealed)");
    }
}
