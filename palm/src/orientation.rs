//! Competitive code (Kong & Zhang, ICPR 2004): which of six orientations a dark line through each cell would have.

use std::sync::LazyLock;

use volar_core::template::{FIELD_SIDE, ORIENTATIONS, OrientationField};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::embedding::EmbeddingError;
use crate::roi::RegionOfInterest;
use crate::roi_normalize::{NormalizedRoi, halved, mirrored, normalize};
use crate::template_parameters::{
    CELL_STEP, ENVELOPE_SIGMA, FILTER_SIDE, HALF_SIDE, ROTATIONS_DEGREES, WAVELENGTH,
};

/// Orientation fields of a region: as it is first, then turned a little either way, for palms held askew.
///
/// A reference needs the first only; a probe carries all. 1 to [`volar_core::template::ROTATIONS_MAX`] fields.
pub fn orientation_fields(roi: &RegionOfInterest) -> Result<Vec<OrientationField>, EmbeddingError> {
    let half = HalfPicture::new(&normalize(roi)?);
    Ok(ROTATIONS_DEGREES.iter().map(|&degrees| LineResponses::new(&half.turned(degrees)).winners()).collect())
}

/// A normalised region at half its size, [`HALF_SIDE`] x [`HALF_SIDE`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct HalfPicture(Vec<f32>);

impl HalfPicture {
    /// Means of 2 x 2 pixels.
    pub(crate) fn new(normalized: &NormalizedRoi) -> Self {
        Self(std::mem::take(&mut *halved(normalized.values())))
    }

    /// Turned about its centre, mirrored beyond its edges.
    fn turned(&self, degrees: f32) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let centre = (HALF_SIDE as f32 - 1.0) / 2.0;
        let at = |row: isize, column: isize| self.0[mirrored(row, HALF_SIDE) * HALF_SIDE + mirrored(column, HALF_SIDE)];
        let mut values = Vec::with_capacity(self.0.len());
        for row in 0..HALF_SIDE {
            for column in 0..HALF_SIDE {
                let (x, y) = (column as f32 - centre, row as f32 - centre);
                let (from_x, from_y) = (cosine * x - sine * y + centre, sine * x + cosine * y + centre);
                let (left, top) = (from_x.floor(), from_y.floor());
                let (right_share, lower_share) = (from_x - left, from_y - top);
                let (left, top) = (left as isize, top as isize);
                let upper = at(top, left) * (1.0 - right_share) + at(top, left + 1) * right_share;
                let lower = at(top + 1, left) * (1.0 - right_share) + at(top + 1, left + 1) * right_share;
                values.push(upper * (1.0 - lower_share) + lower * lower_share);
            }
        }
        Self(values)
    }

    /// With `FILTER_SIDE / 2 - 1` mirrored pixels on each side, so that every cell's filter fits.
    fn widened(&self) -> Zeroizing<Vec<f32>> {
        let index = |i: usize| mirrored(i as isize - (FILTER_SIDE / 2 - 1) as isize, HALF_SIDE);
        let rows = (0..WIDENED_SIDE).map(index);
        Zeroizing::new(
            rows.flat_map(|row| (0..WIDENED_SIDE).map(move |i| self.0[row * HALF_SIDE + index(i)])).collect(),
        )
    }
}

const WIDENED_SIDE: usize = HALF_SIDE + FILTER_SIDE - 2;
const TAPS: usize = FILTER_SIDE * FILTER_SIDE;
const CELLS: usize = FIELD_SIDE * FIELD_SIDE;

/// How much each cell looks like a dark line of each orientation (positive) or a bright one (negative).
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct LineResponses(Vec<[f32; ORIENTATIONS as usize]>);

impl LineResponses {
    /// Runs every filter at every cell.
    pub(crate) fn new(half: &HalfPicture) -> Self {
        let filters = &*FILTERS;
        let widened = half.widened();
        let mut window = Zeroizing::new([0.0; TAPS]);
        let mut cells = Vec::with_capacity(CELLS);
        for row in 0..FIELD_SIDE {
            for column in 0..FIELD_SIDE {
                let corner = row * CELL_STEP * WIDENED_SIDE + column * CELL_STEP;
                for (line, to) in window.chunks_exact_mut(FILTER_SIDE).enumerate() {
                    let from = corner + line * WIDENED_SIDE;
                    to.copy_from_slice(&widened[from..from + FILTER_SIDE]);
                }
                cells.push(std::array::from_fn(|orientation| dot(&window, &filters[orientation])));
            }
        }
        Self(cells)
    }

    /// The responses, cell by cell.
    pub(crate) fn cells(&self) -> &[[f32; ORIENTATIONS as usize]] {
        &self.0
    }

    /// The orientation that wins each cell; the lowest where two are equal.
    ///
    /// A cell without any response, deep in the background, gets one drawn from all the others: were it always the
    /// same, two strangers with the thumb at the same place would agree there.
    fn winners(&self) -> OrientationField {
        let winner = |cell: &[f32; ORIENTATIONS as usize]| {
            let best = |best: usize, i: usize| if cell[i] > cell[best] { i } else { best };
            (1..cell.len()).fold(0, best) as u8
        };
        let mut cells = Zeroizing::new(self.0.iter().map(winner).collect::<Vec<u8>>());
        // FNV-1a, then one step of a linear congruential generator a cell (Knuth's MMIX constants).
        let mut state = cells.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &cell| {
            (hash ^ u64::from(cell)).wrapping_mul(0x0100_0000_01b3)
        });
        for (cell, _) in cells.iter_mut().zip(&self.0).filter(|(_, responses)| responses.iter().all(|&r| r == 0.0)) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *cell = ((state >> 33) % u64::from(ORIENTATIONS)) as u8;
        }
        OrientationField::new(&cells).expect("one winner below six for each cell of the field")
    }
}

/// Sum of products, in twelve lanes that the compiler turns into vector instructions.
fn dot(a: &[f32; TAPS], b: &[f32; TAPS]) -> f32 {
    const LANES: usize = 12;
    const _: () = assert!(TAPS.is_multiple_of(LANES));
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

static FILTERS: LazyLock<Vec<[f32; TAPS]>> = LazyLock::new(|| {
    (0..ORIENTATIONS).map(|orientation| dark_line(f32::from(orientation) * std::f32::consts::PI / 6.0)).collect()
});

/// Even Gabor filter, dark in its middle, of zero mean and unit energy. `angle` is from the line's normal to the
/// right, clockwise in the picture.
fn dark_line(angle: f32) -> [f32; TAPS] {
    let (sine, cosine) = angle.sin_cos();
    let middle = (FILTER_SIDE as f32 - 1.0) / 2.0;
    let place = |tap: usize| ((tap % FILTER_SIDE) as f32 - middle, (tap / FILTER_SIDE) as f32 - middle);
    let envelope: [f32; TAPS] = std::array::from_fn(|tap| {
        let (x, y) = place(tap);
        (-(x * x + y * y) / (2.0 * ENVELOPE_SIGMA * ENVELOPE_SIGMA)).exp()
    });
    let mut filter: [f32; TAPS] = std::array::from_fn(|tap| {
        let (x, y) = place(tap);
        -envelope[tap] * (std::f32::consts::TAU * (x * cosine + y * sine) / WAVELENGTH).cos()
    });
    let offset = filter.iter().sum::<f32>() / envelope.iter().sum::<f32>();
    filter.iter_mut().zip(&envelope).for_each(|(weight, envelope)| *weight -= offset * envelope);
    let energy = filter.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
    filter.iter_mut().for_each(|weight| *weight /= energy);
    filter
}
