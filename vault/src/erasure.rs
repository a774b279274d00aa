//! Leaving. In this order, so that a crash at any point loses nothing and the next start goes on where it was:
//!
//! 1. One transaction marks the person erased and appends the feed event. From then on no ticket of theirs is claimed.
//! 2. Their key slot is overwritten and synchronized: every sealed copy, backups of the store included, is noise.
//! 3. Their rows and blobs are removed, and the slot is free again.
//! 4. The call waits for the connected matchers to have forgotten them, and answers with a receipt.

use std::sync::{Arc, PoisonError};

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, EnrollmentId, SubjectId};
use volar_core::template::Position;
use volar_core::ticket::Purpose;
use volar_service::identity::Peer;

use crate::audit::{About, Actor, LeafProof};
use crate::enrollment::{is_finished, names};
use crate::error::VaultError;
use crate::format::audit::ErasureProof;
use crate::format::v1::{Answer, Change, State, Told};
use crate::format::v2::{self, Membership};
use crate::keys::Slot;
use crate::parameters::{ERASURES_AT_ONCE, SCAN_ROWS};
use crate::rows::{self, Method};
use crate::store::{Table, Transaction};
use crate::vault::{Call, Tenant, Vault, blocking, probes_name};

/// What the person keeps of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// A random number.
    pub id: [u8; 16],
    /// When the person was marked erased.
    pub erased_at: Timestamp,
    /// Followers that took it in before the call returned.
    pub confirmed: Vec<DeviceId>,
    /// Followers that were away or late.
    pub pending: Vec<DeviceId>,
    /// What proves it; `None` for an erasure older than the audit log.
    pub proof: Option<Proof>,
}

/// What proves an erasure to a stranger. The same at every repeat: its tree ends with the erasure's own leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who was erased: an id that names nobody any more.
    pub subject: SubjectId,
    /// Opens the leaf's commitment to them.
    pub salt: [u8; 32],
    /// The leaf, and that it is in the log.
    pub leaf: LeafProof,
}

/// Who has somebody erased, and why.
#[derive(Clone, Debug)]
pub(crate) struct Why {
    actor: Actor,
    reason: String,
}

impl Why {
    /// On a peer's word.
    pub(crate) fn of(peer: &Peer, reason: impl Into<String>) -> Self {
        Self { actor: peer.into(), reason: reason.into() }
    }

    /// As somebody does.
    pub(crate) fn by(actor: &Actor, reason: impl Into<String>) -> Self {
        Self { actor: actor.clone(), reason: reason.into() }
    }

    /// By the vault itself.
    pub(crate) fn own(reason: impl Into<String>) -> Self {
        Self { actor: Actor::vault(), reason: reason.into() }
    }
}

/// Whom to erase, and on whose word.
#[derive(Clone, Debug)]
pub enum Erase {
    /// An unfinished enrollment, on its kiosk's.
    Cancel(EnrollmentId),
    /// Whoever a withdrawal ticket names, on their own palm's.
    Withdraw(Vec<u8>),
    /// A subject, on an operator's.
    Subject(SubjectId),
}

impl Erase {
    fn method(&self) -> Method {
        match self {
            Self::Cancel(_) => Method::CancelEnrollment,
            Self::Withdraw(_) => Method::Withdraw,
            Self::Subject(_) => Method::EraseSubject,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Cancel(_) => "cancelled at the kiosk",
            Self::Withdraw(_) => "withdrawn by their own palm",
            Self::Subject(_) => "on an operator's word",
        }
    }
}

impl Vault {
    /// Erases a person and waits for the connected matchers. Erasing an erased person gives the same receipt.
    pub async fn erase(self: &Arc<Self>, peer: &Peer, call: Call, whom: Erase) -> Result<Receipt, VaultError> {
        let asking = peer.clone();
        let subject = blocking(self, move |vault| vault.begin_erasure(&asking, &call, &whom)).await?;
        self.receipt(peer, subject).await
    }

    /// Finishes an erasure that was begun, and tells of it.
    pub(crate) async fn receipt(self: &Arc<Self>, peer: &Peer, subject: SubjectId) -> Result<Receipt, VaultError> {
        let tenant = peer.tenant.clone();
        let begun = blocking(self, move |vault| {
            let tenant = vault.tenant(&tenant)?;
            vault.finish_erasure(tenant, subject)?;
            let tombstone = vault.tombstone(tenant, subject)?;
            let proof = vault.prove_erasure(tenant, subject, tombstone.erased_at)?;
            Ok::<_, VaultError>((tombstone, proof))
        });
        let (tombstone, proof) = begun.await?;
        let told = match tombstone.told.clone() {
            Some(told) => told,
            None => {
                let (whose, galleries) = (peer.tenant.clone(), tombstone.memberships.clone());
                let looked = blocking(self, move |vault| {
                    let tenant = vault.tenant(&whose)?;
                    galleries.iter().try_for_each(|event| vault.look_at_followers(tenant, &event.gallery))
                });
                looked.await?;
                let (wait, now) = (self.settings.erasure_wait, self.clock.now());
                let told = self.followers.taken_in(&peer.tenant, &tombstone.memberships, wait, now).await;
                let tenant = peer.tenant.clone();
                blocking(self, move |vault| vault.note_told(vault.tenant(&tenant)?, subject, told)).await?
            }
        };
        Ok(Receipt {
            id: tombstone.receipt,
            erased_at: tombstone.erased_at,
            confirmed: told.confirmed,
            pending: told.pending,
            proof,
        })
    }

    fn prove_erasure(
        &self,
        tenant: &Tenant,
        subject: SubjectId,
        erased_at: Timestamp,
    ) -> Result<Option<Proof>, VaultError> {
        let row = rows::subject(&tenant.id, subject);
        let found = tenant.record::<ErasureProof>(self.rows(), Table::ErasureProofs, &row)?;
        let Some(ErasureProof { leaf, salt }) = found else { return Ok(None) };
        let leaf = self.prove_leaf(tenant, leaf, leaf + 1, erased_at)?;
        Ok(Some(Proof { subject, salt, leaf }))
    }

    /// Step 1 for whoever asks.
    fn begin_erasure(&self, peer: &Peer, call: &Call, whom: &Erase) -> Result<SubjectId, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let method = whom.method();
        let subject = self.store.write(|transaction| {
            if let Some(answer) = self.answered(tenant, transaction, &peer.device, method, call)? {
                return match answer {
                    Answer::Erased(subject) => Ok(subject),
                    _ => Err(VaultError::RecordMissing { kind: "answer to an erasure" }),
                };
            }
            let subject = match whom {
                Erase::Cancel(enrollment) => self.unfinished(tenant, transaction, peer, *enrollment)?,
                Erase::Withdraw(ticket) => self.withdrawing(tenant, peer, ticket)?,
                Erase::Subject(subject) => *subject,
            };
            self.mark_erased(tenant, transaction, subject, &Why::of(peer, whom.reason()))?;
            self.remember(tenant, transaction, &peer.device, method, call, Answer::Erased(subject))?;
            Ok(subject)
        })?;
        metrics::counter!("volar_vault_erasures_total", "tenant" => tenant.id.to_string()).increment(1);
        Ok(subject)
    }

    /// The subject of a kiosk's enrollment if it may still be cancelled.
    fn unfinished(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        enrollment: EnrollmentId,
    ) -> Result<SubjectId, VaultError> {
        let subject = self.enrolled_here(tenant, transaction, peer, enrollment)?;
        match self.living(tenant, transaction, subject) {
            Err(VaultError::SubjectErased) => Ok(subject),
            living => {
                let (record, _) = living?;
                if is_finished(&record) { Err(VaultError::EnrollmentFinished) } else { Ok(subject) }
            }
        }
    }

    /// The subject of a withdrawal ticket, which is good only at the device that it was made at.
    fn withdrawing(&self, tenant: &Tenant, peer: &Peer, ticket: &[u8]) -> Result<SubjectId, VaultError> {
        let ticket = self.open_ticket(tenant, ticket, self.clock.now(), Purpose::Withdrawal)?;
        if ticket.site != peer.site || ticket.device != peer.device {
            return Err(VaultError::TicketOfAnotherDevice);
        }
        Ok(ticket.subject)
    }

    /// Step 1: marks a subject erased and tells the feed. Nothing of theirs is opened for it. Marking twice changes
    /// nothing.
    pub(crate) fn mark_erased(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        subject: SubjectId,
        why: &Why,
    ) -> Result<(), VaultError> {
        let row = rows::subject(&tenant.id, subject);
        if transaction.read(Table::Tombstones, &row)?.is_some() {
            return Ok(());
        }
        let placement = tenant.record::<v2::Placement>(transaction, Table::Placements, &row)?;
        let placement = placement.ok_or(VaultError::SubjectUnknown)?;
        let galleries = placement.memberships.iter().map(|membership| &membership.gallery);
        let mut from = None;
        for gallery in galleries.clone() {
            for state in [State::Pending, State::Active, State::InReview] {
                let row = rows::state(&tenant.id, gallery, state, subject);
                if transaction.read(Table::States, &row)?.is_some() {
                    transaction.remove(Table::States, &row)?;
                    from = Some(state);
                }
            }
        }
        self.lift_deadline(tenant, transaction, subject)?;
        let memberships = self.append(tenant, transaction, galleries, subject, Change::Erased, from, None)?;
        let tombstone = v2::Tombstone {
            memberships,
            site: placement.site,
            device: placement.device,
            receipt: self.randomness.bytes(),
            erased_at: self.clock.now(),
            told: None,
        };
        self.put(tenant, transaction, Table::Tombstones, &row, &tombstone)?;
        let salt = self.randomness.bytes();
        let about = About::Erased { subject, salt };
        let receipt = uuid::Builder::from_random_bytes(tombstone.receipt).into_uuid();
        let detail = format!("receipt {receipt}, {}", why.reason);
        let leaf = self.note(tenant, transaction, &why.actor, Action::Erasure, about, &detail)?;
        self.put(tenant, transaction, Table::ErasureProofs, &row, &ErasureProof { leaf, salt })?;
        Ok(transaction.put(Table::Erasing, &row, &[])?)
    }

    /// Steps 2 and 3. Finishing twice changes nothing.
    pub(crate) fn finish_erasure(&self, tenant: &Tenant, subject: SubjectId) -> Result<(), VaultError> {
        let lock = &self.erasing[usize::from(subject.as_bytes()[0]) % ERASURES_AT_ONCE];
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows::subject(&tenant.id, subject);
        let placement = tenant.record::<v2::Placement>(self.rows(), Table::Placements, &row)?;
        let Some(placement) = placement else { return Ok(()) };
        // The mark must be durable before the key is gone.
        self.store.settle()?;
        self.key_table.destroy(Slot(placement.slot), subject)?;
        self.note_erased(&tenant.id, subject);
        self.store.write(|transaction| {
            for table in [
                Table::Subjects,
                Table::Payments,
                Table::Trails,
                Table::SecondFactors,
                Table::Placements,
                Table::Erasing,
            ] {
                transaction.remove(table, &row)?;
            }
            transaction.remove(Table::FactorTries, &rows::subject_tries(&tenant.id, subject))?;
            for Membership { gallery, sequence } in &placement.memberships {
                for position in [Position::Left, Position::Right] {
                    transaction.remove(Table::Palms, &rows::palm(&tenant.id, gallery, *sequence, position))?;
                }
            }
            Ok(())
        })?;
        self.store.remove_blob(&probes_name(subject))?;
        self.key_table.release(Slot(placement.slot));
        for Membership { gallery, .. } in &placement.memberships {
            if let Ok(gallery) = tenant.gallery(gallery) {
                gallery.wake(crate::feed::head(tenant, self.rows(), &gallery.id)?.last_sequence);
            }
        }
        tracing::info!(tenant = %tenant.id, galleries = names(&placement.memberships), "a person was erased");
        Ok(())
    }

    /// Goes on with erasures that a crash interrupted.
    pub(crate) fn finish_erasures(&self) -> Result<(), VaultError> {
        let mut begun = Vec::new();
        self.store.for_each(Table::Erasing, &[], |key, _| {
            begun.extend(rows::split_subject(key));
            Ok(())
        })?;
        for (tenant, subject) in begun {
            // Of a tenant that is not configured now, it goes on when it is again.
            if let Some(tenant) = self.tenants.get(&tenant) {
                self.finish_erasure(tenant, subject)?;
            }
        }
        Ok(())
    }

    /// Erases a subject whose key cannot be read any more.
    pub(crate) fn erase_unreadable(&self, tenant: &Tenant, subject: SubjectId) -> Result<(), VaultError> {
        let why = Why::own("their key was damaged");
        self.store.write(|transaction| self.mark_erased(tenant, transaction, subject, &why))?;
        self.finish_erasure(tenant, subject)?;
        tracing::warn!(tenant = %tenant.id, subject = %subject, "a person with a damaged key was erased");
        Ok(())
    }

    /// Erases a subject of a restored store who was erased after the backup.
    pub(crate) fn erase_after_restore(&self, tenant: &Tenant, subject: SubjectId) -> Result<(), VaultError> {
        let why = Why::own("erased after the backup that was restored");
        self.store.write(|transaction| self.mark_erased(tenant, transaction, subject, &why))?;
        self.finish_erasure(tenant, subject)
    }

    /// Erases enrollments whose time to be finished is over; returns how many. Where vaults share the store, goes on with
    /// erasures that one of them began first: it may have died.
    pub fn sweep(&self) -> Result<usize, VaultError> {
        if self.is_shared() {
            self.finish_erasures()?;
        }
        let (now, mut swept, mut from) = (self.clock.now(), 0, Vec::new());
        loop {
            let rows = self.store.scan(Table::Deadlines, &[], &from, SCAN_ROWS)?;
            for (key, _) in &rows {
                let (tenant, subject) = match rows::split_deadline(key) {
                    Some((deadline, tenant, subject)) if deadline <= now => (tenant, subject),
                    _ => return Ok(swept),
                };
                // Of a tenant that is not configured now, nobody is erased, and nobody else is kept for it.
                let Some(tenant) = self.tenants.get(&tenant) else { continue };
                self.erase_abandoned(tenant, subject)?;
                swept += 1;
            }
            match rows.last() {
                // The least key above the last one.
                Some((key, _)) => from = [key.as_slice(), &[0]].concat(),
                None => return Ok(swept),
            }
        }
    }

    fn erase_abandoned(&self, tenant: &Tenant, subject: SubjectId) -> Result<(), VaultError> {
        let why = Why::own("abandoned before it was finished");
        self.store.write(|transaction| self.mark_erased(tenant, transaction, subject, &why))?;
        self.finish_erasure(tenant, subject)?;
        metrics::counter!("volar_vault_abandoned_total", "tenant" => tenant.id.to_string()).increment(1);
        Ok(())
    }

    fn tombstone(&self, tenant: &Tenant, subject: SubjectId) -> Result<v2::Tombstone, VaultError> {
        let row = rows::subject(&tenant.id, subject);
        let found = tenant.record(self.rows(), Table::Tombstones, &row)?;
        found.ok_or(VaultError::RecordMissing { kind: "tombstone" })
    }

    /// Keeps who was told, the first time; returns what is kept.
    fn note_told(&self, tenant: &Tenant, subject: SubjectId, told: Told) -> Result<Told, VaultError> {
        let row = rows::subject(&tenant.id, subject);
        self.store.write(|transaction| {
            let found = tenant.record::<v2::Tombstone>(transaction, Table::Tombstones, &row)?;
            let mut tombstone = found.ok_or(VaultError::RecordMissing { kind: "tombstone" })?;
            let kept = tombstone.told.get_or_insert_with(|| told.clone()).clone();
            self.put(tenant, transaction, Table::Tombstones, &row, &tombstone)?;
            Ok(kept)
        })
    }
}
