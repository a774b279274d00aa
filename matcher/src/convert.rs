//! Between the wire contract and this crate's types. What comes from outside is checked here, and wire messages that
//! held a template are wiped.

use std::time::Duration;

use prost::Message;
use tonic::Code;
use volar_core::challenge::Challenge;
use volar_core::galleries::Galleries;
use volar_core::id::{GalleryId, IdempotencyId, LaneId, ModelId, SubjectId};
use volar_core::score::Score;
use volar_core::second_factor::Digits;
use volar_core::secret::Key;
use volar_core::shard::Shard;
use volar_core::template::{
    PROBE_CODES_MAX, Position, Probe, ProtectedCode, ProtectedEmbedding, Quality, REFERENCES_PER_PALM_MAX, Reference,
    TemplateError,
};
use volar_core::ticket::{Purpose, TicketKey};
use volar_proto::v1;
use volar_service::fault::Fault;
use zeroize::{Zeroize, Zeroizing};

use crate::decision::Decision;
use crate::duplicates::{Finding, Verdict};
use crate::feed::{Change, Event, Item, Start, Wanted};
use crate::gallery::Protection;
use crate::identify::{Answer, Call, GalleryProbe};
use crate::index::IndexedPalm;
use crate::parameters::{CHALLENGE_TIME, SHARD_CANDIDATES};
use crate::replay::Digest;
use crate::scan_log::Scan;
use crate::search::Searched;
use crate::second_factor::{Checked, FactorCall};
use crate::tickets::SealingKey;
use crate::verify::Candidate;

/// Why a message cannot be taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// A field breaks a rule.
    #[error("{field} {rule}")]
    Field {
        /// Its path in the message.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
    /// A template breaks a rule.
    #[error("{field}: {source}")]
    Template {
        /// Its path in the message.
        field: &'static str,
        /// Which rule.
        source: TemplateError,
    },
}

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Self {
        let (reason, field) = match &error {
            MessageError::Field { field, .. } => ("FIELD_INVALID", *field),
            MessageError::Template { field, .. } => ("TEMPLATE_INVALID", *field),
        };
        Self::new(Code::InvalidArgument, reason, error.to_string()).with("field", field)
    }
}

/// Checks a call; the message keeps no palm, whether it is good or not.
pub fn call(mut request: v1::IdentifyRequest) -> Result<Call, MessageError> {
    let call = checked_call(&mut request);
    request.probes.iter_mut().for_each(wipe);
    call
}

fn checked_call(request: &mut v1::IdentifyRequest) -> Result<Call, MessageError> {
    let purpose = match request.purpose() {
        v1::Purpose::Admission => Purpose::Admission,
        v1::Purpose::Withdrawal => Purpose::Withdrawal,
        v1::Purpose::Unspecified => return Err(field("purpose", "must be ADMISSION or WITHDRAWAL")),
    };
    // Before any work on the probes.
    let named = request.probes.iter().map(|probe| gallery(&probe.gallery)).collect::<Result<Vec<_>, _>>()?;
    Galleries::try_from(named).map_err(|error| field("probes", format!("are wrong: {error}")))?;
    Ok(Call {
        id: parse::<IdempotencyId>("idempotency_id", &request.idempotency_id)?,
        lane: parse::<LaneId>("lane", &request.lane)?,
        purpose,
        probes: request.probes.iter_mut().map(gallery_probe).collect::<Result<_, _>>()?,
    })
}

fn gallery_probe(wire: &mut v1::GalleryProbe) -> Result<GalleryProbe, MessageError> {
    Ok(GalleryProbe {
        gallery: gallery(&wire.gallery)?,
        generation: wire.generation,
        model: parse::<ModelId>("model", &wire.model)?,
        probe: wire.probe.take().ok_or_else(|| field("probe", "is missing")).and_then(probe)?,
    })
}

/// A gallery's name.
pub fn gallery(text: &str) -> Result<GalleryId, MessageError> {
    parse("gallery", text)
}

/// Checks a router's request.
pub fn search(request: v1::SearchRequest) -> Result<GalleryProbe, MessageError> {
    let mut probe = request.probe.ok_or_else(|| field("probe", "is missing"))?;
    let checked = gallery_probe(&mut probe);
    wipe(&mut probe);
    checked
}

/// A router's request as it travels.
pub fn wire_search(gallery: &GalleryId, protection: &Protection, probe: &Probe) -> v1::SearchRequest {
    let probe = v1::Probe {
        embedding: probe.embedding.expose().to_vec(),
        orientation_codes: probe.codes.iter().map(ProtectedCode::to_bytes).collect(),
        quality: probe.quality.into(),
    };
    v1::SearchRequest {
        probe: Some(v1::GalleryProbe {
            gallery: gallery.to_string(),
            generation: protection.generation,
            model: protection.model.model().to_string(),
            probe: Some(probe),
        }),
    }
}

/// Wipes the palm of a message that was read, or sent.
pub fn wipe(probe: &mut v1::GalleryProbe) {
    if let Some(probe) = &mut probe.probe {
        probe.embedding.zeroize();
        probe.orientation_codes.zeroize();
    }
}

/// A shard's answer as it travels.
pub fn searched(searched: Searched, shard: Shard, feed_id: String) -> v1::SearchResponse {
    let candidate = |candidate: Candidate| v1::Candidate {
        subject_id: candidate.subject.as_bytes().to_vec(),
        score: candidate.score.value(),
    };
    v1::SearchResponse {
        shard: Some(wire_shard(shard)),
        feed_id,
        references: searched.references as u64,
        candidates: searched.candidates.into_iter().take(SHARD_CANDIDATES).map(candidate).collect(),
    }
}

/// Checks the candidates that the shard `shard` names: no score beyond bounds, nobody whom it cannot hold.
pub fn candidates(shard: Shard, wire: Vec<v1::Candidate>) -> Result<Vec<Candidate>, MessageError> {
    let candidate = |wire: v1::Candidate| {
        let id: [u8; 16] =
            wire.subject_id.try_into().map_err(|_| field("candidates.subject_id", "must have 16 bytes"))?;
        let subject = SubjectId::from_bytes(id);
        if !wire.score.is_finite() || !shard.holds(subject) {
            return Err(field("candidates", "hold a score that is no number, or a subject of another shard"));
        }
        Ok(Candidate { subject, score: Score::from_decades(wire.score.into()) })
    };
    wire.into_iter().map(candidate).collect()
}

/// SHA-256 of a call's body, so that a repeat is told from another call under its id.
pub fn digest(request: &v1::IdentifyRequest) -> Digest {
    let body = Zeroizing::new(request.encode_to_vec());
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// Checks a call that answers a challenge.
pub fn factor_call(request: v1::VerifySecondFactorRequest) -> Result<FactorCall, MessageError> {
    let v1::VerifySecondFactorRequest { idempotency_id, challenge, digits } = request;
    let digits = Digits::new(Zeroizing::new(digits)).map_err(|error| field("digits", error.to_string()))?;
    Ok(FactorCall { id: parse::<IdempotencyId>("idempotency_id", &idempotency_id)?, challenge, digits })
}

/// What such a call is known by. Without its digits: a hash of so few tells them, and a challenge is answered once.
pub fn factor_digest(request: &v1::VerifySecondFactorRequest) -> Digest {
    let body = [b"second factor".as_slice(), &request.challenge].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// The same call, to the vault.
pub fn wire_check(call: &FactorCall) -> v1::CheckSecondFactorRequest {
    v1::CheckSecondFactorRequest {
        idempotency_id: call.id.to_string(),
        challenge: call.challenge.clone(),
        digits: call.digits.expose().to_owned(),
    }
}

/// Checks the vault's word: nobody is admitted whom the challenge does not name.
pub fn checked(response: v1::CheckSecondFactorResponse, challenge: &Challenge) -> Result<Checked, MessageError> {
    use v1::check_second_factor_response::Outcome;
    match response.outcome {
        None => Err(field("outcome", "is missing, or one that this version does not know; update the matcher")),
        Some(Outcome::Refused(_)) => Ok(Checked::Refused),
        Some(Outcome::LockedOut(locked)) => Ok(Checked::LockedOut(Duration::from_millis(locked.retry_after_ms))),
        Some(Outcome::Matched(matched)) => {
            let id: [u8; 16] =
                matched.subject_id.try_into().map_err(|_| field("matched.subject_id", "must have 16 bytes"))?;
            let subject = SubjectId::from_bytes(id);
            let named = challenge.candidates().find(|candidate| candidate.subject == subject);
            let named = named.ok_or_else(|| field("matched.subject_id", "is no candidate"))?;
            Ok(Checked::Matched(named.clone()))
        }
    }
}

/// The answer to a challenge as it travels.
pub fn factor_response(answer: Answer) -> v1::VerifySecondFactorResponse {
    let v1::IdentifyResponse { decision, reason, ticket, ticket_id, decided_at_unix_ms, retry_after_ms, .. } =
        response(answer);
    v1::VerifySecondFactorResponse { decision, reason, ticket, ticket_id, decided_at_unix_ms, retry_after_ms }
}

/// An answer as it travels.
pub fn response(answer: Answer) -> v1::IdentifyResponse {
    let decision = self::decision(answer.decision);
    let (ticket_id, ticket) = answer.ticket.map(|(id, sealed)| (id.to_string(), sealed)).unwrap_or_default();
    v1::IdentifyResponse {
        decision: decision.into(),
        reason: answer.reason.as_str().to_owned(),
        ticket,
        ticket_id,
        decided_at_unix_ms: answer.decided_at.unix_milliseconds(),
        retry_after_ms: answer.retry_after.map_or(0, milliseconds),
        challenge_time_ms: if answer.challenge.is_some() { milliseconds(CHALLENGE_TIME) } else { 0 },
        challenge: answer.challenge.unwrap_or_default(),
    }
}

fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Admitted(_) => v1::Decision::Admitted,
        Decision::StepUp => v1::Decision::StepUp,
        Decision::NoMatch => v1::Decision::NoMatch,
        Decision::Retry => v1::Decision::Retry,
        Decision::Rejected => v1::Decision::Rejected,
    }
}

/// An answer that was given, for the audit log.
pub fn scan(scan: Scan) -> v1::Scan {
    let Scan { peer, lane, purpose, answer } = scan;
    let purpose = match purpose {
        Purpose::Admission => v1::Purpose::Admission,
        Purpose::Withdrawal => v1::Purpose::Withdrawal,
    };
    let subject_id = match answer.decision {
        Decision::Admitted(subject) => subject.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    v1::Scan {
        decided_at_unix_ms: answer.decided_at.unix_milliseconds(),
        site: peer.site.to_string(),
        device: peer.device.to_string(),
        lane: lane.to_string(),
        purpose: purpose.into(),
        decision: decision(answer.decision).into(),
        reason: answer.reason.as_str().to_owned(),
        subject_id,
    }
}

/// What a follower asks the vault for.
pub fn follow(gallery: &GalleryId, wanted: Wanted, from_sequence: u64) -> v1::FollowRequest {
    let (shard, keys_only) = match wanted {
        Wanted::Shard(Shard::WHOLE) => (None, false),
        Wanted::Shard(shard) => (Some(wire_shard(shard)), false),
        Wanted::Keys => (None, true),
    };
    v1::FollowRequest { gallery: gallery.to_string(), from_sequence, shard, keys_only }
}

/// Checks an item of the feed; none if it is of a kind that this version does not know.
pub fn item(response: v1::FollowResponse) -> Result<Option<Item>, MessageError> {
    use v1::follow_response::Item as Wire;
    Ok(match response.item {
        None => None,
        Some(Wire::Start(start)) => Some(Item::Start(Start {
            feed_id: start.feed_id,
            generation: start.generation,
            model: parse("start.model", &start.model)?,
            last_sequence: start.last_sequence,
            sites: start.sites.iter().map(|site| parse("start.sites", site)).collect::<Result<_, _>>()?,
        })),
        Some(Wire::CaughtUp(caught_up)) => Some(Item::CaughtUp(caught_up.last_sequence)),
        Some(Wire::TicketKey(key)) => Some(Item::TicketKey(ticket_key(key)?)),
        Some(Wire::Event(event)) => Some(Item::Event(self::event(event)?)),
    })
}

/// A verdict as it travels. Everything but the idempotency id, which depends on the rest.
pub fn verdict(gallery: &GalleryId, shard: Shard, verdict: &Verdict) -> v1::ReportVerdictRequest {
    use v1::report_verdict_request::Verdict as Wire;
    v1::ReportVerdictRequest {
        idempotency_id: String::new(),
        gallery: gallery.to_string(),
        sequence: verdict.sequence,
        shard: Some(wire_shard(shard)),
        verdict: Some(match verdict.finding {
            Finding::Clear => Wire::Clear(v1::Clear {}),
            Finding::Suspected(duplicate) => Wire::SuspectedDuplicate(v1::SuspectedDuplicate {
                of_subject_id: duplicate.of.as_bytes().to_vec(),
                score: duplicate.score.value(),
            }),
        }),
    }
}

/// A part of a gallery as it travels.
pub fn wire_shard(shard: Shard) -> v1::Shard {
    v1::Shard { index: shard.index().into(), count: shard.count().into() }
}

fn event(event: v1::FeedEvent) -> Result<Event, MessageError> {
    use v1::feed_event::Change as Wire;
    let subject: [u8; 16] =
        event.subject_id.as_slice().try_into().map_err(|_| field("event.subject_id", "must have 16 bytes"))?;
    let change = match event.change {
        None => return Err(field("event", "holds a change that this version does not know; update the matcher")),
        Some(Wire::Activated(_)) => Change::Activated,
        Some(Wire::Erased(_)) => Change::Erased,
        Some(Wire::Held(_)) => Change::Held,
        Some(Wire::Enrolled(enrolled)) => enrolled_change(enrolled)?,
    };
    Ok(Event { sequence: event.sequence, subject: SubjectId::from_bytes(subject), change })
}

fn enrolled_change(enrolled: v1::SubjectEnrolled) -> Result<Change, MessageError> {
    let (verdict_wanted, elsewhere) = (enrolled.verdict_wanted, enrolled.elsewhere);
    let (mut palms, mut probes) = (Vec::<IndexedPalm>::new(), Vec::new());
    for palm in enrolled.palms {
        let position = match palm.position() {
            v1::PalmPosition::Left => Position::Left,
            v1::PalmPosition::Right => Position::Right,
            v1::PalmPosition::Unspecified => return Err(template("palms.position", TemplateError::Position)),
        };
        if palms.iter().any(|earlier| earlier.position == position) {
            return Err(field("palms.position", format!("is {position} twice")));
        }
        let found = palm.references.len();
        if elsewhere && found > 0 {
            return Err(field("palms.references", "are there though another shard holds the subject"));
        }
        if !elsewhere && !(1..=REFERENCES_PER_PALM_MAX).contains(&found) {
            return Err(template("palms.references", TemplateError::References { found }));
        }
        let references = palm.references.into_iter().map(reference).collect::<Result<_, _>>()?;
        palms.push(IndexedPalm { position, references });
        match palm.probe {
            Some(wire) if verdict_wanted => probes.push(probe(wire)?),
            None if verdict_wanted => return Err(field("palms.probe", "is missing though a verdict is wanted")),
            _ => {}
        }
    }
    if palms.is_empty() {
        return Err(field("palms", "is empty"));
    }
    Ok(Change::Enrolled { palms: (!elsewhere).then_some(palms), probes: verdict_wanted.then_some(probes) })
}

fn reference(mut wire: v1::Reference) -> Result<Reference, MessageError> {
    let made = || {
        Ok(Reference {
            embedding: ProtectedEmbedding::from_untrusted(&wire.embedding)
                .map_err(|source| template("references.embedding", source))?,
            code: ProtectedCode::from_untrusted(&wire.orientation_code)
                .map_err(|source| template("references.orientation_code", source))?,
            quality: Quality::new(wire.quality).map_err(|source| template("references.quality", source))?,
        })
    };
    let reference = made();
    wire.embedding.zeroize();
    wire.orientation_code.zeroize();
    reference
}

fn probe(mut wire: v1::Probe) -> Result<Probe, MessageError> {
    let made = || {
        let found = wire.orientation_codes.len();
        if !(1..=PROBE_CODES_MAX).contains(&found) {
            return Err(template("probe.orientation_codes", TemplateError::ProbeCodes { found }));
        }
        let codes = wire.orientation_codes.iter().map(|code| ProtectedCode::from_untrusted(code));
        Ok(Probe {
            embedding: ProtectedEmbedding::from_untrusted(&wire.embedding)
                .map_err(|source| template("probe.embedding", source))?,
            codes: codes.collect::<Result<_, _>>().map_err(|source| template("probe.orientation_codes", source))?,
            quality: Quality::new(wire.quality).map_err(|source| template("probe.quality", source))?,
        })
    };
    let probe = made();
    wire.embedding.zeroize();
    wire.orientation_codes.zeroize();
    probe
}

fn ticket_key(mut wire: v1::TicketKey) -> Result<SealingKey, MessageError> {
    let key = Key::from_slice(&wire.key).ok_or_else(|| field("ticket_key.key", "must have 32 bytes"));
    wire.key.zeroize();
    if wire.ticket_lifetime_ms == 0 {
        return Err(field("ticket_key.ticket_lifetime_ms", "must be above 0"));
    }
    let lifetime = Duration::from_millis(wire.ticket_lifetime_ms);
    Ok(SealingKey { key: TicketKey { epoch: wire.epoch, key: key? }, lifetime })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(name: &'static str, text: &str) -> Result<T, MessageError> {
    text.parse().map_err(|error: T::Err| field(name, format!("is not acceptable: {error}")))
}

fn field(field: &'static str, rule: impl Into<String>) -> MessageError {
    MessageError::Field { field, rule: rule.into() }
}

fn template(field: &'static str, source: TemplateError) -> MessageError {
    MessageError::Template { field, source }
}

fn milliseconds(duration: Duration) -> u64 {
    // Rounded up: a caller who waits this long must find the door open.
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
