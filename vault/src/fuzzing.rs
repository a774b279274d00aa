//! What comes to a vault from outside, as functions over any bytes: none of them may panic. For the fuzzer alone.

use prost::Message;
use volar_core::clock::Timestamp;
use volar_core::id::{SubjectId, TenantId};
use volar_core::randomness::SeededRandomness;
use volar_core::secret::Key;
use volar_proto::v1 as wire;

use crate::format::audit::{AuditHead, AuditKey, AuditLeaf, AuditNode, ErasureProof, Trail};
use crate::format::second_factor::{AnsweredChallenge, FactorTries, SecondFactor};
use crate::format::v1::{Claim, Enrollment, Event, Head, Idempotency, Palm, Payment, PendingProbes};
use crate::format::v2::{Placement, Tombstone};
use crate::format::v3::Subject;
use crate::format::v4::Gallery;
use crate::format::v5::Follower;
use crate::format::{self, Binding, Kind, Record, VERSION};
use crate::keys::{KeyFile, KeyHolder, KeyTable, Keyring, Ring, WRAPPED, WrappedKey};
use crate::{convert, payment};

const STORE: [u8; 16] = [9; 16];

/// Kinds of messages that [`message`] knows.
pub const MESSAGES: usize = 12;

/// A message of kind `which` from a device or an operator.
pub fn message(which: usize, bytes: &[u8]) {
    match which % MESSAGES {
        0 => with(bytes, |request: wire::EnrollRequest| {
            let _ = convert::call(&request.idempotency_id, &request);
            if let Ok(enroll) = convert::enroll(request) {
                for palm in enroll.memberships.iter().flat_map(|join| &join.palms) {
                    let kept = Palm::of(palm);
                    let back: Palm = postcard::from_bytes(&encoded(&kept)).expect("what was written is read");
                    assert_eq!(encoded(&back), encoded(&kept));
                }
            }
        }),
        1 => with(bytes, |request: wire::BindPaymentRequest| {
            let _ = convert::enrollment_id(&request.enrollment_id);
            let _ = convert::payment(request.payment).and_then(|checked| payment::check(&checked));
        }),
        2 => with(bytes, |request: wire::ReportVerdictRequest| {
            let _ = convert::shard(request.shard);
            let _ = convert::verdict(request.verdict);
        }),
        3 => with(bytes, |request: wire::FollowRequest| drop(convert::wanted(&request))),
        4 => with(bytes, |request: wire::DecideReviewRequest| {
            let _ = convert::subject_id(&request.subject_id);
            let _ = convert::review_decision(request.decision());
        }),
        5 => with(bytes, |request: wire::ListSubjectsRequest| {
            let _ = convert::gallery(&request.gallery);
            let _ = convert::listed_state(request.state);
            let _ = request.page_token.parse::<SubjectId>();
        }),
        6 => with(bytes, |request: wire::WithdrawRequest| drop(convert::call(&request.idempotency_id, &request))),
        7 => with(bytes, |request: wire::SetSecondFactorRequest| drop(convert::set_second_factor(request))),
        8 => with(bytes, |request: wire::CheckSecondFactorRequest| {
            let _ = convert::idempotency_id(&request.idempotency_id);
            let _ = convert::digits("digits", request.digits);
        }),
        9 => with(bytes, |request: wire::ReportScansRequest| {
            let _ = convert::call(&request.idempotency_id, &request);
            let _ = convert::scans(request.scans);
        }),
        10 => with(bytes, |request: wire::ExportSubjectRequest| drop(convert::subject_id(&request.subject_id))),
        _ => with(bytes, |request: wire::ReprotectGalleryRequest| drop(convert::gallery(&request.gallery))),
    }
}

fn with<M: Message + Default>(bytes: &[u8], check: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        check(message);
    }
}

fn encoded<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data always encodes")
}

macro_rules! records {
    ($($record:ident),*) => {
        const RECORDS: &[(Kind, fn(&[u8]))] = &[$((Kind::$record, one::<$record>)),*];
    };
}
records!(
    Gallery,
    Head,
    Subject,
    Palm,
    PendingProbes,
    Payment,
    Enrollment,
    Tombstone,
    Placement,
    Idempotency,
    Claim,
    Event,
    Follower,
    AuditHead,
    AuditLeaf,
    AuditNode,
    AuditKey,
    Trail,
    ErasureProof,
    SecondFactor,
    FactorTries,
    AnsweredChallenge
);

/// A record, of each kind in turn as `which` counts up: its plain form, and the same bytes as sealed ones.
pub fn record(which: usize, bytes: &[u8]) {
    RECORDS[which % RECORDS.len()].1(bytes);
}

/// Names, numbers and plain forms of the records that vaults have on their disks.
pub fn plain_records() -> Vec<(String, usize, Vec<u8>)> {
    let tenant: TenantId = "acme".parse().expect("a slug");
    let subject = Some(SubjectId::from_bytes([7; 16]));
    let binding = Binding { tenant: &tenant, subject, id: b"row", key_version: 1 };
    let golden = [
        include_str!("format/golden/v1.txt"),
        include_str!("format/golden/v2.txt"),
        include_str!("format/golden/v3.txt"),
    ];
    let lines = golden.into_iter().flat_map(str::lines).filter_map(|line| line.split_once(' '));
    let plain = |(name, digits): (&str, &str)| {
        let kind = name.trim_start_matches("Early");
        let which = RECORDS.iter().position(|(known, _)| format!("{known:?}") == kind)?;
        let sealed = hex::decode(digits).ok()?;
        let (head, text) = sealed.split_at_checked(17)?;
        let aad = format::associated_data(head[0], RECORDS[which].0, &binding);
        let plain = format::decrypt(&Key::new([1; 32]), head[5..].try_into().ok()?, &aad, text)?;
        Some((format!("v{}-{name}", head[0]), which, plain.to_vec()))
    };
    lines.map(|line| plain(line).expect("a golden record opens")).collect()
}

fn one<R: Record>(bytes: &[u8]) {
    let tenant: TenantId = "acme".parse().expect("a slug");
    let binding = Binding { tenant: &tenant, subject: None, id: b"row", key_version: 1 };
    let key = Key::new([1; 32]);
    assert!(format::open::<R>(bytes, &key, binding).is_err(), "sealed without the key");
    let _ = format::key_version(bytes);
    for version in 1..=VERSION {
        if let Ok(record) = R::decode(version, bytes) {
            written_and_read(&record, &key, binding);
        }
    }
}

fn written_and_read<R: Record>(record: &R, key: &Key, binding: Binding<'_>) {
    // What was read is written so that the same is read again, and nobody else's key or place opens it.
    let sealed = format::seal(record, key, binding, &SeededRandomness::new(1));
    let back: R = format::open(&sealed, key, binding).expect("opens where it belongs");
    assert_eq!(encoded(&back), encoded(record));
    let elsewhere = Binding { id: b"other row", ..binding };
    assert!(format::open::<R>(&sealed, key, elsewhere).is_err());
}

/// A key table and tenant keys as a vault makes them in `folder`, for the store of [`file`].
pub fn key_files(folder: &std::path::Path) -> [std::path::PathBuf; 3] {
    let randomness = SeededRandomness::new(1);
    let [file, table, ring] = ["vault.key", "keys", "keys.tenants"].map(|name| folder.join(name));
    let holder = KeyFile::create(&file, &randomness).expect("writable");
    let keys = KeyTable::create(&table, STORE, holder.id()).expect("writable");
    let tenant: TenantId = "acme".parse().expect("a slug");
    let made = Ring::create(&ring, STORE, holder.id(), false).expect("writable");
    let (keyring, entry) =
        Keyring::first(&holder, &tenant, false, Timestamp::from_unix_milliseconds(1_790_000_000_000), &randomness)
            .expect("a key file makes keys");
    made.put(entry).expect("writable");
    drop(keyring);
    keys.store(SubjectId::from_bytes([1; 16]), &WrappedKey { version: 1, bytes: [7; WRAPPED] }).expect("writable");
    [file, table, ring]
}

/// Kinds of files that [`file`] knows.
pub const FILES: usize = 3;

/// A file of kind `which` that a vault keeps its keys in, at `path`.
pub fn file(which: usize, path: &std::path::Path) {
    match which % FILES {
        0 => drop(KeyFile::open(path)),
        1 => {
            if let Ok((table, contents)) = KeyTable::open(path, STORE) {
                for &(slot, subject) in &contents.used {
                    assert!(table.load(slot, subject).is_ok_and(|key| key.is_some()), "used when it was opened");
                }
                for &slot in &contents.damaged {
                    assert!(table.load(slot, SubjectId::from_bytes([1; 16])).is_err());
                }
            }
        }
        _ => {
            if let Ok(ring) = Ring::open(path, STORE) {
                for tenant in ring.tenants() {
                    assert!(!ring.of(&tenant).is_empty(), "a tenant that is there has a key");
                }
            }
        }
    }
}
