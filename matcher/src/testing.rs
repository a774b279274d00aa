//! Palms for tests and benchmarks: random ones, and noisy second captures of them. Nothing here looks like a palm; the
//! numbers are as far apart as captures of real palms are.

use volar_core::id::SubjectId;
use volar_core::protection::GalleryProtection;
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::score::ScoreModel;
use volar_core::secret::Key;
use volar_core::template::{
    EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS, OrientationField, Position, Probe, Quality, Reference,
    Template,
};

use crate::index::IndexedPalm;

/// The template model of every palm made here.
pub const MODEL: &str = "palm-lines-3";
/// Cosine of a palm and its mate, about: noise of norm 0.75 beside a unit vector.
const MATE_NOISE: f32 = 0.75;
/// Share of cells, in 256ths, whose orientation a second capture gets wrong: mates lie about 0.1 apart.
const MATE_WRONG: u8 = 56;

/// Makes palms, repeatably.
pub struct Palms {
    randomness: SeededRandomness,
    protection: GalleryProtection,
}

impl Palms {
    /// A stream of palms fixed by `seed`. All streams share one gallery protection.
    pub fn new(seed: u64) -> Self {
        Self { randomness: SeededRandomness::new(seed), protection: GalleryProtection::new(&Key::new([7; 32])) }
    }

    /// A new palm.
    pub fn template(&mut self) -> Template {
        let cells: Vec<u8> = self.bytes(FIELD_SIDE * FIELD_SIDE).iter().map(|byte| byte % ORIENTATIONS).collect();
        let direction = self.direction();
        Self::template_of(&direction, &cells)
    }

    /// Another capture of the same palm.
    pub fn mate(&mut self, template: &Template) -> Template {
        let noise = self.direction();
        let values: Vec<f32> =
            template.embedding.expose().iter().zip(noise).map(|(value, noise)| value + MATE_NOISE * noise).collect();
        let (wrong, other) = (self.bytes(FIELD_SIDE * FIELD_SIDE), self.bytes(FIELD_SIDE * FIELD_SIDE));
        let cells = template.orientations[0].expose().iter().zip(wrong).zip(other);
        let cells: Vec<u8> =
            cells.map(|((&cell, wrong), other)| if wrong < MATE_WRONG { other % ORIENTATIONS } else { cell }).collect();
        Self::template_of(&values, &cells)
    }

    /// A palm as a gate sends it: 49 codes.
    pub fn probe(&self, template: &Template) -> Probe {
        self.protection.probe(template)
    }

    /// A palm as it is stored.
    pub fn reference(&self, template: &Template) -> Reference {
        self.protection.reference(template)
    }

    /// A new palm as it is stored.
    pub fn reference_of_new(&mut self) -> Reference {
        let template = self.template();
        self.reference(&template)
    }

    /// A palm as a gallery takes it: the capture itself and `more` further ones.
    pub fn indexed(&mut self, template: &Template, more: usize) -> IndexedPalm {
        let mut references = vec![self.reference(template)];
        for _ in 0..more {
            let mate = self.mate(template);
            references.push(self.reference(&mate));
        }
        IndexedPalm { position: template.position, references }
    }

    fn template_of(values: &[f32], cells: &[u8]) -> Template {
        Template {
            position: Position::Left,
            quality: Quality::new(80).expect("in range"),
            embedding: Embedding::normalized(values).expect("not zero"),
            orientations: vec![OrientationField::new(cells).expect("cells below six")],
        }
    }

    /// A random direction: sums of bytes are near enough to normally distributed.
    fn direction(&mut self) -> Vec<f32> {
        let bytes = self.bytes(4 * EMBEDDING_DIMENSIONS);
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|four| four.iter().map(|&byte| f32::from(byte) - 127.5).sum()).collect();
        Embedding::normalized(&values).expect("not zero").expose().to_vec()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.randomness.fill(&mut bytes);
        bytes
    }
}

/// The score model of [`MODEL`].
pub fn score_model() -> ScoreModel {
    ScoreModel::for_model(&MODEL.parse().expect("a slug")).expect("a model that core knows")
}

/// The `number`-th subject.
pub fn subject(number: u32) -> SubjectId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SubjectId::from_bytes(bytes)
}
