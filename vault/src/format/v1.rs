//! Records of schema version 1. This file does not change any more: a change is a record of a later version's file, and a
//! conversion from here. Those that have one are read for ever and written no more.

use std::fmt;

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, GalleryId, IdempotencyId, ModelId, SiteId, SubjectId, TicketId};
use volar_core::shard::Shard;
use volar_core::template::{self, EnrolledPalm, Position};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Kind, Record, early};

/// A gallery's protection and feed.
#[derive(Clone, Deserialize)]
pub struct Gallery {
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// The model that its references come from.
    pub model: ModelId,
    /// Names the feed; changes when numbers may have been given out twice.
    pub feed_id: [u8; 16],
    /// The protection key.
    pub key: SecretBytes<32>,
}

/// Where a gallery's feed ends, and how many subjects stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Sequence number of the last event; 0 before the first.
    pub last_sequence: u64,
    /// Subjects waiting for verdicts.
    pub pending: u64,
    /// Subjects usable at gates.
    pub active: u64,
    /// Subjects waiting for a person's decision.
    pub in_review: u64,
}

/// Where an enrolled person stands. Erased ones have a [`Tombstone`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Not every matcher has searched for duplicates yet.
    Pending,
    /// Usable at gates.
    Active,
    /// A person decides whether it is a duplicate.
    InReview,
}

/// A person's written release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Version of the notice shown.
    pub policy_version: String,
    /// BCP 47 tag of its language.
    pub language: String,
    /// SHA-256 of the exact text.
    pub text_sha256: [u8; 32],
    /// When it was given.
    pub given_at: Timestamp,
    /// How it was given.
    pub method: String,
}

/// One matcher's word on a new subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// The matcher.
    pub device: DeviceId,
    /// The part of the gallery that it has searched.
    pub shard: Shard,
    /// The earlier subject that it suspects; `None` when it found nobody.
    pub duplicate_of: Option<SubjectId>,
}

/// An enrolled person.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Subject {
    /// The gallery that they are in.
    pub gallery: GalleryId,
    /// Where they stand.
    pub state: State,
    /// The kiosk's name for the visit.
    pub enrollment: EnrollmentId,
    /// Where they enrolled.
    pub site: SiteId,
    /// The kiosk.
    pub device: DeviceId,
    /// When.
    pub enrolled_at: Timestamp,
    /// Their release.
    pub consent: Consent,
    /// Sequence number of their first event.
    pub sequence: u64,
    /// The hands enrolled.
    pub positions: Vec<Position>,
    /// Whether the enrollment counts as finished only with a payment reference.
    pub payment_follows: bool,
    /// Whether they have one.
    pub payment_bound: bool,
    /// What matchers said.
    pub verdicts: Vec<Verdict>,
}

/// The references of one palm, protected.
#[derive(Clone, Serialize, Deserialize)]
pub struct Palm {
    /// Which hand.
    pub position: Position,
    /// Best first.
    pub references: Vec<Reference>,
}

/// One protected view.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Reference {
    /// Unit vector.
    pub embedding: Vec<f32>,
    /// Bit planes.
    #[serde(with = "serde_bytes")]
    pub code: Vec<u8>,
    /// 0 to 100.
    pub quality: u8,
}

/// Probes for the duplicate search, while verdicts are wanted.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingProbes {
    /// One a palm, in the order of the palms.
    pub probes: Vec<Probe>,
}

/// One palm as a probe, protected.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Probe {
    /// Unit vector.
    pub embedding: Vec<f32>,
    /// Codes one after another, the unshifted one first.
    #[serde(with = "serde_bytes")]
    pub codes: Vec<u8>,
    /// 0 to 100.
    pub quality: u8,
}

/// How a person pays, in a payment service provider's words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Payment {
    /// Which provider.
    pub provider: String,
    /// Its customer id.
    pub customer: String,
    /// Its payment-method id.
    pub payment_method: String,
    /// What may be shown.
    pub label: String,
}

/// From a kiosk's name for a visit to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// The person.
    pub subject: SubjectId,
}

/// What stays of an erased person: that they were erased.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tombstone {
    /// The gallery they were in.
    pub gallery: GalleryId,
    /// Where they had enrolled.
    pub site: SiteId,
    /// At which kiosk.
    pub device: DeviceId,
    /// Number of the receipt.
    pub receipt: [u8; 16],
    /// When they were erased.
    pub erased_at: Timestamp,
    /// Sequence number of the event that tells it.
    pub sequence: u64,
    /// What became of telling the matchers; `None` while that is under way.
    pub told: Option<Told>,
}

/// Which followers took an erasure in before the call returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// These did.
    pub confirmed: Vec<DeviceId>,
    /// These were away or late.
    pub pending: Vec<DeviceId>,
}

/// Where a subject's key and palms lie: what an erasure must find without opening anything of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Placement {
    /// The key's slot.
    pub slot: u32,
    /// The gallery.
    pub gallery: GalleryId,
    /// Sequence number of their first event, under which the palms lie.
    pub sequence: u64,
    /// Where they enrolled.
    pub site: SiteId,
    /// At which kiosk.
    pub device: DeviceId,
    /// When the enrollment counts as abandoned unless it is finished.
    pub deadline: Option<Timestamp>,
}

/// A writing call that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// A keyed hash of the request.
    pub body: [u8; 32],
    /// When it was answered.
    pub at: Timestamp,
    /// What it was answered.
    pub answer: Answer,
}

/// The answer to a writing call, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Enrolled, pending.
    Enrolled(EnrollmentId),
    /// The state after binding, a verdict or a review; `None` is erased.
    State(Option<State>),
    /// Erased; the [`Tombstone`] has the receipt.
    Erased(SubjectId),
    /// Claimed; the [`Claim`] has the time.
    Claimed(TicketId),
    /// Taken down; there is nothing to say.
    Noted,
}

/// A ticket that was claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The claiming call.
    pub idempotency: IdempotencyId,
    /// The claiming backend's site.
    pub site: SiteId,
    /// The claiming backend.
    pub device: DeviceId,
    /// When.
    pub claimed_at: Timestamp,
}

/// One event of a gallery's feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whom it is about.
    pub subject: SubjectId,
    /// What happened.
    pub change: Change,
}

/// What happens to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Palms were stored, pending.
    Enrolled,
    /// Became usable at gates.
    Activated,
    /// Went to review.
    Held,
    /// Was erased.
    Erased,
}

/// A matcher that follows a gallery, as it was until schema version 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// When it last began to.
    pub seen_at: Timestamp,
}

/// Bytes of a key inside a record.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct SecretBytes<const N: usize>(#[serde(with = "array")] [u8; N]);

impl<const N: usize> SecretBytes<N> {
    /// Takes the bytes.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl Palm {
    /// What is kept of an enrolled palm.
    pub fn of(palm: &EnrolledPalm) -> Self {
        let references = palm.references.iter().map(|reference| Reference {
            embedding: reference.embedding.expose().to_vec(),
            code: reference.code.to_bytes(),
            quality: reference.quality.value(),
        });
        Self { position: palm.position, references: references.collect() }
    }
}

impl Probe {
    /// A probe as it waits for verdicts.
    pub fn of(probe: &template::Probe) -> Self {
        let mut codes = Vec::with_capacity(probe.codes.len() * template::CODE_BYTES);
        probe.codes.iter().for_each(|code| codes.extend(code.to_bytes()));
        Self { embedding: probe.embedding.expose().to_vec(), codes, quality: probe.quality.value() }
    }
}

mod array {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
        bytes.as_slice().serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let bytes = Zeroizing::new(Vec::<u8>::deserialize(from)?);
        bytes.as_slice().try_into().map_err(|_| D::Error::invalid_length(bytes.len(), &"a key's length"))
    }
}

macro_rules! records {
    ($($name:ident),*) => {
        $(impl Record for $name {
            const KIND: Kind = Kind::$name;
        })*
    };
}
records!(Head, Palm, PendingProbes, Payment, Enrollment, Idempotency, Claim, Event);

impl Subject {
    pub(super) fn decode(plain: &[u8]) -> Result<Self, postcard::Error> {
        // No early subject reads as one of this version: where the text of a part is due, a verdict had a zero, or a one
        // and an id.
        postcard::from_bytes(plain).or_else(|_| Ok(postcard::from_bytes::<early::Subject>(plain)?.into()))
    }
}

macro_rules! silent_debug {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(secret)"))
            }
        })*
    };
}
silent_debug!(Gallery, Palm, Reference, PendingProbes, Probe, Payment);
