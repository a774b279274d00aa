//! Keys of rows. Slugs hold no zero byte, so a zero ends them and no key is a prefix of another's part.

use volar_core::challenge::Challenge;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, GalleryId, IdempotencyId, SubjectId, TenantId, TicketId};
use volar_core::template::Position;

use crate::format::v1::State;
use crate::store::Table;

/// A writing call, for keying its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    Enroll = 1,
    BindPayment = 2,
    CancelEnrollment = 3,
    Withdraw = 4,
    Claim = 5,
    ReportVerdict = 6,
    EraseSubject = 7,
    DecideReview = 8,
    ExportSubject = 40,
    SetSecondFactor = 60,
    ReportScans = 61,
}

pub(crate) fn tenant(tenant: &TenantId) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0]].concat()
}

pub(crate) fn gallery(of: &TenantId, gallery: &GalleryId) -> Vec<u8> {
    [&tenant(of), gallery.as_str().as_bytes(), &[0]].concat()
}

pub(crate) fn subject(of: &TenantId, subject: SubjectId) -> Vec<u8> {
    [&tenant(of), subject.as_bytes().as_slice()].concat()
}

pub(crate) fn enrollment(of: &TenantId, enrollment: EnrollmentId) -> Vec<u8> {
    [&tenant(of), enrollment.as_bytes().as_slice()].concat()
}

pub(crate) fn claim(of: &TenantId, ticket: TicketId) -> Vec<u8> {
    [&tenant(of), ticket.as_bytes().as_slice()].concat()
}

pub(crate) fn challenge(of: &TenantId, challenge: TicketId) -> Vec<u8> {
    [&tenant(of), challenge.as_bytes().as_slice()].concat()
}

/// A subject's failures. The first byte after the tenant keeps them and lanes' apart.
pub(crate) fn subject_tries(of: &TenantId, subject: SubjectId) -> Vec<u8> {
    [&tenant(of), [b's'].as_slice(), subject.as_bytes()].concat()
}

/// Failures of the lane that a challenge is from.
pub(crate) fn lane_tries(challenge: &Challenge) -> Vec<u8> {
    let names = [challenge.site.as_str(), challenge.device.as_str(), challenge.lane.as_str()].join("\0");
    [&tenant(&challenge.tenant), [b'l'].as_slice(), names.as_bytes()].concat()
}

pub(crate) fn event(of: &TenantId, in_gallery: &GalleryId, sequence: u64) -> Vec<u8> {
    [&gallery(of, in_gallery), sequence.to_be_bytes().as_slice()].concat()
}

pub(crate) fn palm(of: &TenantId, in_gallery: &GalleryId, sequence: u64, position: Position) -> Vec<u8> {
    [&event(of, in_gallery, sequence), palm_hand(position).as_slice()].concat()
}

/// The number and hand of a key of [`palm`]'s form that begins with its gallery's `prefix`.
pub(crate) fn split_palm(prefix: &[u8], key: &[u8]) -> Option<(u64, Position)> {
    let (number, hand) = key.strip_prefix(prefix)?.split_at_checked(8)?;
    let position = [Position::Left, Position::Right].into_iter().find(|position| palm_hand(*position) == *hand)?;
    Some((u64::from_be_bytes(number.try_into().ok()?), position))
}

/// A palm's id among its subject's: it opens as of its gallery's protection of that generation. Those of the first are
/// older than generations are bound.
pub(crate) fn palm_id(position: Position, in_gallery: &GalleryId, generation: u32) -> Vec<u8> {
    let bound = if generation == 1 { Vec::new() } else { [[0].as_slice(), &generation.to_be_bytes()].concat() };
    [palm_hand(position).as_slice(), in_gallery.as_str().as_bytes(), &bound].concat()
}

/// The id of a subject's probes: of the generations of their galleries, in order.
pub(crate) fn probes_id(generations: &[u32]) -> Vec<u8> {
    if generations.iter().all(|&generation| generation == 1) {
        return Vec::new();
    }
    generations.iter().flat_map(|generation| generation.to_be_bytes()).collect()
}

/// Which hand.
pub(crate) fn palm_hand(position: Position) -> [u8; 1] {
    match position {
        Position::Left => [b'l'],
        Position::Right => [b'r'],
    }
}

pub(crate) fn states(of: &TenantId, in_gallery: &GalleryId, state: State) -> Vec<u8> {
    [&gallery(of, in_gallery), [state_byte(state)].as_slice()].concat()
}

pub(crate) fn state(of: &TenantId, in_gallery: &GalleryId, at: State, subject: SubjectId) -> Vec<u8> {
    [&states(of, in_gallery, at), subject.as_bytes().as_slice()].concat()
}

fn state_byte(state: State) -> u8 {
    match state {
        State::Pending => 1,
        State::Active => 2,
        State::InReview => 3,
    }
}

pub(crate) fn follower(of: &TenantId, in_gallery: &GalleryId, device: &DeviceId) -> Vec<u8> {
    [&gallery(of, in_gallery), device.as_str().as_bytes(), &[0]].concat()
}

pub(crate) fn deadline(at: Timestamp, of: &TenantId, subject: SubjectId) -> Vec<u8> {
    [at.unix_milliseconds().to_be_bytes().as_slice(), &self::subject(of, subject)].concat()
}

pub(crate) fn idempotency(of: &TenantId, device: &DeviceId, method: Method, id: IdempotencyId) -> Vec<u8> {
    [&tenant(of), device.as_str().as_bytes(), &[0, method as u8], id.as_bytes().as_slice()].concat()
}

pub(crate) fn audit_leaf(of: &TenantId, index: u64) -> Vec<u8> {
    [&tenant(of), index.to_be_bytes().as_slice()].concat()
}

pub(crate) fn audit_node(of: &TenantId, level: u8, place: u64) -> Vec<u8> {
    [&tenant(of), [level].as_slice(), &place.to_be_bytes()].concat()
}

/// When the row `key` of `table` is forgotten.
pub(crate) fn expiry(at: Timestamp, table: Table, key: &[u8]) -> Vec<u8> {
    let table = match table {
        Table::Idempotency => 1,
        Table::Claims => 2,
        Table::AnsweredChallenges => 60,
        other => unreachable!("nothing of {other:?} is forgotten with time"),
    };
    [at.unix_milliseconds().to_be_bytes().as_slice(), &[table], key].concat()
}

/// The time, table and row of a key of [`expiry`]'s form, if it is one.
pub(crate) fn split_expiry(key: &[u8]) -> Option<(Timestamp, Table, &[u8])> {
    let (time, rest) = key.split_at_checked(8)?;
    let table = match rest.first()? {
        1 => Table::Idempotency,
        2 => Table::Claims,
        60 => Table::AnsweredChallenges,
        _ => return None,
    };
    let at = u64::from_be_bytes(time.try_into().ok()?);
    Some((Timestamp::from_unix_milliseconds(at), table, &rest[1..]))
}

/// The tenant and subject that a key of [`subject`]'s form ends in, if it is one.
pub(crate) fn split_subject(key: &[u8]) -> Option<(TenantId, SubjectId)> {
    let (tenant, subject) = key.split_at_checked(key.len().checked_sub(16)?)?;
    let tenant = std::str::from_utf8(tenant.strip_suffix(&[0])?).ok()?.parse().ok()?;
    Some((tenant, SubjectId::from_bytes(subject.try_into().ok()?)))
}

/// The time, tenant and subject of a key of [`deadline`]'s form, if it is one.
pub(crate) fn split_deadline(key: &[u8]) -> Option<(Timestamp, TenantId, SubjectId)> {
    let (time, rest) = key.split_at_checked(8)?;
    let (tenant, subject) = split_subject(rest)?;
    let at = u64::from_be_bytes(time.try_into().ok()?);
    Some((Timestamp::from_unix_milliseconds(at), tenant, subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_split_into_what_they_were_made_of() {
        let tenant: TenantId = "acme".parse().expect("a slug");
        let subject = SubjectId::from_bytes([0; 16]);
        let at = Timestamp::from_unix_milliseconds(77);
        assert_eq!(split_subject(&self::subject(&tenant, subject)), Some((tenant.clone(), subject)));
        assert_eq!(split_deadline(&deadline(at, &tenant, subject)), Some((at, tenant.clone(), subject)));
        for table in [Table::Idempotency, Table::Claims, Table::AnsweredChallenges] {
            assert_eq!(split_expiry(&expiry(at, table, b"row")), Some((at, table, b"row".as_slice())));
        }
        let (gallery, at) = ("members".parse::<GalleryId>().expect("a slug"), self::gallery);
        let palm = palm(&tenant, &gallery, 7, Position::Right);
        assert_eq!(split_palm(&at(&tenant, &gallery), &palm), Some((7, Position::Right)));
        assert_eq!(split_palm(&at(&tenant, &gallery), &palm[..palm.len() - 1]), None);
        assert_eq!(split_expiry(&[0; 8]), None);
        assert_eq!(split_expiry(&[9; 12]), None);
        assert_eq!(split_subject(b"short"), None);
        assert_eq!(split_deadline(b""), None);
    }

    #[test]
    fn one_tenants_rows_are_not_within_anothers() {
        let (short, long): (TenantId, TenantId) = ("a".parse().expect("a slug"), "a-b".parse().expect("a slug"));
        assert!(!self::tenant(&long).starts_with(&self::tenant(&short)));
    }
}
