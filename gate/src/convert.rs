//! Between the wire contract and this crate's types. What comes from outside is checked here.

use std::time::Duration;

use tonic::{Code, Status};
use volar_core::id::{GalleryId, IdempotencyId, LaneId, ModelId};
use volar_core::protection::GalleryProtection;
use volar_core::second_factor::Digits;
use volar_core::secret::Key;
use volar_core::template::Template;
use volar_proto::v1;
use volar_service::fault::Fault;
use volar_service::tls::HandshakeFailure;
use zeroize::{Zeroize, Zeroizing};

use crate::event::{Decision, Ticket};
use crate::identify::{Answer, Challenge};
use crate::protection::Protection;

/// Why an answer cannot be used. None of these is expected of a server of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A protection key of another length.
    #[error("the vault's protection key has {found} bytes, must have 32: update the vault or this gate")]
    KeyLength {
        /// Bytes received.
        found: usize,
    },
    /// A model whose name is no slug.
    #[error("the vault names a template model that is no name: update the vault or this gate")]
    Model,
    /// A decision that this version does not know.
    #[error("the matcher's decision {found} is unknown to this version: update this gate")]
    Decision {
        /// Number received.
        found: i32,
    },
    /// An admission without a ticket.
    #[error("the matcher admits without a ticket: update the matcher")]
    NoTicket,
}

/// A call to identify `template`, protected once for each gallery.
pub(crate) fn request(
    id: IdempotencyId,
    lane: &LaneId,
    protections: &[Protection],
    template: &Template,
) -> v1::IdentifyRequest {
    let probe = |protection: &Protection| {
        let probe = protection.transform.probe(template);
        v1::GalleryProbe {
            gallery: protection.gallery.to_string(),
            generation: protection.generation,
            model: protection.model.to_string(),
            probe: Some(v1::Probe {
                embedding: probe.embedding.expose().to_vec(),
                orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
                quality: probe.quality.into(),
            }),
        }
    };
    v1::IdentifyRequest {
        idempotency_id: id.to_string(),
        lane: lane.to_string(),
        purpose: v1::Purpose::Admission.into(),
        probes: protections.iter().map(probe).collect(),
    }
}

/// Wipes the template in a call that has been kept for repeats. (What tonic sent, it has copied and freed.)
pub(crate) fn wipe(request: &mut v1::IdentifyRequest) {
    for probe in request.probes.iter_mut().filter_map(|probe| probe.probe.as_mut()) {
        probe.embedding.zeroize();
        probe.orientation_codes.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// The matcher's answer.
pub(crate) fn answer(response: v1::IdentifyResponse) -> Result<Answer, AnswerError> {
    let decision = match response.decision() {
        v1::Decision::Admitted => Decision::Admitted,
        v1::Decision::StepUp => Decision::StepUp,
        v1::Decision::NoMatch => Decision::NoMatch,
        v1::Decision::Retry => Decision::Retry,
        v1::Decision::Rejected => Decision::Rejected,
        v1::Decision::Unspecified => return Err(AnswerError::Decision { found: response.decision }),
    };
    let admitted = decision == Decision::Admitted;
    let challenged = decision == Decision::StepUp && !response.challenge.is_empty();
    let time = Duration::from_millis(response.challenge_time_ms);
    if admitted && response.ticket.is_empty() {
        return Err(AnswerError::NoTicket);
    }
    Ok(Answer {
        decision,
        reason: word(&response.reason),
        ticket: admitted.then(|| Ticket::new(response.ticket)),
        ticket_id: admitted.then(|| response.ticket_id.chars().take(64).collect()),
        retry_after_ms: response.retry_after_ms,
        challenge: challenged.then_some(Challenge { sealed: response.challenge, time }),
    })
}

/// A call that sends back a challenge.
pub(crate) fn factor_request(
    id: IdempotencyId,
    challenge: &Challenge,
    digits: &Digits,
) -> v1::VerifySecondFactorRequest {
    v1::VerifySecondFactorRequest {
        idempotency_id: id.to_string(),
        challenge: challenge.sealed.clone(),
        digits: digits.expose().to_owned(),
    }
}

/// The answer to a challenge, which reads as one to a palm.
pub(crate) fn as_identified(response: v1::VerifySecondFactorResponse) -> v1::IdentifyResponse {
    let v1::VerifySecondFactorResponse { decision, reason, ticket, ticket_id, decided_at_unix_ms, retry_after_ms } =
        response;
    v1::IdentifyResponse {
        decision,
        reason,
        ticket,
        ticket_id,
        decided_at_unix_ms,
        retry_after_ms,
        ..Default::default()
    }
}

/// A gallery's protection.
pub(crate) fn protection(gallery: &GalleryId, response: v1::GetProtectionResponse) -> Result<Protection, AnswerError> {
    let bytes = Zeroizing::new(response.key);
    let key = Key::from_slice(&bytes).ok_or(AnswerError::KeyLength { found: bytes.len() })?;
    let model: ModelId = response.model.parse().map_err(|_| AnswerError::Model)?;
    let gallery = gallery.clone();
    Ok(Protection { gallery, transform: GalleryProtection::new(&key), generation: response.generation, model })
}

/// The reason that a failed call carries, or else what kind of failure it is.
pub(crate) fn reason(status: &Status) -> String {
    Fault::reason_of(status).map(|reason| word(&reason)).unwrap_or_else(|| {
        match (HandshakeFailure::of(status), status.code()) {
            (Some(_), _) => "CERTIFICATE_REFUSED",
            (None, Code::Unavailable) => "NOT_REACHED",
            (None, Code::DeadlineExceeded | Code::Cancelled) => "NO_ANSWER",
            (None, _) => "CALL_FAILED",
        }
        .to_owned()
    })
}

/// What a failed call says, for a person.
pub(crate) fn message(status: &Status) -> String {
    match HandshakeFailure::of(status) {
        Some(failure) => failure.to_string(),
        None => status.message().chars().take(300).collect(),
    }
}

/// A reason as it may stand in logs, lines and metrics: a short word, whatever was sent.
pub(crate) fn word(reason: &str) -> String {
    reason.chars().filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_').take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_carries_its_ticket_and_nothing_else_does() {
        let response = |decision: v1::Decision, ticket: &[u8]| v1::IdentifyResponse {
            decision: decision.into(),
            reason: "MATCH".to_owned(),
            ticket: ticket.to_vec(),
            ticket_id: "id".to_owned(),
            ..Default::default()
        };
        let admitted = answer(response(v1::Decision::Admitted, &[1, 2])).expect("an admission");
        assert_eq!(admitted.ticket.expect("a ticket").expose(), "AQI");
        assert_eq!(answer(response(v1::Decision::Admitted, &[])), Err(AnswerError::NoTicket));
        let refused = answer(response(v1::Decision::NoMatch, &[1, 2])).expect("a refusal");
        assert_eq!((refused.ticket, refused.ticket_id), (None, None));
        let challenged = |decision: v1::Decision| {
            let challenge =
                v1::IdentifyResponse { challenge: vec![7], challenge_time_ms: 9, ..response(decision, &[1]) };
            answer(challenge).expect("an answer").challenge
        };
        let time = Duration::from_millis(9);
        assert_eq!(challenged(v1::Decision::StepUp), Some(Challenge { sealed: vec![7], time }));
        assert_eq!(challenged(v1::Decision::NoMatch), None);
        assert_eq!(answer(response(v1::Decision::Unspecified, &[])), Err(AnswerError::Decision { found: 0 }));
        let unknown = v1::IdentifyResponse { decision: 99, ..Default::default() };
        assert_eq!(answer(unknown), Err(AnswerError::Decision { found: 99 }));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let response = |bytes: usize, model: &str| v1::GetProtectionResponse {
            key: vec![7; bytes],
            generation: 1,
            model: model.to_owned(),
        };
        let gallery: GalleryId = "members".parse().expect("a slug");
        assert!(protection(&gallery, response(32, "palm-lines-3")).is_ok());
        assert_eq!(protection(&gallery, response(31, "m")).err(), Some(AnswerError::KeyLength { found: 31 }));
        assert_eq!(protection(&gallery, response(32, "no model")).err(), Some(AnswerError::Model));
    }

    #[test]
    fn reasons_are_words_whatever_was_sent() {
        assert_eq!(word("LOCKED_OUT"), "LOCKED_OUT");
        assert_eq!(word("<b>A\n_1"), "A_1");
        assert_eq!(word(&"A".repeat(1_000)).len(), 64);
    }
}
