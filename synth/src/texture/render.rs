//! From layers and a capture to pixels: mix the layers, blur, look through the warp, light, and read the sensor.

use std::sync::LazyLock;

use super::capture::Capture;
use super::layers::{DEPTH, Layers, SWING};
use super::light::{cell, cover, highlight, shade};
use crate::dice::{Dice, Purpose, noise};
use crate::image::GreyImage;
use crate::math::{Point, sin_cos};
use crate::parameters::{PALM_MM, SLOPES_GAIN, TEXTURE_CENTRE};
use crate::raster::{Grid, Raster, blur_gaussian};

pub(super) fn crop(layers: &Layers, capture: &Capture, side: usize) -> GreyImage {
    let skin = blurred(mixed_layers(layers, capture), layers.grid, capture, side);
    let mut values = seen(&skin, capture, side);
    shade(&mut values, side, capture);
    highlight(&mut values, side, capture);
    cover(&mut values, side, capture);
    GreyImage { width: side, height: side, pixels: read(&values, side, capture) }
}

/// The skin's brightness, 1 where nothing shows.
fn mixed_layers(layers: &Layers, capture: &Capture) -> Vec<f32> {
    let (width, height) = (layers.grid.width, layers.grid.height);
    let look = &capture.spectrum;
    let weight = |share: f32, full: f32| share * capture.contrast / full;
    let depths = Depths::new(layers, capture);
    let (sine, cosine) = sin_cos(capture.light_degrees.to_radians());
    let (lamp_x, lamp_y) = (sine * look.slopes * SLOPES_GAIN, -cosine * look.slopes * SLOPES_GAIN);
    let flat = (1.0 - look.slopes) * if look.principal < 0.0 { -1.0 } else { 1.0 };
    let [ridges, grain, tone] = [look.ridges, look.grain, look.tone].map(|share| weight(share, SWING));
    let veins = weight(look.veins, DEPTH);
    let fading = Fading::new(capture, layers.grid);
    let mut gains = vec![1.0; width];
    let mut values = vec![0.0; width * height];
    for (row, line) in values.chunks_exact_mut(width).enumerate() {
        if row % FADING_STEP == 0 {
            fading.expand(row, &mut gains);
        }
        let window = row * width..(row + 1) * width;
        let swing = |layer: &[u8], at: usize| f32::from(layer[at]) - 128.0;
        let (ridge, rough) = (&layers.ridges[window.clone()], &layers.grain[window.clone()]);
        let (vein, blotch) = (&layers.veins[window.clone()], &layers.tone[window]);
        let (here, above, below) = (depths.row(row), depths.above(row), depths.below(row));
        // Slices of one known length each: then the compiler drops the bounds checks and uses vector instructions.
        let (ridge, rough, vein, blotch) = (&ridge[..width], &rough[..width], &vein[..width], &blotch[..width]);
        let (here, gains) = (&here[..width + 2], &gains[..width]);
        let (above, below, line) = (&above[..width + 2], &below[..width + 2], &mut line[..width]);
        for at in 0..width {
            let slope = (here[at + 2] - here[at]) * lamp_x + (below[at + 1] - above[at + 1]) * lamp_y;
            let creases = flat * here[at + 1] + slope;
            line[at] = 1.0 - gains[at] * (creases - ridges * swing(ridge, at)) + grain * swing(rough, at)
                - veins * f32::from(vein[at])
                + tone * swing(blotch, at);
        }
    }
    values
}

/// All creases together, weighted, with a texel of border left and right.
struct Depths {
    values: Vec<f32>,
    stride: usize,
    last: usize,
}

impl Depths {
    fn new(layers: &Layers, capture: &Capture) -> Self {
        let (width, height) = (layers.grid.width, layers.grid.height);
        let look = &capture.spectrum;
        let weights = [look.principal, look.wrinkles[0], look.wrinkles[1]];
        let [principal, first, second] = weights.map(|share| (share * capture.contrast).abs() / DEPTH);
        let mut values = vec![0.0; (width + 2) * height];
        for (row, line) in values.chunks_exact_mut(width + 2).enumerate() {
            let window = row * width..(row + 1) * width;
            let [a, b] = [0, 1].map(|half| &layers.wrinkles[half][window.clone()]);
            let depths = layers.principal[window].iter().zip(a).zip(b);
            for (to, ((&p, &a), &b)) in line[1..=width].iter_mut().zip(depths) {
                *to = (principal * f32::from(p)).max(first * f32::from(a)).max(second * f32::from(b));
            }
            (line[0], line[width + 1]) = (line[1], line[width]);
        }
        Self { values, stride: width + 2, last: height - 1 }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.stride..][..self.stride]
    }

    fn above(&self, row: usize) -> &[f32] {
        self.row(row.saturating_sub(1))
    }

    fn below(&self, row: usize) -> &[f32] {
        self.row((row + 1).min(self.last))
    }
}

/// Texels that share one strength of fading.
const FADING_STEP: usize = 4;

/// How strongly creases show from place to place: pressed or stretched skin loses them.
struct Fading {
    nodes: Vec<f32>,
    across: usize,
}

impl Fading {
    fn new(capture: &Capture, grid: Grid) -> Self {
        let seed = capture.dice(4).bits();
        let (across, down) = (grid.width.div_ceil(FADING_STEP), grid.height.div_ceil(FADING_STEP));
        let step = grid.texel * FADING_STEP as f32;
        let strength = |i: usize| {
            let (x, y) = ((i % across) as f32 * step, (i / across) as f32 * step);
            (1.0 + capture.fading * (1.1 * noise(seed, x / 30.0, y / 30.0) + 0.5 * noise(seed ^ 1, x / 13.0, y / 13.0)))
                .clamp(0.1, 1.6)
        };
        Self { nodes: (0..across * down).map(strength).collect(), across }
    }

    /// The strengths of one row of texels.
    fn expand(&self, row: usize, gains: &mut [f32]) {
        let nodes = &self.nodes[row / FADING_STEP * self.across..][..self.across];
        for (gains, &node) in gains.chunks_mut(FADING_STEP).zip(nodes) {
            gains.fill(node);
        }
    }
}

/// Defocus, movement and what the coarser pixels of the crop average over.
fn blurred(values: Vec<f32>, grid: Grid, capture: &Capture, side: usize) -> Raster {
    let texels_per_side = PALM_MM / grid.texel;
    let pixel = 0.35 * texels_per_side / side as f32;
    let defocus = capture.blur * texels_per_side;
    let sigma = (defocus * defocus + pixel * pixel - 0.17).max(0.0).sqrt();
    let values = if sigma < 0.3 { values } else { blur_gaussian(&values, grid.width, grid.height, sigma) };
    Raster { grid, values }
}

/// The skin as it lies in the square, in shares of usual brightness.
fn seen(skin: &Raster, capture: &Capture, side: usize) -> Vec<f32> {
    let warp = Warp::new(capture);
    // Movement smears along a line: a few looks along it, averaged.
    let looks: &[f32] = if capture.motion == Point::default() { &[0.0] } else { &[-0.5, -0.25, 0.0, 0.25, 0.5] };
    let mut values = vec![0.0; side * side];
    for (row, line) in values.chunks_exact_mut(side).enumerate() {
        for (column, value) in line.iter_mut().enumerate() {
            let place = warp.at(row, column, side);
            let sum: f32 = looks.iter().map(|&look| skin.sample(place + capture.motion * (look * PALM_MM))).sum();
            *value = sum / looks.len() as f32;
        }
    }
    values
}

/// Where on the resting skin each pixel of the square looks, in millimetres.
struct Warp {
    nodes: Vec<Point>,
}

impl Warp {
    const CELLS: usize = 12;

    fn new(capture: &Capture) -> Self {
        let mut dice = capture.dice(5);
        let seeds: [u32; 4] = std::array::from_fn(|_| dice.bits());
        let (sine, cosine) = sin_cos(capture.degrees.to_radians());
        let place = |i: usize| i as f32 / Self::CELLS as f32 - 0.5;
        let node = |i: usize| {
            let (x, y) = (place(i % (Self::CELLS + 1)), place(i / (Self::CELLS + 1)));
            let depth = 1.0 + capture.perspective.x * x + capture.perspective.y * y;
            let (x, y) = (x / depth / capture.size.x, y / depth / capture.size.y);
            let (x, y) = (x + capture.shear * y, y);
            let turned = Point::new(x * cosine - y * sine, x * sine + y * cosine) + capture.shift;
            let wide = |salt: usize| 2.2 * noise(seeds[salt], 1.6 * x, 1.6 * y);
            let narrow = |salt: usize| 2.2 * noise(seeds[salt], 4.0 * x, 4.0 * y);
            let stretch = Point::new(wide(0), wide(1)) * capture.stretch[0]
                + Point::new(narrow(2), narrow(3)) * capture.stretch[1];
            (turned + stretch) * PALM_MM + Point::new(TEXTURE_CENTRE.0, TEXTURE_CENTRE.1)
        };
        Self { nodes: (0..(Self::CELLS + 1) * (Self::CELLS + 1)).map(node).collect() }
    }

    fn at(&self, row: usize, column: usize, side: usize) -> Point {
        let ((above, dy), (left, dx)) = (cell(row, side, Self::CELLS), cell(column, side, Self::CELLS));
        let at = above * (Self::CELLS + 1) + left;
        let upper = self.nodes[at].mix(self.nodes[at + 1], dx);
        let lower = self.nodes[at + Self::CELLS + 1].mix(self.nodes[at + Self::CELLS + 2], dx);
        upper.mix(lower, dy)
    }
}

/// Normally distributed numbers, drawn once: noise starts anywhere in them.
static NOISE: LazyLock<Vec<f32>> = LazyLock::new(|| Dice::new(0, Purpose::Noise).gaussians(1 << 16));

/// Grey levels with the sensor's noise.
fn read(values: &[f32], side: usize, capture: &Capture) -> Vec<u8> {
    let mut dice = capture.dice(6);
    let table = &**NOISE;
    let stripes: Vec<f32> =
        (0..2 * side).map(|i| capture.stripes * table[(i + dice.bits() as usize) % table.len()]).collect();
    let mut pixels = Vec::with_capacity(values.len());
    for (row, line) in values.chunks_exact(side).enumerate() {
        let start = dice.bits() as usize % (table.len() - side);
        let grain = &table[start..start + side];
        pixels.extend(line.iter().zip(grain).zip(&stripes[side..]).map(|((&value, &grain), &stripe)| {
            (value * capture.grey + capture.noise * grain + stripes[row] + stripe + 0.5).clamp(0.0, 255.0) as u8
        }));
    }
    pixels
}
