//! How strongly dark lines and bright lines of several scales and orientations run through each part of a palm: what
//! `LineMeans` of `training/recognition/model.py` works out.

use std::f32::consts::PI;

use zeroize::Zeroizing;

use crate::line_filters::{LineFilters, Phased};
use crate::outline::Point;
use crate::roi_normalize::add_scaled;
use crate::template_parameters::{
    LINE_FLOOR, LINE_ORIENTATIONS, LINE_SCALES, LINE_SIDE, LINE_STEP, PART_SIDE, PART_SIGMA, PART_STEP, PARTS,
};

/// Side of the picture that lines are looked for in.
pub(crate) const INPUT_SIDE: usize = 120;
/// Cells along a side.
const CELLS: usize = (INPUT_SIDE - LINE_SIDE) / LINE_STEP + 1;
/// Kinds of line: dark or bright, of a scale and an orientation.
const KINDS: usize = 2 * LINE_SCALES.len() * LINE_ORIENTATIONS;
/// How many numbers say where which lines run.
pub(crate) const LINE_MEANS: usize = KINDS * PARTS * PARTS;
/// Cells before the first one that the first part's mean begins at.
const PART_MARGIN: usize = PART_SIDE / 2 - 1;
const _: () = {
    assert!(INPUT_SIDE.is_multiple_of(LINE_STEP), "a row divides into phases");
    assert!((CELLS + 2 * PART_MARGIN - PART_SIDE) / PART_STEP + 1 == PARTS, "as many parts as the means have room for");
};

/// The filters and the weights of the means.
pub(crate) struct LineMeans {
    scales: Vec<LineFilters>,
    weights: [f32; PART_SIDE],
}

impl LineMeans {
    pub(crate) fn new() -> Self {
        let normal = |orientation: usize| {
            let (right, down) = (orientation as f32 * PI / LINE_ORIENTATIONS as f32).sin_cos();
            Point::new(right, down)
        };
        let normals: Vec<Point> = (0..LINE_ORIENTATIONS).map(normal).collect();
        let filters = |&(wavelength, sigma): &(f32, f32)| LineFilters::new(wavelength, sigma, LINE_SIDE, &normals);
        let bell = |i: usize| (-0.5 * ((i as f32 - (PART_SIDE / 2) as f32) / PART_SIGMA).powi(2)).exp();
        let sum: f32 = (0..PART_SIDE).map(bell).sum();
        Self { scales: LINE_SCALES.iter().map(filters).collect(), weights: std::array::from_fn(|i| bell(i) / sum) }
    }

    /// [`LINE_MEANS`] numbers of `pictures` of [`INPUT_SIDE`] x [`INPUT_SIDE`], the mean of what each says: dark lines of
    /// each scale's orientations, then bright ones; of each kind part by part, row by row.
    pub(crate) fn of(&self, pictures: &[Zeroizing<Vec<f32>>]) -> Zeroizing<Vec<f32>> {
        let mut lines = Zeroizing::new(vec![0.0; KINDS * CELLS * CELLS]);
        for picture in pictures {
            self.add_lines(&Phased::new(picture, INPUT_SIDE, LINE_STEP), 1.0 / pictures.len() as f32, &mut lines);
        }
        let mut means = Zeroizing::new(Vec::with_capacity(LINE_MEANS));
        lines.chunks_exact(CELLS * CELLS).for_each(|kind| self.add_means(kind, &mut means));
        means
    }

    /// Adds `weight` times each cell's dark lines and bright lines. A cell's responses of a scale are divided by their
    /// common length, so that a faint wrinkle says as much about its direction as a deep line.
    fn add_lines(&self, picture: &Phased, weight: f32, lines: &mut [f32]) {
        const OF_SCALE: usize = LINE_ORIENTATIONS * CELLS * CELLS;
        let (dark, bright) = lines.split_at_mut(KINDS / 2 * CELLS * CELLS);
        let places = dark.chunks_exact_mut(OF_SCALE).zip(bright.chunks_exact_mut(OF_SCALE));
        for (filters, (dark, bright)) in self.scales.iter().zip(places) {
            let responses = filters.responses(picture);
            let mut shares = Zeroizing::new([LINE_FLOOR; CELLS * CELLS]);
            for of_orientation in responses.chunks_exact(CELLS * CELLS) {
                shares.iter_mut().zip(of_orientation).for_each(|(sum, response)| *sum += response * response);
            }
            shares.iter_mut().for_each(|sum| *sum = weight / sum.sqrt());
            let shares = shares.iter().cycle();
            for (((response, share), dark), bright) in responses.iter().zip(shares).zip(dark).zip(bright) {
                let line = response * share;
                *dark += line.max(0.0);
                *bright += (-line).max(0.0);
            }
        }
    }

    /// Adds the Gaussian mean of a kind of line at each part of the palm. There are no lines beyond the edges.
    fn add_means(&self, kind: &[f32], means: &mut Zeroizing<Vec<f32>>) {
        // Taps of a part that lie within the picture: the first of them, and the cells that they weigh.
        let taps = |part: usize| {
            let from = (part * PART_STEP).saturating_sub(PART_MARGIN);
            let first = from + PART_MARGIN - part * PART_STEP;
            (&self.weights[first..], from)
        };
        let mut line = Zeroizing::new([0.0; CELLS]);
        for (weights, from) in (0..PARTS).map(taps) {
            line.fill(0.0);
            for (weight, row) in weights.iter().zip(kind[from * CELLS..].chunks_exact(CELLS)) {
                add_scaled(&mut *line, row, *weight);
            }
            let mean = |(weights, from): (&[f32], usize)| -> f32 {
                weights.iter().zip(&line[from..]).map(|(weight, value)| weight * value).sum()
            };
            means.extend((0..PARTS).map(taps).map(mean));
        }
    }
}
