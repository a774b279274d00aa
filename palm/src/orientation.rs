//! Competitive code (Kong & Zhang, ICPR 2004): which of six orientations a dark line through each cell would have.

use std::sync::LazyLock;

use volar_core::template::{FIELD_SIDE, ORIENTATIONS, OrientationField};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::embedding::EmbeddingError;
use crate::roi::RegionOfInterest;
use crate::roi_normalize::{NormalizedRoi, add_scaled, halved, mirrored, normalize};
use crate::template_parameters::{CELL_STEP, ENVELOPE_SIGMA, FILTER_SIDE, HALF_SIDE, ROTATIONS_DEGREES, WAVELENGTH};

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

    /// With `FILTER_SIDE / 2 - 1` mirrored pixels on each side, so that every cell's filter fits. Each row's pixels lie by
    /// phase: first those where cells begin, then those beside them.
    fn widened(&self) -> Zeroizing<Vec<f32>> {
        let index = |i: usize| mirrored(i as isize - (FILTER_SIDE / 2 - 1) as isize, HALF_SIDE);
        let column = |i: usize| index(i % PHASE * CELL_STEP + i / PHASE);
        let rows = (0..WIDENED_SIDE).map(index);
        Zeroizing::new(
            rows.flat_map(|row| (0..WIDENED_SIDE).map(move |i| self.0[row * HALF_SIDE + column(i)])).collect(),
        )
    }
}

const WIDENED_SIDE: usize = HALF_SIDE + FILTER_SIDE - 2;
/// Pixels of one phase in a widened row.
const PHASE: usize = WIDENED_SIDE / CELL_STEP;
const CELLS: usize = FIELD_SIDE * FIELD_SIDE;

/// How much each cell looks like a dark line of each orientation (positive) or a bright one (negative).
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct LineResponses(Vec<[f32; ORIENTATIONS as usize]>);

impl LineResponses {
    /// Runs every filter at every cell.
    pub(crate) fn new(half: &HalfPicture) -> Self {
        let widened = half.widened();
        let mut cells = vec![[0.0; ORIENTATIONS as usize]; CELLS];
        for (row, cells) in cells.chunks_exact_mut(FIELD_SIDE).enumerate() {
            let rows = &widened[row * CELL_STEP * WIDENED_SIDE..][..FILTER_SIDE * WIDENED_SIDE];
            let mean = BANK.envelope.across(&BANK.envelope.down(rows));
            for (orientation, line) in BANK.lines.iter().enumerate() {
                let even = line.across[0].across(&line.down[0].down(rows));
                let odd = line.across[1].across(&line.down[1].down(rows));
                for (column, cell) in cells.iter_mut().enumerate() {
                    cell[orientation] = line.scale * (even[column] - odd[column] - line.offset * mean[column]);
                }
            }
        }
        Self(cells)
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
        let mut state = cells
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &cell| (hash ^ u64::from(cell)).wrapping_mul(0x0100_0000_01b3));
        for (cell, _) in cells.iter_mut().zip(&self.0).filter(|(_, responses)| responses.iter().all(|&r| r == 0.0)) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *cell = ((state >> 33) % u64::from(ORIENTATIONS)) as u8;
        }
        OrientationField::new(&cells).expect("one winner below six for each cell of the field")
    }
}

/// What a filter is along one axis. Filters with a round envelope are sums of products of two of these (one down, one
/// across), which takes a tenth of the work.
struct Profile([f32; FILTER_SIDE]);

impl Profile {
    /// The envelope times `wave` of the distance from the filter's middle.
    fn of(wave: impl Fn(f32) -> f32) -> Self {
        Self(std::array::from_fn(|tap| {
            let at = tap as f32 - (FILTER_SIDE as f32 - 1.0) / 2.0;
            (-at * at / (2.0 * ENVELOPE_SIGMA * ENVELOPE_SIGMA)).exp() * wave(at)
        }))
    }

    /// Sums of products down the columns of `rows`.
    fn down(&self, rows: &[f32]) -> Zeroizing<[f32; WIDENED_SIDE]> {
        let mut sums = Zeroizing::new([0.0; WIDENED_SIDE]);
        for (weight, row) in self.0.iter().zip(rows.chunks_exact(WIDENED_SIDE)) {
            add_scaled(&mut *sums, row, *weight);
        }
        sums
    }

    /// Sums of products along a row, for each cell.
    fn across(&self, row: &[f32; WIDENED_SIDE]) -> Zeroizing<[f32; FIELD_SIDE]> {
        let mut sums = Zeroizing::new([0.0; FIELD_SIDE]);
        for (tap, weight) in self.0.iter().enumerate() {
            let from = tap % CELL_STEP * PHASE + tap / CELL_STEP;
            add_scaled(&mut *sums, &row[from..from + FIELD_SIDE], *weight);
        }
        sums
    }
}

/// Even Gabor filter, dark in its middle, of zero mean and unit energy: `scale` times an even wave (cosines' product less
/// sines'), less `offset` times the envelope.
struct DarkLine {
    down: [Profile; 2],
    across: [Profile; 2],
    offset: f32,
    scale: f32,
}

impl DarkLine {
    /// `angle` is from the line's normal to the right, clockwise in the picture.
    fn new(angle: f32, envelope: &Profile) -> Self {
        let waves = |share: f32| {
            let phase = move |at: f32| std::f32::consts::TAU * share * at / WAVELENGTH;
            [Profile::of(move |at| phase(at).cos()), Profile::of(move |at| phase(at).sin())]
        };
        let (down, across) = (waves(angle.sin()), waves(angle.cos()));
        let taps = |i: usize| (i / FILTER_SIDE, i % FILTER_SIDE);
        let wave = |(y, x): (usize, usize)| down[0].0[y] * across[0].0[x] - down[1].0[y] * across[1].0[x];
        let round = |(y, x): (usize, usize)| envelope.0[y] * envelope.0[x];
        let all = || (0..FILTER_SIDE * FILTER_SIDE).map(taps);
        let offset = all().map(wave).sum::<f32>() / all().map(round).sum::<f32>();
        let energy = all().map(|at| (wave(at) - offset * round(at)).powi(2)).sum::<f32>().sqrt();
        Self { down, across, offset, scale: -1.0 / energy }
    }
}

/// The envelope alone, and a line filter of each orientation.
struct Bank {
    envelope: Profile,
    lines: Vec<DarkLine>,
}

static BANK: LazyLock<Bank> = LazyLock::new(|| {
    let envelope = Profile::of(|_| 1.0);
    let angle = |orientation: u8| f32::from(orientation) * std::f32::consts::PI / f32::from(ORIENTATIONS);
    let lines = (0..ORIENTATIONS).map(|orientation| DarkLine::new(angle(orientation), &envelope)).collect();
    Bank { envelope, lines }
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roi::ROI_SIDE;
    use crate::template_parameters::HALF_SIDE;

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
        let half = HalfPicture((0..HALF_SIDE * HALF_SIDE).map(noise).collect());
        let responses = LineResponses::new(&half);
        let pixel =
            |row: isize, column: isize| half.0[mirrored(row, HALF_SIDE) * HALF_SIDE + mirrored(column, HALF_SIDE)];
        for orientation in 0..ORIENTATIONS {
            let filter = plain_filter(orientation);
            for (cell, found) in responses.0.iter().enumerate() {
                let first = |i: usize| (i * CELL_STEP) as isize - (FILTER_SIDE as isize / 2 - 1);
                let (row, column) = (first(cell / FIELD_SIDE), first(cell % FIELD_SIDE));
                let product = |(tap, weight): (usize, &f64)| {
                    let (down, right) = ((tap / FILTER_SIDE) as isize, (tap % FILTER_SIDE) as isize);
                    weight * f64::from(pixel(row + down, column + right))
                };
                let expected: f64 = filter.iter().enumerate().map(product).sum();
                let apart = (f64::from(found[usize::from(orientation)]) - expected).abs();
                assert!(apart < 1e-5, "orientation {orientation}, cell {cell}: {apart} apart");
            }
        }
    }

    #[test]
    fn filters_have_no_mean() {
        let responses = LineResponses::new(&HalfPicture(vec![1.0; HALF_SIDE * HALF_SIDE]));
        assert!(responses.0.iter().flatten().all(|response| response.abs() < 1e-4));
    }
}
