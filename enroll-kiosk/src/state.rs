//! What the page is told: one JSON object that says everything a screen shows.

use serde::Serialize;
use volar_core::clock::Timestamp;
use volar_core::template::Position;
use volar_palm::outline::{Outline, Point};

use crate::parameters::OUTLINE_POINTS_MAX;
use crate::payment::Display;
use crate::second_factor::FactorError;
use crate::session::{Capturing, FactorStep, Outcome, PaymentStep, Phase, Session, Standing};
use crate::texts::Language;

/// The state of the screen. `enroll-kiosk/README.md` documents every field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// The screen.
    pub screen: &'static str,
    /// The language that the screen speaks.
    pub language: Language,
    /// The languages that it could speak.
    pub languages: [Language; 3],
    /// Counts sessions; changes when one begins or ends.
    pub session: u64,
    /// Counts changes of the state, so that an answer that was overtaken is known for an old one.
    pub change: u64,
    /// Which step of how many, for the step indicator; none outside an enrollment.
    pub step: Option<u8>,
    /// The capture under way.
    pub capture: Option<Capture>,
    /// The second factor being chosen.
    pub second_factor: Option<SecondFactor>,
    /// The payment under way.
    pub payment: Option<Payment>,
    /// What came out.
    pub result: Option<Outcomes>,
    /// On screen `unavailable`: what is missing, `vault`, `matcher`, `sensor` or `model`.
    pub missing: Option<&'static str>,
    /// Seconds left before an abandoned session ends, once they are few.
    pub countdown_seconds: Option<u64>,
    /// Whether `POST /stage` says what is in front of the sensor.
    pub stage: bool,
    /// Whether the live picture is to be shown mirrored.
    pub mirror_picture: bool,
}

/// A capture as the screen shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capture {
    /// `enrollment` or `removal`.
    pub purpose: &'static str,
    /// The hand wanted; none means either.
    pub hand: Option<Position>,
    /// Which hand this is, from 1, of `hands`.
    pub hand_number: usize,
    /// Hands to capture in all.
    pub hands: usize,
    /// References taken of this hand.
    pub captured: usize,
    /// References wanted of this hand.
    pub wanted: usize,
    /// Progress towards the next reference, 0 to 1, in hundredths.
    pub progress: f32,
    /// What to change; none while all is well.
    pub guidance: Option<&'static str>,
    /// Whether something is in front of the sensor.
    pub hand_present: bool,
    /// Corners of the hand's contour, as shares of the picture's width and height.
    pub outline: Vec<[f32; 2]>,
    /// Corners of the palm square, likewise.
    pub palm_square: Option<[[f32; 2]; 4]>,
    /// Pixels across the picture.
    pub width: u32,
    /// Pixels down the picture.
    pub height: u32,
}

/// A second factor as the screen shows it: nothing of its digits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecondFactor {
    /// Whether it is being kept.
    pub busy: bool,
    /// Why the last one was refused.
    pub error: Option<Explained>,
}

/// A payment as the screen shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Payment {
    /// What to show; none while it is prepared.
    pub display: Option<Display>,
    /// Whether an answer is being worked on.
    pub busy: bool,
    /// Whether the person may go without.
    pub skippable: bool,
    /// Why the last answer was refused.
    pub error: Option<Explained>,
}

/// A reason and the key of its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// In UPPER_SNAKE_CASE.
    pub reason: String,
    /// Key in the texts.
    pub message_key: &'static str,
}

/// A session's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// What kind: `active`, `in-review`, `pending`, `failed`, `not-recognised`, `not-sure`, `locked-out`,
    /// `removal-failed` or `removed`.
    pub kind: &'static str,
    /// Key in the texts.
    pub message_key: String,
    /// The enrollment.
    pub enrollment_id: Option<String>,
    /// The erasure receipt's number.
    pub receipt_id: Option<String>,
    /// When the erasure happened.
    pub erased_at: Option<Timestamp>,
    /// Matchers that still have to follow the erasure.
    pub matchers_pending: Option<usize>,
    /// Seconds until another try is allowed.
    pub retry_after_seconds: Option<u64>,
    /// Why it failed, in UPPER_SNAKE_CASE.
    pub reason: Option<String>,
}

impl State {
    /// The state of `session` at `now`.
    pub fn of(session: &Session, stage: bool, mirror_picture: bool, now: Timestamp) -> Self {
        Self {
            screen: session.screen(),
            language: session.language,
            languages: Language::ALL,
            session: session.number(),
            change: 0,
            step: step(&session.phase),
            capture: capture(session),
            second_factor: second_factor(&session.phase),
            payment: payment(session),
            result: result(&session.phase),
            missing: session.missing().map(|missing| missing.as_str()),
            countdown_seconds: session.countdown(now),
            stage,
            mirror_picture,
        }
    }
}

fn step(phase: &Phase) -> Option<u8> {
    match phase {
        Phase::Notice => Some(1),
        Phase::Hands { .. } => Some(2),
        Phase::Capture { .. } | Phase::Enrolling { .. } | Phase::SecondFactor { .. } => Some(3),
        Phase::Payment { .. } => Some(4),
        Phase::Result { outcome: Outcome::Enrolled(_) | Outcome::Failed(_), .. } => Some(5),
        _ => None,
    }
}

fn capture(session: &Session) -> Option<Capture> {
    let capturing = session.capturing()?;
    let (purpose, hand_number, hands) = match &session.phase {
        Phase::Capture { hands, done, .. } => ("enrollment", done.len() + 1, hands.len()),
        _ => ("removal", 1, 1),
    };
    Some(Capture {
        purpose,
        hand: capturing.hand,
        hand_number,
        hands,
        captured: capturing.taken(),
        wanted: capturing.wanted,
        progress: (capturing.progress * 100.0).round() / 100.0,
        guidance: capturing.advice.map(|advice| advice.as_str()),
        hand_present: capturing.hand_present,
        outline: contour(&capturing.outline, capturing.frame_size),
        palm_square: square(capturing),
        width: capturing.frame_size.0,
        height: capturing.frame_size.1,
    })
}

fn contour(outline: &Outline, size: (u32, u32)) -> Vec<[f32; 2]> {
    let every = outline.contour.len().div_ceil(OUTLINE_POINTS_MAX).max(1);
    outline.contour.iter().step_by(every).map(|point| share(point, size)).collect()
}

fn square(capturing: &Capturing) -> Option<[[f32; 2]; 4]> {
    capturing.outline.palm_square.map(|corners| corners.map(|corner| share(&corner, capturing.frame_size)))
}

/// A point as shares of the picture, in thousandths: a finer step is below a pixel of the screen.
fn share(point: &Point, (width, height): (u32, u32)) -> [f32; 2] {
    let thousandths = |value: f32, of: u32| (value / of.max(1) as f32 * 1_000.0).round() / 1_000.0;
    [thousandths(point.x, width), thousandths(point.y, height)]
}

fn second_factor(phase: &Phase) -> Option<SecondFactor> {
    let Phase::SecondFactor { step, error, .. } = phase else { return None };
    let explained =
        |error: &FactorError| Explained { reason: error.reason().to_owned(), message_key: error.message_key() };
    Some(SecondFactor { busy: *step == FactorStep::Keeping, error: error.as_ref().map(explained) })
}

fn payment(session: &Session) -> Option<Payment> {
    let Phase::Payment { step, error, .. } = &session.phase else { return None };
    let (display, busy) = match step {
        PaymentStep::Preparing => (None, true),
        PaymentStep::Asking(begun) => (Some(begun.display.clone()), false),
        PaymentStep::Checking(begun) | PaymentStep::Binding(begun) => (Some(begun.display.clone()), true),
    };
    let explained = |error: &crate::payment::PaymentError| Explained {
        reason: error.reason().to_owned(),
        message_key: error.message_key(),
    };
    let skippable = !session.rules.payment_required;
    Some(Payment { display, busy, skippable, error: error.as_ref().map(explained) })
}

fn result(phase: &Phase) -> Option<Outcomes> {
    let mut outcomes = Outcomes {
        kind: "",
        message_key: String::new(),
        enrollment_id: None,
        receipt_id: None,
        erased_at: None,
        matchers_pending: None,
        retry_after_seconds: None,
        reason: None,
    };
    match phase {
        Phase::Result { outcome, enrollment } => {
            outcomes.enrollment_id = enrollment.map(|enrollment| enrollment.to_string());
            outcomes.kind = match outcome {
                Outcome::Enrolled(Standing::Active) => "active",
                Outcome::Enrolled(Standing::InReview) => "in-review",
                Outcome::Enrolled(Standing::Pending) => "pending",
                Outcome::Enrolled(Standing::Erased) | Outcome::Failed(_) => "failed",
                Outcome::NotRecognized => "not-recognised",
                Outcome::NotSure => "not-sure",
                Outcome::LockedOut { .. } => "locked-out",
                Outcome::RemovalFailed(_) => "removal-failed",
            };
            match outcome {
                Outcome::Failed(reason) | Outcome::RemovalFailed(reason) => outcomes.reason = Some(reason.clone()),
                Outcome::LockedOut { seconds } => outcomes.retry_after_seconds = Some(*seconds),
                _ => {}
            }
        }
        Phase::Removed { receipt } => {
            outcomes.kind = "removed";
            outcomes.receipt_id = Some(receipt.number.clone());
            outcomes.erased_at = Some(receipt.erased_at);
            outcomes.matchers_pending = Some(receipt.matchers_pending);
        }
        _ => return None,
    }
    outcomes.message_key = format!("result.{}", outcomes.kind);
    Some(outcomes)
}
