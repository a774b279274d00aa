//! Line filters (even Gabor filters) of several orientations, run at the cells of a square picture.

use std::f32::consts::TAU;

use zeroize::Zeroizing;

use crate::outline::Point;
use crate::roi_normalize::add_scaled;

/// A square picture, each row's pixels by phase, so that those a cell apart are neighbours: first those in the columns
/// where cells begin, then those beside them.
pub(crate) struct Phased {
    values: Zeroizing<Vec<f32>>,
    side: usize,
    /// Pixels from one cell to the next.
    step: usize,
}

impl Phased {
    /// Of a `picture` of `side` x `side`, a whole number of steps wide.
    pub(crate) fn new(picture: &[f32], side: usize, step: usize) -> Self {
        let mut values = Zeroizing::new(Vec::with_capacity(picture.len()));
        for row in picture.chunks_exact(side) {
            (0..step).for_each(|phase| values.extend(row.iter().skip(phase).step_by(step)));
        }
        Self { values, side, step }
    }
}

/// Filters of one wavelength: cosines across a line under a round Gaussian envelope, dark in the middle, of zero mean
/// and unit energy.
///
/// With a round envelope a filter is a sum of products of two profiles, one down and one across, which takes a tenth of
/// the work. Lines that lean left and right alike share their products.
pub(crate) struct LineFilters {
    side: usize,
    orientations: usize,
    envelope: Product,
    waves: Vec<Wave>,
}

impl LineFilters {
    /// Filters of `side` x `side` pixels for lines with these `normals`, of length one. `wavelength` and `sigma`, the
    /// envelope's deviation, are in pixels.
    pub(crate) fn new(wavelength: f32, sigma: f32, side: usize, normals: &[Point]) -> Self {
        let envelope = Product::new(side, sigma, |_| 1.0, Point::default());
        let mut waves: Vec<Wave> = Vec::new();
        for (orientation, normal) in normals.iter().enumerate() {
            let folded = Point::new(normal.x.abs(), normal.y.abs());
            let alike = waves.iter().position(|wave| (wave.normal - folded).length() < 1e-5);
            let alike = alike.unwrap_or_else(|| {
                waves.push(Wave::new(folded, wavelength, sigma, &envelope));
                waves.len() - 1
            });
            waves[alike].lines.push((orientation, (normal.x * normal.y).signum()));
        }
        Self { side, orientations: normals.len(), envelope, waves }
    }

    /// How much each cell looks like a dark line of each orientation (positive) or a bright one (negative): orientation
    /// by orientation, each row by row.
    pub(crate) fn responses(&self, picture: &Phased) -> Zeroizing<Vec<f32>> {
        let side = picture.side;
        let cells = (side - self.side) / picture.step + 1;
        let mut responses = Zeroizing::new(vec![0.0; self.orientations * cells * cells]);
        let [mut sums, mut differences] = [(); 2].map(|()| Zeroizing::new(vec![0.0; self.side.div_ceil(2) * side]));
        let mut line = Zeroizing::new(vec![0.0; side]);
        let [mut mean, mut even, mut odd] = [(); 3].map(|()| Zeroizing::new(vec![0.0; cells]));
        for row in 0..cells {
            let rows = &picture.values[row * picture.step * side..][..self.side * side];
            fold(rows, side, &mut sums, &mut differences);
            let mut run = |product: &Product, folded: &[f32], to: &mut [f32]| {
                product.down.down(folded, &mut line);
                product.across.across(&line, picture.step, to);
            };
            run(&self.envelope, &sums, &mut mean);
            for wave in &self.waves {
                run(&wave.even, &sums, &mut even);
                match &wave.odd {
                    Some(product) => run(product, &differences, &mut odd),
                    None => odd.fill(0.0),
                }
                for &(orientation, lean) in &wave.lines {
                    let to = &mut responses[(orientation * cells + row) * cells..][..cells];
                    for (((to, even), odd), mean) in to.iter_mut().zip(&*even).zip(&*odd).zip(&*mean) {
                        *to = wave.scale * (even - lean * odd - wave.offset * mean);
                    }
                }
            }
        }
        responses
    }
}

/// Sums and differences of the `rows` that lie as far above the middle as below it, outermost first: profiles are alike
/// there up to the sign.
fn fold(rows: &[f32], side: usize, sums: &mut [f32], differences: &mut [f32]) {
    let folded = sums.chunks_exact_mut(side).zip(differences.chunks_exact_mut(side));
    let pairs = rows.chunks_exact(side).zip(rows.chunks_exact(side).rev());
    for ((sums, differences), (above, below)) in folded.zip(pairs) {
        // A row in the middle is its own counterpart.
        let share = if std::ptr::eq(above, below) { 0.5 } else { 1.0 };
        for (((sum, difference), above), below) in sums.iter_mut().zip(differences).zip(above).zip(below) {
            (*sum, *difference) = (share * (above + below), above - below);
        }
    }
}

/// What a filter is along one axis.
struct Profile(Vec<f32>);

impl Profile {
    /// The envelope times `wave` of the distance from the filter's middle.
    fn new(side: usize, sigma: f32, wave: impl Fn(f32) -> f32) -> Self {
        let tap = |tap: usize| {
            let at = tap as f32 - (side as f32 - 1.0) / 2.0;
            (-at * at / (2.0 * sigma * sigma)).exp() * wave(at)
        };
        Self((0..side).map(tap).collect())
    }

    /// Sums of products down the columns of folded rows: sums if the profile is even, differences if it is odd.
    fn down(&self, folded: &[f32], to: &mut [f32]) {
        to.fill(0.0);
        for (weight, row) in self.0.iter().zip(folded.chunks_exact(to.len())) {
            add_scaled(to, row, *weight);
        }
    }

    /// Sums of products along a row that lies by phase, for each cell.
    fn across(&self, row: &[f32], step: usize, to: &mut [f32]) {
        let phase = row.len() / step;
        to.fill(0.0);
        for (tap, weight) in self.0.iter().enumerate() {
            add_scaled(to, &row[tap % step * phase + tap / step..][..to.len()], *weight);
        }
    }
}

/// A filter that is one profile down times another across.
struct Product {
    down: Profile,
    across: Profile,
}

impl Product {
    /// The envelope times `wave` of the phase, which grows by `frequency` radians a pixel across and down.
    fn new(side: usize, sigma: f32, wave: fn(f32) -> f32, frequency: Point) -> Self {
        let profile = |frequency: f32| Profile::new(side, sigma, |at| wave(frequency * at));
        Self { down: profile(frequency.y), across: profile(frequency.x) }
    }

    fn weights(&self) -> impl Iterator<Item = f32> {
        self.down.0.iter().flat_map(|down| self.across.0.iter().map(move |across| down * across))
    }
}

/// What the filters of lines that lean left and right alike have in common. Each is `scale` times the even product less or
/// plus the odd one, less `offset` times the envelope.
struct Wave {
    /// The lines' normal, folded to the lower right.
    normal: Point,
    even: Product,
    /// None of lines that lie along a row or a column.
    odd: Option<Product>,
    offset: f32,
    scale: f32,
    /// The lines: number of the orientation, and 1 if its normal points to the lower right (or upper left), -1 if not.
    lines: Vec<(usize, f32)>,
}

impl Wave {
    fn new(normal: Point, wavelength: f32, sigma: f32, envelope: &Product) -> Self {
        let side = envelope.down.0.len();
        let waved = |wave| Product::new(side, sigma, wave, normal * (TAU / wavelength));
        let even = waved(f32::cos);
        let odd = (normal.x * normal.y > 1e-5).then(|| waved(f32::sin));
        let offset = even.weights().sum::<f32>() / envelope.weights().sum::<f32>();
        let level = even.weights().zip(envelope.weights()).map(|(even, round)| even - offset * round);
        // What is odd both ways has nothing in common with what is even both ways, so their energies add up.
        let weights = level.chain(odd.iter().flat_map(Product::weights));
        let scale = -1.0 / weights.map(|weight| weight * weight).sum::<f32>().sqrt();
        Self { normal, even, odd, offset, scale, lines: Vec::new() }
    }
}
