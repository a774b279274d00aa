//! Records that changed in schema version 2: a person may belong to several galleries. What is not here is as it was in
//! version 1.

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, GalleryId, SiteId, SubjectId};
use volar_core::shard::Shard;
use volar_core::template::Position;

use super::v1::{self, Consent, State, Told};
use super::{Kind, Record};

/// The schema version.
const VERSION: u8 = 2;

/// A person's place in one gallery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The gallery.
    pub gallery: GalleryId,
    /// A sequence number of its feed: of the event that the membership's record says.
    pub sequence: u64,
}

/// One matcher's word on a new subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The matcher.
    pub device: DeviceId,
    /// The gallery that it has searched.
    pub gallery: GalleryId,
    /// The part of it.
    pub shard: Shard,
    /// The earlier subject that it suspects; `None` when it found nobody.
    pub duplicate_of: Option<SubjectId>,
}

/// An enrolled person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The galleries that they are in, and their first event in each. At least one.
    pub memberships: Vec<Membership>,
    /// Where they stand, in all of them.
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
    /// The hands enrolled.
    pub positions: Vec<Position>,
    /// Whether the enrollment counts as finished only with a payment reference.
    pub payment_follows: bool,
    /// Whether they have one.
    pub payment_bound: bool,
    /// What matchers said.
    pub verdicts: Vec<Verdict>,
}

/// Where a subject's key and palms lie: what an erasure must find without opening anything of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The key's slot.
    pub slot: u32,
    /// Their galleries, and their first event in each, under whose numbers the palms lie.
    pub memberships: Vec<Membership>,
    /// Where they enrolled.
    pub site: SiteId,
    /// At which kiosk.
    pub device: DeviceId,
    /// When the enrollment counts as abandoned unless it is finished.
    pub deadline: Option<Timestamp>,
}

/// What stays of an erased person: that they were erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The galleries they were in, and the event that tells each.
    pub memberships: Vec<Membership>,
    /// Where they had enrolled.
    pub site: SiteId,
    /// At which kiosk.
    pub device: DeviceId,
    /// Number of the receipt.
    pub receipt: [u8; 16],
    /// When they were erased.
    pub erased_at: Timestamp,
    /// What became of telling the matchers; `None` while that is under way.
    pub told: Option<Told>,
}

impl Subject {
    pub(super) fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION { postcard::from_bytes(plain) } else { Ok(v1::Subject::decode(plain)?.into()) }
    }
}

impl Record for Placement {
    const KIND: Kind = Kind::Placement;

    fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION {
            postcard::from_bytes(plain)
        } else {
            Ok(postcard::from_bytes::<v1::Placement>(plain)?.into())
        }
    }
}

impl Record for Tombstone {
    const KIND: Kind = Kind::Tombstone;

    fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION {
            postcard::from_bytes(plain)
        } else {
            Ok(postcard::from_bytes::<v1::Tombstone>(plain)?.into())
        }
    }
}

impl From<v1::Subject> for Subject {
    fn from(old: v1::Subject) -> Self {
        let verdict = |v1::Verdict { device, shard, duplicate_of }| {
            let gallery = old.gallery.clone();
            Verdict { device, gallery, shard, duplicate_of }
        };
        Self {
            verdicts: old.verdicts.into_iter().map(verdict).collect(),
            memberships: vec![Membership { gallery: old.gallery, sequence: old.sequence }],
            state: old.state,
            enrollment: old.enrollment,
            site: old.site,
            device: old.device,
            enrolled_at: old.enrolled_at,
            consent: old.consent,
            positions: old.positions,
            payment_follows: old.payment_follows,
            payment_bound: old.payment_bound,
        }
    }
}

impl From<v1::Placement> for Placement {
    fn from(old: v1::Placement) -> Self {
        let v1::Placement { slot, gallery, sequence, site, device, deadline } = old;
        Self { slot, memberships: vec![Membership { gallery, sequence }], site, device, deadline }
    }
}

impl From<v1::Tombstone> for Tombstone {
    fn from(old: v1::Tombstone) -> Self {
        let v1::Tombstone { gallery, site, device, receipt, erased_at, sequence, told } = old;
        Self { memberships: vec![Membership { gallery, sequence }], site, device, receipt, erased_at, told }
    }
}
