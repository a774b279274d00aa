//! The bytes of a key table: its header and its slots.

use ring::digest;
use volar_core::id::SubjectId;

use super::KeyId;

const MAGIC: &[u8; 8] = b"VOLARKEY";
pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER: usize = 4096;
const HEADER_USED: usize = 8 + 4 + 16 + KeyId::LENGTH;
pub(super) const SLOT: usize = 128;
const CHECKSUM: usize = 8;

/// Length of a wrapped key: nonce, key and tag.
pub(crate) const WRAPPED: usize = 12 + 32 + 16;

/// A wrapped subject key as its slot holds it.
pub(crate) struct WrappedKey {
    pub(crate) version: u32,
    pub(crate) bytes: [u8; WRAPPED],
}

/// What a slot holds.
pub(super) enum Reading {
    Free,
    Used(SubjectId, WrappedKey),
    Damaged,
}

/// Reads slot `number`.
pub(super) fn read_slot(number: u32, slot: &[u8; SLOT]) -> Reading {
    if slot.iter().all(|&byte| byte == 0) {
        return Reading::Free;
    }
    if slot[SLOT - CHECKSUM..] != checksum(number, slot) {
        return Reading::Damaged;
    }
    let version = u32::from_le_bytes(slot[..4].try_into().expect("four bytes"));
    let subject = SubjectId::from_bytes(slot[4..20].try_into().expect("sixteen bytes"));
    let bytes = slot[20..20 + WRAPPED].try_into().expect("a wrapped key's length");
    Reading::Used(subject, WrappedKey { version, bytes })
}

/// A slot in use, as bytes.
pub(super) fn write_slot(number: u32, subject: SubjectId, key: &WrappedKey) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(&key.version.to_le_bytes());
    slot[4..20].copy_from_slice(subject.as_bytes());
    slot[20..20 + WRAPPED].copy_from_slice(&key.bytes);
    let sum = checksum(number, &slot);
    slot[SLOT - CHECKSUM..].copy_from_slice(&sum);
    slot
}

fn checksum(number: u32, slot: &[u8; SLOT]) -> [u8; CHECKSUM] {
    short_hash(&[&number.to_le_bytes(), &slot[..SLOT - CHECKSUM]])
}

/// The header of a table for `store_id`.
pub(super) fn header(store_id: [u8; 16], key_id: KeyId) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let used = [MAGIC.as_slice(), &FORMAT.to_le_bytes(), &store_id, key_id.as_bytes()].concat();
    header[..HEADER_USED].copy_from_slice(&used);
    header[HEADER_USED..HEADER_USED + CHECKSUM].copy_from_slice(&short_hash(&[&used]));
    header
}

/// The store that a header names, if the header is whole.
pub(super) fn store_of(header: &[u8; HEADER]) -> Option<[u8; 16]> {
    let (used, rest) = header.split_at(HEADER_USED);
    let (sum, padding) = rest.split_at(CHECKSUM);
    let whole = used.starts_with(MAGIC)
        && used[8..12] == FORMAT.to_le_bytes()
        && sum == short_hash(&[used])
        && padding.iter().all(|&byte| byte == 0);
    whole.then(|| used[12..28].try_into().expect("sixteen bytes"))
}

/// The first bytes of a SHA-256: against accidents, not against an enemy, for whom the wrapping's tag is there.
fn short_hash(parts: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref()[..CHECKSUM].try_into().expect("longer than a checksum")
}

/// Where slot `slot` begins.
pub(super) fn offset(slot: u32) -> u64 {
    HEADER as u64 + u64::from(slot) * SLOT as u64
}
