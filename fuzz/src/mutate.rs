//! Alters seeds: for the test command, which has no libFuzzer. The same seed and number always give the same bytes.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers at which decoders go wrong.
const TELLING: [&[u8]; 10] = [
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff; 4],
    &[0; 8],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    b"\"",
    b"\n",
];
const LENGTH_MAX: usize = 1 << 16;

/// Number `number` of the alterations of `seeds`.
pub fn altered(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut chance = ChaCha8Rng::seed_from_u64(number);
    let mut bytes = seeds.choose(&mut chance).cloned().unwrap_or_default();
    for _ in 0..chance.random_range(1..=6) {
        alter(&mut bytes, seeds, &mut chance);
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

fn alter(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut ChaCha8Rng) {
    let place = |bytes: &[u8], chance: &mut ChaCha8Rng| chance.random_range(0..=bytes.len());
    let at = place(bytes, chance);
    match chance.random_range(0..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = chance.random(),
        2 => bytes.truncate(at),
        3 => {
            let end = (at + chance.random_range(1..=16)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => drop(bytes.splice(at..at, TELLING.choose(chance).expect("some").iter().copied())),
        5 => {
            let telling = TELLING.choose(chance).expect("some");
            let end = (at + telling.len()).min(bytes.len());
            bytes.splice(at..end, telling.iter().copied());
        }
        6 => {
            // A part of it again.
            let end = (at + chance.random_range(1..=64)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            let to = place(bytes, chance);
            bytes.splice(to..to, part);
        }
        _ => {
            // The end of another.
            if let Some(other) = seeds.choose(chance) {
                let from = place(other, chance);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
