//! Made-up people and palms, protected form.

use volar_core::clock::Timestamp;
use volar_core::randomness::Randomness;
use volar_core::template::{
    CODE_BYTES, CODE_CELLS, EMBEDDING_DIMENSIONS, EnrolledPalm, Position, Probe, ProtectedCode, ProtectedEmbedding,
    Quality, Reference,
};
use volar_vault::enrollment::{Enroll, Join};
use volar_vault::format::v1::Consent;

/// Somebody who consented at `given_at` and shows both hands, each with `references` views and a probe of `codes` codes.
pub(crate) fn enrollment(randomness: &dyn Randomness, given_at: Timestamp, references: usize, codes: usize) -> Enroll {
    let palm = |position| palm(randomness, position, references, codes);
    Enroll {
        memberships: vec![Join {
            gallery: "members".parse().expect("a slug"),
            generation: 1,
            model: "palm-lines-3".parse().expect("a slug"),
            palms: vec![palm(Position::Left), palm(Position::Right)],
        }],
        consent: Some(Consent {
            policy_version: "2026-11".to_owned(),
            language: "en".to_owned(),
            text_sha256: [1; 32],
            given_at,
            method: "touch-screen".to_owned(),
        }),
        payment_follows: true,
    }
}

/// A palm with `references` views and a probe of `codes` codes.
pub(crate) fn palm(randomness: &dyn Randomness, position: Position, references: usize, codes: usize) -> EnrolledPalm {
    EnrolledPalm {
        position,
        references: (0..references).map(|_| reference(randomness)).collect(),
        probe: Probe {
            embedding: embedding(randomness),
            codes: (0..codes).map(|_| code(randomness)).collect(),
            quality: Quality::new(70).expect("in range"),
        },
    }
}

fn reference(randomness: &dyn Randomness) -> Reference {
    Reference { embedding: embedding(randomness), code: code(randomness), quality: Quality::new(80).expect("in range") }
}

fn embedding(randomness: &dyn Randomness) -> ProtectedEmbedding {
    let bytes: [u8; EMBEDDING_DIMENSIONS] = randomness.bytes();
    let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) - 127.5).collect();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let unit: Vec<f32> = values.iter().map(|value| value / norm).collect();
    ProtectedEmbedding::from_untrusted(&unit).expect("a unit vector")
}

fn code(randomness: &dyn Randomness) -> ProtectedCode {
    const ORIENTATIONS: [u8; 6] = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100];
    let cells: [u8; CODE_CELLS] = randomness.bytes();
    let mut bytes = vec![0; CODE_BYTES];
    for (cell, random) in cells.into_iter().enumerate() {
        let bits = ORIENTATIONS[usize::from(random % 6)];
        for plane in 0..3 {
            bytes[plane * CODE_CELLS / 8 + cell / 8] |= (bits >> plane & 1) << (cell % 8);
        }
    }
    ProtectedCode::from_untrusted(&bytes).expect("orientations only")
}
