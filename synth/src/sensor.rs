//! The camera's own part: the lamp's falloff, vignetting, noise and eight bits.

use crate::camera::Camera;
use crate::dice::{Dice, Purpose, mixed};
use crate::image::GreyImage;
use crate::math::Point;
use crate::parameters::{SHOT_NOISE, SKIN_GREY, VIGNETTING};
use crate::sprite::Sprite;

/// Light on the hand across a frame.
#[derive(Clone, Copy)]
pub(crate) struct Lighting {
    /// 1 usual.
    pub(crate) exposure: f32,
    /// Share lost at the corners.
    pub(crate) falloff: f32,
    /// Brightest place in pixels.
    pub(crate) middle: Point,
}

/// Light collected by the sensor, in grey levels before clipping.
pub(crate) struct Exposure {
    width: usize,
    height: usize,
    greys: Vec<f32>,
}

impl Exposure {
    pub(crate) fn of_view(width: usize, height: usize, view: &[f32]) -> Self {
        Self { width, height, greys: view.to_vec() }
    }

    /// Draws `sprite` as `camera` sees it over what is there.
    pub(crate) fn add(&mut self, sprite: &Sprite, camera: &Camera, lighting: Lighting) {
        let [xs, ys, depths] = camera.to_hand.rows().map(|row| row.map(|number| number as f32));
        let corner = Point::new(self.width as f32, self.height as f32) * 0.5;
        let loss = lighting.falloff / corner.dot(corner);
        for (row, greys) in self.greys.chunks_exact_mut(self.width).enumerate() {
            let y = row as f32;
            let [x0, y0, w0] = [xs, ys, depths].map(|numbers| numbers[1] * y + numbers[2]);
            let off_y = (y - lighting.middle.y) * (y - lighting.middle.y);
            for (column, grey) in greys.iter_mut().enumerate() {
                let x = column as f32;
                let depth = 1.0 / (depths[0] * x + w0);
                let p = Point::new((xs[0] * x + x0) * depth, (ys[0] * x + y0) * depth);
                if let Some([light, covered]) = sprite.at(p)
                    && covered > 0.0
                {
                    let off = (x - lighting.middle.x) * (x - lighting.middle.x) + off_y;
                    let lamp = lighting.exposure * (1.0 - loss * off).max(0.1);
                    *grey = *grey * (1.0 - covered) + SKIN_GREY * lamp * light;
                }
            }
        }
    }

    /// The eight-bit frame.
    pub(crate) fn developed(self, grain: &Grain, moment: u64, noise: f32) -> GreyImage {
        let middle = Point::new(self.width as f32, self.height as f32) * 0.5;
        let loss = VIGNETTING / middle.dot(middle);
        let mut pixels = Vec::with_capacity(self.greys.len());
        for (row, greys) in self.greys.chunks_exact(self.width).enumerate() {
            let off_y = (row as f32 - middle.y) * (row as f32 - middle.y);
            let grains = grain.row(moment, row, self.width);
            pixels.extend(greys.iter().zip(grains).enumerate().map(|(column, (&grey, grain))| {
                let off_x = (column as f32 - middle.x) * (column as f32 - middle.x);
                let grey = grey * (1.0 - loss * (off_x + off_y));
                let deviation = (noise * noise + SHOT_NOISE * grey.max(0.0)).sqrt();
                // Rounds, and holds at 0 and 255 as a converter does.
                (grey + deviation * grain + 0.5) as u8
            }));
        }
        GreyImage { width: self.width, height: self.height, pixels }
    }
}

/// Pixels of a frame that `sprite` covers more than half.
pub(crate) fn covered_area(width: usize, height: usize, sprite: &Sprite, camera: &Camera) -> u32 {
    let covered = |column: usize, row: usize| {
        let p = camera.to_hand.apply(Point::new(column as f32, row as f32));
        sprite.at(p).is_some_and(|[_, covered]| covered > 0.5)
    };
    let in_row = |row: usize| (0..width).filter(|&column| covered(column, row)).count() as u32;
    (0..height).map(in_row).sum()
}

/// A store of noise, cut differently for each frame and row.
pub(crate) struct Grain {
    gaussians: Vec<f32>,
    seed: u64,
}

impl Grain {
    /// Enough for rows of `width` pixels.
    pub(crate) fn new(seed: u64, width: usize) -> Self {
        Self { gaussians: Dice::new(seed, Purpose::Noise).gaussians(16_384 + width), seed }
    }

    fn row(&self, moment: u64, row: usize, width: usize) -> &[f32] {
        let start = mixed(mixed(self.seed, moment), row as u64) as usize % (self.gaussians.len() - width);
        &self.gaussians[start..start + width]
    }
}
