//! Secret and public values are different types.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 256-bit key. Zeroed on drop; prints as nothing; leaves only through [`Key::expose`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; Key::LENGTH]);

impl Key {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Takes ownership of key bytes.
    pub fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// A key from a slice of exactly [`Key::LENGTH`] bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The key's bytes, for handing to a cipher or to the wire and nowhere else.
    pub fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// HKDF-SHA-256 (RFC 5869): an independent key for `purpose` and `context`.
    ///
    /// `purpose` names the use ("volar.v1 ticket"), `context` what it is for (a tenant, an epoch). Each part is
    /// length-prefixed, so no two different pairs meet.
    pub fn derive(&self, purpose: &str, context: &[&[u8]]) -> Self {
        let mut info = Vec::new();
        for part in std::iter::once(purpose.as_bytes()).chain(context.iter().copied()) {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        let pseudo_random = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[]).extract(&self.0);
        let mut derived = [0; Self::LENGTH];
        pseudo_random
            .expand(&[&info], ring::hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut derived))
            .expect("32 bytes are within HKDF-SHA-256's 255 blocks");
        Self(derived)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_differ_by_purpose_and_context() {
        let key = Key::new([7; 32]);
        let mut seen = vec![
            *key.derive("a", &[b"bc"]).expose(),
            *key.derive("ab", &[b"c"]).expose(),
            *key.derive("a", &[b"b", b"c"]).expose(),
            *key.derive("a", &[]).expose(),
            *key.expose(),
        ];
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Key::new([0xab; 32])), "Key(secret)");
    }
}
