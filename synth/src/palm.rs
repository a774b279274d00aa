//! One palm, made once and then presented as often as needed.

use volar_core::template::Position;

use crate::anatomy::Anatomy;
use crate::dice::mixed;
use crate::math::{Point, sin_cos};
use crate::parameters::CONTRAST;
use crate::presentation::Presentation;
use crate::skin::{HandSkin, Look};

/// A person's left or right palm. Making one takes some 60 ms on one core; keep it while rendering its presentations.
pub struct Palm {
    pub(crate) person: u64,
    pub(crate) position: Position,
    pub(crate) anatomy: Anatomy,
    pub(crate) skin: HandSkin,
}

impl Palm {
    /// The palm that `person` has at `position`. A person's two hands share their outline (mirrored) and no line.
    pub fn of(person: u64, position: Position) -> Self {
        Self::with(person, position, Anatomy::of(person))
    }

    /// The same skin on a hand whose proportions lie `variety` times as far from the average as people's do: what a
    /// network should have seen that must find every hand.
    pub fn varied(person: u64, position: Position, variety: f32) -> Self {
        Self::with(person, position, Anatomy::varied(person, variety))
    }

    fn with(person: u64, position: Position, anatomy: Anatomy) -> Self {
        let skin = HandSkin::of(person, position, &anatomy);
        Self { person, position, anatomy, skin }
    }

    /// Which hand.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whose hand.
    pub fn person(&self) -> u64 {
        self.person
    }
}

/// How strongly the palm's layers show in a presentation.
pub(crate) fn look(presentation: &Presentation) -> Look {
    let usual = CONTRAST;
    let [principal, wrinkles, ridges, veins, tone] = presentation.contrast;
    let (sine, cosine) = sin_cos(presentation.light_degrees.to_radians());
    // Some wrinkles open and others close with the pose: the two halves trade contrast.
    let fading = mixed(presentation.seed, 0xfade) as u32;
    let trade = (fading >> 8) as f32 / (1 << 24) as f32 - 0.5;
    Look {
        principal: usual[0] * principal,
        wrinkles: [usual[1] * wrinkles * (1.0 + 0.7 * trade), usual[1] * wrinkles * (1.0 - 0.7 * trade)],
        ridges: usual[2] * ridges,
        veins: usual[3] * veins,
        tone: usual[4] * tone,
        light: Point::new(sine, -cosine),
        slopes: presentation.crease_slopes,
        fading,
    }
}
