//! What stands in front of the simulated sensor.

use serde::{Deserialize, Serialize};
use volar_core::template::Position;

/// What is in front of the sensor. As JSON: `{"show": "hand", "person": 7, "position": "left"}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scene {
    /// The bare field of view.
    #[default]
    Empty,
    /// One hand, which enters from the edge and then hovers.
    Hand {
        /// Whose.
        person: u64,
        /// Which of the two.
        position: Position,
        /// Which presentation of it: another number, another day, pose and light.
        #[serde(default)]
        sample: u64,
        /// How well it is held.
        #[serde(default)]
        condition: Condition,
    },
    /// Both hands of a person side by side.
    TwoHands {
        /// Whose.
        person: u64,
    },
    /// A face-like blob: oval, eyes, nose, mouth.
    Face {
        /// Which face.
        #[serde(default)]
        seed: u64,
    },
}

/// How well a hand is presented: the good case, and what a quality check must catch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// As a cooperative person holds it.
    #[default]
    Good,
    /// About twice the right distance away.
    TooFar,
    /// So near that fingers leave the frame.
    TooClose,
    /// Palm turned away from the sensor by 35 to 45 degrees.
    Tilted,
    /// Skin saturates.
    TooBright,
    /// Skin hardly above the background.
    TooDark,
    /// Fingers pressed together: no valleys.
    FingersClosed,
    /// Part of the palm outside the frame.
    OffCentre,
    /// Moving so fast that creases smear.
    Moving,
    /// A good presentation with a bright sleeve over the wrist.
    Sleeve,
}

impl Condition {
    /// Every condition, the good one first.
    pub const ALL: [Self; 10] = [
        Self::Good,
        Self::TooFar,
        Self::TooClose,
        Self::Tilted,
        Self::TooBright,
        Self::TooDark,
        Self::FingersClosed,
        Self::OffCentre,
        Self::Moving,
        Self::Sleeve,
    ];

    /// The name that JSON and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::TooFar => "too-far",
            Self::TooClose => "too-close",
            Self::Tilted => "tilted",
            Self::TooBright => "too-bright",
            Self::TooDark => "too-dark",
            Self::FingersClosed => "fingers-closed",
            Self::OffCentre => "off-centre",
            Self::Moving => "moving",
            Self::Sleeve => "sleeve",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_read_as_documented() {
        let read = |json: &str| serde_json::from_str::<Scene>(json);
        assert_eq!(read(r#"{"show":"empty"}"#).expect("valid"), Scene::Empty);
        assert_eq!(
            read(r#"{"show":"hand","person":7,"position":"left"}"#).expect("valid"),
            Scene::Hand { person: 7, position: Position::Left, sample: 0, condition: Condition::Good }
        );
        assert_eq!(
            read(r#"{"show":"hand","person":7,"position":"right","sample":3,"condition":"too-far"}"#).expect("valid"),
            Scene::Hand { person: 7, position: Position::Right, sample: 3, condition: Condition::TooFar }
        );
        assert_eq!(read(r#"{"show":"two-hands","person":1}"#).expect("valid"), Scene::TwoHands { person: 1 });
        assert_eq!(read(r#"{"show":"face","seed":9}"#).expect("valid"), Scene::Face { seed: 9 });
        for wrong in [
            r#"{"show":"foot"}"#,
            r#"{"show":"hand","person":7}"#,
            r#"{"show":"hand","person":-1,"position":"left"}"#,
            r#"{"show":"hand","person":1,"position":"left","pose":3}"#,
            r#"{"show":"hand","person":1,"position":"left","condition":"upside-down"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn conditions_have_their_names_in_json() {
        for condition in Condition::ALL {
            assert_eq!(serde_json::to_string(&condition).expect("a word"), format!("\"{}\"", condition.name()));
        }
    }
}
