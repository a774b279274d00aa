//! What matchers seal under a tenant's ticket key and hand to gates: nobody without the key reads, alters or makes it,
//! and nothing that was sealed as one thing opens as another.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::randomness::Randomness;
use crate::ticket::TicketKey;

/// Version of the sealed form, its first byte.
pub(crate) const VERSION: u8 = 1;
const NONCE_LENGTH: usize = 12;
const HEADER_LENGTH: usize = 1 + 4 + NONCE_LENGTH;
/// Longer bytes are none of ours: refused before any cryptography.
const SEALED_LENGTH_MAX: usize = 1024;

/// Why bytes do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Too short, too long, of an unknown version, or of a layout that this version does not know.
    Malformed,
    /// Sealed in an epoch whose key is gone or not yet known.
    KeyUnknown {
        /// The epoch.
        epoch: u32,
    },
    /// Changed, made without the key, or something else.
    Forged,
}

/// Seals `record` as `what` under `key`.
pub(crate) fn seal<T: Serialize>(
    what: &'static str,
    record: &T,
    key: &TicketKey,
    randomness: &dyn Randomness,
) -> Vec<u8> {
    let mut sealed = vec![VERSION];
    sealed.extend_from_slice(&key.epoch.to_be_bytes());
    let nonce: [u8; NONCE_LENGTH] = randomness.bytes();
    let plain = Zeroizing::new(postcard::to_stdvec(record).expect("slugs and numbers always encode"));
    let cipher = Aes256Gcm::new(key.key.expose().into());
    let payload = Payload { msg: &plain, aad: &associated_data(what, key.epoch) };
    let text = cipher.encrypt(&Nonce::from(nonce), payload).expect("far below AES-GCM's length limit");
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&text);
    sealed
}

/// Opens what was sealed as `what`; `key_of` knows the keys still accepted, by epoch.
pub(crate) fn open<T: DeserializeOwned>(
    what: &'static str,
    sealed: &[u8],
    key_of: impl FnOnce(u32) -> Option<TicketKey>,
) -> Result<T, OpenError> {
    if sealed.len() <= HEADER_LENGTH || sealed.len() > SEALED_LENGTH_MAX || sealed[0] != VERSION {
        return Err(OpenError::Malformed);
    }
    let epoch = u32::from_be_bytes(sealed[1..5].try_into().expect("four bytes"));
    let key = key_of(epoch).ok_or(OpenError::KeyUnknown { epoch })?;
    let nonce: [u8; NONCE_LENGTH] = sealed[5..HEADER_LENGTH].try_into().expect("twelve bytes");
    let payload = Payload { msg: &sealed[HEADER_LENGTH..], aad: &associated_data(what, epoch) };
    let plain = Aes256Gcm::new(key.key.expose().into())
        .decrypt(&Nonce::from(nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Forged)?;
    postcard::from_bytes(&plain).map_err(|_| OpenError::Malformed)
}

fn associated_data(what: &'static str, epoch: u32) -> Vec<u8> {
    [what.as_bytes(), &[VERSION], &epoch.to_be_bytes()].concat()
}
