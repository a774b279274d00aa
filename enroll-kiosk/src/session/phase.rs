//! What a session is made of: its phases, what it asks of the outside, and how requests can be out of order.

use volar_core::clock::Timestamp;
use volar_core::id::EnrollmentId;
use volar_core::template::{Position, Template};
use zeroize::Zeroizing;

use super::capture::Capturing;
use crate::notice::Consent;
use crate::payment::{Begun, PaymentError, PaymentReference};
use crate::second_factor::{Chosen, FactorError};

/// Where a session is.
pub(crate) enum Phase {
    Welcome,
    Notice,
    Hands { consent: Consent },
    Capture { consent: Consent, hands: Vec<Position>, done: Vec<Palm>, now: Capturing },
    Enrolling { enrollment: Option<EnrollmentId>, since: Timestamp },
    SecondFactor { enrollment: EnrollmentId, standing: Standing, step: FactorStep, error: Option<FactorError> },
    Payment { enrollment: EnrollmentId, standing: Standing, step: PaymentStep, error: Option<PaymentError> },
    Result { outcome: Outcome, enrollment: Option<EnrollmentId> },
    Removal { step: RemovalStep, tries: u32 },
    Removed { receipt: Receipt },
    Declined,
}

/// How far the second factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactorStep {
    /// The page asks for it.
    Asking,
    /// The vault keeps it.
    Keeping,
}

/// How far the payment is.
pub(crate) enum PaymentStep {
    /// The provider prepares what the page shows.
    Preparing,
    /// The page shows it.
    Asking(Begun),
    /// The provider checks the answer.
    Checking(Begun),
    /// The vault binds the reference, or notes that there is none.
    Binding(Begun),
}

/// How far a removal is.
// There is one session at a time: a box would save nothing.
#[allow(clippy::large_enum_variant)]
pub(crate) enum RemovalStep {
    Capture(Capturing),
    Identifying,
    Withdrawing,
}

/// One hand, captured: its templates, best first.
pub struct Palm {
    /// Which hand.
    pub position: Position,
    /// 1 to 5 templates, best first.
    pub templates: Vec<Template>,
}

/// Where an enrollment stands, as the vault says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The duplicate search is not over.
    Pending,
    /// Usable at the gates.
    Active,
    /// A person decides.
    InReview,
    /// Erased.
    Erased,
}

/// How a session ended, for the result screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Enrolled as the vault says.
    Enrolled(Standing),
    /// Not enrolled; says why, in UPPER_SNAKE_CASE.
    Failed(String),
    /// Removal: nobody in the gallery.
    NotRecognized,
    /// Removal: recognised, but not surely enough to erase somebody.
    NotSure,
    /// Removal: too many failures in a row.
    LockedOut {
        /// Seconds until the next try is allowed.
        seconds: u64,
    },
    /// Removal: the vault refused; says why, in UPPER_SNAKE_CASE.
    RemovalFailed(String),
}

/// Proof of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The receipt's number.
    pub number: String,
    /// When.
    pub erased_at: Timestamp,
    /// Matchers that were not connected and follow later.
    pub matchers_pending: usize,
}

/// What a matcher says about a palm that wants to be removed.
pub enum Identified {
    /// Recognised; the ticket lets the vault erase.
    Recognized(Zeroizing<Vec<u8>>),
    /// Not surely enough.
    NotSure,
    /// Nobody in the gallery.
    NotRecognized,
    /// The capture was too poor; another may do.
    Retry,
    /// Locked out.
    LockedOut {
        /// Seconds until the next try is allowed.
        seconds: u64,
    },
}

/// What a session asks of the outside. Whoever carries it out reports back with the session's number.
pub enum Effect {
    /// Enrol these palms; answer with [`super::Session::enrolled`] or [`super::Session::refused`].
    Enroll {
        /// The written release.
        consent: Consent,
        /// The palms.
        palms: Vec<Palm>,
    },
    /// Ask where the enrollment stands until it is no longer pending; answer with [`super::Session::stands`].
    Follow(EnrollmentId),
    /// Undo an enrollment that nobody finished. Outlives the session.
    Cancel(EnrollmentId),
    /// Keep a second factor; answer with [`super::Session::factor_kept`].
    KeepFactor(EnrollmentId, Chosen),
    /// Prepare a payment; answer with [`super::Session::payment_begun`].
    BeginPayment(EnrollmentId),
    /// Bind it, or note that the person goes without; answer with [`super::Session::bound`].
    Bind(EnrollmentId, Option<PaymentReference>),
    /// Ask whose palm this is; answer with [`super::Session::identified`].
    Identify(Template),
    /// Have the person erased; answer with [`super::Session::withdrawn`]. Outlives the session: they asked for it.
    Withdraw(Zeroizing<Vec<u8>>),
    /// The session is over: stop whatever still works for it.
    Forget,
}

/// How a session's end is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Enrolled, or removed.
    Completed,
    /// The person chose to go without.
    Declined,
    /// The person stopped it.
    Cancelled,
    /// Nobody was there any more.
    Abandoned,
    /// It could not be done.
    Failed,
}

impl Ending {
    /// The word that metrics and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
        }
    }
}

/// A request that does not fit where the session is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Somebody is at the kiosk.
    #[error("a session is under way (screen \"{screen}\"); end it with DELETE /api/session first")]
    SessionUnderWay {
        /// The screen now.
        screen: &'static str,
    },
    /// Vault or sensor is not there.
    #[error("the kiosk is out of service just now ({reason}); it recovers by itself")]
    Unavailable {
        /// `vault`, `sensor` or `model`.
        reason: &'static str,
    },
    /// Another screen is up.
    #[error("this belongs to screen \"{wanted}\", but screen \"{screen}\" is up")]
    WrongScreen {
        /// The screen that it belongs to.
        wanted: &'static str,
        /// The screen now.
        screen: &'static str,
    },
    /// No hand, or one twice.
    #[error("choose [\"left\"], [\"right\"] or both, each once")]
    Hands,
    /// The text agreed to is not the one that the session shows.
    #[error("the notice that was agreed to is not the one of this session; show it again")]
    NoticeChanged,
    /// The kiosk is set to enrol with a payment only.
    #[error("this kiosk enrols with a payment only; answer the payment form or end the session")]
    PaymentRequired,
    /// The second factor before is still being kept.
    #[error("the second factor is being kept; wait for the screen to change")]
    SecondFactorBusy,
    /// The answer before is still being worked on.
    #[error("the payment is being worked on; wait for the screen to change")]
    PaymentBusy,
}

impl OrderError {
    /// The reason that a program can act on.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SessionUnderWay { .. } => "SESSION_UNDER_WAY",
            Self::Unavailable { .. } => "UNAVAILABLE",
            Self::WrongScreen { .. } => "WRONG_SCREEN",
            Self::Hands => "HANDS_INVALID",
            Self::NoticeChanged => "NOTICE_CHANGED",
            Self::PaymentRequired => "PAYMENT_REQUIRED",
            Self::SecondFactorBusy => "SECOND_FACTOR_BUSY",
            Self::PaymentBusy => "PAYMENT_BUSY",
        }
    }
}
