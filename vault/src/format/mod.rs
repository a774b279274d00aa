//! Sealed records. Every value in the store is one, so that nobody without the key can read it, alter it, or move it to
//! another place.
//!
//! ```text
//! schema version 1 | key version 4 | nonce 12 | AES-256-GCM of the record in postcard, and its tag 16
//! authenticated with it: schema version, key version, tenant, subject, kind, id
//! ```
//!
//! A record is written in the newest version and read in every version that ever was.

pub mod audit;
mod early;
pub mod second_factor;
pub mod v1;
pub mod v2;
pub mod v3;
pub mod v4;
pub mod v5;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use volar_core::id::{SubjectId, TenantId};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use zeroize::Zeroizing;

pub use v5::VERSION;

const NONCE: usize = 12;
const HEADER: usize = 1 + 4 + NONCE;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`v4::Gallery`]
    Gallery = 1,
    /// [`v1::Head`]
    Head = 2,
    /// [`v3::Subject`]
    Subject = 3,
    /// [`v1::Palm`]
    Palm = 4,
    /// [`v1::PendingProbes`]
    PendingProbes = 5,
    /// [`v1::Payment`]
    Payment = 6,
    /// [`v1::Enrollment`]
    Enrollment = 7,
    /// [`v2::Tombstone`]
    Tombstone = 8,
    /// [`v2::Placement`]
    Placement = 9,
    /// [`v1::Idempotency`]
    Idempotency = 10,
    /// [`v1::Claim`]
    Claim = 11,
    /// [`v1::Event`]
    Event = 12,
    /// [`v5::Follower`]
    Follower = 13,
    /// [`audit::AuditHead`]
    AuditHead = 40,
    /// [`audit::AuditLeaf`]
    AuditLeaf = 41,
    /// [`audit::AuditNode`]
    AuditNode = 42,
    /// [`audit::AuditKey`]
    AuditKey = 43,
    /// [`audit::Trail`]
    Trail = 44,
    /// [`audit::ErasureProof`]
    ErasureProof = 45,
    /// [`second_factor::SecondFactor`]
    SecondFactor = 60,
    /// [`second_factor::FactorTries`]
    FactorTries = 61,
    /// [`second_factor::AnsweredChallenge`]
    AnsweredChallenge = 62,
}

/// What a record belongs to; a record opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Whom it is about; `None` for records that are about nobody.
    pub subject: Option<SubjectId>,
    /// Which one of its kind.
    pub id: &'a [u8],
    /// Version of the long-term key that its key comes from.
    pub key_version: u32,
}

/// A record with its place in the list of kinds.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is.
    const KIND: Kind;

    /// Reads it back, from the layout that it had in the schema version.
    fn decode(_version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(plain)
    }
}

/// Why sealed bytes do not give a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Shorter than any record.
    #[error("sealed {kind:?} record has {found} bytes, too few for any record")]
    Short {
        /// What was wanted.
        kind: Kind,
        /// Bytes found.
        found: usize,
    },
    /// Written by a newer vault.
    #[error("sealed {kind:?} record has schema version {found}; this vault reads up to {newest}: run a newer one", newest = VERSION)]
    Version {
        /// What was wanted.
        kind: Kind,
        /// Version found.
        found: u8,
    },
    /// Altered, or not what or whose it should be.
    #[error(
        "sealed {kind:?} record does not authenticate: it was altered, moved, or sealed under another key; restore the store from its backup"
    )]
    Forged {
        /// What was wanted.
        kind: Kind,
    },
    /// Under a version of the tenant's keys that is not there.
    #[error(
        "sealed {kind:?} record is under version {version} of its tenant's keys, which this vault does not have: ask again if another vault has just made it, otherwise restore the tenant keys from the backup made together with the store"
    )]
    KeyUnknown {
        /// What was wanted.
        kind: Kind,
        /// The version.
        version: u32,
    },
    /// Authentic but not decodable.
    #[error("sealed {kind:?} record does not decode")]
    Undecodable {
        /// What was wanted.
        kind: Kind,
    },
}

/// Seals a record in the newest version.
pub fn seal<R: Record>(record: &R, key: &Key, binding: Binding<'_>, randomness: &dyn Randomness) -> Vec<u8> {
    let plain = Zeroizing::new(postcard::to_stdvec(record).expect("plain data always encodes"));
    let nonce: [u8; NONCE] = randomness.bytes();
    let aad = associated_data(VERSION, R::KIND, &binding);
    let mut sealed = Vec::with_capacity(HEADER + plain.len() + 16);
    sealed.push(VERSION);
    sealed.extend_from_slice(&binding.key_version.to_be_bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend(encrypt(key, nonce, &aad, &plain));
    sealed
}

/// Opens a record of any known version.
pub fn open<R: Record>(sealed: &[u8], key: &Key, binding: Binding<'_>) -> Result<R, FormatError> {
    let kind = R::KIND;
    if sealed.len() < HEADER + 16 {
        return Err(FormatError::Short { kind, found: sealed.len() });
    }
    let version = sealed[0];
    if !(1..=VERSION).contains(&version) {
        return Err(FormatError::Version { kind, found: version });
    }
    let nonce = sealed[5..HEADER].try_into().expect("twelve bytes");
    let aad = associated_data(version, kind, &binding);
    let plain = decrypt(key, nonce, &aad, &sealed[HEADER..]).ok_or(FormatError::Forged { kind })?;
    if sealed[1..5] != binding.key_version.to_be_bytes() {
        return Err(FormatError::Forged { kind });
    }
    R::decode(version, &plain).map_err(|_| FormatError::Undecodable { kind })
}

/// The version of the long-term key that sealed bytes say they are under; `None` if they are too short to be a record.
pub(crate) fn key_version(sealed: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(sealed.get(1..5)?.try_into().ok()?))
}

/// The schema version that sealed bytes say they are of.
pub(crate) fn schema(sealed: &[u8]) -> Option<u8> {
    sealed.first().copied()
}

/// The same record under another key, of any schema version: it is not decoded.
pub(crate) fn reseal(
    sealed: &[u8],
    kind: Kind,
    (from, old): (&Key, Binding<'_>),
    (to, new): (&Key, Binding<'_>),
    randomness: &dyn Randomness,
) -> Result<Vec<u8>, FormatError> {
    if sealed.len() < HEADER + 16 {
        return Err(FormatError::Short { kind, found: sealed.len() });
    }
    let schema = sealed[0];
    let nonce = sealed[5..HEADER].try_into().expect("twelve bytes");
    let plain = decrypt(from, nonce, &associated_data(schema, kind, &old), &sealed[HEADER..]);
    let plain = plain.ok_or(FormatError::Forged { kind })?;
    let nonce: [u8; NONCE] = randomness.bytes();
    let text = encrypt(to, nonce, &associated_data(schema, kind, &new), &plain);
    Ok([&[schema], new.key_version.to_be_bytes().as_slice(), &nonce, &text].concat())
}

/// That a record is what and whose it should be, of any schema version: it is not decoded.
pub(crate) fn check(sealed: &[u8], kind: Kind, key: &Key, binding: Binding<'_>) -> Result<(), FormatError> {
    if sealed.len() < HEADER + 16 {
        return Err(FormatError::Short { kind, found: sealed.len() });
    }
    let nonce = sealed[5..HEADER].try_into().expect("twelve bytes");
    let plain = decrypt(key, nonce, &associated_data(sealed[0], kind, &binding), &sealed[HEADER..]);
    plain.map(drop).ok_or(FormatError::Forged { kind })
}

/// AES-256-GCM. The nonce is random: a key seals far fewer than the 2^32 messages of NIST SP 800-38D, section 8.3.
pub(crate) fn encrypt(key: &Key, nonce: [u8; NONCE], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.expose().into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
        .expect("records are far below AES-GCM's length limit")
}

/// The plain text, or `None` if anything about it is not as sealed.
pub(crate) fn decrypt(key: &Key, nonce: [u8; NONCE], aad: &[u8], text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let opened = Aes256Gcm::new(key.expose().into()).decrypt(&Nonce::from(nonce), Payload { msg: text, aad });
    opened.ok().map(Zeroizing::new)
}

/// Each part with its length before it, so that no two different bindings give the same bytes.
pub(crate) fn associated_data(version: u8, kind: Kind, binding: &Binding<'_>) -> Vec<u8> {
    let subject = binding.subject.map(|subject| *subject.as_bytes());
    let parts = [
        b"volar.v1 record".as_slice(),
        &[version],
        &binding.key_version.to_be_bytes(),
        binding.tenant.as_str().as_bytes(),
        subject.as_ref().map_or(&[], |bytes| bytes.as_slice()),
        &[kind as u8],
        binding.id,
    ];
    let mut data = Vec::with_capacity(128);
    for part in parts {
        data.extend_from_slice(&(part.len() as u32).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
mod tests;
