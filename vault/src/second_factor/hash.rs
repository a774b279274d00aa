//! What is kept of digits: Argon2id (RFC 9106) with a salt of each person's own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use volar_core::randomness::Randomness;
use volar_core::second_factor::Digits;
use zeroize::Zeroizing;

use crate::format::second_factor::SecondFactor;
use crate::format::v1::SecretBytes;
use crate::parameters::{FACTOR_COSTS, FACTOR_HASHES_AT_ONCE};

const HASH: usize = 32;

/// Hashes digits, a few at once, and counts how often.
#[derive(Debug, Default)]
pub(crate) struct Hasher {
    runs: AtomicU64,
    /// Each hash takes megabytes: more at once than there are cores gains nothing.
    places: [Mutex<()>; FACTOR_HASHES_AT_ONCE],
}

impl Hasher {
    /// A salt and what becomes of `digits` with it.
    pub(crate) fn make(&self, digits: &Digits, randomness: &dyn Randomness) -> ([u8; 16], SecretBytes<HASH>) {
        let salt: [u8; 16] = randomness.bytes();
        let hash = self.run(FACTOR_COSTS, &salt, digits).expect("the costs are within Argon2's limits");
        (salt, SecretBytes::new(*hash))
    }

    /// Whether `digits` are those of `factor`. Where there is no factor the answer is no, after as much work.
    pub(crate) fn matches(&self, factor: Option<&SecondFactor>, digits: &Digits) -> bool {
        let (costs, salt) = factor.map_or((FACTOR_COSTS, [0; 16]), |factor| (factor.costs, factor.salt));
        let hash = self.run(costs, &salt, digits);
        match (factor, hash) {
            (Some(factor), Some(hash)) => same(factor.hash.expose(), &hash),
            _ => false,
        }
    }

    /// How often digits were hashed.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// `None` if the costs are beyond Argon2's limits.
    fn run(
        &self,
        (memory_kib, passes, lanes): (u32, u32, u32),
        salt: &[u8; 16],
        digits: &Digits,
    ) -> Option<Zeroizing<[u8; HASH]>> {
        let turn = self.runs.fetch_add(1, Ordering::Relaxed) as usize;
        let _place = self.places[turn % FACTOR_HASHES_AT_ONCE].lock().unwrap_or_else(PoisonError::into_inner);
        let costs = Params::new(memory_kib, passes, lanes, Some(HASH)).ok()?;
        let mut out = Zeroizing::new([0; HASH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, costs)
            .hash_password_into(digits.expose().as_bytes(), salt, &mut *out)
            .ok()?;
        Some(out)
    }
}

/// Looks at every byte, wherever the first difference is.
fn same(one: &[u8; HASH], other: &[u8; HASH]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::clock::Timestamp;
    use volar_core::randomness::SeededRandomness;
    use volar_core::second_factor::Kind;

    fn digits(text: &str) -> Digits {
        Digits::new(Zeroizing::new(text.to_owned())).expect("digits")
    }

    #[test]
    fn digits_match_their_own_hash_alone_and_nobody_is_as_much_work() {
        let (hasher, randomness) = (Hasher::default(), SeededRandomness::new(1));
        let factor = |text: &str| {
            let (salt, hash) = hasher.make(&digits(text), &randomness);
            let set_at = Timestamp::from_unix_milliseconds(1);
            SecondFactor { kind: Kind::Code, set_at, costs: FACTOR_COSTS, salt, hash }
        };
        let (one, again) = (factor("8074"), factor("8074"));
        assert_ne!(one.hash.expose(), again.hash.expose(), "each has a salt of its own");
        assert_eq!(hasher.runs(), 2);
        for (factor, typed, matches) in [
            (Some(&one), "8074", true),
            (Some(&one), "8075", false),
            (Some(&one), "80740", false),
            (None, "8074", false),
        ] {
            let before = hasher.runs();
            assert_eq!(hasher.matches(factor, &digits(typed)), matches, "{typed}");
            assert_eq!(hasher.runs(), before + 1);
        }
    }
}
