//! From an admission ticket to a payment reference, once.

use std::ops::RangeInclusive;

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::TicketId;
use volar_core::ticket::{Purpose, Ticket, TicketError, TicketKey};
use volar_service::identity::Peer;

use crate::audit::{About, REFUSED};
use crate::error::VaultError;
use crate::format::v1::{self, Answer, Payment, State};
use crate::parameters::CLOCK_DIFFERENCE_MAX;
use crate::rows::{self, Method};
use crate::store::{Rows, Table};
use crate::vault::{Call, SubjectKey, Tenant, Vault};

/// What a checkout backend gets for a ticket.
#[derive(Debug)]
pub struct Claimed {
    /// How the person pays.
    pub payment: Payment,
    /// The person's name at this checkout.
    pub pseudonym: String,
    /// The ticket, as opened.
    pub ticket: Ticket,
    /// When it was claimed.
    pub claimed_at: Timestamp,
}

impl Vault {
    /// Claims a ticket. The same call again gets the same answer, for as long as answers are kept and the person is not
    /// erased; any other is refused.
    pub fn claim(&self, peer: &Peer, call: &Call, sealed: &[u8]) -> Result<Claimed, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let outcome = self.claim_once(tenant, peer, call, sealed);
        if let Some(why) = outcome.as_ref().err().and_then(refusal) {
            self.store.write(|transaction| {
                let said = (REFUSED, why);
                self.note_outcome(tenant, transaction, &peer.into(), Action::Claim, About::Nobody, said).map(drop)
            })?;
        }
        let label = if outcome.is_ok() { "claimed" } else { "refused" };
        metrics::counter!("volar_vault_claims_total", "tenant" => tenant.id.to_string(), "outcome" => label)
            .increment(1);
        outcome
    }

    fn claim_once(&self, tenant: &Tenant, peer: &Peer, call: &Call, sealed: &[u8]) -> Result<Claimed, VaultError> {
        self.store.write(|transaction| {
            let repeat = self.answered(tenant, transaction, &peer.device, Method::Claim, call)?;
            if let Some(Answer::Claimed(id)) = repeat {
                // The body is the same, so the ticket is; that it has expired since takes nothing from its answer.
                let ticket = self.reopen_ticket(tenant, sealed)?;
                let claim = self.claim_record(tenant, transaction, id)?;
                let claim = claim.ok_or(VaultError::RecordMissing { kind: "claim" })?;
                return Ok(self.claimed(tenant, transaction, peer, ticket, claim.claimed_at)?.0);
            }
            let now = self.clock.now();
            let ticket = self.open_ticket(tenant, sealed, now, Purpose::Admission)?;
            if self.claim_record(tenant, transaction, ticket.id)?.is_some() {
                return Err(VaultError::TicketAlreadyClaimed);
            }
            if self.restored_at.is_some_and(|at| ticket.decided_at < at.after(CLOCK_DIFFERENCE_MAX)) {
                return Err(VaultError::TicketBeforeRestore);
            }
            let row = rows::claim(&tenant.id, ticket.id);
            let claim = v1::Claim {
                idempotency: call.id,
                site: peer.site.clone(),
                device: peer.device.clone(),
                claimed_at: now,
            };
            self.put(tenant, transaction, Table::Claims, &row, &claim)?;
            self.forget_at(transaction, Table::Claims, &row, self.known_until(ticket.expires_at))?;
            self.remember(tenant, transaction, &peer.device, Method::Claim, call, Answer::Claimed(ticket.id))?;
            let at = format!("{}/{}", ticket.site, ticket.lane);
            let (claimed, key) = self.claimed(tenant, transaction, peer, ticket, now)?;
            let about = About::Living { key: &key, seen: true };
            self.note(tenant, transaction, &peer.into(), Action::Claim, about, &at)?;
            Ok(claimed)
        })
    }

    fn claimed(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        peer: &Peer,
        ticket: Ticket,
        claimed_at: Timestamp,
    ) -> Result<(Claimed, SubjectKey), VaultError> {
        let (record, key) = self.living(tenant, rows, ticket.subject)?;
        if !record.is_member_of(&ticket.gallery) {
            return Err(VaultError::SubjectUnknown);
        }
        if record.state != State::Active {
            return Err(VaultError::EnrollmentNotActive);
        }
        let row = rows::subject(&tenant.id, ticket.subject);
        let sealed = rows.read(Table::Payments, &row)?.ok_or(VaultError::NoPaymentReference)?;
        let claimed = Claimed {
            payment: key.open(tenant, &row, &sealed)?,
            pseudonym: tenant.keys.pseudonym(&peer.site, &peer.device, ticket.subject),
            ticket,
            claimed_at,
        };
        Ok((claimed, key))
    }

    fn claim_record(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        ticket: TicketId,
    ) -> Result<Option<v1::Claim>, VaultError> {
        tenant.record(rows, Table::Claims, &rows::claim(&tenant.id, ticket))
    }

    /// Opens a ticket of this tenant that is good now and for `wanted`.
    pub(crate) fn open_ticket(
        &self,
        tenant: &Tenant,
        sealed: &[u8],
        now: Timestamp,
        wanted: Purpose,
    ) -> Result<Ticket, VaultError> {
        let accepted = self.accepted_epochs(now);
        let opened =
            Ticket::open(sealed, now, |epoch| accepted.contains(&epoch).then(|| tenant.keys.ticket_key(epoch)));
        let ticket = opened.map_err(|error| match error {
            // No ticket of an epoch gone by can still be good; one of an epoch to come is an invention.
            TicketError::KeyUnknown { epoch } if epoch < *accepted.start() => TicketError::Expired,
            TicketError::KeyUnknown { .. } => TicketError::Forged,
            other => other,
        })?;
        if ticket.tenant != tenant.id {
            return Err(TicketError::Forged.into());
        }
        if ticket.purpose != wanted {
            return Err(VaultError::PurposeMismatch { found: word(ticket.purpose), wanted: word(wanted) });
        }
        Ok(ticket)
    }

    /// Epochs whose keys may have sealed what is good at `now`.
    pub(crate) fn accepted_epochs(&self, now: Timestamp) -> RangeInclusive<u32> {
        let lifetime = self.settings.ticket_lifetime + CLOCK_DIFFERENCE_MAX;
        let back = lifetime.as_millis().try_into().unwrap_or(u64::MAX);
        let oldest = Timestamp::from_unix_milliseconds(now.unix_milliseconds().saturating_sub(back));
        TicketKey::epoch_at(oldest)..=TicketKey::epoch_at(now.after(CLOCK_DIFFERENCE_MAX))
    }

    /// Opens a ticket that was accepted before, however long ago.
    fn reopen_ticket(&self, tenant: &Tenant, sealed: &[u8]) -> Result<Ticket, VaultError> {
        let beginning = Timestamp::from_unix_milliseconds(0);
        Ok(Ticket::open(sealed, beginning, |epoch| Some(tenant.keys.ticket_key(epoch)))?)
    }
}

/// Why a ticket was not taken; `None` if it is not the ticket's fault.
fn refusal(error: &VaultError) -> Option<&'static str> {
    match error {
        VaultError::Ticket(TicketError::Malformed) => Some("not a ticket"),
        VaultError::Ticket(TicketError::Forged | TicketError::KeyUnknown { .. }) => Some("forged"),
        VaultError::Ticket(TicketError::Expired) => Some("expired"),
        VaultError::TicketAlreadyClaimed => Some("claimed already"),
        VaultError::TicketBeforeRestore => Some("made before a restore"),
        VaultError::PurposeMismatch { .. } => Some("made for another purpose"),
        VaultError::SubjectErased | VaultError::SubjectUnknown => Some("of nobody who is enrolled"),
        VaultError::EnrollmentNotActive => Some("of somebody who is not active"),
        VaultError::NoPaymentReference => Some("of somebody without a payment reference"),
        _ => None,
    }
}

fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Admission => "admission",
        Purpose::Withdrawal => "withdrawal",
    }
}
