//! Comparing digits that somebody typed at a gate.
//!
//! Whoever asks learns whose they are, or that they are nobody's among the challenge's candidates: never which candidate
//! failed, whether they have a second factor, or whether they are still enrolled. Each comparison hashes the digits as
//! often and writes one transaction.

use std::time::Duration;

use volar_core::audit::Action;
use volar_core::challenge::{self, CANDIDATES_MAX, Challenge};
use volar_core::clock::Timestamp;
use volar_core::id::{IdempotencyId, SubjectId};
use volar_core::second_factor::Digits;
use volar_service::identity::Peer;

use crate::audit::{About, DONE, REFUSED};
use crate::error::VaultError;
use crate::format::second_factor::{AnsweredChallenge, FactorTries};
use crate::format::v1::State;
use crate::parameters::CLOCK_DIFFERENCE_MAX;
use crate::rows;
use crate::store::{Rows, Table, Transaction};
use crate::vault::{SubjectKey, Tenant, Vault};

/// What became of typed digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They belong to this candidate and to no other.
    Matched(SubjectId),
    /// They do not, for whatever reason.
    Refused,
    /// The lane has failed too often in a row: nothing was compared, and the challenge is still to be answered.
    LockedOut(Duration),
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Matched(_) => "matched",
            Self::Refused => "refused",
            Self::LockedOut(_) => "locked-out",
        }
    }
}

/// A candidate who may be admitted if the digits are theirs.
struct Candidate {
    key: SubjectKey,
    tries: FactorTries,
}

impl Vault {
    /// Compares digits with the second factors of a challenge's candidates. A challenge is answered once; the same call
    /// again gets the same answer.
    pub fn check_second_factor(
        &self,
        peer: &Peer,
        id: IdempotencyId,
        sealed: &[u8],
        digits: &Digits,
    ) -> Result<Outcome, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let challenge = self.open_challenge(tenant, sealed)?;
        // Both are looked at again where it counts; here they save the work.
        if let Some(outcome) = self.answer_given(tenant, self.rows(), id, &challenge)? {
            self.store.settle()?;
            return Ok(outcome);
        }
        if let Some(outcome) = self.lane_delay(tenant, self.rows(), &challenge)? {
            return Ok(outcome);
        }
        let equal = self.compare(tenant, &challenge, digits)?;
        let outcome =
            self.store.write(|transaction| self.conclude(tenant, transaction, peer, id, &challenge, &equal))?;
        let (name, word) = (tenant.id.to_string(), outcome.word());
        metrics::counter!("volar_vault_second_factors_total", "tenant" => name, "outcome" => word).increment(1);
        Ok(outcome)
    }

    /// The candidates whose digits these are. As many hashes whoever they are, and however many.
    fn compare(&self, tenant: &Tenant, challenge: &Challenge, digits: &Digits) -> Result<Vec<SubjectId>, VaultError> {
        let mut candidates = challenge.candidates();
        let mut equal = Vec::new();
        for _ in 0..CANDIDATES_MAX {
            let key = match candidates.next() {
                Some(candidate) => self.admissible(tenant, self.rows(), candidate)?,
                None => None,
            };
            let factor = key.as_ref().map(|key| self.factor(tenant, self.rows(), key)).transpose()?.flatten();
            if self.factor_hasher.matches(factor.as_ref(), digits) {
                equal.extend(key.map(|key| key.subject));
            }
        }
        Ok(equal)
    }

    /// The key of a candidate who is enrolled, active, and of the gallery that the challenge says.
    fn admissible(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        named: &challenge::Candidate,
    ) -> Result<Option<SubjectKey>, VaultError> {
        match self.living(tenant, rows, named.subject) {
            Ok((record, key)) if record.state == State::Active && record.is_member_of(&named.gallery) => Ok(Some(key)),
            Ok(_) | Err(VaultError::SubjectErased | VaultError::SubjectUnknown) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Decides, counts and notes, all at once. What was compared before it may have changed meanwhile.
    fn conclude(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        id: IdempotencyId,
        challenge: &Challenge,
        equal: &[SubjectId],
    ) -> Result<Outcome, VaultError> {
        if let Some(outcome) = self.answer_given(tenant, transaction, id, challenge)? {
            return Ok(outcome);
        }
        if let Some(outcome) = self.lane_delay(tenant, transaction, challenge)? {
            return Ok(outcome);
        }
        let now = self.clock.now();
        let mut candidates = Vec::new();
        for named in challenge.candidates() {
            if let Some(key) = self.admissible(tenant, transaction, named)? {
                let tries = self.tries(tenant, transaction, &rows::subject_tries(&tenant.id, named.subject))?;
                candidates.push(Candidate { key, tries });
            }
        }
        let is_equal = |candidate: &&Candidate| equal.contains(&candidate.key.subject);
        // Whoever has failed too often is not compared until their delay is over, and nobody is told.
        let mut matching =
            candidates.iter().filter(|candidate| candidate.tries.delay_left(now).is_none()).filter(is_equal);
        let matched = match (matching.next(), matching.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        match matched {
            Some(one) => self.note_match(tenant, transaction, peer, challenge, &one.key)?,
            None => self.note_refusal(tenant, transaction, peer, challenge, &candidates, equal)?,
        }
        let matched = matched.map(|one| one.key.subject);
        let row = rows::challenge(&tenant.id, challenge.id);
        let answered = AnsweredChallenge { idempotency: id, matched };
        self.put(tenant, transaction, Table::AnsweredChallenges, &row, &answered)?;
        self.forget_at(transaction, Table::AnsweredChallenges, &row, self.known_until(challenge.expires_at))?;
        Ok(matched.map_or(Outcome::Refused, Outcome::Matched))
    }

    /// Lane and subject start over.
    fn note_match(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        challenge: &Challenge,
        key: &SubjectKey,
    ) -> Result<(), VaultError> {
        transaction.remove(Table::FactorTries, &rows::lane_tries(challenge))?;
        transaction.remove(Table::FactorTries, &rows::subject_tries(&tenant.id, key.subject))?;
        let about = About::Living { key, seen: true };
        self.note_factor(tenant, transaction, peer, challenge, about, DONE)
    }

    /// One more failure for the lane, and for every candidate who could have been meant.
    fn note_refusal(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        challenge: &Challenge,
        candidates: &[Candidate],
        equal: &[SubjectId],
    ) -> Result<(), VaultError> {
        let now = self.clock.now();
        let lane = rows::lane_tries(challenge);
        let tries = self.tries(tenant, transaction, &lane)?.failed(now);
        self.put(tenant, transaction, Table::FactorTries, &lane, &tries)?;
        for Candidate { key, tries } in candidates {
            // Two who chose the same digits failed at nothing; a try during the delay neither helps nor prolongs it.
            if tries.delay_left(now).is_none() && !equal.contains(&key.subject) {
                let row = rows::subject_tries(&tenant.id, key.subject);
                self.put(tenant, transaction, Table::FactorTries, &row, &tries.failed(now))?;
            }
            let about = About::Living { key, seen: false };
            self.note_factor(tenant, transaction, peer, challenge, about, REFUSED)?;
        }
        if candidates.is_empty() {
            self.note_factor(tenant, transaction, peer, challenge, About::Nobody, REFUSED)?;
        }
        Ok(())
    }

    fn note_factor(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        peer: &Peer,
        challenge: &Challenge,
        about: About<'_>,
        outcome: &str,
    ) -> Result<(), VaultError> {
        let at = format!("{}/{}", challenge.site, challenge.lane);
        let said = (outcome, at.as_str());
        self.note_outcome(tenant, transaction, &peer.into(), Action::SecondFactor, about, said).map(drop)
    }

    /// What a challenge that was answered was answered, if by the same call.
    fn answer_given(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        id: IdempotencyId,
        challenge: &Challenge,
    ) -> Result<Option<Outcome>, VaultError> {
        let row = rows::challenge(&tenant.id, challenge.id);
        let found = tenant.record::<AnsweredChallenge>(rows, Table::AnsweredChallenges, &row)?;
        match found {
            None => Ok(None),
            Some(answered) if answered.idempotency == id => {
                Ok(Some(answered.matched.map_or(Outcome::Refused, Outcome::Matched)))
            }
            Some(_) => Err(VaultError::ChallengeAnswered),
        }
    }

    fn lane_delay(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        challenge: &Challenge,
    ) -> Result<Option<Outcome>, VaultError> {
        let tries = self.tries(tenant, rows, &rows::lane_tries(challenge))?;
        Ok(tries.delay_left(self.clock.now()).map(Outcome::LockedOut))
    }

    fn tries(&self, tenant: &Tenant, rows: &dyn Rows, row: &[u8]) -> Result<FactorTries, VaultError> {
        Ok(tenant.record(rows, Table::FactorTries, row)?.unwrap_or_default())
    }

    fn open_challenge(&self, tenant: &Tenant, sealed: &[u8]) -> Result<Challenge, VaultError> {
        let now = self.clock.now();
        let accepted = self.accepted_epochs(now);
        let key_of = |epoch| accepted.contains(&epoch).then(|| tenant.keys.ticket_key(epoch));
        // A minute is less than the clocks may differ by; the matcher, whose clock set it, is the stricter.
        let tolerance = CLOCK_DIFFERENCE_MAX.as_millis().try_into().unwrap_or(u64::MAX);
        let tolerant = Timestamp::from_unix_milliseconds(now.unix_milliseconds().saturating_sub(tolerance));
        let challenge = Challenge::open(sealed, tolerant, key_of)?;
        if challenge.tenant != tenant.id {
            return Err(volar_core::challenge::ChallengeError::Forged.into());
        }
        Ok(challenge)
    }
}
