//! The second factor: chosen at the kiosk, compared where a palm was not sure enough.
//!
//! Of the digits the vault keeps a salted slow hash, sealed under the person's own key: it opens for nobody once they are
//! erased. Nothing else is derived from them, not even the mark of the request that brought them.

mod check;
mod hash;
mod tries;

use volar_core::audit::Action;
use volar_core::id::EnrollmentId;
use volar_core::second_factor::{Digits, Kind};
use volar_service::identity::Peer;

use crate::audit::About;
use crate::enrollment::is_finished;
use crate::error::VaultError;
use crate::format::second_factor::SecondFactor;
use crate::format::v1::{Answer, State};
use crate::parameters::FACTOR_COSTS;
use crate::rows::{self, Method};
use crate::store::{Rows, Table};
use crate::vault::{Call, SubjectKey, Tenant, Vault};

pub use check::Outcome;
pub(crate) use hash::Hasher;

impl Vault {
    /// Keeps the second factor of somebody whose visit to this kiosk is not over; returns the state of their enrollment.
    /// `call` must know the request without its digits: a repeat is told from another call by the hash that is kept.
    pub fn set_second_factor(
        &self,
        peer: &Peer,
        call: &Call,
        enrollment: EnrollmentId,
        kind: Kind,
        digits: &Digits,
    ) -> Result<Option<State>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        digits.check(kind).map_err(|error| VaultError::field("second_factor.digits", error.to_string()))?;
        let method = Method::SetSecondFactor;
        if let Some(answer) = self.answered(tenant, self.rows(), &peer.device, method, call)? {
            return self.repeated(tenant, peer, enrollment, digits, answer);
        }
        let (salt, hash) = self.factor_hasher.make(digits, &*self.randomness);
        let factor = SecondFactor { kind, set_at: self.clock.now(), costs: FACTOR_COSTS, salt, hash };
        let written = self.store.write(|transaction| {
            if let Some(answer) = self.answered(tenant, transaction, &peer.device, method, call)? {
                return Ok(Err(answer));
            }
            let subject = self.enrolled_here(tenant, transaction, peer, enrollment)?;
            let (record, key) = self.living(tenant, transaction, subject)?;
            let row = rows::subject(&tenant.id, subject);
            if transaction.read(Table::SecondFactors, &row)?.is_some() {
                return Err(VaultError::SecondFactorAlreadySet);
            }
            if is_finished(&record) {
                return Err(VaultError::EnrollmentFinished);
            }
            transaction.put(Table::SecondFactors, &row, &key.seal(tenant, &row, &factor, &*self.randomness))?;
            let about = About::Living { key: &key, seen: false };
            self.note(tenant, transaction, &peer.into(), Action::SecondFactor, about, "chosen")?;
            let answer = Answer::State(Some(record.state));
            self.remember(tenant, transaction, &peer.device, method, call, answer)?;
            Ok(Ok(Some(record.state)))
        })?;
        match written {
            Ok(state) => Ok(state),
            // The same call came twice at once.
            Err(answer) => self.repeated(tenant, peer, enrollment, digits, answer),
        }
    }

    /// The answer to a repeat, if its digits are those of the first call.
    fn repeated(
        &self,
        tenant: &Tenant,
        peer: &Peer,
        enrollment: EnrollmentId,
        digits: &Digits,
        answer: Answer,
    ) -> Result<Option<State>, VaultError> {
        let Answer::State(state) = answer else {
            return Err(VaultError::RecordMissing { kind: "answer to a second factor" });
        };
        let subject = self.enrolled_here(tenant, self.rows(), peer, enrollment)?;
        let (_, key) = self.living(tenant, self.rows(), subject)?;
        let factor = self.factor(tenant, self.rows(), &key)?;
        if !self.factor_hasher.matches(factor.as_ref(), digits) {
            return Err(VaultError::IdempotencyConflict);
        }
        self.store.settle()?;
        Ok(state)
    }

    /// A living subject's second factor, if they have chosen one.
    pub(crate) fn factor(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        key: &SubjectKey,
    ) -> Result<Option<SecondFactor>, VaultError> {
        let row = rows::subject(&tenant.id, key.subject);
        let sealed = rows.read(Table::SecondFactors, &row)?;
        Ok(sealed.map(|sealed| key.open(tenant, &row, &sealed)).transpose()?)
    }

    /// How often digits have been hashed since the vault was opened: as often for nobody's as for somebody's.
    pub fn second_factor_hashes(&self) -> u64 {
        self.factor_hasher.runs()
    }
}
