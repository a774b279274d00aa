use volar_core::clock::Timestamp;
use volar_core::id::{EnrollmentId, IdempotencyId, TicketId};
use volar_core::randomness::SeededRandomness;
use volar_core::shard::Shard;
use volar_core::template::Position;

use super::audit::*;
use super::second_factor::{AnsweredChallenge, FactorTries, SecondFactor};
use super::v1::{
    Answer, Change, Claim, Consent, Enrollment, Event, Head, Idempotency, Palm, Payment, PendingProbes, Probe,
    Reference, SecretBytes, State, Told,
};
use super::v2::{Membership, Placement, Tombstone};
use super::v3::{Subject, Suspicion, Verdict};
use super::v4::{Gallery, Other};
use super::v5::Follower;
use super::*;

/// One record of each kind, sealed: what vaults of each version have on their disks.
const GOLDEN: [&str; 5] = [
    include_str!("golden/v1.txt"),
    include_str!("golden/v2.txt"),
    include_str!("golden/v3.txt"),
    include_str!("golden/v4.txt"),
    include_str!("golden/v5.txt"),
];

fn slug<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a slug")
}

fn tenant() -> TenantId {
    slug("acme")
}

fn subject() -> SubjectId {
    SubjectId::from_bytes([7; 16])
}

fn key() -> Key {
    Key::new([1; 32])
}

fn binding(tenant: &TenantId) -> Binding<'_> {
    Binding { tenant, subject: Some(subject()), id: b"row", key_version: 1 }
}

/// The line of a kind's name in one version's file.
fn golden(name: &str, version: usize) -> Option<Vec<u8>> {
    let prefix = format!("{name} ");
    let digits = GOLDEN[version - 1].lines().find_map(|line| line.strip_prefix(&prefix))?;
    Some(hex::decode(digits).expect("hexadecimal"))
}

/// Seals `record` and checks it against its newest golden line both ways, and that the older ones read as the same.
fn check<R: Record>(record: &R, wrong: &mut Vec<String>) {
    check_since(1, record, record, wrong);
}

/// The same of a kind whose versions before `since` say less: they read as `old`.
fn check_since<R: Record>(since: usize, record: &R, old: &R, wrong: &mut Vec<String>) {
    let (tenant, name) = (tenant(), format!("{:?}", R::KIND));
    let plain = |record: &R| postcard::to_stdvec(record).expect("encodes");
    let reads = |golden: &[u8], record: &R| {
        let opened = open::<R>(golden, &key(), binding(&tenant)).expect("old records open for ever");
        plain(&opened) == plain(record)
    };
    let sealed = seal(record, &key(), binding(&tenant), &SeededRandomness::new(5));
    for version in 1..GOLDEN.len() {
        let wanted = if version < since { old } else { record };
        let same = golden(&name, version).is_none_or(|golden| reads(&golden, wanted));
        assert!(same, "{name} of version {version} reads as another");
    }
    if !golden(&name, GOLDEN.len()).is_some_and(|golden| golden == sealed && reads(&golden, record)) {
        wrong.push(format!("{name} {}", hex::encode(&sealed)));
    }
}

#[test]
fn records_are_written_as_ever_and_read_in_every_version() {
    let at = Timestamp::from_unix_milliseconds(1_790_000_000_000);
    let mut wrong = Vec::new();
    let gallery = |other| {
        let key = SecretBytes::new([5; 32]);
        Gallery { generation: 3, model: slug("m-1"), feed_id: [4; 16], key, other }
    };
    let other = Some(Other { generation: 4, key: SecretBytes::new([6; 32]) });
    check_since(4, &gallery(other), &gallery(None), &mut wrong);
    check(&Head { last_sequence: 300, pending: 1, active: 2, in_review: 3 }, &mut wrong);
    check_since(3, &example_subject(at, Some(14.25)), &example_subject(at, None), &mut wrong);
    let reference = Reference { embedding: vec![0.5, -0.25], code: vec![1, 2, 255], quality: 80 };
    check(&Palm { position: Position::Right, references: vec![reference] }, &mut wrong);
    let probe = Probe { embedding: vec![-1.0], codes: vec![9; 4], quality: 70 };
    check(&PendingProbes { probes: vec![probe] }, &mut wrong);
    let text = |text: &str| text.to_owned();
    let payment =
        Payment { provider: text("test"), customer: text("c"), payment_method: text("p"), label: text("Anna") };
    check(&payment, &mut wrong);
    check(&Enrollment { subject: subject() }, &mut wrong);
    let told = Some(Told { confirmed: vec![slug("m-1")], pending: vec![slug("m-2")] });
    let (gallery, site, device) = (slug("members"), slug("north"), slug("kiosk-1"));
    let memberships = vec![Membership { gallery, sequence: 9 }];
    check(&Tombstone { memberships, site, device, receipt: [6; 16], erased_at: at, told }, &mut wrong);
    let (gallery, site, device) = (slug("members"), slug("north"), slug("kiosk-1"));
    let memberships = vec![Membership { gallery, sequence: 8 }];
    check(&Placement { slot: 12, memberships, site, device, deadline: Some(at) }, &mut wrong);
    let answer = Answer::Enrolled(EnrollmentId::from_bytes([2; 16]));
    check(&Idempotency { body: [8; 32], at, answer }, &mut wrong);
    let (site, device) = (slug("north"), slug("checkout-1"));
    check(&Claim { idempotency: IdempotencyId::from_bytes([3; 16]), site, device, claimed_at: at }, &mut wrong);
    check(&Event { subject: subject(), change: Change::Held }, &mut wrong);
    let old = Follower::from(super::v1::Follower { seen_at: at });
    check_since(5, &Follower { seen_at: at, acknowledged: 7, vault: [2; 16], here_until: at }, &old, &mut wrong);
    check(&AuditHead { size: 3, peaks: vec![[1; 32], [2; 32]] }, &mut wrong);
    check(&AuditLeaf { text: text("leaf"), trail: vec![5, 6] }, &mut wrong);
    check(&AuditNode { hash: [3; 32] }, &mut wrong);
    check(&AuditKey { seed: SecretBytes::new([4; 32]) }, &mut wrong);
    check(&Trail { leaf: 300, seen_at: at }, &mut wrong);
    check(&ErasureProof { leaf: 301, salt: [7; 32] }, &mut wrong);
    let kind = volar_core::second_factor::Kind::Code;
    let hash = SecretBytes::new([9; 32]);
    check(&SecondFactor { kind, set_at: at, costs: (7_168, 5, 1), salt: [8; 16], hash }, &mut wrong);
    check(&FactorTries { failures: 3, at }, &mut wrong);
    let idempotency = IdempotencyId::from_bytes([3; 16]);
    check(&AnsweredChallenge { idempotency, matched: Some(subject()) }, &mut wrong);
    assert!(wrong.is_empty(), "these lines differ from golden/v5.txt:\n{}", wrong.join("\n"));
}

/// From before galleries had parts: whoever had spoken had searched everything.
#[test]
fn an_early_subject_reads_as_one_of_now() {
    let sealed = golden("EarlySubject", 1).expect("kept");
    let tenant = tenant();
    let opened: Subject = open(&sealed, &key(), binding(&tenant)).expect("old records open for ever");
    assert_eq!(opened, example_subject(Timestamp::from_unix_milliseconds(1_790_000_000_000), None));
}

fn example_subject(at: Timestamp, score: Option<f32>) -> Subject {
    Subject {
        memberships: vec![Membership { gallery: slug("members"), sequence: 8 }],
        state: State::InReview,
        enrollment: EnrollmentId::from_bytes([2; 16]),
        site: slug("north"),
        device: slug("kiosk-1"),
        enrolled_at: at,
        consent: Consent {
            policy_version: "2026-11".to_owned(),
            language: "de".to_owned(),
            text_sha256: [3; 32],
            given_at: at,
            method: "touch-screen".to_owned(),
        },
        positions: vec![Position::Left, Position::Right],
        payment_follows: true,
        payment_bound: false,
        verdicts: vec![Verdict {
            device: slug("m-1"),
            gallery: slug("members"),
            shard: Shard::WHOLE,
            suspicion: Some(Suspicion { of: subject(), score }),
        }],
    }
}

/// Every answer and change has its number, which never changes.
#[test]
fn numbers_of_variants_stay() {
    let first = |answer: &Answer| postcard::to_stdvec(answer).expect("encodes")[0];
    assert_eq!(first(&Answer::Enrolled(EnrollmentId::from_bytes([0; 16]))), 0);
    assert_eq!(first(&Answer::State(None)), 1);
    assert_eq!(first(&Answer::Erased(subject())), 2);
    assert_eq!(first(&Answer::Claimed(TicketId::from_bytes([0; 16]))), 3);
    let changes = [Change::Enrolled, Change::Activated, Change::Held, Change::Erased];
    let states = [State::Pending, State::Active, State::InReview];
    for (number, change) in changes.iter().enumerate() {
        assert_eq!(postcard::to_stdvec(change).expect("encodes"), [number as u8]);
    }
    for (number, state) in states.iter().enumerate() {
        assert_eq!(postcard::to_stdvec(state).expect("encodes"), [number as u8]);
    }
}

#[test]
fn a_record_opens_only_where_it_belongs() {
    let (tenant, other) = (tenant(), slug("bolt"));
    let event = Event { subject: subject(), change: Change::Held };
    let sealed = seal(&event, &key(), binding(&tenant), &SeededRandomness::new(5));
    assert_eq!(open::<Event>(&sealed, &key(), binding(&tenant)), Ok(event));
    let forged = Err(FormatError::Forged { kind: Kind::Event });
    let home = binding(&tenant);
    let elsewhere = [
        Binding { tenant: &other, ..home },
        Binding { subject: None, ..home },
        Binding { subject: Some(SubjectId::from_bytes([8; 16])), ..home },
        Binding { id: b"other row", ..home },
        Binding { key_version: 2, ..home },
    ];
    for binding in elsewhere {
        assert_eq!(open::<Event>(&sealed, &key(), binding), forged, "{binding:?}");
    }
    assert_eq!(open::<Event>(&sealed, &Key::new([2; 32]), home), forged);
    // The same bytes as another kind of record.
    assert_eq!(open::<Follower>(&sealed, &key(), home), Err(FormatError::Forged { kind: Kind::Follower }));
}

#[test]
fn damaged_and_newer_records_are_named() {
    let tenant = tenant();
    let event = Event { subject: subject(), change: Change::Held };
    let sealed = seal(&event, &key(), binding(&tenant), &SeededRandomness::new(5));
    let open = |bytes: &[u8]| open::<Event>(bytes, &key(), binding(&tenant));
    for bit in 8..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&flipped), Err(FormatError::Forged { kind: Kind::Event }), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(open(&sealed[..length]).is_err(), "cut to {length}");
    }
    for found in [0, VERSION + 1] {
        let unknown = [&[found], &sealed[1..]].concat();
        assert_eq!(open(&unknown), Err(FormatError::Version { kind: Kind::Event, found }));
    }
}
