//! Fits the projection of the hand-crafted embedding: `cargo run --release -p volar-palm --example fit_embedding`
//! writes `palm/src/projection.bin` (or the file named as argument).
//!
//! Linear discriminant analysis (Fisher 1936) over line features of made-up palms: the directions in which palms
//! differ most, measured in how much presentations of one palm differ. The same synth version gives the same file.

use std::error::Error;

use nalgebra::{Cholesky, DMatrix, DVector, SymmetricEigen};
use volar_core::template::{EMBEDDING_DIMENSIONS, ORIENTATIONS};
use volar_palm::line_features::{LINE_FEATURES, line_features};

#[path = "made_up_palms/mod.rs"]
mod made_up_palms;
use made_up_palms::{crops, in_parallel};

/// People from here on train; calibration and tests use others.
const FIRST_PERSON: u64 = 5_000_000;
/// People, with two palms each; mirrored, each palm is one more.
const PEOPLE: u64 = 800;
/// Presentations of each palm.
const PRESENTATIONS: u64 = 6;
/// Misalignment of the regions, in those of a typical capture: fitted on worse ones it bears the worst.
const MISALIGNMENT: f32 = 2.0;
/// Added to each direction's within-palm variance, as a share of the mean one.
const RIDGE: f64 = 0.02;

fn main() -> Result<(), Box<dyn Error>> {
    let to =
        std::env::args().nth(1).unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src/projection.bin").into());
    let palms: Vec<Vec<Vec<f32>>> = in_parallel(FIRST_PERSON..FIRST_PERSON + PEOPLE, |person| {
        crops(person, PRESENTATIONS, MISALIGNMENT)
            .into_iter()
            .map(|palm| {
                palm.iter().filter_map(|roi| line_features(roi).ok()).map(|features| features.to_vec()).collect()
            })
            .collect::<Vec<Vec<Vec<f32>>>>()
    })
    .into_iter()
    .flatten()
    .filter(|palm: &Vec<Vec<f32>>| palm.len() >= 2)
    .collect();
    let mean = mean(palms.iter().flatten());
    let mirrored: Vec<Vec<Vec<f32>>> =
        palms.iter().map(|palm| palm.iter().map(|features| mirror(features)).collect()).collect();
    let directions = discriminants(&palms.into_iter().chain(mirrored).collect::<Vec<_>>());
    std::fs::write(&to, encode(&directions, &mean))?;
    eprintln!("wrote {to}");
    Ok(())
}

/// The features of the mirrored palm: columns change ends, and every slanted orientation leans the other way.
fn mirror(features: &[f32]) -> Vec<f32> {
    let orientations = usize::from(ORIENTATIONS);
    let grid = LINE_FEATURES / (2 * orientations);
    let side = grid.isqrt();
    let from = |i: usize| {
        let (channel, row, column) = (i / grid, i % grid / side, i % side);
        let (sign, orientation) = (channel / orientations, channel % orientations);
        (sign * orientations + (orientations - orientation) % orientations) * grid + row * side + side - 1 - column
    };
    (0..LINE_FEATURES).map(|i| features[from(i)]).collect()
}

fn mean<'a>(rows: impl Iterator<Item = &'a Vec<f32>>) -> DVector<f64> {
    let (mut sum, mut count) = (DVector::zeros(LINE_FEATURES), 0.0);
    for row in rows {
        sum += vector(row);
        count += 1.0;
    }
    sum / count
}

fn vector(row: &[f32]) -> DVector<f64> {
    DVector::from_iterator(LINE_FEATURES, row.iter().map(|&value| f64::from(value)))
}

/// One direction a column, most telling first, scaled so that presentations of one palm vary by one.
fn discriminants(palms: &[Vec<Vec<f32>>]) -> DMatrix<f64> {
    let centre = mean(palms.iter().flatten());
    let (mut within, mut between) = (Scatter::new(), Scatter::new());
    let mut presentations = 0.0;
    for palm in palms {
        let middle = mean(palm.iter());
        palm.iter().for_each(|row| within.add(vector(row) - &middle));
        between.add(&middle - &centre);
        presentations += palm.len() as f64;
    }
    let count = palms.len() as f64;
    let mut within = within.finish() / (presentations - count);
    let between = between.finish() / count - &within * (count / presentations);
    let ridge = RIDGE * within.trace() / LINE_FEATURES as f64;
    within.fill_diagonal_offset(ridge);

    let whitener = Cholesky::new(within).expect("the ridge makes it positive definite").l();
    let half = whitener.solve_lower_triangular(&between).expect("a Cholesky factor has no zero on its diagonal");
    let whitened = whitener.solve_lower_triangular(&half.transpose()).expect("as above");
    let eigen = SymmetricEigen::new((&whitened + whitened.transpose()) * 0.5);
    let mut order: Vec<usize> = (0..LINE_FEATURES).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let best: Vec<_> =
        order[..EMBEDDING_DIMENSIONS].iter().map(|&i| eigen.eigenvectors.column(i).into_owned()).collect();
    whitener.tr_solve_lower_triangular(&DMatrix::from_columns(&best)).expect("as above")
}

trait DiagonalOffset {
    fn fill_diagonal_offset(&mut self, offset: f64);
}

impl DiagonalOffset for DMatrix<f64> {
    fn fill_diagonal_offset(&mut self, offset: f64) {
        (0..self.nrows()).for_each(|i| self[(i, i)] += offset);
    }
}

/// A sum of outer products, gathered in blocks so that it runs at matrix multiplication's speed.
struct Scatter {
    sum: DMatrix<f64>,
    block: Vec<DVector<f64>>,
}

impl Scatter {
    fn new() -> Self {
        Self { sum: DMatrix::zeros(LINE_FEATURES, LINE_FEATURES), block: Vec::new() }
    }

    fn add(&mut self, row: DVector<f64>) {
        self.block.push(row);
        if self.block.len() == 512 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.block.is_empty() {
            let block = DMatrix::from_columns(&self.block);
            self.sum.gemm(1.0, &block, &block.transpose(), 1.0);
            self.block.clear();
        }
    }

    fn finish(mut self) -> DMatrix<f64> {
        self.flush();
        self.sum
    }
}

/// Offsets, scales and weights as `projection.rs` reads them.
fn encode(directions: &DMatrix<f64>, mean: &DVector<f64>) -> Vec<u8> {
    let (mut offsets, mut scales, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for direction in directions.column_iter() {
        // The sign of a direction means nothing; fix it, so that the file does not depend on the solver's mood.
        let largest = direction[direction.icamax()];
        let scale = largest / 127.0;
        let rounded = direction.map(|weight| (weight / scale).round());
        let scale = scale.abs();
        offsets.extend(((rounded.dot(mean) * scale) as f32).to_le_bytes());
        scales.extend((scale as f32).to_le_bytes());
        weights.extend(rounded.iter().map(|&weight| weight as i8 as u8));
    }
    [offsets, scales, weights].concat()
}
