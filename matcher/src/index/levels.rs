//! Embeddings in whole numbers, a byte a coordinate, and exact sums of their products with a probe.

use bytemuck::{Pod, Zeroable};
use volar_core::template::EMBEDDING_DIMENSIONS;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A reference: its coordinates in steps of its own size. Rounding moves a cosine by about 0.0005.
#[derive(Clone, Copy, Zeroize, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Levels {
    steps: [i8; EMBEDDING_DIMENSIONS],
    size: f32,
}

impl Levels {
    pub(super) fn new(embedding: &[f32; EMBEDDING_DIMENSIONS]) -> Self {
        let (size, mut steps) = (step_size(embedding, i8::MAX.into()), [0; EMBEDDING_DIMENSIONS]);
        steps.iter_mut().zip(embedding).for_each(|(to, &value)| *to = (value / size).round() as i8);
        Self { steps, size }
    }
}

/// A probe, in steps so small that they do not matter.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct ProbeLevels {
    steps: [i16; EMBEDDING_DIMENSIONS],
    size: f32,
}

impl ProbeLevels {
    pub(super) fn new(embedding: &[f32; EMBEDDING_DIMENSIONS]) -> Self {
        let (size, mut steps) = (step_size(embedding, i16::MAX.into()), [0; EMBEDDING_DIMENSIONS]);
        steps.iter_mut().zip(embedding).for_each(|(to, &value)| *to = (value / size).round() as i16);
        Self { steps, size }
    }

    /// Cosines with the references at the places `at` of `all`. Sums of whole numbers are the same in any order, so every
    /// processor and every history of the index gives the same.
    pub(super) fn cosines(&self, all: &[Levels], at: &[usize], to: &mut Vec<f32>) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just said that it has it.
            #[allow(unsafe_code)]
            unsafe {
                self.cosines_avx2(all, at, to);
            }
            return;
        }
        self.cosines_plain(all, at, to);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[allow(unsafe_code)]
    fn cosines_avx2(&self, all: &[Levels], at: &[usize], to: &mut Vec<f32>) {
        use std::arch::x86_64::*;
        let ask_for = |place: usize| {
            let bytes: *const i8 = all[place].steps.as_ptr();
            for line in 0..EMBEDDING_DIMENSIONS / 64 + 1 {
                _mm_prefetch::<_MM_HINT_T0>(bytes.wrapping_add(64 * line));
            }
        };
        // Places lie far apart in memory, so later ones are asked for while earlier ones are worked on.
        at.iter().take(AHEAD).for_each(|&place| ask_for(place));
        for (number, &place) in at.iter().enumerate() {
            if let Some(&ahead) = at.get(number + AHEAD) {
                ask_for(ahead);
            }
            let reference = &all[place];
            let mut sums = _mm256_setzero_si256();
            for (a, b) in reference.steps.chunks_exact(16).zip(self.steps.chunks_exact(16)) {
                // SAFETY: sixteen numbers of 8 bits and sixteen of 16.
                let (a, b) = unsafe { (_mm_loadu_si128(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) };
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), b));
            }
            let mut lanes = [0_i32; 8];
            // SAFETY: eight numbers of 32 bits.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
            to.push(self.cosine(reference, lanes.iter().sum()));
        }
    }

    fn cosines_plain(&self, all: &[Levels], at: &[usize], to: &mut Vec<f32>) {
        for &place in at {
            let products = all[place].steps.iter().zip(&self.steps).map(|(&a, &b)| i32::from(a) * i32::from(b));
            to.push(self.cosine(&all[place], products.sum()));
        }
    }

    /// Of the sum of products, which is at most 256 x 127 x 32,767: 32 bits hold it.
    fn cosine(&self, reference: &Levels, sum: i32) -> f32 {
        sum as f32 * (self.size * reference.size)
    }
}

/// Rows between the one worked on and the one asked for.
const AHEAD: usize = 8;

/// The step of which the greatest coordinate is `most`.
fn step_size(embedding: &[f32; EMBEDDING_DIMENSIONS], most: f32) -> f32 {
    embedding.iter().fold(f32::MIN_POSITIVE, |greatest, value| greatest.max(value.abs())) / most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Palms;

    #[test]
    fn cosines_are_those_of_the_floats() {
        let mut palms = Palms::new(1);
        let references: Vec<_> = (0..300).map(|_| *palms.reference_of_new().embedding.expose()).collect();
        let levels: Vec<Levels> = references.iter().map(Levels::new).collect();
        let all: Vec<usize> = (0..300).collect();
        let (mut squares, mut count) = (0.0, 0);
        for probe in references.iter().take(20) {
            let (mut fast, mut plain) = (Vec::new(), Vec::new());
            let levels_of_probe = ProbeLevels::new(probe);
            levels_of_probe.cosines(&levels, &all, &mut fast);
            levels_of_probe.cosines_plain(&levels, &all, &mut plain);
            assert_eq!(fast, plain);
            for (cosine, reference) in fast.into_iter().zip(&references) {
                let exact: f64 = probe.iter().zip(reference).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                squares += (f64::from(cosine) - exact).powi(2);
                count += 1;
            }
        }
        assert!((squares / f64::from(count)).sqrt() < 0.001);
    }

    #[test]
    fn one_great_coordinate_overflows_nothing() {
        let mut embedding = [0.0; EMBEDDING_DIMENSIONS];
        embedding[0] = -1.0;
        let mut found = Vec::new();
        ProbeLevels::new(&embedding).cosines(&[Levels::new(&embedding)], &[0], &mut found);
        assert!((found[0] - 1.0).abs() < 1e-4);
        let flat = [1.0 / 16.0; EMBEDDING_DIMENSIONS];
        found.clear();
        ProbeLevels::new(&flat).cosines(&[Levels::new(&flat)], &[0], &mut found);
        assert!((found[0] - 1.0).abs() < 1e-4);
    }
}
