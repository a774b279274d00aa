//! Template protection (ISO/IEC 24745): before a template leaves the capture device, its embedding goes through a
//! secret orthogonal transform and its orientation code through a keyed permutation, both of one gallery.
//!
//! - Inner products and angular distances under one key stay exactly as they were, so accuracy does.
//! - Under two keys the same palm scores like two strangers (unlinkable); a new key revokes (renewable).
//! - The key is known to capture devices and the vault. A matcher never has it: what it holds in memory is no palm's
//!   texture to whoever reads a few of them.
//!
//! It yields to someone who holds enough plain and protected pairs, and the permutation mostly to someone who holds thousands of
//! one gallery's codes (`docs/protection.md`); it is one layer beside sealing at rest, locked memory and mutual TLS, not a
//! replacement for them.

mod renewal;

use std::fmt;

use zeroize::Zeroize;

pub use renewal::Renewal;

use crate::secret::Key;
use crate::template::{
    CODE_BYTES, CODE_CELLS, CODE_SHIFT, CODE_SIDE, EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS,
    OrientationField, Probe, ProtectedCode, ProtectedEmbedding, Reference, Template,
};

/// Rounds of sign flips, permutation and Walsh-Hadamard transform: three mix every dimension into every other.
const ROUNDS: usize = 3;

/// One gallery's secret transform.
#[derive(Clone)]
pub struct GalleryProtection {
    rounds: Vec<Round>,
    cells: Vec<Cell>,
}

#[derive(Clone)]
struct Round {
    negate: [bool; EMBEDDING_DIMENSIONS],
    order: Vec<usize>,
}

/// Where a protected cell comes from, and by how much its orientation is turned.
#[derive(Clone, Copy, Zeroize)]
struct Cell {
    row: usize,
    column: usize,
    turn: u8,
}

impl GalleryProtection {
    /// The transform that `key` fixes.
    pub fn new(key: &Key) -> Self {
        let rounds = (0..ROUNDS as u8)
            .map(|round| {
                let mut signs = stream(key, "volar.v1 embedding signs", round, EMBEDDING_DIMENSIONS);
                Round {
                    negate: std::array::from_fn(|i| signs.below(i, 2) == 1),
                    order: shuffled(key, "volar.v1 embedding order", round, EMBEDDING_DIMENSIONS),
                }
            })
            .collect();
        let mut turns = stream(key, "volar.v1 code turns", 0, CODE_CELLS);
        let cells = shuffled(key, "volar.v1 code order", 0, CODE_CELLS)
            .into_iter()
            .enumerate()
            .map(|(i, from)| Cell {
                row: from / CODE_SIDE,
                column: from % CODE_SIDE,
                turn: turns.below(i, u32::from(ORIENTATIONS)) as u8,
            })
            .collect();
        Self { rounds, cells }
    }

    /// Protects a template for storing.
    pub fn reference(&self, template: &Template) -> Reference {
        Reference {
            embedding: self.embedding(&template.embedding),
            code: self.code(&template.orientations[0], CODE_SHIFT, CODE_SHIFT),
            quality: template.quality,
        }
    }

    /// Protects a template for comparing: its code at every rotation and shift, unshifted first.
    pub fn probe(&self, template: &Template) -> Probe {
        let middle = (CODE_SHIFT, CODE_SHIFT);
        let window = 0..2 * CODE_SHIFT + 1;
        let others = window.clone().flat_map(|down| window.clone().map(move |right| (down, right)));
        let shifts: Vec<_> = std::iter::once(middle).chain(others.filter(|&shift| shift != middle)).collect();
        let codes = template
            .orientations
            .iter()
            .flat_map(|field| shifts.iter().map(|&(down, right)| self.code(field, down, right)))
            .collect();
        Probe { embedding: self.embedding(&template.embedding), codes, quality: template.quality }
    }

    fn embedding(&self, plain: &Embedding) -> ProtectedEmbedding {
        let mut values = Box::new(*plain.expose());
        self.mix(&mut values);
        ProtectedEmbedding::from_protection(values)
    }

    fn mix(&self, values: &mut [f32; EMBEDDING_DIMENSIONS]) {
        let mut scratch = [0.0; EMBEDDING_DIMENSIONS];
        for round in &self.rounds {
            for (i, &from) in round.order.iter().enumerate() {
                scratch[i] = if round.negate[i] { -values[from] } else { values[from] };
            }
            walsh_hadamard(&mut scratch);
            *values = scratch;
        }
        scratch.zeroize();
    }

    /// What [`mix`](Self::mix) would have made of the result: the transform is its own inverse, round by round.
    fn undo(&self, values: &mut [f32; EMBEDDING_DIMENSIONS]) {
        let mut scratch = [0.0; EMBEDDING_DIMENSIONS];
        for round in self.rounds.iter().rev() {
            walsh_hadamard(values);
            for (i, &from) in round.order.iter().enumerate() {
                scratch[from] = if round.negate[i] { -values[i] } else { values[i] };
            }
            *values = scratch;
        }
        scratch.zeroize();
    }

    fn code(&self, field: &OrientationField, down: usize, right: usize) -> ProtectedCode {
        let mut words = Box::new([0_u64; CODE_BYTES / 8]);
        let plane = CODE_CELLS / 64;
        for (i, cell) in self.cells.iter().enumerate() {
            let orientation = field.expose()[(cell.row + down) * FIELD_SIDE + cell.column + right];
            let bits = ProtectedCode::PLANES[usize::from((orientation + cell.turn) % ORIENTATIONS)];
            for (number, word) in [i / 64, plane + i / 64, 2 * plane + i / 64].into_iter().enumerate() {
                words[word] |= u64::from(bits >> number & 1) << (i % 64);
            }
        }
        ProtectedCode::from_protection(words)
    }
}

impl Drop for GalleryProtection {
    fn drop(&mut self) {
        for round in &mut self.rounds {
            round.negate.zeroize();
            round.order.zeroize();
        }
        self.cells.zeroize();
    }
}

impl fmt::Debug for GalleryProtection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GalleryProtection(secret)")
    }
}

/// Orthonormal fast Walsh-Hadamard transform, in place.
fn walsh_hadamard(values: &mut [f32; EMBEDDING_DIMENSIONS]) {
    let mut half = 1;
    while half < EMBEDDING_DIMENSIONS {
        for start in (0..EMBEDDING_DIMENSIONS).step_by(2 * half) {
            for i in start..start + half {
                let (a, b) = (values[i], values[i + half]);
                values[i] = a + b;
                values[i + half] = a - b;
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (EMBEDDING_DIMENSIONS as f32).sqrt();
    values.iter_mut().for_each(|value| *value *= scale);
}

/// A key's bytes for one purpose, read as 32-bit numbers.
struct Stream(zeroize::Zeroizing<Vec<u8>>);

impl Stream {
    /// The `i`-th number, scaled to 0..bound. The bias is below bound / 2^32.
    fn below(&mut self, i: usize, bound: u32) -> u32 {
        let word = u32::from_le_bytes(self.0[4 * i..4 * i + 4].try_into().expect("four bytes"));
        ((u64::from(word) * u64::from(bound)) >> 32) as u32
    }
}

fn stream(key: &Key, purpose: &str, round: u8, count: usize) -> Stream {
    // 1,024 numbers are 4 KiB, half of what one HKDF expansion may give; a derived key per 32 bytes keeps to the one
    // primitive that `Key` offers.
    let blocks = (4 * count).div_ceil(Key::LENGTH) as u32;
    let derived = (0..blocks).map(|block| key.derive(purpose, &[&[round], &block.to_be_bytes()]));
    Stream(zeroize::Zeroizing::new(derived.flat_map(|key| *key.expose()).collect()))
}

/// Fisher-Yates.
fn shuffled(key: &Key, purpose: &str, round: u8, count: usize) -> Vec<usize> {
    let mut numbers = stream(key, purpose, round, count);
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, numbers.below(i, i as u32 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::{Randomness, SeededRandomness};
    use crate::template::{Position, Quality};

    pub(super) fn template(randomness: &SeededRandomness) -> Template {
        let mut bytes = [0; EMBEDDING_DIMENSIONS];
        randomness.fill(&mut bytes);
        let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) - 127.5).collect();
        let mut cells = [0; FIELD_SIDE * FIELD_SIDE];
        randomness.fill(&mut cells);
        cells.iter_mut().for_each(|cell| *cell %= ORIENTATIONS);
        Template {
            position: Position::Left,
            quality: Quality::new(80).expect("in range"),
            embedding: Embedding::normalized(&values).expect("not zero"),
            orientations: vec![OrientationField::new(&cells).expect("cells below six")],
        }
    }

    #[test]
    fn scores_are_unchanged_under_one_key() {
        let randomness = SeededRandomness::new(1);
        let (a, b) = (template(&randomness), template(&randomness));
        let protection = GalleryProtection::new(&Key::new([1; 32]));
        let (probe, reference) = (protection.probe(&a), protection.reference(&b));
        let plain: f32 = a.embedding.expose().iter().zip(b.embedding.expose()).map(|(x, y)| x * y).sum();
        assert!((probe.cosine(&reference) - plain).abs() < 1e-5);
        assert_eq!(probe.code_distance(&reference), b.orientations[0].distance(&a.orientations[0]));
        let own = protection.reference(&a);
        assert!((probe.cosine(&own) - 1.0).abs() < 1e-5);
        assert_eq!(probe.code_distance(&own), 0.0);
    }

    #[test]
    fn a_shifted_palm_is_found() {
        let randomness = SeededRandomness::new(2);
        let a = template(&randomness);
        let mut moved = a.clone();
        let mut cells = *a.orientations[0].expose();
        cells.rotate_left(2 * FIELD_SIDE + 1);
        moved.orientations = vec![OrientationField::new(&cells).expect("cells below six")];
        let protection = GalleryProtection::new(&Key::new([3; 32]));
        let distance = protection.probe(&moved).code_distance(&protection.reference(&a));
        assert!(distance < 0.02, "{distance}");
    }

    #[test]
    fn the_same_palm_in_two_galleries_is_two_strangers() {
        let randomness = SeededRandomness::new(3);
        let one = GalleryProtection::new(&Key::new([1; 32]));
        let two = GalleryProtection::new(&Key::new([2; 32]));
        let (mut worst_cosine, mut least_distance) = (0.0_f32, 1.0_f32);
        for _ in 0..50 {
            let palm = template(&randomness);
            let (probe, reference) = (one.probe(&palm), two.reference(&palm));
            worst_cosine = worst_cosine.max(probe.cosine(&reference).abs());
            least_distance = least_distance.min(probe.code_distance(&reference));
        }
        // Unrelated unit vectors of 256 dimensions: standard deviation 1/16; five of them is one in 1.7 million.
        assert!(worst_cosine < 5.0 / 16.0, "{worst_cosine}");
        assert!(least_distance > 0.42, "{least_distance}");
    }

    #[test]
    fn protected_values_pass_the_checks_for_outside_values() {
        let palm = template(&SeededRandomness::new(4));
        let reference = GalleryProtection::new(&Key::new([5; 32])).reference(&palm);
        assert!(ProtectedEmbedding::from_untrusted(reference.embedding.expose()).is_ok());
        assert!(ProtectedCode::from_untrusted(&reference.code.to_bytes()).is_ok());
    }
}
