//! Hamming distances of orientation codes, fast: with AVX-512 a vector's ones are counted at once; elsewhere bit planes are
//! added up by carry-save adders before their ones are counted. The only unsafe code of this crate: calling functions
//! compiled for instructions that the processor was asked about, and reading whole vectors of words in them.
#![allow(unsafe_code)]

use crate::template::{CODE_BYTES, CODE_CELLS, CODE_SHIFT, CODE_SIDE, FIELD_SIDE, OrientationField, ProtectedCode};

/// 64-bit words of an orientation code in bit planes.
pub const CODE_WORDS: usize = CODE_BYTES / 8;
/// An orientation code in bit planes, as [`ProtectedCode::expose`] has it.
pub type CodeWords = [u64; CODE_WORDS];

/// Palms whose orientation codes are compared after the search of embeddings, unless a matcher is configured otherwise.
/// Measured with 10,000 palms of 3 references on one core of an Intel Xeon with AVX-512 (the matcher's
/// `examples/measure.rs`): a search takes 0.45 ms with probes of 49 codes, 0.64 ms with 245.
pub const VERIFIED_PALMS: usize = 50;

/// References compared with one code before the next code is read: as many as lie in the first cache beside it.
const BLOCK: usize = 48;

/// Angular distance, 0 to 1, of so many differing bits.
pub fn distance(bits: u32) -> f32 {
    bits as f32 / (3 * CODE_CELLS) as f32
}

/// Fewest differing bits between `reference` and any of `codes`; none if there are none.
pub fn least(codes: &[ProtectedCode], reference: &CodeWords) -> Option<u32> {
    let mut least = [u32::MAX];
    run(codes, ProtectedCode::expose, std::slice::from_ref(reference), &mut least);
    (!codes.is_empty()).then_some(least[0])
}

/// Lowers each of `least` to the fewest differing bits between the reference at its place and any of `codes`. For
/// evaluation, which compares everyone with everyone: several times as fast as [`least`] one by one.
///
/// # Panics
/// If `references` and `least` differ in length.
pub fn least_of_each(codes: &[CodeWords], references: &[CodeWords], least: &mut [u32]) {
    assert_eq!(references.len(), least.len(), "one number for each reference");
    run(codes, |code| code, references, least);
}

/// Bit planes of a field's middle, unprotected: for evaluation, where nothing is stored. Distances of such codes are
/// those of protected ones.
pub fn reference_code(field: &OrientationField) -> CodeWords {
    Planes::of(field).window(CODE_SHIFT, CODE_SHIFT)
}

/// Bit planes of fields at every shift, unprotected: what a probe carries.
pub fn probe_codes(fields: &[OrientationField]) -> Vec<CodeWords> {
    let shifts = 0..2 * CODE_SHIFT + 1;
    let windows = |planes: Planes| {
        let places = shifts.clone().flat_map(|down| shifts.clone().map(move |right| (down, right)));
        places.map(move |(down, right)| planes.window(down, right)).collect::<Vec<_>>()
    };
    fields.iter().flat_map(|field| windows(Planes::of(field))).collect()
}

/// A field's three bit planes, a word a row.
struct Planes([[u64; FIELD_SIDE]; 3]);

impl Planes {
    fn of(field: &OrientationField) -> Self {
        let mut planes = [[0; FIELD_SIDE]; 3];
        for (row, cells) in field.expose().chunks_exact(FIELD_SIDE).enumerate() {
            for (column, &cell) in cells.iter().enumerate() {
                let bits = ProtectedCode::PLANES[usize::from(cell)];
                for (number, plane) in planes.iter_mut().enumerate() {
                    plane[row] |= u64::from(bits >> number & 1) << column;
                }
            }
        }
        Self(planes)
    }

    /// The code that starts `down` rows and `right` columns into the field: two rows a word.
    fn window(&self, down: usize, right: usize) -> CodeWords {
        const WORDS_OF_PLANE: usize = CODE_WORDS / 3;
        std::array::from_fn(|word| {
            let (plane, row) = (&self.0[word / WORDS_OF_PLANE], down + 2 * (word % WORDS_OF_PLANE));
            let half = |row: usize| plane[row] >> right & ((1 << CODE_SIDE) - 1);
            half(row) | half(row + 1) << CODE_SIDE
        })
    }
}

#[inline(always)]
fn run<C>(codes: &[C], words: impl Fn(&C) -> &CodeWords, references: &[CodeWords], least: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
        // SAFETY: the processor has just said that it has both.
        unsafe { run_avx512(codes, words, references, least) };
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has just said that it has both.
        unsafe { run_avx2(codes, words, references, least) };
        return;
    }
    run_plain(codes, words, references, least);
}

/// Six vectors of 512 bits hold a code, and one instruction counts the ones of each of their words.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn run_avx512<C>(codes: &[C], words: impl Fn(&C) -> &CodeWords, references: &[CodeWords], least: &mut [u32]) {
    use std::arch::x86_64::{_mm512_add_epi64, _mm512_loadu_si512, _mm512_popcnt_epi64, _mm512_reduce_add_epi64};
    use std::arch::x86_64::{_mm512_setzero_si512, _mm512_xor_si512};
    for (references, least) in references.chunks(BLOCK).zip(least.chunks_mut(BLOCK)) {
        for code in codes {
            let code = words(code);
            for (reference, least) in references.iter().zip(least.iter_mut()) {
                let mut ones = _mm512_setzero_si512();
                for (a, b) in code.chunks_exact(8).zip(reference.chunks_exact(8)) {
                    // SAFETY: eight words each.
                    let (a, b) =
                        unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
                    ones = _mm512_add_epi64(ones, _mm512_popcnt_epi64(_mm512_xor_si512(a, b)));
                }
                *least = (_mm512_reduce_add_epi64(ones) as u32).min(*least);
            }
        }
    }
}

/// The same code, which the compiler turns into vector instructions here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn run_avx2<C>(codes: &[C], words: impl Fn(&C) -> &CodeWords, references: &[CodeWords], least: &mut [u32]) {
    run_plain(codes, words, references, least);
}

#[inline(always)]
fn run_plain<C>(codes: &[C], words: impl Fn(&C) -> &CodeWords, references: &[CodeWords], least: &mut [u32]) {
    for (references, least) in references.chunks(BLOCK).zip(least.chunks_mut(BLOCK)) {
        for code in codes {
            let code = words(code);
            for (reference, least) in references.iter().zip(least.iter_mut()) {
                *least = apart(code, reference).min(*least);
            }
        }
    }
}

/// Words that one vector instruction takes.
const LANES: usize = 4;
type Lanes = [u64; LANES];

/// Differing bits. Twelve vectors are added bit by bit into ones, twos, fours and eights (Harley and Seal's adder), so
/// that four are counted instead of twelve.
#[inline(always)]
fn apart(a: &CodeWords, b: &CodeWords) -> u32 {
    let x = |at: usize| -> Lanes { std::array::from_fn(|lane| a[at * LANES + lane] ^ b[at * LANES + lane]) };
    let (one_a, two_a) = add(x(0), x(1), x(2));
    let (one_b, two_b) = add(x(3), x(4), x(5));
    let (one_c, two_c) = add(x(6), x(7), x(8));
    let (one_d, two_d) = add(x(9), x(10), x(11));
    let (one_e, two_e) = add(one_a, one_b, one_c);
    let (ones, two_f) = add(one_d, one_e, [0; LANES]);
    let (two_g, four_a) = add(two_a, two_b, two_c);
    let (two_h, four_b) = add(two_d, two_e, two_f);
    let (twos, four_c) = add(two_g, two_h, [0; LANES]);
    let (fours, eights) = add(four_a, four_b, four_c);
    let mut bits = 0;
    for lane in 0..LANES {
        bits += u64::from(ones[lane].count_ones());
        bits += u64::from(twos[lane].count_ones()) << 1;
        bits += u64::from(fours[lane].count_ones()) << 2;
        bits += u64::from(eights[lane].count_ones()) << 3;
    }
    bits as u32
}

/// Sum and carry of three numbers of one bit, in every bit.
#[inline(always)]
fn add(a: Lanes, b: Lanes, c: Lanes) -> (Lanes, Lanes) {
    let sum = std::array::from_fn(|lane| a[lane] ^ b[lane] ^ c[lane]);
    let carry = std::array::from_fn(|lane| (a[lane] & b[lane]) | ((a[lane] ^ b[lane]) & c[lane]));
    (sum, carry)
}

const _: () = assert!(CODE_WORDS == 12 * LANES, "the adder takes twelve vectors");
const _: () = assert!(2 * CODE_SIDE == 64 && FIELD_SIDE <= 64, "two rows of a code fill a word");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::{Randomness, SeededRandomness};

    fn codes(count: usize, seed: u64) -> Vec<CodeWords> {
        let randomness = SeededRandomness::new(seed);
        let code = |_| {
            let mut bytes = [0; CODE_BYTES];
            randomness.fill(&mut bytes);
            std::array::from_fn(|word| u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte])))
        };
        (0..count).map(code).collect()
    }

    #[test]
    fn the_adder_counts_as_plain_counting_does() {
        let (mut some, others) = (codes(70, 1), codes(BLOCK * 2 + 1, 2));
        some.extend([[0; CODE_WORDS], [u64::MAX; CODE_WORDS], others[3]]);
        let mut least = vec![u32::MAX; others.len()];
        least_of_each(&some, &others, &mut least);
        for (reference, &least) in others.iter().zip(&least) {
            let bits = |code: &CodeWords| code.iter().zip(reference).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            assert_eq!(Some(least), some.iter().map(bits).min());
        }
        assert_eq!(least[3], 0);
        assert_eq!(apart(&[0; CODE_WORDS], &[u64::MAX; CODE_WORDS]), (3 * CODE_CELLS) as u32);
    }

    #[test]
    fn plain_codes_lie_as_far_apart_as_their_fields() {
        let randomness = SeededRandomness::new(5);
        let field = || {
            let mut cells = [0; FIELD_SIDE * FIELD_SIDE];
            randomness.fill(&mut cells);
            cells.iter_mut().for_each(|cell| *cell %= 6);
            OrientationField::new(&cells).expect("cells below six")
        };
        for _ in 0..5 {
            let (probe, reference) = (field(), field());
            let mut least = [u32::MAX];
            least_of_each(&probe_codes(std::slice::from_ref(&probe)), &[reference_code(&reference)], &mut least);
            assert_eq!(distance(least[0]), reference.distance(&probe));
        }
    }

    #[test]
    fn compiled_for_any_processor_it_is_the_same() {
        let (some, others) = (codes(9, 3), codes(5, 4));
        let (mut fast, mut plain) = (vec![u32::MAX; 5], vec![u32::MAX; 5]);
        least_of_each(&some, &others, &mut fast);
        run_plain(&some, |code| code, &others, &mut plain);
        assert_eq!(fast, plain);
        // Where the fastest is another, this one is chosen by no call above.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            let mut wide = vec![u32::MAX; 5];
            // SAFETY: the processor has just said that it has both.
            unsafe { run_avx2(&some, |code| code, &others, &mut wide) };
            assert_eq!(wide, plain);
        }
    }
}
