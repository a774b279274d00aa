//! A key under a passphrase: Argon2id (RFC 9106) makes the key that AES-256-GCM wraps it with. The costs stand beside
//! the wrapped key, so that they can grow and old files still open.

use argon2::{Algorithm, Argon2, Params, Version};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::format;

/// RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for: not so little that guessing is cheap, not so much that opening it takes the machine down.
const MEMORY_KIB_RANGE: std::ops::RangeInclusive<u32> = 19 * 1024..=2 * 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;
const NONCE: usize = 12;

/// A wrapped key and how to unwrap it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protected {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
    /// Nonce, key and tag.
    wrapped: [u8; NONCE + Key::LENGTH + 16],
}

impl Protected {
    /// Wraps `key`, bound to `name`.
    pub(super) fn wrap(key: &Key, name: &[u8], passphrase: &Secret, randomness: &dyn Randomness) -> Self {
        let mut protected = Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: randomness.bytes(),
            wrapped: [0; NONCE + Key::LENGTH + 16],
        };
        let nonce: [u8; NONCE] = randomness.bytes();
        let stretched = protected.stretch(passphrase).expect("the costs above are within Argon2's limits");
        let text = format::encrypt(&stretched, nonce, &protected.bound_to(name), key.expose());
        protected.wrapped[..NONCE].copy_from_slice(&nonce);
        protected.wrapped[NONCE..].copy_from_slice(&text);
        protected
    }

    /// The key; `None` if the passphrase is another, or anything was altered.
    pub(super) fn unwrap(&self, name: &[u8], passphrase: &Secret) -> Option<Key> {
        let (nonce, text) = self.wrapped.split_at(NONCE);
        let nonce = nonce.try_into().expect("split at twelve bytes");
        let stretched = self.stretch(passphrase)?;
        Key::from_slice(&format::decrypt(&stretched, nonce, &self.bound_to(name), text)?)
    }

    fn stretch(&self, passphrase: &Secret) -> Option<Key> {
        let costs = Params::new(self.memory_kib, self.passes, self.lanes, Some(Key::LENGTH)).ok()?;
        let mut out = Zeroizing::new([0; Key::LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, costs)
            .hash_password_into(passphrase.expose().as_bytes(), &self.salt, &mut *out)
            .ok()?;
        Some(Key::new(*out))
    }

    fn bound_to(&self, name: &[u8]) -> Vec<u8> {
        [b"volar.v1 key file".as_slice(), name, self.costs().as_bytes()].concat()
    }

    /// The costs as the file has them.
    pub(super) fn costs(&self) -> String {
        format!("m={},t={},p={}", self.memory_kib, self.passes, self.lanes)
    }

    pub(super) fn salt(&self) -> String {
        hex::encode(self.salt)
    }

    pub(super) fn wrapped(&self) -> String {
        hex::encode(self.wrapped)
    }

    /// From a file's words.
    pub(super) fn parse(costs: &str, salt: &str, wrapped: &str) -> Result<Self, &'static str> {
        let mut parts = costs.split(',');
        let mut cost = |name: &str| parts.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let malformed = "its Argon2id costs are not m=…,t=…,p=…";
        let (memory_kib, passes, lanes) =
            (cost("m=").ok_or(malformed)?, cost("t=").ok_or(malformed)?, cost("p=").ok_or(malformed)?);
        let sound = MEMORY_KIB_RANGE.contains(&memory_kib)
            && (1..=PASSES_MAX).contains(&passes)
            && (1..=LANES_MAX).contains(&lanes);
        if !sound {
            return Err("its Argon2id costs are out of range (m from 19456 to 2097152, t to 64, p to 16)");
        }
        let mut protected = Self { memory_kib, passes, lanes, salt: [0; 16], wrapped: [0; NONCE + Key::LENGTH + 16] };
        hex::decode_to_slice(salt, &mut protected.salt).map_err(|_| "its salt is not 32 hexadecimal digits")?;
        let digits = "its wrapped key is not 120 hexadecimal digits";
        hex::decode_to_slice(wrapped, &mut protected.wrapped).map_err(|_| digits)?;
        Ok(protected)
    }
}
