//! Quality of a palm square that came without its frame: what it shows must say by itself how good it is.

use volar_core::template::{FIELD_SIDE, ORIENTATIONS, OrientationField};

/// Mean angle between neighbouring cells, in steps of 30 degrees, that counts as 0 and as 100. Orientations drawn by
/// lot are 1.5 apart; lines that run through the whole palm leave about a third of a step.
const ROUGHNESS: (f32, f32) = (1.2, 0.3);

/// Quality, 0 to 100: the geometric mean of how clearly the embedding says whose palm it is (`clarity`, 0 to 1) and of how
/// smoothly orientations run from cell to cell. Lines and creases continue; noise, blur and what lies beside a palm do
/// not.
pub fn roi_quality(clarity: f32, field: &OrientationField) -> u8 {
    let cells = field.expose();
    let apart = |a: usize, b: usize| {
        let steps = cells[a].abs_diff(cells[b]);
        f32::from(steps.min(ORIENTATIONS - steps))
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for at in 0..FIELD_SIDE * FIELD_SIDE {
        if at % FIELD_SIDE + 1 < FIELD_SIDE {
            sum += apart(at, at + 1);
            count += 1.0;
        }
        if at / FIELD_SIDE + 1 < FIELD_SIDE {
            sum += apart(at, at + FIELD_SIDE);
            count += 1.0;
        }
    }
    let (worst, best) = ROUGHNESS;
    let smooth = ((worst - sum / count) / (worst - best)).clamp(0.0, 1.0);
    (100.0 * (clarity * smooth).sqrt()).round() as u8
}
