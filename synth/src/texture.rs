//! Palm squares at training size, made fast: a palm's identity layers are kept on a coarse grid, and one capture of
//! them costs well under a millisecond or two.
//!
//! [`Palm`](crate::Palm) renders what one sensor sees of one hand. A network that is to work on sensors that nobody has
//! seen must not learn that sensor, so here everything varies further than it does on real hands: which layers show,
//! dark or bright, how the skin lies, where the light comes from, how the square is cut.

mod capture;
mod layers;
mod light;
mod render;

pub use capture::{Capture, Spectrum};

use crate::dice::{Dice, Purpose, mixed};
use crate::error::SynthError;
use crate::image::GreyImage;
use crate::parameters::{CROP_SIDE_MAX, CROP_SIDE_MIN};
use layers::Layers;

/// One palm's identity layers, some 250 kB. Making one takes 10 to 20 ms on one core.
pub struct Texture {
    person: u64,
    layers: Layers,
}

impl Texture {
    /// The palm that belongs to nobody and has this number. Not the palm that [`Palm::of`](crate::Palm::of) makes of
    /// the same number.
    pub fn of(person: u64) -> Self {
        Self { person, layers: Layers::of(&mut Dice::new(person, Purpose::Texture)) }
    }

    /// Its number.
    pub fn person(&self) -> u64 {
        self.person
    }

    /// Its `sample`-th capture. Captures of one session share light and skin; `session` may be any number.
    pub fn sample(&self, session: u64, sample: u64) -> Capture {
        let session = mixed(self.person, session);
        Capture::sample(self.person, session, mixed(session, sample))
    }

    /// The palm square, `side` x `side` pixels ([`CROP_SIDE_MIN`] to [`CROP_SIDE_MAX`]), as `capture` shows it.
    pub fn crop(&self, capture: &Capture, side: usize) -> Result<GreyImage, SynthError> {
        if !(CROP_SIDE_MIN..=CROP_SIDE_MAX).contains(&side) {
            return Err(SynthError::CropSide { side });
        }
        Ok(render::crop(&self.layers, capture, side))
    }
}

/// A number drawn from a seed, the `number`-th of it: for choosing palms and sessions in an order that repeats.
pub fn drawn(seed: u64, number: u64) -> u64 {
    mixed(seed, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(a: &GreyImage, b: &GreyImage) -> f32 {
        let centred = |image: &GreyImage| {
            let mean = image.pixels.iter().map(|&p| f32::from(p)).sum::<f32>() / image.pixels.len() as f32;
            image.pixels.iter().map(|&p| f32::from(p) - mean).collect::<Vec<_>>()
        };
        let (a, b) = (centred(a), centred(b));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    fn plain(texture: &Texture, sample: u64) -> Capture {
        Capture { noise: 0.0, shading: 0.0, ..texture.sample(0, sample).still() }
    }

    #[test]
    fn the_same_numbers_give_the_same_pixels() {
        let crop = || {
            let texture = Texture::of(3);
            texture.crop(&texture.sample(1, 2), 96).expect("a side in range").pixels
        };
        assert!(crop() == crop());
    }

    #[test]
    fn captures_of_one_palm_agree_and_of_two_do_not() {
        let (mut like, mut unlike) = (0.0, 0.0);
        for person in 0..8 {
            let (one, other) = (Texture::of(person), Texture::of(person + 100));
            let base = plain(&one, 0);
            let crop = |texture: &Texture, capture: &Capture| texture.crop(capture, 96).expect("a side in range");
            let moved = Capture { degrees: base.degrees + 1.0, seed: 5, ..base.clone() };
            like += correlation(&crop(&one, &base), &crop(&one, &moved)) / 8.0;
            unlike += correlation(&crop(&one, &base), &crop(&other, &base)) / 8.0;
        }
        assert!(like > 0.6 && like > unlike + 0.3, "{like} against {unlike}");
    }

    #[test]
    fn sides_out_of_range_are_refused() {
        let texture = Texture::of(1);
        for side in [0, CROP_SIDE_MIN - 1, CROP_SIDE_MAX + 1] {
            assert!(texture.crop(&texture.sample(0, 0), side).is_err(), "{side}");
        }
    }
}
