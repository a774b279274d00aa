//! The second factor: where a palm was not sure enough, a challenge that names the candidates goes out with the answer,
//! and comes back with the digits that the person typed. Only the vault can say whose they are.
//!
//! The challenge holds all that there is to know, so any matcher of the tenant may be asked next, and a restarted one too.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use volar_core::challenge::{Candidate, Challenge, ChallengeError};
use volar_core::id::{GalleryId, IdempotencyId, SubjectId, TicketId};
use volar_core::second_factor::Digits;
use volar_core::ticket::{Purpose, Ticket};
use volar_proto::v1;
use volar_proto::v1::second_factor_service_client::SecondFactorServiceClient;
use volar_service::fault::Fault;
use volar_service::identity::Peer;

use crate::convert;
use crate::decision::{Decision, Reason};
use crate::identify::{Answer, Matcher, Place, conflict, settled};
use crate::parameters::{BUSY_RETRY, CHALLENGE_TIME, FACTOR_CHECK_TIME_MAX};
use crate::replay::Entrance;
use crate::search::{Unsure, not_ready};

/// A checked call.
pub struct FactorCall {
    /// Made and kept by the gate.
    pub id: IdempotencyId,
    /// As it was handed out.
    pub challenge: Vec<u8>,
    /// As they were typed.
    pub digits: Digits,
}

/// What the vault says of digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// They are this candidate's.
    Matched(Candidate),
    /// They are nobody's.
    Refused,
    /// The lane has failed too often.
    LockedOut(Duration),
}

impl Matcher {
    /// Answers a challenge for `peer`, whom it was handed to.
    pub async fn verify_second_factor(
        self: &Arc<Self>,
        peer: Peer,
        request: v1::VerifySecondFactorRequest,
    ) -> Result<Answer, Fault> {
        self.check_peer(&peer)?;
        let digest = convert::factor_digest(&request);
        let call = convert::factor_call(request)?;
        let Some(vault) = self.second_factor.clone() else {
            let message = "second factors are off here; set decision.second_factor, or show the palm to another lane";
            return Err(Fault::new(Code::FailedPrecondition, "SECOND_FACTOR_OFF", message));
        };
        let challenge = self.open_challenge(&peer, &call.challenge)?;
        let outcome = match self.replays.enter(&peer, call.id, digest, self.clock.now()).map_err(conflict)? {
            Entrance::Repeat(outcome) => outcome,
            Entrance::First(turn) => {
                let (outcome, matcher) = (turn.subscribe(), self.clone());
                tokio::spawn(async move {
                    let answer = matcher.ask_vault(vault, peer, challenge, call).await;
                    matcher.replays.settle(turn, answer);
                });
                outcome
            }
        };
        settled(outcome).await
    }

    /// The challenge that goes out with an answer that is not sure enough; none where second factors are off.
    pub(crate) fn challenge(&self, unsure: Unsure<Candidate>, place: &Place) -> Result<Option<Vec<u8>>, Fault> {
        // A few digits may let somebody in; they do not have anybody erased.
        if self.second_factor.is_none() || place.purpose != Purpose::Admission {
            return Ok(None);
        }
        let now = self.clock.now();
        let key = self.tickets.at(now).ok_or_else(not_ready)?;
        let challenge = Challenge {
            id: TicketId::random(&*self.randomness),
            tenant: place.peer.tenant.clone(),
            best: unsure.best,
            second: unsure.second,
            site: place.peer.site.clone(),
            device: place.peer.device.clone(),
            lane: place.lane.clone(),
            expires_at: now.after(CHALLENGE_TIME),
        };
        Ok(Some(challenge.seal(&key.key, &*self.randomness)))
    }

    /// A challenge of this tenant's that was handed to `peer`.
    fn open_challenge(&self, peer: &Peer, sealed: &[u8]) -> Result<Challenge, Fault> {
        let opened = Challenge::open(sealed, self.clock.now(), |epoch| self.tickets.of(epoch).map(|key| key.key));
        let own = |challenge: &Challenge| {
            challenge.tenant == self.tenant && challenge.site == peer.site && challenge.device == peer.device
        };
        opened
            .and_then(|challenge| if own(&challenge) { Ok(challenge) } else { Err(ChallengeError::Forged) })
            .map_err(|error| challenge_fault(&error))
    }

    async fn ask_vault(
        &self,
        vault: Channel,
        peer: Peer,
        challenge: Challenge,
        call: FactorCall,
    ) -> Result<Answer, Fault> {
        let mut client = SecondFactorServiceClient::new(vault);
        let request = convert::wire_check(&call);
        let asked = timeout(FACTOR_CHECK_TIME_MAX, client.check_second_factor(request)).await;
        drop(call);
        let checked = match asked {
            Ok(Ok(response)) => convert::checked(response.into_inner(), &challenge).map_err(|error| {
                tracing::error!(%error, "the vault's word on a second factor cannot be used");
                Fault::new(Code::Internal, "SECOND_FACTOR_FAILED", "the digits could not be checked; ask staff")
            })?,
            Ok(Err(status)) => return Err(vault_fault(&status)),
            Err(_) => return Err(unavailable("the vault did not answer")),
        };
        let answer = self.answer_factor(checked, peer, challenge)?;
        let (decision, reason) = (answer.decision.as_str(), answer.reason.as_str());
        metrics::counter!("volar_matcher_second_factors_total", "decision" => decision, "reason" => reason)
            .increment(1);
        tracing::info!(decision, reason, "second factor");
        Ok(answer)
    }

    fn answer_factor(&self, checked: Checked, peer: Peer, challenge: Challenge) -> Result<Answer, Fault> {
        let Candidate { subject, gallery } = match checked {
            Checked::Matched(candidate) => candidate,
            Checked::Refused => return Ok(self.answer(Decision::Rejected, Reason::SecondFactorRefused, None)),
            Checked::LockedOut(left) => return Ok(self.answer(Decision::Rejected, Reason::LockedOut, Some(left))),
        };
        let place = Place { peer, lane: challenge.lane, purpose: Purpose::Admission };
        let mut answer = self.answer(Decision::Admitted(subject), Reason::SecondFactor, None);
        // However often the same answer is given, by whichever matcher, it is one admission.
        answer.ticket = Some(self.ticket(challenge.id, subject, gallery, place, answer.decided_at)?);
        Ok(answer)
    }

    /// A ticket and its sealed form.
    pub(crate) fn ticket(
        &self,
        id: TicketId,
        subject: SubjectId,
        gallery: GalleryId,
        place: Place,
        decided_at: volar_core::clock::Timestamp,
    ) -> Result<(TicketId, Vec<u8>), Fault> {
        let key = self.tickets.at(decided_at).ok_or_else(not_ready)?;
        let ticket = Ticket {
            id,
            purpose: place.purpose,
            tenant: place.peer.tenant,
            gallery,
            subject,
            site: place.peer.site,
            device: place.peer.device,
            lane: place.lane,
            decided_at,
            expires_at: decided_at.after(key.lifetime),
        };
        Ok((id, ticket.seal(&key.key, &*self.randomness)))
    }
}

fn challenge_fault(error: &ChallengeError) -> Fault {
    let (code, reason) = match error {
        ChallengeError::Malformed => (Code::InvalidArgument, "CHALLENGE_MALFORMED"),
        ChallengeError::Forged | ChallengeError::KeyUnknown { .. } => (Code::PermissionDenied, "CHALLENGE_FORGED"),
        ChallengeError::Expired => (Code::FailedPrecondition, "CHALLENGE_EXPIRED"),
    };
    Fault::new(code, reason, error.to_string())
}

/// What a gate is told when the vault refuses, or is away.
fn vault_fault(status: &Status) -> Fault {
    let known = ["CHALLENGE_ANSWERED", "CHALLENGE_EXPIRED", "CHALLENGE_FORGED"];
    let reason = Fault::reason_of(status).unwrap_or_default();
    if let Some(reason) = known.into_iter().find(|known| *known == reason) {
        return Fault::new(status.code(), reason, status.message());
    }
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented => {
            tracing::error!(code = ?status.code(), reason, "the vault refuses to check a second factor");
            Fault::new(Code::Internal, "SECOND_FACTOR_FAILED", "the digits could not be checked; ask staff")
        }
        code => unavailable(&format!("the vault cannot be asked ({code:?})")),
    }
}

fn unavailable(why: &str) -> Fault {
    tracing::warn!(why, "a second factor cannot be checked now");
    let message = "second factors cannot be checked now: the vault is away; ask staff";
    Fault::new(Code::Unavailable, "SECOND_FACTOR_UNAVAILABLE", message).retry_after(BUSY_RETRY)
}
