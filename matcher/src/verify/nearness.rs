//! Hamming distances of orientation codes by population counts. The only unsafe code of this crate that is not a
//! test: calling a function compiled for instructions that the processor was asked about.
#![allow(unsafe_code)]

use volar_core::template::ProtectedCode;

/// Fewest differing bits between `reference` and any of `codes`; none if there are none.
pub(super) fn least(codes: &[ProtectedCode], reference: &ProtectedCode) -> Option<u32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has just said that it has both.
        return unsafe { least_avx2(codes, reference) };
    }
    least_plain(codes, reference)
}

/// The same code, which the compiler turns into vector instructions here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn least_avx2(codes: &[ProtectedCode], reference: &ProtectedCode) -> Option<u32> {
    least_plain(codes, reference)
}

#[inline(always)]
fn least_plain(codes: &[ProtectedCode], reference: &ProtectedCode) -> Option<u32> {
    let reference = reference.expose();
    codes.iter().map(|code| apart(code.expose(), reference)).min()
}

#[inline(always)]
fn apart<const WORDS: usize>(a: &[u64; WORDS], b: &[u64; WORDS]) -> u32 {
    let mut bits = 0;
    for word in 0..WORDS {
        bits += (a[word] ^ b[word]).count_ones();
    }
    bits
}
