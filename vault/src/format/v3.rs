//! Records that changed in schema version 3: of a suspected duplicate the score is kept. What is not here is as it was in
//! version 2.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, GalleryId, SiteId, SubjectId};
use volar_core::shard::Shard;
use volar_core::template::Position;

use super::v1::{Consent, State};
use super::v2::{self, Membership};
use super::{Kind, Record};

/// The schema version.
const VERSION: u8 = 3;

/// Somebody whom a new subject may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    /// The earlier subject.
    pub of: SubjectId,
    /// Decades by which their nearest palms are likelier one person's than two people's; `None` from before it was kept.
    pub score: Option<f32>,
}

/// One matcher's word on a new subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The matcher.
    pub device: DeviceId,
    /// The gallery that it has searched.
    pub gallery: GalleryId,
    /// The part of it.
    pub shard: Shard,
    /// Whom it suspects; `None` when it found nobody.
    pub suspicion: Option<Suspicion>,
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

impl Subject {
    /// Whether they belong to `gallery`.
    pub fn is_member_of(&self, gallery: &GalleryId) -> bool {
        self.memberships.iter().any(|membership| membership.gallery == *gallery)
    }

    /// Which of their galleries this is, and which of their pending probes are for it.
    pub fn place_in(&self, gallery: &GalleryId) -> Option<(usize, Range<usize>)> {
        let at = self.memberships.iter().position(|membership| membership.gallery == *gallery)?;
        let hands = self.positions.len();
        Some((at, at * hands..(at + 1) * hands))
    }

    /// What a review is about: the first suspicion, if they are in review.
    pub fn suspicion(&self) -> Option<Suspicion> {
        let suspected = || self.verdicts.iter().find_map(|verdict| verdict.suspicion);
        (self.state == State::InReview).then(suspected).flatten()
    }
}

impl Record for Subject {
    const KIND: Kind = Kind::Subject;

    fn decode(version: u8, plain: &[u8]) -> Result<Self, postcard::Error> {
        if version >= VERSION { postcard::from_bytes(plain) } else { Ok(v2::Subject::decode(version, plain)?.into()) }
    }
}

impl From<v2::Subject> for Subject {
    fn from(old: v2::Subject) -> Self {
        let suspicion = |of: SubjectId| Suspicion { of, score: None };
        let verdict = |v2::Verdict { device, gallery, shard, duplicate_of }| {
            let suspicion = duplicate_of.map(suspicion);
            Verdict { device, gallery, shard, suspicion }
        };
        Self {
            verdicts: old.verdicts.into_iter().map(verdict).collect(),
            memberships: old.memberships,
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
