//! The second factor: a few digits that a person types where their palm alone is not sure enough.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::log_safe::LogSafe;

/// Digits of a code: fewer are guessed too soon, more are not remembered.
pub const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;
/// Digits that are taken of a telephone number.
pub const PHONE_DIGITS: usize = 4;

/// What the digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The last four of the person's telephone number.
    PhoneDigits,
    /// A code of their own.
    Code,
}

impl LogSafe for Kind {}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PhoneDigits => "phone-digits",
            Self::Code => "code",
        })
    }
}

/// Digits as a person typed them: 4 to 8. Zeroed on drop; print as nothing.
#[derive(Clone)]
pub struct Digits(Zeroizing<String>);

/// Why digits cannot be taken. Says nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigitsError {
    /// Something else than 4 to 8 digits.
    #[error("must be 4 to 8 of the digits 0 to 9")]
    Shape,
    /// More than the last four of a telephone number.
    #[error("must be the last 4 digits of the telephone number")]
    PhoneLength,
    /// One digit again and again, or digits in a row.
    #[error("must not be one digit repeated, nor digits in a row such as 1234: they are guessed first")]
    Guessable,
}

impl Digits {
    /// Takes ownership of what was typed.
    pub fn new(typed: Zeroizing<String>) -> Result<Self, DigitsError> {
        let fits = DIGITS.contains(&typed.len()) && typed.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(typed)) } else { Err(DigitsError::Shape) }
    }

    /// The digits, for hashing, for the wire, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether they may be somebody's second factor of that kind. A telephone number is not chosen, so four of its
    /// digits may be any.
    pub fn check(&self, kind: Kind) -> Result<(), DigitsError> {
        match kind {
            Kind::PhoneDigits if self.0.len() != PHONE_DIGITS => Err(DigitsError::PhoneLength),
            Kind::Code if self.is_guessable() => Err(DigitsError::Guessable),
            _ => Ok(()),
        }
    }

    fn is_guessable(&self) -> bool {
        let digits = self.0.as_bytes();
        let steps = |step: i16| digits.windows(2).all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == step);
        [-1, 0, 1].into_iter().any(steps)
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digits(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Result<Digits, DigitsError> {
        Digits::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn four_to_eight_digits_are_taken_and_nothing_else() {
        for good in ["0000", "8074", "80745129"] {
            assert_eq!(digits(good).expect("digits").expose(), good);
        }
        for bad in ["", "807", "807451290", "80a4", " 8074", "８０７４", "-807", "80.4"] {
            assert_eq!(digits(bad).err(), Some(DigitsError::Shape), "{bad}");
        }
    }

    #[test]
    fn what_is_guessed_first_is_no_code_but_may_end_a_telephone_number() {
        for guessable in ["0000", "55555555", "1234", "9876", "3456789"] {
            let digits = digits(guessable).expect("digits");
            assert_eq!(digits.check(Kind::Code), Err(DigitsError::Guessable), "{guessable}");
        }
        assert_eq!(digits("1234").expect("digits").check(Kind::PhoneDigits), Ok(()));
        assert_eq!(digits("80745").expect("digits").check(Kind::PhoneDigits), Err(DigitsError::PhoneLength));
        for good in ["8074", "1235", "0909", "13579"] {
            assert_eq!(digits(good).expect("digits").check(Kind::Code), Ok(()), "{good}");
        }
    }

    #[test]
    fn digits_print_nothing_of_themselves() {
        assert_eq!(format!("{:?}", digits("8074").expect("digits")), "Digits(secret)");
    }
}
