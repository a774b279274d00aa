//! How good a capture is, and what the person can do better.

use crate::guidance::Guidance;

/// What was measured, and what it means.
pub(crate) struct Judgement {
    /// 0 to 100.
    pub(crate) quality: u8,
    /// What to change, if anything.
    pub(crate) guidance: Option<Guidance>,
}
