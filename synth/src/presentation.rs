//! How a palm is presented once: everything that changes from one capture to the next.

use volar_core::template::Position;

use crate::dice::{Dice, Purpose, mixed};
use crate::math::Point;
use crate::scene::Condition;

/// One presentation of a palm. All public, so that an experiment can vary one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presentation {
    /// Turn in the image plane in degrees, clockwise, from the sensor's usual direction of fingers.
    pub rotation_degrees: f32,
    /// Apparent size: 1 at the right distance, 0.5 twice as far.
    pub scale: f32,
    /// Where the hand's middle lies off the frame's middle: across the fingers (to the right of where they point) and
    /// along the arm, in shares of the frame's extent in that direction.
    pub offset: Point,
    /// Turn out of the image plane in degrees: about the hand's breadth (x) and about its length (y).
    pub tilt_degrees: Point,
    /// How far fingers are apart: 0 relaxed, 1 fully spread, negative towards closed.
    pub spread: f32,
    /// What each finger adds of its own, thumb first, in degrees.
    pub finger_degrees: [f32; 5],
    /// Greatest displacement in millimetres of skin stretched and bent by the pose.
    pub stretch_mm: f32,
    /// Hollow of the hand: 0 flat; 1 deep, which darkens the middle and draws the edges in.
    pub cupping: f32,
    /// Where the light comes from in the image plane: degrees, 0 from above, clockwise.
    pub light_degrees: f32,
    /// How aslant the light falls: 0 straight from the sensor, 1 grazing.
    pub light_slant: f32,
    /// Brightness of the light, 1 usual.
    pub exposure: f32,
    /// Share of the light lost at the frame's corners.
    pub falloff: f32,
    /// Standard deviation of the defocus, in millimetres on the palm.
    pub blur_mm: f32,
    /// Movement during the exposure, in millimetres on the palm.
    pub motion_mm: Point,
    /// Standard deviation of the sensor's noise in grey levels.
    pub noise: f32,
    /// Contrast of principal lines, wrinkles, ridges, veins and tone relative to usual.
    pub contrast: [f32; 5],
    /// Share of the crease contrast that depends on the light's direction.
    pub crease_slopes: f32,
    /// Whether a bright sleeve covers the wrist.
    pub sleeve: bool,
    /// Which fingers wear a ring, thumb first.
    pub rings: [bool; 5],
    /// Whether a tremble swings the whole hand (see [`Condition::Moving`]).
    pub swinging: bool,
    /// By how much a crop's square misses the true one, as a capture pipeline's does. Frames ignore it.
    pub misalignment: Misalignment,
    /// Fixes warp, fading of creases, noise and micro-motion.
    pub seed: u64,
}

/// An error of a region of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Misalignment {
    /// Displacement in shares of the square's side.
    pub shift: Point,
    /// Turn in degrees.
    pub degrees: f32,
    /// Size error: 0.02 is 2 % too large.
    pub growth: f32,
}

impl Presentation {
    /// A typical good presentation: another seed, another moment. Presentations of one palm differ as captures on
    /// different days do.
    pub fn sample(seed: u64) -> Self {
        let mut dice = Dice::new(seed, Purpose::Presentation);
        let mut session = Dice::new(seed, Purpose::Session);
        let finger_degrees = [2.0, 0.7, 0.5, 0.7, 1.1].map(|spread| dice.normal(0.0, spread));
        Self {
            rotation_degrees: dice.normal(0.0, 6.0).clamp(-15.0, 15.0),
            scale: dice.normal(0.99, 0.045).clamp(0.87, 1.06),
            offset: Point::new(dice.normal(0.0, 0.02), dice.normal(0.0, 0.012)),
            tilt_degrees: Point::new(dice.normal(0.0, 4.0), dice.normal(0.0, 4.0)),
            spread: dice.normal(0.9, 0.1).clamp(0.6, 1.2),
            finger_degrees,
            stretch_mm: dice.uniform(0.2, 0.9),
            cupping: dice.uniform(0.0, 0.5),
            light_degrees: session.normal(0.0, 35.0),
            light_slant: session.uniform(0.15, 0.55),
            exposure: session.uniform(0.85, 1.2),
            falloff: session.uniform(0.15, 0.4),
            blur_mm: dice.uniform(0.12, 0.34),
            motion_mm: Point::new(dice.normal(0.0, 0.12), dice.normal(0.0, 0.12)),
            noise: session.uniform(0.6, 1.3),
            contrast: [0.25, 0.3, 0.3, 0.2, 0.2].map(|spread| session.normal(1.0, spread).clamp(0.35, 1.8)),
            crease_slopes: session.normal(0.5, 0.13),
            sleeve: false,
            rings: [false; 5],
            swinging: false,
            misalignment: Misalignment {
                shift: Point::new(dice.normal(0.0, 0.012), dice.normal(0.0, 0.012)),
                degrees: dice.normal(0.0, 1.0),
                growth: dice.normal(0.0, 0.012),
            },
            seed,
        }
    }

    /// A presentation under `condition`; `seed` as for [`Presentation::sample`].
    pub fn under(condition: Condition, seed: u64) -> Self {
        match condition {
            Condition::Good => Self::sample(seed),
            Condition::TooFar => Self::too_far(seed),
            Condition::TooClose => Self::too_close(seed),
            Condition::Tilted => Self::tilted(seed),
            Condition::TooBright => Self::too_bright(seed),
            Condition::TooDark => Self::too_dark(seed),
            Condition::FingersClosed => Self::fingers_closed(seed),
            Condition::OffCentre => Self::off_centre(seed),
            Condition::Moving => Self::moving(seed),
            Condition::Sleeve => Self { sleeve: true, ..Self::sample(seed) },
        }
    }

    /// The presentation that a [`Scene`](crate::Scene) with the same words stands for.
    pub fn of_scene(person: u64, position: Position, sample: u64, condition: Condition) -> Self {
        let side = match position {
            Position::Left => 1,
            Position::Right => 2,
        };
        Self::under(condition, mixed(mixed(person, side), sample))
    }

    /// About twice as far as it should be.
    pub fn too_far(seed: u64) -> Self {
        let good = Self::sample(seed);
        Self { scale: good.scale * 0.48, exposure: good.exposure * 0.7, ..good }
    }

    /// So near that fingers and wrist leave the frame.
    pub fn too_close(seed: u64) -> Self {
        let good = Self::sample(seed);
        Self { scale: good.scale * 2.0, exposure: good.exposure * 1.25, ..good }
    }

    /// Turned 35 to 45 degrees out of the image plane.
    pub fn tilted(seed: u64) -> Self {
        let mut dice = tilt_dice(seed);
        let tilt = Point::new(0.0, dice.uniform(35.0, 45.0)).turned(dice.uniform(-0.6, 0.6));
        let tilt_degrees = if dice.chance(0.5) { tilt } else { -tilt };
        Self { tilt_degrees, ..Self::sample(seed) }
    }

    /// The palm's middle saturates.
    pub fn too_bright(seed: u64) -> Self {
        Self { exposure: 2.7, falloff: 0.12, ..Self::sample(seed) }
    }

    /// Skin hardly above the background.
    pub fn too_dark(seed: u64) -> Self {
        Self { exposure: 0.24, ..Self::sample(seed) }
    }

    /// Fingers pressed together, so that there are no valleys to find.
    pub fn fingers_closed(seed: u64) -> Self {
        Self { spread: -0.6, finger_degrees: [-4.0, -2.5, 0.0, 2.5, 5.5], ..Self::sample(seed) }
    }

    /// Half the palm outside the frame.
    pub fn off_centre(seed: u64) -> Self {
        let mut dice = tilt_dice(seed);
        let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
        Self { offset: Point::new(side * dice.uniform(0.44, 0.5), dice.uniform(-0.1, 0.1)), ..Self::sample(seed) }
    }

    /// Swinging from side to side so fast that creases smear.
    pub fn moving(seed: u64) -> Self {
        let mut dice = tilt_dice(seed);
        let motion_mm = Point::new(dice.uniform(7.0, 10.0), dice.uniform(-3.0, 3.0));
        Self { motion_mm, swinging: true, ..Self::sample(seed) }
    }

    /// Any open hand: fingers closed to fully spread and each its own way, thumb laid on or held off, flat or hollow,
    /// under any light, with sleeves and rings. Tilt, turn, size and place stay those of [`Presentation::sample`].
    pub fn any(seed: u64) -> Self {
        let mut dice = Dice::new(mixed(seed, 0xa1), Purpose::Presentation);
        let spread = dice.uniform(-0.7, 1.3);
        let closed = (-spread).max(0.0);
        // Closed fingers lie against each other whatever their own direction.
        let together = [0.0, -4.0, 0.0, 4.0, 9.0].map(|degrees| degrees * closed);
        let own = together.map(|degrees| degrees + dice.normal(0.0, 2.5 - 1.5 * closed));
        let thumb = dice.uniform(-32.0, 16.0);
        let finger_degrees = [thumb, own[1], own[2], own[3], own[4]];
        let wears_rings = dice.chance(0.3);
        let rings = [0.1, 0.25, 0.3, 0.6, 0.2].map(|share| wears_rings && dice.chance(share));
        Self {
            spread,
            finger_degrees,
            stretch_mm: dice.uniform(0.2, 2.0),
            cupping: dice.uniform(0.0, 0.9),
            light_degrees: dice.uniform(-180.0, 180.0),
            light_slant: dice.uniform(0.0, 0.8),
            blur_mm: dice.uniform(0.1, 0.6),
            motion_mm: Point::default(),
            contrast: [0.4, 0.4, 0.4, 0.4, 0.4].map(|wide| dice.normal(1.0, wide).clamp(0.1, 2.2)),
            crease_slopes: dice.uniform(0.0, 1.0),
            sleeve: dice.chance(0.35),
            rings,
            ..Self::sample(seed)
        }
    }

    /// The same without misalignment of crops: what a perfect capture pipeline would cut.
    pub fn aligned(self) -> Self {
        Self { misalignment: Misalignment::default(), ..self }
    }
}

fn tilt_dice(seed: u64) -> Dice {
    Dice::new(mixed(seed, 0x71), Purpose::Presentation)
}
