//! Competitive code (Kong & Zhang, ICPR 2004): which of six orientations a dark line through each cell would have.

use std::f32::consts::PI;
use std::sync::LazyLock;

use volar_core::template::{FIELD_SIDE, ORIENTATIONS, OrientationField};
use zeroize::Zeroizing;

use crate::embedding::EmbeddingError;
use crate::line_filters::{LineFilters, Phased};
use crate::outline::Point;
use crate::roi::RegionOfInterest;
use crate::roi_normalize::{halved, normalize, with_margin};
use crate::template_parameters::{CELL_STEP, ENVELOPE_SIGMA, FILTER_SIDE, HALF_SIDE, ROTATIONS_DEGREES, WAVELENGTH};
use crate::turned::turned;

/// Orientation fields of a region: as it is first, then turned a little either way, for palms held askew.
///
/// A reference needs the first only; a probe carries all. 1 to [`volar_core::template::ROTATIONS_MAX`] fields.
pub fn orientation_fields(roi: &RegionOfInterest) -> Result<Vec<OrientationField>, EmbeddingError> {
    let normalized = normalize(roi)?;
    let half = with_margin(&halved(normalized.values()), HALF_SIDE, TURN_MARGIN);
    let field = |&degrees| winners(&responses(&turned(&half, HALF_SIDE + 2 * TURN_MARGIN, HALF_SIDE, degrees)));
    Ok(ROTATIONS_DEGREES.iter().map(field).collect())
}

/// Mirrored pixels around a region of half the size that a turn of 8 degrees reaches: (sin 8° + cos 8° - 1) / 2 of its
/// side, and the next pixel.
const TURN_MARGIN: usize = 6;
const CELLS: usize = FIELD_SIDE * FIELD_SIDE;

/// How much each cell of a region of half the size looks like a dark line of each orientation: orientation by orientation,
/// each row by row.
fn responses(half: &[f32]) -> Zeroizing<Vec<f32>> {
    const MARGIN: usize = FILTER_SIDE / 2 - 1;
    let widened = with_margin(half, HALF_SIDE, MARGIN);
    FILTERS.responses(&Phased::new(&widened, HALF_SIDE + 2 * MARGIN, CELL_STEP))
}

/// The orientation that wins each cell; the lowest where two are equal.
///
/// A cell without any response, deep in the background, gets one drawn from all the others: were it always the
/// same, two strangers with the thumb at the same place would agree there.
fn winners(responses: &[f32]) -> OrientationField {
    let of_cell = |cell: usize| responses[cell..].iter().step_by(CELLS);
    let mut best = Zeroizing::new(responses[..CELLS].to_vec());
    let mut cells = Zeroizing::new(vec![0; CELLS]);
    for (orientation, responses) in (1..).zip(responses[CELLS..].chunks_exact(CELLS)) {
        for ((cell, best), &response) in cells.iter_mut().zip(best.iter_mut()).zip(responses) {
            if response > *best {
                (*cell, *best) = (orientation, response);
            }
        }
    }
    // FNV-1a, then one step of a linear congruential generator a cell (Knuth's MMIX constants).
    let mut state = cells
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &cell| (hash ^ u64::from(cell)).wrapping_mul(0x0100_0000_01b3));
    for (_, cell) in cells.iter_mut().enumerate().filter(|&(at, _)| of_cell(at).all(|&response| response == 0.0)) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *cell = ((state >> 33) % u64::from(ORIENTATIONS)) as u8;
    }
    OrientationField::new(&cells).expect("one winner below six for each cell of the field")
}

/// One line filter an orientation; the angle is from the line's normal to the right, clockwise in the picture.
static FILTERS: LazyLock<LineFilters> = LazyLock::new(|| {
    let normal = |orientation: u8| {
        let (down, right) = (f32::from(orientation) * PI / f32::from(ORIENTATIONS)).sin_cos();
        Point::new(right, down)
    };
    LineFilters::new(WAVELENGTH, ENVELOPE_SIGMA, FILTER_SIDE, &(0..ORIENTATIONS).map(normal).collect::<Vec<_>>())
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roi::ROI_SIDE;
    use crate::roi_normalize::mirrored;

    /// Dark lines whose normal is turned by `degrees` clockwise from pointing right, moved by `shift` pixels.
    fn lines(degrees: f32, shift: f32) -> RegionOfInterest {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let pixel = |i: usize| {
            let (x, y) = ((i % ROI_SIDE) as f32, (i / ROI_SIDE) as f32);
            (160.0 + 50.0 * ((x * cosine + y * sine + shift) * std::f32::consts::TAU / 16.0).cos()) as u8
        };
        RegionOfInterest::new((0..ROI_SIDE * ROI_SIDE).map(pixel).collect()).expect("the right number of pixels")
    }

    /// Share of the inner cells on a dark line that `wanted` wins; on a bright one any other orientation may.
    fn share(roi: &RegionOfInterest, wanted: u8) -> f32 {
        let field = orientation_fields(roi).expect("lines").remove(0);
        let inner = |i: &usize| (6..32).contains(&(i / FIELD_SIDE)) && (6..32).contains(&(i % FIELD_SIDE));
        let dark = |i: &usize| roi.pixel(i / FIELD_SIDE * 4 + 2, i % FIELD_SIDE * 4 + 2) < 125;
        let cells: Vec<usize> = (0..FIELD_SIDE * FIELD_SIDE).filter(inner).filter(dark).collect();
        assert!(cells.len() > 50, "too few to judge by");
        cells.iter().filter(|&&i| field.expose()[i] == wanted).count() as f32 / cells.len() as f32
    }

    #[test]
    fn each_orientation_is_named_after_its_lines() {
        for orientation in 0..ORIENTATIONS {
            let own = share(&lines(30.0 * f32::from(orientation), 0.0), orientation);
            assert!(own > 0.95, "{orientation}: {own}");
        }
    }

    #[test]
    fn a_probe_turned_askew_matches_by_one_of_its_turns() {
        let roi = crate::made_up::region(1, 0, |_| {});
        let reference = orientation_fields(&roi).expect("a palm");
        for degrees in [-8.0, -4.0, 4.0, 8.0] {
            let askew = crate::made_up::region(1, 0, |presentation| presentation.misalignment.degrees = degrees);
            let probe = orientation_fields(&askew).expect("a palm");
            let straight = reference[0].distance(&probe[0]);
            let best = probe.iter().map(|field| reference[0].distance(field)).fold(1.0, f32::min);
            assert!(best < 0.3 && best <= straight, "{degrees}: {best} of {straight}");
        }
    }

    #[test]
    fn strangers_stay_near_half() {
        let fields: Vec<_> = (1..=6)
            .map(|person| orientation_fields(&crate::made_up::region(person, 0, |_| {})).expect("a palm"))
            .collect();
        for (i, one) in fields.iter().enumerate() {
            for other in &fields[i + 1..] {
                let best = other.iter().map(|field| one[0].distance(field)).fold(1.0, f32::min);
                assert!((0.39..0.5).contains(&best), "{best}");
            }
        }
    }

    #[test]
    fn cells_that_show_nothing_do_not_agree() {
        let corner = |pixels: &mut Vec<u8>| {
            for row in pixels.chunks_exact_mut(ROI_SIDE).take(70) {
                row[82..].fill(5);
            }
        };
        let field = |degrees: f32| {
            let mut pixels = lines(degrees, 0.0).pixels().to_vec();
            corner(&mut pixels);
            let roi = RegionOfInterest::new(pixels).expect("the right number of pixels");
            orientation_fields(&roi).expect("lines").remove(0)
        };
        let (one, other) = (field(10.0), field(50.0));
        let empty: Vec<usize> =
            (0..FIELD_SIDE * FIELD_SIDE).filter(|i| i / FIELD_SIDE < 10 && i % FIELD_SIDE > 28).collect();
        let same = empty.iter().filter(|&&i| one.expose()[i] == other.expose()[i]).count();
        assert!(same * 3 < empty.len(), "{same} of {} agree", empty.len());
        assert_eq!(one.expose(), field(10.0).expose());
    }

    /// An even Gabor filter as the paper defines it, weight by weight, of zero mean and unit energy.
    fn plain_filter(orientation: u8) -> Vec<f64> {
        let (sine, cosine) = (f64::from(orientation) * std::f64::consts::PI / 6.0).sin_cos();
        let middle = (FILTER_SIDE as f64 - 1.0) / 2.0;
        let place = |tap: usize| ((tap % FILTER_SIDE) as f64 - middle, (tap / FILTER_SIDE) as f64 - middle);
        let taps = || (0..FILTER_SIDE * FILTER_SIDE).map(place);
        let envelope: Vec<f64> =
            taps().map(|(x, y)| (-(x * x + y * y) / (2.0 * f64::from(ENVELOPE_SIGMA).powi(2))).exp()).collect();
        let wave = |(x, y): (f64, f64)| (std::f64::consts::TAU * (x * cosine + y * sine) / f64::from(WAVELENGTH)).cos();
        let filter: Vec<f64> = taps().map(wave).zip(&envelope).map(|(wave, envelope)| -wave * envelope).collect();
        let offset = filter.iter().sum::<f64>() / envelope.iter().sum::<f64>();
        let level: Vec<f64> =
            filter.iter().zip(&envelope).map(|(weight, envelope)| weight - offset * envelope).collect();
        let energy = level.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
        level.iter().map(|weight| weight / energy).collect()
    }

    #[test]
    fn responses_are_those_of_the_plain_filters() {
        let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0;
        let half: Vec<f32> = (0..HALF_SIDE * HALF_SIDE).map(noise).collect();
        let responses = responses(&half);
        let pixel =
            |row: isize, column: isize| half[mirrored(row, HALF_SIDE) * HALF_SIDE + mirrored(column, HALF_SIDE)];
        for orientation in 0..ORIENTATIONS {
            let filter = plain_filter(orientation);
            for (cell, found) in responses[usize::from(orientation) * CELLS..][..CELLS].iter().enumerate() {
                let first = |i: usize| (i * CELL_STEP) as isize - (FILTER_SIDE as isize / 2 - 1);
                let (row, column) = (first(cell / FIELD_SIDE), first(cell % FIELD_SIDE));
                let product = |(tap, weight): (usize, &f64)| {
                    let (down, right) = ((tap / FILTER_SIDE) as isize, (tap % FILTER_SIDE) as isize);
                    weight * f64::from(pixel(row + down, column + right))
                };
                let expected: f64 = filter.iter().enumerate().map(product).sum();
                let apart = (f64::from(*found) - expected).abs();
                assert!(apart < 1e-5, "orientation {orientation}, cell {cell}: {apart} apart");
            }
        }
    }

    #[test]
    fn filters_have_no_mean() {
        let responses = responses(&vec![1.0; HALF_SIDE * HALF_SIDE]);
        assert!(responses.iter().all(|response| response.abs() < 1e-4));
    }
}
