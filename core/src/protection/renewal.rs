//! A gallery protected anew, without anybody's hand: what one key protected becomes what another would have. Whoever has
//! both keys can do it, which is the vault. The embedding goes through one matrix, the code through one permutation, so
//! that nothing plain comes about in between.

use std::fmt;

use zeroize::Zeroize;

use super::{Cell, GalleryProtection};
use crate::secret::Key;
use crate::template::{CODE_BYTES, CODE_CELLS, EMBEDDING_DIMENSIONS, ORIENTATIONS, ProtectedCode, ProtectedEmbedding};

const PLANE: usize = CODE_CELLS / 64;

/// From one gallery key's protection to another's.
pub struct Renewal {
    /// Where each of the old protection's unit vectors comes to lie under the new one; 256 of 256.
    axes: Vec<[f32; EMBEDDING_DIMENSIONS]>,
    cells: Vec<Moved>,
}

/// Which protected cell becomes this one, and by how much its orientation is turned.
#[derive(Clone, Copy, Default, Zeroize)]
struct Moved {
    from: usize,
    turn: u8,
}

impl Renewal {
    /// From what `old` protects to what `new` does.
    pub fn between(old: &Key, new: &Key) -> Self {
        let (old, new) = (GalleryProtection::new(old), GalleryProtection::new(new));
        let axes = (0..EMBEDDING_DIMENSIONS).map(|axis| {
            let mut values = [0.0; EMBEDDING_DIMENSIONS];
            values[axis] = 1.0;
            old.undo(&mut values);
            new.mix(&mut values);
            values
        });
        let place = |cell: &Cell| cell.row * super::CODE_SIDE + cell.column;
        let mut holders = vec![(0, 0); CODE_CELLS];
        for (at, cell) in old.cells.iter().enumerate() {
            holders[place(cell)] = (at, cell.turn);
        }
        let moved = |cell: &Cell| {
            let (from, before) = holders[place(cell)];
            Moved { from, turn: (cell.turn + ORIENTATIONS - before) % ORIENTATIONS }
        };
        let renewal = Self { axes: axes.collect(), cells: new.cells.iter().map(moved).collect() };
        holders.zeroize();
        renewal
    }

    /// The embedding as the new key protects it. Of length one, up to rounding once more.
    pub fn embedding(&self, protected: &ProtectedEmbedding) -> ProtectedEmbedding {
        let mut sum = Box::new([0.0_f32; EMBEDDING_DIMENSIONS]);
        for (share, axis) in protected.expose().iter().zip(&self.axes) {
            sum.iter_mut().zip(axis).for_each(|(to, value)| *to += share * value);
        }
        // Renewed a thousand times it is still a unit vector.
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|value| *value /= length);
        ProtectedEmbedding::from_protection(sum)
    }

    /// The code as the new key protects it.
    pub fn code(&self, protected: &ProtectedCode) -> ProtectedCode {
        let old = protected.expose();
        let mut words = Box::new([0_u64; CODE_BYTES / 8]);
        for (at, Moved { from, turn }) in self.cells.iter().enumerate() {
            let bit = |plane: usize| (old[plane * PLANE + from / 64] >> (from % 64) & 1) as u8;
            let bits = TURNED[usize::from(*turn)][usize::from(bit(0) | bit(1) << 1 | bit(2) << 2)];
            for plane in 0..3 {
                words[plane * PLANE + at / 64] |= u64::from(bits >> plane & 1) << (at % 64);
            }
        }
        ProtectedCode::from_protection(words)
    }
}

/// A cell's three bits turned by some orientations. Bits that no orientation has turn into the first one's.
const TURNED: [[u8; 8]; ORIENTATIONS as usize] = {
    let mut turned = [[0; 8]; ORIENTATIONS as usize];
    let mut turn = 0;
    while turn < ORIENTATIONS as usize {
        let mut orientation = 0;
        while orientation < ORIENTATIONS as usize {
            let to = ProtectedCode::PLANES[(orientation + turn) % ORIENTATIONS as usize];
            turned[turn][ProtectedCode::PLANES[orientation] as usize] = to;
            orientation += 1;
        }
        turn += 1;
    }
    turned
};

impl Drop for Renewal {
    fn drop(&mut self) {
        self.axes.zeroize();
        self.cells.zeroize();
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Renewal(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::template;
    use super::*;
    use crate::randomness::SeededRandomness;
    use crate::template::Reference;

    fn apart(one: &ProtectedEmbedding, other: &ProtectedEmbedding) -> f32 {
        one.expose().iter().zip(other.expose()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn what_is_renewed_is_what_the_new_key_would_have_made() {
        let randomness = SeededRandomness::new(7);
        let keys = [Key::new([1; 32]), Key::new([2; 32])];
        let [old, new] = [0, 1].map(|number| GalleryProtection::new(&keys[number]));
        let renewal = Renewal::between(&keys[0], &keys[1]);
        for _ in 0..20 {
            let palm = template(&randomness);
            let (before, after) = (old.reference(&palm), new.reference(&palm));
            assert!(apart(&renewal.embedding(&before.embedding), &after.embedding) < 1e-6);
            assert!(renewal.code(&before.code).expose() == after.code.expose());
            let (probe, wanted) = (old.probe(&palm), new.probe(&palm));
            for (code, wanted) in probe.codes.iter().zip(&wanted.codes) {
                assert!(renewal.code(code).expose() == wanted.expose());
            }
        }
    }

    #[test]
    fn a_reference_that_was_renewed_often_scores_as_ever() {
        let palm = template(&SeededRandomness::new(8));
        let key = |number: u8| Key::new([number; 32]);
        let mut kept = GalleryProtection::new(&key(0)).reference(&palm);
        for number in 0..200 {
            let renewal = Renewal::between(&key(number), &key(number + 1));
            let (embedding, code) = (renewal.embedding(&kept.embedding), renewal.code(&kept.code));
            kept = Reference { embedding, code, quality: kept.quality };
        }
        let now = GalleryProtection::new(&key(200)).probe(&palm);
        assert!((now.cosine(&kept) - 1.0).abs() < 1e-4, "{}", now.cosine(&kept));
        assert_eq!(now.code_distance(&kept), 0.0);
        assert!(ProtectedEmbedding::from_untrusted(kept.embedding.expose()).is_ok());
    }
}
