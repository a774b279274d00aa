//! Regions of interest of made-up palms, for tests.

use volar_core::template::Position;
use volar_synth::{Palm, Presentation};

use crate::roi::{ROI_SIDE, RegionOfInterest};

/// Presentation `number` of a person's right palm, first changed by `change`. Unless changed, its square is where it
/// belongs and fingers are as cooperative people hold them.
pub(crate) fn region(person: u64, number: u64, change: impl FnOnce(&mut Presentation)) -> RegionOfInterest {
    let mut presentation = Presentation::sample(7_000_000 + person * 1_000 + number).aligned();
    presentation.spread = 0.9;
    presentation.finger_degrees = [0.0; 5];
    change(&mut presentation);
    let image = Palm::of(7_000_000 + person, Position::Right).crop(&presentation, ROI_SIDE);
    RegionOfInterest::new(image.expect("a side that synth renders").pixels).expect("as many pixels as asked for")
}
