//! Everything that changes from one capture of a palm to the next, and what changes from one session to the next.

use crate::dice::{Dice, Purpose, mixed};
use crate::math::Point;

/// How strongly each layer shows, in shares of the skin's brightness: creases dark where positive, bright where
/// negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Principal lines.
    pub principal: f32,
    /// Both halves of the wrinkles.
    pub wrinkles: [f32; 2],
    /// Ridges.
    pub ridges: f32,
    /// Mottle.
    pub grain: f32,
    /// Veins.
    pub veins: f32,
    /// Blotches.
    pub tone: f32,
    /// Share of crease contrast that is a bright and a dark side instead of a dark line.
    pub slopes: f32,
}

/// One capture. All public, so that an experiment can vary one thing at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Turn of the palm in degrees: what a region of interest misses.
    pub degrees: f32,
    /// Size across and down, 1 exact.
    pub size: Point,
    /// Shear, as the tangent of its angle.
    pub shear: f32,
    /// Displacement in shares of the square's side.
    pub shift: Point,
    /// Perspective: relative growth from one side of the square to the other.
    pub perspective: Point,
    /// Standard deviation of the stretch of skin in shares of the square's side, over wide and over narrow distances.
    pub stretch: [f32; 2],
    /// How strongly the layers show.
    pub spectrum: Spectrum,
    /// Depth of the patches where creases fade, 0 to 1.
    pub fading: f32,
    /// Where the light comes from, in degrees.
    pub light_degrees: f32,
    /// Unevenness of the light over the palm.
    pub shading: f32,
    /// Grey level of the skin.
    pub grey: f32,
    /// Contrast of all layers together, 1 usual.
    pub contrast: f32,
    /// Standard deviation of the defocus, in shares of the square's side.
    pub blur: f32,
    /// Movement during the exposure, in shares of the square's side.
    pub motion: Point,
    /// Standard deviation of the sensor's noise in grey levels.
    pub noise: f32,
    /// Standard deviation of rows' and columns' own offsets in grey levels.
    pub stripes: f32,
    /// Highlights on moist skin.
    pub highlights: u32,
    /// What covers part of the palm: a plaster, a ring's shadow, the dark behind the hand.
    pub covers: u32,
    /// Fixes warp, fading, noise and everything else drawn at a place.
    pub seed: u64,
}

impl Capture {
    /// A capture of `person` in one session.
    ///
    /// A person is mostly seen by one kind of sensor; sessions differ in light, moisture and settings; captures differ
    /// in how the hand is held.
    pub(crate) fn sample(person: u64, session: u64, seed: u64) -> Self {
        let mut own = Dice::new(person, Purpose::Session);
        let mut session = Dice::new(session, Purpose::Session);
        let mut dice = Dice::new(seed, Purpose::Presentation);
        let spectrum = Spectrum::sample(&mut own, &mut session, &mut dice);
        let held = if dice.chance(0.25) { 1.7 } else { 1.0 };
        Self {
            degrees: (dice.normal(0.0, 4.5) * held).clamp(-16.0, 16.0),
            size: size(&mut session, &mut dice, held),
            shear: dice.normal(0.0, 0.02) * held,
            shift: Point::new(dice.normal(0.0, 0.028), dice.normal(0.0, 0.028)) * held,
            perspective: Point::new(dice.normal(0.0, 0.04), dice.normal(0.0, 0.04)) * held,
            stretch: [dice.uniform(0.0, 0.02) * held, dice.uniform(0.0, 0.006) * held],
            spectrum,
            fading: dice.uniform(0.1, 0.6),
            light_degrees: session.uniform(0.0, 360.0) + dice.normal(0.0, 25.0),
            shading: session.uniform(0.05, 0.5) * dice.uniform(0.6, 1.3),
            grey: (session.uniform(65.0, 170.0) * dice.uniform(0.8, 1.2)).clamp(50.0, 215.0),
            contrast: exponent(&mut session, 0.6, 1.4) * exponent(&mut dice, 0.8, 1.25),
            blur: if dice.chance(0.5) { dice.uniform(0.0, 0.006) } else { dice.uniform(0.004, 0.012) },
            motion: if dice.chance(0.15) {
                Point::new(dice.uniform(0.0, 0.03), 0.0).turned(dice.uniform(0.0, std::f32::consts::TAU))
            } else {
                Point::default()
            },
            noise: session.uniform(0.1, 0.9) * dice.uniform(0.7, 1.4),
            stripes: if session.chance(0.12) { session.uniform(0.0, 0.5) } else { 0.0 },
            highlights: if session.chance(0.2) { dice.count(0, 4) } else { 0 },
            covers: if dice.chance(0.06) { dice.count(1, 2) } else { 0 },
            seed,
        }
    }

    /// The same palm held exactly as a perfect region of interest would have it.
    pub fn still(self) -> Self {
        Self {
            degrees: 0.0,
            size: Point::new(1.0, 1.0),
            shear: 0.0,
            shift: Point::default(),
            perspective: Point::default(),
            stretch: [0.0; 2],
            motion: Point::default(),
            highlights: 0,
            covers: 0,
            ..self
        }
    }

    pub(crate) fn dice(&self, salt: u64) -> Dice {
        Dice::new(mixed(self.seed, salt), Purpose::Surroundings)
    }
}

/// Children grow, hands flatten and cup, and squares are cut by different rules on different days.
fn size(session: &mut Dice, dice: &mut Dice, held: f32) -> Point {
    let both = session.normal(1.0, 0.02) + dice.normal(0.0, 0.03) * held;
    let aspect = session.normal(0.0, 0.012) + dice.normal(0.0, 0.018) * held;
    Point::new((both + aspect).clamp(0.84, 1.16), (both - aspect).clamp(0.84, 1.16))
}

/// Even in the logarithm between `low` and `high`.
fn exponent(dice: &mut Dice, low: f32, high: f32) -> f32 {
    crate::math::exp(dice.uniform(crate::math::ln(low), crate::math::ln(high)))
}

impl Spectrum {
    fn sample(own: &mut Dice, session: &mut Dice, dice: &mut Dice) -> Self {
        // 0 visible light, 1 near infrared. Now and then a session is on another kind of sensor.
        let usual = own.uniform(-0.3, 1.3);
        let other = session.uniform(-0.3, 1.3);
        let here = if session.chance(0.07) { other } else { usual };
        let infrared = (here + session.normal(0.0, 0.07)).clamp(0.0, 1.0);
        let visible = 1.0 - infrared;
        // Infrared creases are often bright: moist skin and relief outweigh absorption.
        let bright = (own.chance(0.3) && infrared > 0.5) != session.chance(0.03);
        let creases = if bright { -1.0 } else { 1.0 };
        let mut strength =
            |low: f32, high: f32| exponent(own, low, high) * exponent(session, 0.65, 1.55) * exponent(dice, 0.85, 1.18);
        let principal = strength(0.14, 0.5) * (0.4 + 0.6 * visible) * creases;
        let wrinkles = strength(0.1, 0.38) * (0.4 + 0.6 * visible) * creases;
        let ridges = strength(0.01, 0.08) * (0.6 + 0.4 * visible);
        let grain = strength(0.01, 0.1);
        let veins = strength(0.1, 0.4) * infrared;
        let tone = strength(0.01, 0.1);
        // Some wrinkles open and others close with the pose.
        let trade = dice.uniform(-0.4, 0.4);
        let slopes = (own.uniform(0.0, 0.7) + session.uniform(-0.2, 0.2)).clamp(0.0, 0.8);
        Self {
            principal,
            wrinkles: [wrinkles * (1.0 + trade), wrinkles * (1.0 - trade)],
            ridges,
            grain,
            veins,
            tone,
            slopes,
        }
    }
}
