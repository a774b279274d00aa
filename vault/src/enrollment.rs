//! A person's way in: palms and release stored pending, judged by the matchers, bound to a payment.
//!
//! ```text
//!                   all clear              withdrawn, cancelled,
//! Enroll -> PENDING ----------> ACTIVE ---- abandoned, erased ----> ERASED
//!              | suspicion        ^
//!              +--> IN_REVIEW ----+ an operator decides
//! ```

use std::sync::Arc;
use std::time::Duration;

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::galleries::Galleries;
use volar_core::id::{EnrollmentId, GalleryId, ModelId, SubjectId};
use volar_core::template::{EnrolledPalm, REFERENCES_PER_PALM_MAX, TemplateError};
use volar_service::identity::Peer;

use crate::audit::About;
use crate::error::VaultError;
use crate::format::v1::{self, Answer, Change, Consent, Payment, State};
use crate::format::v2::{self, Membership};
use crate::format::v3;
use crate::parameters::{CONSENT_AHEAD_MAX, ENROLLMENT_WAIT_MAX, PALMS_MAX, TEXT_BYTES_MAX};
use crate::payment;
use crate::rows::{self, Method};
use crate::store::{Rows, Table, Transaction};
use crate::vault::{Call, SubjectKey, Tenant, Vault, blocking, probes_name};

/// A person to enrol.
#[derive(Debug)]
pub struct Enroll {
    /// Into these galleries, all or none.
    pub memberships: Vec<Join>,
    /// Their written release.
    pub consent: Option<Consent>,
    /// Whether a payment reference is to follow.
    pub payment_follows: bool,
}

/// A person's palms for one gallery.
#[derive(Debug)]
pub struct Join {
    /// The gallery.
    pub gallery: GalleryId,
    /// The generation that the palms are protected under.
    pub generation: u32,
    /// The model that made them.
    pub model: ModelId,
    /// One palm or both.
    pub palms: Vec<EnrolledPalm>,
}

/// Where an enrollment stands; no state is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state; `None` is erased.
    pub state: Option<State>,
    /// Whether a payment reference is bound.
    pub payment_bound: bool,
}

impl Vault {
    /// Stores a person's palms, sealed and pending; durable when this returns.
    pub fn enroll(&self, peer: &Peer, call: &Call, request: &Enroll) -> Result<EnrollmentId, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        if let Some(answer) = self.answered(tenant, self.rows(), &peer.device, Method::Enroll, call)? {
            self.store.settle()?;
            return enrolled(answer);
        }
        let enrolling = tenant.keys.enrolling();
        check(request, tenant, peer, self.clock.now(), self.settings.answer_lifetime)?;

        // First what the transaction will refer to: a crash from here to there leaves a key without a subject, which
        // the next start destroys.
        let key = SubjectKey::generate(SubjectId::random(&*self.randomness), &*self.randomness);
        let slot = self.key_table.store(key.subject, &key.wrap(tenant, &tenant.keys.current(), &*self.randomness))?;
        let palms = request.memberships.iter().flat_map(|join| &join.palms);
        let probes = v1::PendingProbes { probes: palms.map(|palm| v1::Probe::of(&palm.probe)).collect() };
        let generations: Vec<u32> = request.memberships.iter().map(|join| join.generation).collect();
        let sealed = key.seal(tenant, &rows::probes_id(&generations), &probes, &*self.randomness);
        let written = self
            .store
            .put_blob(&probes_name(key.subject), &sealed)
            .map_err(|error| (VaultError::from(error), false))
            .and_then(|()| {
                self.write_enrollment(tenant, peer, call, request, &key, slot.0).map_err(|error| {
                    let kept = matches!(&error, VaultError::Store(error) if error.may_have_written());
                    (error, kept)
                })
            });
        drop(enrolling);

        let (enrollment, memberships) = match written {
            Ok((enrollment, Some(memberships))) => (enrollment, memberships),
            // The store may refer to this key, or may not: a repeat of the call tells, or the next start.
            Err((error, true)) => return Err(error),
            // The same call came twice at once, or the store refused: nothing refers to this key.
            unused => {
                self.key_table.destroy(slot, key.subject)?;
                self.key_table.release(slot);
                self.store.remove_blob(&probes_name(key.subject))?;
                return unused.map(|(enrollment, _)| enrollment).map_err(|(error, _)| error);
            }
        };
        tenant.wake(&memberships);
        metrics::counter!("volar_vault_enrollments_total", "tenant" => tenant.id.to_string()).increment(1);
        let galleries = names(&memberships);
        tracing::info!(tenant = %tenant.id, galleries, %enrollment, "enrolled");
        Ok(enrollment)
    }

    /// The rows of a new subject, all or none; no memberships if the call was answered already.
    fn write_enrollment(
        &self,
        tenant: &Tenant,
        peer: &Peer,
        call: &Call,
        request: &Enroll,
        key: &SubjectKey,
        slot: u32,
    ) -> Result<(EnrollmentId, Option<Vec<Membership>>), VaultError> {
        let now = self.clock.now();
        let enrollment = EnrollmentId::random(&*self.randomness);
        let deadline = request.payment_follows.then(|| now.after(self.settings.payment_deadline));
        let sealed = |join: &Join| -> Vec<_> {
            let seal = |palm: &EnrolledPalm| {
                key.seal_palm(tenant, &join.gallery, join.generation, &v1::Palm::of(palm), &*self.randomness)
            };
            join.palms.iter().map(|palm| (palm.position, seal(palm))).collect()
        };
        let palms: Vec<_> = request.memberships.iter().map(|join| (&join.gallery, sealed(join))).collect();
        let hands = request.memberships.first().map(|join| join.palms.iter().map(|palm| palm.position).collect());
        let consent = request.consent.clone().ok_or(VaultError::ConsentMissing)?;
        self.store.write(|transaction| {
            if let Some(answer) = self.answered(tenant, transaction, &peer.device, Method::Enroll, call)? {
                return Ok((enrolled(answer)?, None));
            }
            let (subject, pending) = (key.subject, Some(State::Pending));
            let galleries = palms.iter().map(|(gallery, _)| *gallery);
            let memberships = self.append(tenant, transaction, galleries, subject, Change::Enrolled, None, pending)?;
            let record = v3::Subject {
                memberships: memberships.clone(),
                state: State::Pending,
                enrollment,
                site: peer.site.clone(),
                device: peer.device.clone(),
                enrolled_at: now,
                consent: consent.clone(),
                positions: hands.clone().unwrap_or_default(),
                payment_follows: request.payment_follows,
                payment_bound: false,
                verdicts: Vec::new(),
            };
            self.save(tenant, transaction, key, &record)?;
            for (Membership { gallery, sequence }, (_, palms)) in memberships.iter().zip(&palms) {
                for (position, sealed) in palms {
                    transaction.put(Table::Palms, &rows::palm(&tenant.id, gallery, *sequence, *position), sealed)?;
                }
                transaction.put(Table::States, &rows::state(&tenant.id, gallery, State::Pending, subject), &[])?;
            }
            let row = rows::subject(&tenant.id, subject);
            let (site, device) = (peer.site.clone(), peer.device.clone());
            let placement = v2::Placement { slot, memberships: memberships.clone(), site, device, deadline };
            self.put(tenant, transaction, Table::Placements, &row, &placement)?;
            let row = rows::enrollment(&tenant.id, enrollment);
            self.put(tenant, transaction, Table::Enrollments, &row, &v1::Enrollment { subject })?;
            if let Some(deadline) = deadline {
                transaction.put(Table::Deadlines, &rows::deadline(deadline, &tenant.id, subject), &[])?;
            }
            let about = About::Living { key, seen: true };
            self.note(tenant, transaction, &peer.into(), Action::Enrollment, about, &names(&memberships))?;
            self.remember(tenant, transaction, &peer.device, Method::Enroll, call, Answer::Enrolled(enrollment))?;
            Ok((enrollment, Some(memberships)))
        })
    }

    /// Where an enrollment of this kiosk stands.
    pub fn standing(&self, peer: &Peer, enrollment: EnrollmentId) -> Result<Standing, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let (_, standing) = self.standing_in(tenant, peer, enrollment)?;
        self.store.settle()?;
        Ok(standing)
    }

    fn standing_in(
        &self,
        tenant: &Tenant,
        peer: &Peer,
        enrollment: EnrollmentId,
    ) -> Result<(Option<GalleryId>, Standing), VaultError> {
        let subject = self.enrolled_here(tenant, self.rows(), peer, enrollment)?;
        match self.living(tenant, self.rows(), subject) {
            Err(VaultError::SubjectErased) => Ok((None, Standing { state: None, payment_bound: false })),
            living => {
                let (record, _) = living?;
                let standing = Standing { state: Some(record.state), payment_bound: record.payment_bound };
                Ok((record.memberships.into_iter().next().map(|membership| membership.gallery), standing))
            }
        }
    }

    /// The same, once it is no longer pending or `wait` (10 s at most) is over.
    pub async fn wait_for_standing(
        self: &Arc<Self>,
        peer: &Peer,
        enrollment: EnrollmentId,
        wait: Duration,
    ) -> Result<Standing, VaultError> {
        let until = tokio::time::Instant::now() + wait.min(ENROLLMENT_WAIT_MAX);
        let tenant = self.tenant(&peer.tenant)?;
        let asked = peer.clone();
        let first = blocking(self, move |vault| vault.standing_in(vault.tenant(&asked.tenant)?, &asked, enrollment));
        let (gallery, _) = first.await?;
        let mut wake = match &gallery {
            Some(gallery) => Some(tenant.gallery(gallery)?.wake.subscribe()),
            None => None,
        };
        loop {
            let asked = peer.clone();
            let standing = blocking(self, move |vault| vault.standing(&asked, enrollment)).await?;
            let waits = standing.state == Some(State::Pending) && !self.is_closing();
            let Some(wake) = wake.as_mut().filter(|_| waits) else {
                return Ok(standing);
            };
            if !matches!(tokio::time::timeout_at(until, wake.changed()).await, Ok(Ok(()))) {
                return Ok(standing);
            }
        }
    }

    /// Binds how the person pays, once; returns the state.
    pub fn bind_payment(
        &self,
        peer: &Peer,
        call: &Call,
        enrollment: EnrollmentId,
        payment: &Payment,
    ) -> Result<Option<State>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        payment::check(payment)?;
        self.store.write(|transaction| {
            if let Some(Answer::State(state)) =
                self.answered(tenant, transaction, &peer.device, Method::BindPayment, call)?
            {
                return Ok(state);
            }
            let subject = self.enrolled_here(tenant, transaction, peer, enrollment)?;
            let (mut record, key) = self.living(tenant, transaction, subject)?;
            if record.payment_bound {
                return Err(VaultError::PaymentAlreadyBound);
            }
            record.payment_bound = true;
            self.save(tenant, transaction, &key, &record)?;
            let row = rows::subject(&tenant.id, subject);
            transaction.put(Table::Payments, &row, &key.seal(tenant, &row, payment, &*self.randomness))?;
            let about = About::Living { key: &key, seen: false };
            self.note(tenant, transaction, &peer.into(), Action::Payment, about, "bound")?;
            self.lift_deadline(tenant, transaction, subject)?;
            let answer = Answer::State(Some(record.state));
            self.remember(tenant, transaction, &peer.device, Method::BindPayment, call, answer)?;
            Ok(Some(record.state))
        })
    }

    /// Notes that the person goes without payment, so that their enrollment is finished; returns the state.
    pub fn finish_without_payment(
        &self,
        peer: &Peer,
        call: &Call,
        enrollment: EnrollmentId,
    ) -> Result<Option<State>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        self.store.write(|transaction| {
            if let Some(Answer::State(state)) =
                self.answered(tenant, transaction, &peer.device, Method::BindPayment, call)?
            {
                return Ok(state);
            }
            let subject = self.enrolled_here(tenant, transaction, peer, enrollment)?;
            let (mut record, key) = self.living(tenant, transaction, subject)?;
            if record.payment_bound {
                return Err(VaultError::PaymentAlreadyBound);
            }
            record.payment_follows = false;
            self.save(tenant, transaction, &key, &record)?;
            let about = About::Living { key: &key, seen: false };
            self.note(tenant, transaction, &peer.into(), Action::Payment, about, "goes without")?;
            self.lift_deadline(tenant, transaction, subject)?;
            let answer = Answer::State(Some(record.state));
            self.remember(tenant, transaction, &peer.device, Method::BindPayment, call, answer)?;
            Ok(Some(record.state))
        })
    }

    /// A finished or erased enrollment is no longer swept.
    pub(crate) fn lift_deadline(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        subject: SubjectId,
    ) -> Result<(), VaultError> {
        let row = rows::subject(&tenant.id, subject);
        let placement = tenant.record::<v2::Placement>(transaction, Table::Placements, &row)?;
        if let Some(deadline) = placement.and_then(|placement| placement.deadline) {
            transaction.remove(Table::Deadlines, &rows::deadline(deadline, &tenant.id, subject))?;
        }
        Ok(())
    }

    /// The subject of an enrollment that was made at this kiosk; another kiosk's is as unknown as none.
    pub(crate) fn enrolled_here(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        peer: &Peer,
        enrollment: EnrollmentId,
    ) -> Result<SubjectId, VaultError> {
        let row = rows::enrollment(&tenant.id, enrollment);
        let found = tenant.record::<v1::Enrollment>(rows, Table::Enrollments, &row)?;
        let v1::Enrollment { subject } = found.ok_or(VaultError::EnrollmentUnknown)?;
        let row = rows::subject(&tenant.id, subject);
        let here = match tenant.record::<v2::Placement>(rows, Table::Placements, &row)? {
            Some(placement) => placement.site == peer.site && placement.device == peer.device,
            None => {
                let tombstone = tenant.record::<v2::Tombstone>(rows, Table::Tombstones, &row)?;
                tombstone.is_some_and(|tombstone| tombstone.site == peer.site && tombstone.device == peer.device)
            }
        };
        if here { Ok(subject) } else { Err(VaultError::EnrollmentUnknown) }
    }
}

/// Whether an enrollment is no longer its kiosk's to change.
pub(crate) fn is_finished(record: &v3::Subject) -> bool {
    let unpaid = record.payment_follows && !record.payment_bound;
    record.state != State::Pending && !unpaid
}

fn enrolled(answer: Answer) -> Result<EnrollmentId, VaultError> {
    match answer {
        Answer::Enrolled(enrollment) => Ok(enrollment),
        _ => Err(VaultError::RecordMissing { kind: "answer to an enrollment" }),
    }
}

/// The names of somebody's galleries, for people to read.
pub(crate) fn names(memberships: &[Membership]) -> String {
    memberships.iter().map(|membership| membership.gallery.as_str()).collect::<Vec<_>>().join(", ")
}

/// The rules that a new enrollment must keep. Templates were checked number by number when they were read.
fn check(
    request: &Enroll,
    tenant: &Tenant,
    peer: &Peer,
    now: Timestamp,
    consent_age_max: Duration,
) -> Result<(), VaultError> {
    let memberships = &request.memberships;
    check_galleries(memberships.iter().map(|join| join.gallery.clone()).collect())?;
    for (number, join) in memberships.iter().enumerate() {
        check_membership(number, join, tenant, peer)?;
        let hands = |join: &Join| join.palms.iter().map(|palm| palm.position).collect::<Vec<_>>();
        if hands(join) != hands(&memberships[0]) {
            return Err(VaultError::field("memberships", "must hold the same hands in every gallery, in one order"));
        }
    }
    check_consent(request.consent.as_ref().ok_or(VaultError::ConsentMissing)?, now, consent_age_max)
}

/// That a person may belong to these galleries.
pub(crate) fn check_galleries(named: Vec<GalleryId>) -> Result<(), VaultError> {
    let checked = Galleries::try_from(named);
    checked.map(drop).map_err(|error| VaultError::field("memberships", format!("are wrong: {error}")))
}

fn check_membership(number: usize, join: &Join, tenant: &Tenant, peer: &Peer) -> Result<(), VaultError> {
    let gallery = tenant.gallery_for(peer, &join.gallery)?;
    let current = gallery.standing().generation;
    if join.generation != current {
        return Err(VaultError::GenerationMismatch { found: join.generation, current });
    }
    if join.model != gallery.model {
        let (found, current) = (join.model.to_string(), gallery.model.to_string());
        return Err(VaultError::ModelMismatch { found, current });
    }
    if join.palms.is_empty() || join.palms.len() > PALMS_MAX {
        return Err(VaultError::field("palms", "must be one palm or both"));
    }
    if join.palms.iter().skip(1).any(|palm| palm.position == join.palms[0].position) {
        return Err(VaultError::field("palms", "must not hold the same hand twice"));
    }
    for (palm_number, palm) in join.palms.iter().enumerate() {
        let found = palm.references.len();
        if found == 0 || found > REFERENCES_PER_PALM_MAX {
            let field = format!("memberships[{number}].palms[{palm_number}].references");
            return Err(VaultError::Template { field, source: TemplateError::References { found } });
        }
    }
    Ok(())
}

fn check_consent(consent: &Consent, now: Timestamp, age_max: Duration) -> Result<(), VaultError> {
    let texts = [
        ("consent.policy_version", &consent.policy_version),
        ("consent.language", &consent.language),
        ("consent.method", &consent.method),
    ];
    for (field, text) in texts {
        if text.trim().is_empty() {
            return Err(VaultError::field(field, "must not be empty"));
        }
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(VaultError::field(field, format!("must be plain text of at most {TEXT_BYTES_MAX} bytes")));
        }
    }
    if consent.given_at.unix_milliseconds() == 0 {
        return Err(VaultError::field("consent.given_at_unix_ms", "must say when the release was given"));
    }
    if consent.given_at > now.after(CONSENT_AHEAD_MAX) {
        return Err(VaultError::field("consent.given_at_unix_ms", "lies in the future; set the kiosk's clock"));
    }
    if now.since(consent.given_at) >= age_max {
        return Err(VaultError::ConsentStale { hours: age_max.as_secs() / 3_600 });
    }
    Ok(())
}
