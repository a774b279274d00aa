//! Palm templates. Plain ones live on a capture device for as long as it takes to protect them; vault and matcher
//! know only [`Reference`] and [`Probe`].
//!
//! Nothing here implements `Debug` with content, and everything is zeroed on drop: templates are secrets.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::log_safe::LogSafe;

/// Length of an embedding.
pub const EMBEDDING_DIMENSIONS: usize = 256;
/// Orientations that a cell of an orientation code distinguishes, 30 degrees apart.
pub const ORIENTATIONS: u8 = 6;
/// Cells along a side of a compared orientation code.
pub const CODE_SIDE: usize = 32;
/// Cells by which a probe's code is shifted in each direction to find its reference.
pub const CODE_SHIFT: usize = 3;
/// Cells along a side of a captured orientation field: the code and a margin to shift in.
pub const FIELD_SIDE: usize = CODE_SIDE + 2 * CODE_SHIFT;
/// Cells in a compared code.
pub const CODE_CELLS: usize = CODE_SIDE * CODE_SIDE;
/// Length of a protected orientation code in bytes: three bit planes of [`CODE_CELLS`] bits.
pub const CODE_BYTES: usize = 3 * CODE_CELLS / 8;
/// Most rotations of one capture that a probe may carry.
pub const ROTATIONS_MAX: usize = 5;
/// Most codes that a probe may carry: each rotation at each shift.
pub const PROBE_CODES_MAX: usize = ROTATIONS_MAX * (2 * CODE_SHIFT + 1) * (2 * CODE_SHIFT + 1);
/// Most references kept of one palm.
pub const REFERENCES_PER_PALM_MAX: usize = 5;
/// Most galleries that a person belongs to, or that a lane searches: their tenant's, a group of sites' and a site's. A palm
/// protected for all of them still fits in one message.
pub const GALLERIES_MAX: usize = 3;

/// Why numbers are not a template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// Another length than [`EMBEDDING_DIMENSIONS`].
    #[error("embedding has {found} dimensions, must have {EMBEDDING_DIMENSIONS}")]
    EmbeddingLength {
        /// Dimensions received.
        found: usize,
    },
    /// NaN or infinite.
    #[error("embedding holds a number that is not finite")]
    EmbeddingNotFinite,
    /// All zero, or so small that it has no direction.
    #[error("embedding is zero: it has no direction")]
    EmbeddingZero,
    /// Length differs from one by more than 0.001.
    #[error("embedding has length {norm:.4}, must be a unit vector")]
    EmbeddingNotUnit {
        /// Euclidean length received.
        norm: f32,
    },
    /// Another length than [`CODE_BYTES`].
    #[error("orientation code has {found} bytes, must have {CODE_BYTES}")]
    CodeLength {
        /// Bytes received.
        found: usize,
    },
    /// A cell's three bits name none of the six orientations.
    #[error("orientation code holds a cell that is none of the six orientations")]
    CodeCell,
    /// None, or more than [`PROBE_CODES_MAX`].
    #[error("probe has {found} orientation codes, must have 1 to {PROBE_CODES_MAX}")]
    ProbeCodes {
        /// Codes received.
        found: usize,
    },
    /// None, or more than [`REFERENCES_PER_PALM_MAX`].
    #[error("palm has {found} references, must have 1 to {REFERENCES_PER_PALM_MAX}")]
    References {
        /// References received.
        found: usize,
    },
    /// Outside 0 to 100.
    #[error("quality is {found}, must be 0 to 100")]
    Quality {
        /// Quality received.
        found: u32,
    },
    /// Not left or right.
    #[error("palm position must be left or right")]
    Position,
}

/// Which hand a palm belongs to (ISO/IEC 2382-37 calls it the biometric instance).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// The left hand's palm.
    Left,
    /// The right hand's palm.
    Right,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

impl LogSafe for Position {}

/// Capture quality from 0 (useless) to 100 (best), higher predicting fewer errors (ISO/IEC 29794-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quality(u8);

impl Quality {
    /// Useless.
    pub const LOWEST: Self = Self(0);

    /// A quality of 0 to 100.
    pub fn new(value: u32) -> Result<Self, TemplateError> {
        match u8::try_from(value) {
            Ok(value @ 0..=100) => Ok(Self(value)),
            _ => Err(TemplateError::Quality { found: value }),
        }
    }

    /// The number, 0 to 100.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl TryFrom<u32> for Quality {
    type Error = TemplateError;
    fn try_from(value: u32) -> Result<Self, TemplateError> {
        Self::new(value)
    }
}

impl From<Quality> for u32 {
    fn from(quality: Quality) -> u32 {
        u32::from(quality.0)
    }
}

/// A unit vector of [`EMBEDDING_DIMENSIONS`], as the model made it: unprotected.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Embedding(Box<[f32; EMBEDDING_DIMENSIONS]>);

impl Embedding {
    /// Scales `values` to unit length.
    pub fn normalized(values: &[f32]) -> Result<Self, TemplateError> {
        let norm = finite_norm(values)?;
        if norm < 1e-6 {
            return Err(TemplateError::EmbeddingZero);
        }
        let mut unit = Box::new([0.0; EMBEDDING_DIMENSIONS]);
        for (to, from) in unit.iter_mut().zip(values) {
            *to = from / norm;
        }
        Ok(Self(unit))
    }

    /// The vector.
    pub fn expose(&self) -> &[f32; EMBEDDING_DIMENSIONS] {
        &self.0
    }
}

/// Dominant orientation of each cell of a palm's region of interest and its margin: row-major,
/// [`FIELD_SIDE`] x [`FIELD_SIDE`], each 0 to 5 in steps of 30 degrees. Unprotected.
///
/// The competitive code of Kong & Zhang (ICPR 2004).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct OrientationField(Box<[u8; FIELD_SIDE * FIELD_SIDE]>);

impl OrientationField {
    /// A field of which every cell is below [`ORIENTATIONS`]; `None` otherwise, or for another length.
    pub fn new(cells: &[u8]) -> Option<Self> {
        let cells: [u8; FIELD_SIDE * FIELD_SIDE] = cells.try_into().ok()?;
        cells.iter().all(|&cell| cell < ORIENTATIONS).then(|| Self(Box::new(cells)))
    }

    /// The cells, row by row.
    pub fn expose(&self) -> &[u8; FIELD_SIDE * FIELD_SIDE] {
        &self.0
    }

    /// Angular distance between this field's centre and `probe` at the shift that brings them nearest, 0 to 1;
    /// unrelated palms come near 0.45. For evaluation of plain templates on a device; servers compare
    /// [`ProtectedCode`]s and get the same numbers.
    pub fn distance(&self, probe: &Self) -> f32 {
        let window = 0..2 * CODE_SHIFT + 1;
        window
            .clone()
            .flat_map(|down| window.clone().map(move |right| (down, right)))
            .map(|(down, right)| self.distance_at(probe, down, right))
            .min()
            .map_or(1.0, |steps| steps as f32 / (3 * CODE_CELLS) as f32)
    }

    fn distance_at(&self, probe: &Self, down: usize, right: usize) -> u32 {
        let mut steps = 0;
        for row in 0..CODE_SIDE {
            for column in 0..CODE_SIDE {
                let ours = self.0[(row + CODE_SHIFT) * FIELD_SIDE + column + CODE_SHIFT];
                let theirs = probe.0[(row + down) * FIELD_SIDE + column + right];
                let apart = ours.abs_diff(theirs);
                steps += u32::from(apart.min(ORIENTATIONS - apart));
            }
        }
        steps
    }
}

/// What one good frame yields on a capture device. Unprotected: [`crate::protection::GalleryProtection`] turns it
/// into a [`Reference`] or a [`Probe`] before it leaves.
#[derive(Clone)]
pub struct Template {
    /// Which hand, as the frame shows it.
    pub position: Position,
    /// How good the capture is.
    pub quality: Quality,
    /// The embedding, for the nearest-neighbour search.
    pub embedding: Embedding,
    /// The orientation field, for verification: first as captured, then (up to [`ROTATIONS_MAX`] in all) turned a
    /// little either way, for palms held askew.
    pub orientations: Vec<OrientationField>,
}

/// A protected embedding. Inner products equal those of the plain embeddings under the same gallery's key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ProtectedEmbedding(Box<[f32; EMBEDDING_DIMENSIONS]>);

impl ProtectedEmbedding {
    /// Checks length, finiteness and unit norm of numbers from outside.
    pub fn from_untrusted(values: &[f32]) -> Result<Self, TemplateError> {
        let norm = finite_norm(values)?;
        if norm < 1e-6 {
            return Err(TemplateError::EmbeddingZero);
        }
        if (norm - 1.0).abs() > 1e-3 {
            return Err(TemplateError::EmbeddingNotUnit { norm });
        }
        let values = values.try_into().map_err(|_| TemplateError::EmbeddingLength { found: values.len() })?;
        Ok(Self(Box::new(values)))
    }

    pub(crate) fn from_protection(values: Box<[f32; EMBEDDING_DIMENSIONS]>) -> Self {
        Self(values)
    }

    /// The vector.
    pub fn expose(&self) -> &[f32; EMBEDDING_DIMENSIONS] {
        &self.0
    }
}

/// A protected orientation code: [`CODE_CELLS`] permuted cells in three bit planes (000, 001, 011, 111, 110, 100 for
/// the six orientations), so that the Hamming distance is the angular distance.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ProtectedCode(Box<[u64; CODE_BYTES / 8]>);

impl ProtectedCode {
    /// Three bits of each orientation.
    pub(crate) const PLANES: [u8; ORIENTATIONS as usize] = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100];

    /// Checks length and cells of bytes from outside: plane after plane, little-endian 64-bit words, cell 0 lowest.
    pub fn from_untrusted(bytes: &[u8]) -> Result<Self, TemplateError> {
        if bytes.len() != CODE_BYTES {
            return Err(TemplateError::CodeLength { found: bytes.len() });
        }
        let mut words = Box::new([0; CODE_BYTES / 8]);
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        }
        let plane = CODE_CELLS / 64;
        let impossible = |i: usize| {
            let (low, middle, high) = (words[i], words[plane + i], words[2 * plane + i]);
            // 010 and 101 are the two patterns that no orientation has.
            (!low & middle & !high) | (low & !middle & high)
        };
        if (0..plane).any(|i| impossible(i) != 0) {
            return Err(TemplateError::CodeCell);
        }
        Ok(Self(words))
    }

    pub(crate) fn from_protection(words: Box<[u64; CODE_BYTES / 8]>) -> Self {
        Self(words)
    }

    /// The bit planes, as 64-bit words.
    pub fn expose(&self) -> &[u64; CODE_BYTES / 8] {
        &self.0
    }

    /// The bit planes as [`ProtectedCode::from_untrusted`] reads them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CODE_BYTES);
        self.0.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes
    }

    /// Angular distance, 0 (same) to 1 (everywhere at right angles); unrelated codes come near 0.5.
    pub fn distance(&self, other: &Self) -> f32 {
        let apart: u32 = self.0.iter().zip(other.0.iter()).map(|(a, b)| (a ^ b).count_ones()).sum();
        apart as f32 / (3 * CODE_CELLS) as f32
    }
}

/// One stored view of an enrolled palm, protected.
#[derive(Clone)]
pub struct Reference {
    /// Protected embedding.
    pub embedding: ProtectedEmbedding,
    /// Protected orientation code, unshifted.
    pub code: ProtectedCode,
    /// Quality at capture.
    pub quality: Quality,
}

/// A palm to be compared, protected: its orientation code at every shift and rotation, because a permuted code can
/// no longer be shifted.
#[derive(Clone)]
pub struct Probe {
    /// Protected embedding.
    pub embedding: ProtectedEmbedding,
    /// 1 to [`PROBE_CODES_MAX`] protected codes.
    pub codes: Vec<ProtectedCode>,
    /// Quality at capture.
    pub quality: Quality,
}

impl Probe {
    /// Smallest distance from any of the probe's codes to `reference`.
    pub fn code_distance(&self, reference: &Reference) -> f32 {
        self.codes.iter().map(|code| code.distance(&reference.code)).fold(1.0, f32::min)
    }

    /// Cosine between the embeddings, -1 to 1.
    pub fn cosine(&self, reference: &Reference) -> f32 {
        let pairs = self.embedding.0.iter().zip(reference.embedding.0.iter());
        pairs.map(|(a, b)| a * b).sum()
    }
}

/// One palm as a kiosk enrols it.
#[derive(Clone)]
pub struct EnrolledPalm {
    /// Which hand.
    pub position: Position,
    /// The views kept, best first: 1 to [`REFERENCES_PER_PALM_MAX`].
    pub references: Vec<Reference>,
    /// The best view as a probe, for the duplicate search; dropped once the verdict is in.
    pub probe: Probe,
}

macro_rules! silent_debug {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(secret)"))
            }
        })*
    };
}
silent_debug!(Embedding, OrientationField, Template, ProtectedEmbedding, ProtectedCode, Reference, Probe, EnrolledPalm);

fn finite_norm(values: &[f32]) -> Result<f32, TemplateError> {
    if values.len() != EMBEDDING_DIMENSIONS {
        return Err(TemplateError::EmbeddingLength { found: values.len() });
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(TemplateError::EmbeddingNotFinite);
    }
    let square: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    Ok(square.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedding_vectors() {
        let unit = |at: usize| {
            let mut values = [0.0; EMBEDDING_DIMENSIONS];
            values[at] = 1.0;
            values
        };
        assert!(ProtectedEmbedding::from_untrusted(&unit(3)).is_ok());
        let reject = |values: &[f32]| ProtectedEmbedding::from_untrusted(values).expect_err("must be refused");
        assert_eq!(reject(&[1.0]), TemplateError::EmbeddingLength { found: 1 });
        assert_eq!(reject(&[0.0; 256]), TemplateError::EmbeddingZero);
        assert_eq!(reject(&[f32::NAN; 256]), TemplateError::EmbeddingNotFinite);
        assert_eq!(reject(&[f32::INFINITY; 256]), TemplateError::EmbeddingNotFinite);
        assert_eq!(reject(&[1.0; 256]), TemplateError::EmbeddingNotUnit { norm: 16.0 });
        assert_eq!(Embedding::normalized(&[1.0; 256]).map(|e| e.expose()[9]), Ok(0.0625));
    }

    #[test]
    fn code_vectors() {
        assert!(ProtectedCode::from_untrusted(&[0; CODE_BYTES]).is_ok());
        assert!(ProtectedCode::from_untrusted(&[0xff; CODE_BYTES]).is_ok());
        let reject = |bytes: &[u8]| ProtectedCode::from_untrusted(bytes).expect_err("must be refused");
        assert_eq!(reject(&[0; 383]), TemplateError::CodeLength { found: 383 });
        let mut impossible = [0; CODE_BYTES];
        impossible[CODE_BYTES / 3] = 1;
        assert_eq!(reject(&impossible), TemplateError::CodeCell);
    }

    #[test]
    fn bit_planes_measure_angles() {
        for a in 0..ORIENTATIONS {
            for b in 0..ORIENTATIONS {
                let bits = (ProtectedCode::PLANES[a as usize] ^ ProtectedCode::PLANES[b as usize]).count_ones();
                let apart = a.abs_diff(b);
                assert_eq!(bits, u32::from(apart.min(ORIENTATIONS - apart)));
            }
        }
    }

    #[test]
    fn nothing_prints_itself() {
        let embedding = Embedding::normalized(&[1.0; 256]).expect("finite");
        assert_eq!(format!("{embedding:?}"), "Embedding(secret)");
    }
}
