//! What a person can do so that the next frame is better.

use std::fmt;

use serde::{Deserialize, Serialize};
use volar_core::log_safe::LogSafe;

/// The one thing to change that would help most. Serialized in kebab case (`"show-hand"`), as screens key on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guidance {
    /// Nothing is in front of the sensor: show a hand.
    ShowHand,
    /// More than one hand is: take one away.
    OneHand,
    /// Something is, but no open palm: a fist, a face, a back of a hand with a sleeve, an object.
    NotAHand,
    /// The hand is too small in the frame: bring it closer.
    Closer,
    /// The hand is too large, or cut off at more than one side: move it further away.
    Further,
    /// The palm leaves the frame: move it towards the middle.
    Centre,
    /// The palm is tilted or cupped: hold it flat towards the sensor.
    Flatter,
    /// The hand moves, or the frame is blurred: hold still.
    HoldStill,
    /// The palm is overexposed: move out of direct light, or a little further away.
    TooBright,
    /// The palm is underexposed: move closer.
    TooDark,
    /// The finger valleys cannot be seen: spread the fingers.
    FingersApart,
}

impl Guidance {
    /// Every reason, once.
    pub const ALL: [Self; 11] = [
        Self::ShowHand,
        Self::OneHand,
        Self::NotAHand,
        Self::Closer,
        Self::Further,
        Self::Centre,
        Self::Flatter,
        Self::HoldStill,
        Self::TooBright,
        Self::TooDark,
        Self::FingersApart,
    ];

    /// The reason's name as serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShowHand => "show-hand",
            Self::OneHand => "one-hand",
            Self::NotAHand => "not-a-hand",
            Self::Closer => "closer",
            Self::Further => "further",
            Self::Centre => "centre",
            Self::Flatter => "flatter",
            Self::HoldStill => "hold-still",
            Self::TooBright => "too-bright",
            Self::TooDark => "too-dark",
            Self::FingersApart => "fingers-apart",
        }
    }
}

impl fmt::Display for Guidance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl LogSafe for Guidance {}
