//! Tuned numbers of the template extractor, with their source or the measurement behind them. Lengths are in pixels
//! of the region of interest unless said otherwise.

use crate::roi::{PALM_SIDE, ROI_SIDE};
use volar_core::template::{CODE_SHIFT, CODE_SIDE, FIELD_SIDE, ROTATIONS_MAX};

/// The extractor's name: anything below that changes what a template says changes this too.
pub(crate) const MODEL: &str = "palm-lines-3";

/// Standard deviation of the Gaussian whose mean is taken away, as a share of the palm square: three times the width of
/// a principal line.
pub(crate) const MEAN_SHARE: f32 = 0.06;
/// Standard deviation of the Gaussian over which the contrast is brought to one, as a share of the palm square.
pub(crate) const CONTRAST_SHARE: f32 = 0.09;
/// Local contrast counts as at least this share of the whole region's, so that noise on smooth skin stays small.
pub(crate) const CONTRAST_FLOOR: f32 = 0.25;
/// Normalised values end here: a highlight weighs no more than a deep crease.
pub(crate) const CLIP: f32 = 3.0;
/// Least root-mean-square contrast in grey levels. Rounding to 8 bits alone makes 1/sqrt(12) = 0.29, so below it a
/// region shows nothing that repeats.
pub(crate) const CONTRAST_MIN: f32 = 0.3;
/// Darker than this share of the palm's median grey is not skin but what lies behind the hand: light that falls off
/// towards an edge of the palm leaves more.
pub(crate) const BACKGROUND_SHARE: f32 = 0.35;
/// Pixels around such a pixel that do not count as skin either, because the hand's edge is blurred.
pub(crate) const BACKGROUND_REACH: usize = 3;
/// Least share of skin in a region.
pub(crate) const SKIN_SHARE_MIN: f32 = 0.5;

/// Wavelengths of the embedding's line filters and deviations of their round envelopes, in pixels of a palm square of 96.
/// These and what follows are `training/recognition/model.py`'s.
pub(crate) const LINE_SCALES: [(f32, f32); 3] = [(7.0, 2.6), (12.0, 4.5), (19.0, 6.5)];
/// Orientations of lines that are told apart.
pub(crate) const LINE_ORIENTATIONS: usize = 8;
/// Side of a filter and pixels from one cell to the next.
pub(crate) const LINE_SIDE: usize = 27;
/// See [`LINE_SIDE`].
pub(crate) const LINE_STEP: usize = 3;
/// Added to the squared length of a cell's responses: below it a cell shows nothing but noise.
pub(crate) const LINE_FLOOR: f32 = 1.0;
/// Parts of the palm along a side whose lines are summed up.
pub(crate) const PARTS: usize = 10;
/// Deviation in cells of the Gaussian that weighs a part's cells, and the cells along its side.
pub(crate) const PART_SIGMA: f32 = 1.8;
/// See [`PART_SIGMA`].
pub(crate) const PART_SIDE: usize = 11;
/// Cells from one part to the next.
pub(crate) const PART_STEP: usize = 3;
/// Turns of the palm, in degrees, of which the mean is taken: means over parts of the palm bear small shifts, and this bears
/// small turns.
pub(crate) const TURNS_DEGREES: [f32; 2] = [-5.0, 5.0];
/// Lengths of that mean that count as saying nothing and as saying all. Of 3,072 crops of made-up palms, 2 % lie below 16.7
/// and 10 % above 22.1.
pub(crate) const CLARITY: (f32, f32) = (12.0, 22.5);

/// Filters run on a picture of half the size: their wavelength is 16 pixels, far above its limit of 4.
pub(crate) const HALF_SIDE: usize = ROI_SIDE / 2;
/// Half-size pixels from one orientation cell to the next.
pub(crate) const CELL_STEP: usize = 2;
/// Wavelength of the line filters in half-size pixels.
pub(crate) const WAVELENGTH: f32 = 8.0;
/// Standard deviation of their round envelope in half-size pixels.
pub(crate) const ENVELOPE_SIGMA: f32 = 3.0;
/// Side of a filter in half-size pixels: three envelope deviations either way. Even, because a cell's centre lies
/// between pixels.
pub(crate) const FILTER_SIDE: usize = 18;
/// Turns of a probe's region that give its orientation fields, in degrees. The first is the reference's.
pub(crate) const ROTATIONS_DEGREES: [f32; 5] = [0.0, -4.0, 4.0, -8.0, 8.0];

const _: () = {
    assert!(HALF_SIDE == FIELD_SIDE * CELL_STEP, "cells tile the region of interest");
    assert!(PALM_SIDE == CODE_SIDE * 2 * CELL_STEP, "the compared code covers the palm square");
    assert!(CODE_SHIFT * 2 * CELL_STEP == (ROI_SIDE - PALM_SIDE) / 2, "shifts stay within the margin");
    assert!(FILTER_SIDE.is_multiple_of(2), "a filter is centred between pixels, where a cell is");
    assert!(ROTATIONS_DEGREES.len() <= ROTATIONS_MAX, "a probe may not carry more");
};
