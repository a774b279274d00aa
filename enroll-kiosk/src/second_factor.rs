//! The second factor that a person may choose, for the gate to ask for where a palm alone is not sure enough.

use serde::Deserialize;
use volar_core::second_factor::{Digits, DigitsError, Kind};

/// `[second_factor]` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondFactorConfig {
    /// Whether people are offered one.
    pub offered: bool,
}

/// What somebody chose.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What the digits are.
    pub kind: Kind,
    /// The digits.
    pub digits: Digits,
}

/// Why a second factor cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactorError {
    /// The digits are not such as can be kept.
    #[error("the digits {0}")]
    Digits(#[from] DigitsError),
    /// The vault does not take it.
    #[error("the second factor could not be stored; try again, or go on without")]
    NotStored,
    /// The enrollment was erased meanwhile.
    #[error("the enrollment is gone; start again")]
    EnrollmentGone,
}

impl FactorError {
    /// The reason that a program can act on.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Digits(DigitsError::Shape) => "DIGITS_INVALID",
            Self::Digits(DigitsError::PhoneLength) => "PHONE_DIGITS_INVALID",
            Self::Digits(DigitsError::Guessable) => "CODE_GUESSABLE",
            Self::NotStored => "SECOND_FACTOR_NOT_STORED",
            Self::EnrollmentGone => "ENROLLMENT_GONE",
        }
    }

    /// Key of what the screen says.
    pub fn message_key(&self) -> &'static str {
        match self {
            Self::Digits(DigitsError::Shape) => "second-factor.error.shape",
            Self::Digits(DigitsError::PhoneLength) => "second-factor.error.phone",
            Self::Digits(DigitsError::Guessable) => "second-factor.error.guessable",
            Self::NotStored => "second-factor.error.not-stored",
            Self::EnrollmentGone => "payment.error.enrollment-gone",
        }
    }

    /// Whether the person can do something about it.
    pub fn may_retry(&self) -> bool {
        !matches!(self, Self::EnrollmentGone)
    }
}
