//! Signed tree heads: checkpoints of C2SP `tlog-checkpoint` in a signed note (C2SP `signed-note`), Ed25519.
//!
//! ```text
//! volar/audit/acme                              whose log
//! 18                                            its leaves
//! 1q2w…=                                        its root
//! time 1790000000000                            when it was signed, milliseconds since the Unix epoch
//!
//! — volar/audit/acme 4f6b9c7d…=                 four bytes that name the key, and the signature
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::id::TenantId;
use crate::secret::Key;

use super::{Hash, LEAVES_MAX};

/// The algorithm's byte in a signed note: Ed25519.
const ALGORITHM: u8 = 1;
const TIME: &str = "time ";

/// How far a log reaches, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Whose log.
    pub tenant: TenantId,
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// When this was signed.
    pub at: Timestamp,
}

impl TreeHead {
    fn body(&self) -> String {
        let (size, root, at) = (self.size, STANDARD.encode(self.root), self.at.unix_milliseconds());
        format!("{}\n{size}\n{root}\n{TIME}{at}\n", origin(&self.tenant))
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.split('\n');
        let tenant = lines.next()?.strip_prefix("volar/audit/")?.parse().ok()?;
        let size = lines.next()?.parse().ok().filter(|&size| size <= LEAVES_MAX)?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let at = Timestamp::from_unix_milliseconds(lines.next()?.strip_prefix(TIME)?.parse().ok()?);
        let head = Self { tenant, size, root, at };
        // One text for each head, so that equal heads are equal bytes.
        (head.body() == body).then_some(head)
    }
}

fn origin(tenant: &TenantId) -> String {
    format!("volar/audit/{tenant}")
}

/// Signs one tenant's heads.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key pair of a secret seed.
    pub fn new(tenant: &TenantId, seed: &Key) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed has 32 bytes");
        let bytes = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        Self { pair, public: PublicKey { name: origin(tenant), bytes } }
    }

    /// What checks its signatures.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a head. The same head always gives the same text.
    pub fn sign(&self, head: TreeHead) -> SignedHead {
        let body = head.body();
        let signature = self.pair.sign(body.as_bytes());
        let stamped = [self.public.hint().as_slice(), signature.as_ref()].concat();
        let text = format!("{body}\n\u{2014} {} {}\n", self.public.name, STANDARD.encode(stamped));
        SignedHead { head, text }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(secret)")
    }
}

/// Checks heads. Written `name+key hash+key`, as a signed note's verifier key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    bytes: [u8; 32],
}

impl PublicKey {
    fn hint(&self) -> [u8; 4] {
        let hash =
            Sha256::new_with_prefix(&self.name).chain_update([b'\n', ALGORITHM]).chain_update(self.bytes).finalize();
        hash[..4].try_into().expect("a hash has 32 bytes")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = u32::from_be_bytes(self.hint());
        let key = STANDARD.encode([&[ALGORITHM], self.bytes.as_slice()].concat());
        write!(formatter, "{}+{hint:08x}+{key}", self.name)
    }
}

impl FromStr for PublicKey {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let parsed = || {
            let (name, rest) = text.split_once('+')?;
            let (_, key) = rest.split_once('+')?;
            let key = STANDARD.decode(key).ok()?;
            let bytes = key.strip_prefix(&[ALGORITHM])?.try_into().ok()?;
            let key = Self { name: name.to_owned(), bytes };
            (key.to_string() == text).then_some(key)
        };
        parsed().ok_or(HeadError::PublicKey)
    }
}

/// A head, and the text that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: TreeHead,
    text: String,
}

impl SignedHead {
    /// Checks a head's text, by a key that is known from elsewhere.
    pub fn open(text: &str, key: &PublicKey) -> Result<Self, HeadError> {
        let (body, signatures) = text.split_once("\n\n").ok_or(HeadError::Malformed)?;
        let body = format!("{body}\n");
        let head = TreeHead::parse(&body).ok_or(HeadError::Malformed)?;
        if origin(&head.tenant) != key.name {
            return Err(HeadError::AnothersLog { found: origin(&head.tenant), key: key.name.clone() });
        }
        if !signatures.ends_with('\n') {
            return Err(HeadError::Malformed);
        }
        // A witness may have added its own signature; ours is the one that counts here.
        let ours = signatures.lines().filter_map(|line| {
            let (name, stamped) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let stamped = STANDARD.decode(stamped).ok()?;
            (name == key.name).then_some(stamped)
        });
        let verifier = UnparsedPublicKey::new(&ED25519, key.bytes);
        let hint = key.hint();
        let mut ours = ours.filter_map(|stamped| stamped.strip_prefix(&hint).map(<[u8]>::to_vec));
        if !ours.any(|signature| verifier.verify(body.as_bytes(), &signature).is_ok()) {
            return Err(HeadError::Signature);
        }
        Ok(Self { head, text: text.to_owned() })
    }

    /// What it says.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The text to publish, keep and compare.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Why a head proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not a public key's text.
    #[error(
        "no public key of an audit log; it looks like volar/audit/<tenant>+1a2b3c4d+AQ…, as `volarctl audit public-key` prints it"
    )]
    PublicKey,
    /// Not a head's text.
    #[error("no signed tree head: its text is cut or altered")]
    Malformed,
    /// Of another log.
    #[error("the tree head is of log {found}, the key of {key}")]
    AnothersLog {
        /// The head's log.
        found: String,
        /// The key's.
        key: String,
    },
    /// Signed by nobody known.
    #[error("the tree head's signature is not by this key: the head was altered, or comes from another vault")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, seed: u8) -> SigningKey {
        SigningKey::new(&tenant.parse().expect("a slug"), &Key::new([seed; 32]))
    }

    fn head() -> TreeHead {
        let at = Timestamp::from_unix_milliseconds(1_790_000_000_000);
        TreeHead { tenant: "acme".parse().expect("a slug"), size: 18, root: [7; 32], at }
    }

    #[test]
    fn a_signed_head_opens_with_its_key_alone() {
        let signed = key("acme", 1).sign(head());
        assert_eq!(SignedHead::open(signed.text(), key("acme", 1).public()), Ok(signed.clone()));
        assert_eq!(SignedHead::open(signed.text(), key("acme", 2).public()), Err(HeadError::Signature));
        let other = SignedHead::open(signed.text(), key("bolt", 1).public());
        assert!(matches!(other, Err(HeadError::AnothersLog { .. })), "{other:?}");
        assert_eq!(format!("{:?}", key("acme", 1)), "SigningKey(secret)");
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let signed = key("acme", 1).sign(head());
        for at in 0..signed.text().len() {
            let mut bytes = signed.text().as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(SignedHead::open(&text, key("acme", 1).public()).is_err(), "byte {at}: {text}");
        }
        let mut cut = signed.text().to_owned();
        while cut.pop().is_some() {
            assert!(SignedHead::open(&cut, key("acme", 1).public()).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_witness_may_sign_too() {
        let signed = key("acme", 1).sign(head());
        let with = format!("{}\u{2014} witness.example AAAAAAAA\n", signed.text());
        assert_eq!(SignedHead::open(&with, key("acme", 1).public()).expect("still ours").head(), &head());
    }

    #[test]
    fn public_keys_are_read_as_they_are_written() {
        let public = key("acme", 1).public().clone();
        let text = public.to_string();
        assert!(text.starts_with("volar/audit/acme+"), "{text}");
        assert_eq!(text.parse(), Ok(public));
        for bad in ["", "acme", "volar/audit/acme+00000000+AQ==", &text[1..], &text.replace("+A", "+B")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(HeadError::PublicKey), "{bad}");
        }
    }
}
