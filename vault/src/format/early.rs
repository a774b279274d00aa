//! Subjects as they were written before galleries had parts. Read for ever, written no more.

use serde::Deserialize;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, GalleryId, SiteId, SubjectId};
use volar_core::shard::Shard;
use volar_core::template::Position;

use super::v1::{self, Consent, State};

/// [`v1::Subject`] without parts.
#[derive(Deserialize)]
pub(super) struct Subject {
    gallery: GalleryId,
    state: State,
    enrollment: EnrollmentId,
    site: SiteId,
    device: DeviceId,
    enrolled_at: Timestamp,
    consent: Consent,
    sequence: u64,
    positions: Vec<Position>,
    payment_follows: bool,
    payment_bound: bool,
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    device: DeviceId,
    duplicate_of: Option<SubjectId>,
}

impl From<Subject> for v1::Subject {
    fn from(early: Subject) -> Self {
        // Whoever spoke had searched everything.
        let whole = |Verdict { device, duplicate_of }| v1::Verdict { device, shard: Shard::WHOLE, duplicate_of };
        Self {
            gallery: early.gallery,
            state: early.state,
            enrollment: early.enrollment,
            site: early.site,
            device: early.device,
            enrolled_at: early.enrolled_at,
            consent: early.consent,
            sequence: early.sequence,
            positions: early.positions,
            payment_follows: early.payment_follows,
            payment_bound: early.payment_bound,
            verdicts: early.verdicts.into_iter().map(whole).collect(),
        }
    }
}
