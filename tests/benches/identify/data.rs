//! Embeddings as the shipped model makes them. Rendering a million palms takes hours, so a normal distribution is fitted
//! to captures of made-up palms, how palms differ and how captures of one palm differ each on its own, and drawn from.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use volar_core::protection::GalleryProtection;
use volar_core::secret::Key;
use volar_core::template::{EMBEDDING_DIMENSIONS as N, Embedding, OrientationField, Position, Quality, Template};
use volar_palm::embedding::{Embedder, shipped};
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_synth::{Condition, Palm, Presentation};

/// People whom no training saw.
const FIRST_PERSON: u64 = 8_000_000;

pub(crate) type Vector = [f32; N];

/// How embeddings are distributed: what to multiply independent normal numbers with, in the protected space.
pub(crate) struct Distribution {
    palms: Vec<Vector>,
    captures: Vec<Vector>,
}

/// Palms, and second captures of some of them.
#[derive(Default)]
pub(crate) struct Palms {
    pub(crate) references: Vec<Vector>,
    pub(crate) probes: Vec<Probe>,
}

/// A second capture of an enrolled palm.
pub(crate) struct Probe {
    pub(crate) vector: Vector,
    /// Whose it is.
    pub(crate) mate: usize,
    /// Cosine of the two captures.
    pub(crate) cosine: f32,
}

impl Distribution {
    pub(crate) fn learn(palms: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let share = palms.div_ceil(threads);
        let embedder = shipped();
        let learn = |thread: u64| {
            let (mut between, mut within) = (vec![[0.0_f64; N]; N], vec![[0.0_f64; N]; N]);
            for person in FIRST_PERSON + thread * share..FIRST_PERSON + palms.min((thread + 1) * share) {
                let [a, b] = captures(&*embedder, person);
                add_product(&mut between, &std::array::from_fn(|i| (a[i] + b[i]) / 2.0), 1.0 / palms as f64);
                add_product(&mut within, &std::array::from_fn(|i| a[i] - b[i]), 0.5 / palms as f64);
            }
            (between, within)
        };
        let mut parts = std::thread::scope(|scope| {
            let learn = &learn;
            let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || learn(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("learning does not panic")).collect::<Vec<_>>()
        });
        let (mut between, mut within) = parts.pop().expect("one thread at least");
        for (more_between, more_within) in parts {
            add(&mut between, &more_between, 1.0);
            add(&mut within, &more_within, 1.0);
        }
        // A mean of two captures still has half of how captures differ.
        add(&mut between, &within, -0.5);
        Self { palms: protect(&cholesky(between)), captures: protect(&cholesky(within)) }
    }

    fn draw(factor: &[Vector], random: &mut ChaCha8Rng) -> Vector {
        let mut vector = [0.0; N];
        for column in factor {
            let weight: f32 = random.sample(StandardNormal);
            vector.iter_mut().zip(column).for_each(|(to, value)| *to += weight * value);
        }
        vector
    }

    fn capture(&self, palm: &Vector, random: &mut ChaCha8Rng) -> Vector {
        let noise = Self::draw(&self.captures, random);
        let mut vector: Vector = std::array::from_fn(|i| palm[i] + noise[i]);
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    }
}

impl Palms {
    /// The palms of these numbers, the same in any division; a probe of one in `every`.
    pub(crate) fn draw(distribution: &Distribution, numbers: Range<usize>, every: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = numbers.len().div_ceil(threads).max(1);
        let draw = |numbers: Range<usize>| {
            let mut palms = Self::default();
            for number in numbers {
                let mut random = ChaCha8Rng::seed_from_u64(number as u64);
                let palm = Distribution::draw(&distribution.palms, &mut random);
                let reference = distribution.capture(&palm, &mut random);
                if number.is_multiple_of(every) {
                    let vector = distribution.capture(&palm, &mut random);
                    let cosine = vector.iter().zip(&reference).map(|(a, b)| a * b).sum();
                    palms.probes.push(Probe { vector, mate: number, cosine });
                }
                palms.references.push(reference);
            }
            palms
        };
        let mut all = Self::default();
        std::thread::scope(|scope| {
            let starts = numbers.clone().step_by(share);
            let threads: Vec<_> =
                starts.map(|start| scope.spawn(move || draw(start..(start + share).min(numbers.end)))).collect();
            for thread in threads {
                let palms = thread.join().expect("drawing does not panic");
                all.references.extend(palms.references);
                all.probes.extend(palms.probes);
            }
        });
        all
    }
}

/// Where the peers read: `references.f32` and `probes.f32`, row by row, and `mates.u32`; little-endian.
pub(crate) struct Files {
    references: BufWriter<File>,
    probes: BufWriter<File>,
    mates: BufWriter<File>,
}

impl Files {
    pub(crate) fn create(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
        Ok(Self { references: create("references.f32")?, probes: create("probes.f32")?, mates: create("mates.u32")? })
    }

    pub(crate) fn append(&mut self, palms: &Palms) -> std::io::Result<()> {
        for value in palms.references.iter().flatten() {
            self.references.write_all(&value.to_le_bytes())?;
        }
        for probe in &palms.probes {
            for value in probe.vector {
                self.probes.write_all(&value.to_le_bytes())?;
            }
            self.mates.write_all(&(probe.mate as u32).to_le_bytes())?;
        }
        [&mut self.references, &mut self.probes, &mut self.mates].into_iter().try_for_each(Write::flush)
    }
}

/// Embeddings of two captures of a left palm.
fn captures(embedder: &dyn Embedder, person: u64) -> [Vector; 2] {
    let palm = Palm::of(person, Position::Left);
    [0, 1].map(|sample| {
        let presentation = Presentation::of_scene(person, Position::Left, sample, Condition::Good);
        let image = palm.crop(&presentation, ROI_SIDE).expect("a usual side");
        let region = RegionOfInterest::new(image.pixels).expect("the right number of pixels");
        *embedder.embed(&region).expect("a palm").embedding.expose()
    })
}

fn add_product(to: &mut [[f64; N]], vector: &Vector, weight: f64) {
    for (row, &a) in to.iter_mut().zip(vector) {
        row.iter_mut().zip(vector).for_each(|(to, &b)| *to += weight * f64::from(a) * f64::from(b));
    }
}

fn add(to: &mut [[f64; N]], matrix: &[[f64; N]], weight: f64) {
    for (to, row) in to.iter_mut().zip(matrix) {
        to.iter_mut().zip(row).for_each(|(to, value)| *to += weight * value);
    }
}

/// The lower triangle that times its transpose is `matrix`, row by row. A hundredth of the mean variance is added in every
/// direction: with few palms, some directions would come out below nothing.
fn cholesky(mut matrix: Vec<[f64; N]>) -> Vec<[f64; N]> {
    let trace: f64 = (0..N).map(|i| matrix[i][i]).sum();
    for i in 0..N {
        matrix[i][i] += 0.01 * trace / N as f64;
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            matrix[i][j] = if i == j {
                (matrix[i][i] - known).max(1e-4 * trace / N as f64).sqrt()
            } else {
                (matrix[i][j] - known) / matrix[j][j]
            };
        }
        matrix[i][i + 1..].fill(0.0);
    }
    matrix
}

/// The columns of a factor, each as it is under a gallery's secret transform, which is linear.
fn protect(factor: &[[f64; N]]) -> Vec<Vector> {
    let protection = GalleryProtection::new(&Key::new([9; 32]));
    let field = OrientationField::new(&[0; volar_core::template::FIELD_SIDE * volar_core::template::FIELD_SIDE]);
    let field = field.expect("cells below six");
    let protect = |column: usize| {
        let values: Vec<f32> = factor.iter().map(|row| row[column] as f32).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let template = Template {
            position: Position::Left,
            quality: Quality::new(80).expect("in range"),
            embedding: Embedding::normalized(&values).expect("a column has a length"),
            orientations: vec![field.clone()],
        };
        protection.reference(&template).embedding.expose().map(|value| value * length)
    };
    (0..N).map(protect).collect()
}
