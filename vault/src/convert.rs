//! Between the wire's messages and the vault's words. What comes from outside is checked here, once.

mod admin;

use prost::Message;
use ring::digest;
use volar_core::audit::Hash;
use volar_core::clock::Timestamp;
use volar_core::id::{EnrollmentId, GalleryId, IdempotencyId, SubjectId};
use volar_core::second_factor::{Digits, Kind as FactorKind};
use volar_core::shard::Shard;
use volar_core::template::{
    CODE_BYTES, EnrolledPalm, PROBE_CODES_MAX, Position, Probe, ProtectedCode, ProtectedEmbedding, Quality,
    REFERENCES_PER_PALM_MAX, Reference, TemplateError,
};
use volar_core::ticket::Purpose;
use volar_proto::{SCANS_REPORTED_MAX, v1 as wire};
use zeroize::Zeroizing;

use crate::admin::ReviewDecision;
use crate::checkout::Claimed;
use crate::enrollment::{Enroll, Join, Standing, check_galleries};
use crate::erasure::{Proof, Receipt};
use crate::error::VaultError;
use crate::feed::{FeedItem, FeedStart, News, Wanted};
use crate::format::v1::{self, State};
use crate::format::v3::Suspicion;
use crate::parameters::{PALMS_MAX, REASON_BYTES_MAX};
use crate::scans::Scan;
use crate::second_factor::Outcome;
use crate::vault::{Call, Protection};

pub(crate) use admin::{
    audit_head, audit_leaf, backup_job, backups, exported, gallery_status, keys, page, retention_run,
    retention_schedule,
};

type Checked<T> = Result<T, VaultError>;

/// A writing call's idempotency id and the hash of its whole request.
pub(crate) fn call(id: &str, request: &impl Message) -> Checked<Call> {
    let id = parse("idempotency_id", id)?;
    let bytes = Zeroizing::new(request.encode_to_vec());
    let hash = digest::digest(&digest::SHA256, &bytes);
    Ok(Call { id, body_sha256: hash.as_ref().try_into().expect("SHA-256 gives 32 bytes") })
}

pub(crate) fn idempotency_id(text: &str) -> Checked<IdempotencyId> {
    parse("idempotency_id", text)
}

/// Digits that somebody typed; the message keeps none.
pub(crate) fn digits(field: &'static str, typed: String) -> Checked<Digits> {
    Digits::new(Zeroizing::new(typed)).map_err(|error| VaultError::field(field, error.to_string()))
}

/// A second factor that somebody chose. The call is known by its request without the digits: a keyed hash of so few would
/// tell them to whoever has the key, and outlive the person's erasure.
pub(crate) fn set_second_factor(
    mut request: wire::SetSecondFactorRequest,
) -> Checked<(Call, EnrollmentId, FactorKind, Digits)> {
    let mut factor = request.second_factor.take().ok_or_else(|| VaultError::field("second_factor", "is missing"))?;
    let digits = digits("second_factor.digits", std::mem::take(&mut factor.digits))?;
    let kind = match factor.kind() {
        wire::SecondFactorKind::PhoneDigits => FactorKind::PhoneDigits,
        wire::SecondFactorKind::Code => FactorKind::Code,
        wire::SecondFactorKind::Unspecified => {
            return Err(VaultError::field("second_factor.kind", "must be PHONE_DIGITS or CODE"));
        }
    };
    request.second_factor = Some(factor);
    let call = call(&request.idempotency_id, &request)?;
    Ok((call, enrollment_id(&request.enrollment_id)?, kind, digits))
}

pub(crate) fn second_factor_outcome(outcome: Outcome) -> wire::CheckSecondFactorResponse {
    use wire::check_second_factor_response::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Matched(subject) => Wire::Matched(wire::FactorMatched { subject_id: subject.as_bytes().to_vec() }),
        Outcome::Refused => Wire::Refused(wire::FactorRefused {}),
        Outcome::LockedOut(left) => {
            // Rounded up: whoever waits this long finds it over.
            let retry_after_ms = u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            Wire::LockedOut(wire::FactorLockedOut { retry_after_ms })
        }
    };
    wire::CheckSecondFactorResponse { outcome: Some(outcome) }
}

fn factor_kind(kind: FactorKind) -> wire::SecondFactorKind {
    match kind {
        FactorKind::PhoneDigits => wire::SecondFactorKind::PhoneDigits,
        FactorKind::Code => wire::SecondFactorKind::Code,
    }
}

pub(crate) fn gallery(text: &str) -> Checked<GalleryId> {
    parse("gallery", text)
}

pub(crate) fn enrollment_id(text: &str) -> Checked<EnrollmentId> {
    parse("enrollment_id", text)
}

pub(crate) fn subject_id(text: &str) -> Checked<SubjectId> {
    parse("subject_id", text)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(field: &'static str, text: &str) -> Checked<T> {
    text.parse().map_err(|error: T::Err| VaultError::field(field, format!("is invalid: {error}")))
}

pub(crate) fn enroll(request: wire::EnrollRequest) -> Checked<Enroll> {
    // Before any work on them: a message of 1 MiB could hold thousands.
    let named =
        request.memberships.iter().map(|membership| gallery(&membership.gallery)).collect::<Checked<Vec<_>>>()?;
    check_galleries(named)?;
    Ok(Enroll {
        memberships: request.memberships.iter().enumerate().map(membership).collect::<Checked<_>>()?,
        consent: request.consent.map(consent).transpose()?,
        payment_follows: request.payment_follows,
    })
}

fn membership((number, membership): (usize, &wire::Membership)) -> Checked<Join> {
    if membership.palms.len() > PALMS_MAX {
        return Err(VaultError::field("palms", "must be one palm or both"));
    }
    let palm = |(palm, wire)| self::palm(&format!("memberships[{number}].palms[{palm}]"), wire);
    Ok(Join {
        gallery: gallery(&membership.gallery)?,
        generation: membership.generation,
        model: parse("model", &membership.model)?,
        palms: membership.palms.iter().enumerate().map(palm).collect::<Checked<_>>()?,
    })
}

fn consent(consent: wire::Consent) -> Checked<v1::Consent> {
    let found = consent.text_sha256.len();
    let text_sha256 = consent
        .text_sha256
        .try_into()
        .map_err(|_| VaultError::field("consent.text_sha256", format!("has {found} bytes, must have 32")))?;
    Ok(v1::Consent {
        policy_version: consent.policy_version,
        language: consent.language,
        text_sha256,
        given_at: Timestamp::from_unix_milliseconds(consent.given_at_unix_ms),
        method: consent.method,
    })
}

fn palm(path: &str, palm: &wire::EnrolledPalm) -> Checked<EnrolledPalm> {
    let at = |part: &str| format!("{path}.{part}");
    let fail = |part: &str, source| VaultError::Template { field: at(part), source };
    let position = match palm.position() {
        wire::PalmPosition::Left => Position::Left,
        wire::PalmPosition::Right => Position::Right,
        wire::PalmPosition::Unspecified => return Err(fail("position", TemplateError::Position)),
    };
    let found = palm.references.len();
    if found == 0 || found > REFERENCES_PER_PALM_MAX {
        return Err(fail("references", TemplateError::References { found }));
    }
    let reference = |(number, reference): (usize, &wire::Reference)| {
        self::reference(reference).map_err(|source| fail(&format!("references[{number}]"), source))
    };
    let probe = palm.probe.as_ref().ok_or_else(|| fail("probe", TemplateError::ProbeCodes { found: 0 }))?;
    Ok(EnrolledPalm {
        position,
        references: palm.references.iter().enumerate().map(reference).collect::<Checked<_>>()?,
        probe: self::probe(probe).map_err(|source| fail("probe", source))?,
    })
}

fn reference(reference: &wire::Reference) -> Result<Reference, TemplateError> {
    Ok(Reference {
        embedding: ProtectedEmbedding::from_untrusted(&reference.embedding)?,
        code: ProtectedCode::from_untrusted(&reference.orientation_code)?,
        quality: Quality::new(reference.quality)?,
    })
}

fn probe(probe: &wire::Probe) -> Result<Probe, TemplateError> {
    let found = probe.orientation_codes.len();
    if found == 0 || found > PROBE_CODES_MAX {
        return Err(TemplateError::ProbeCodes { found });
    }
    Ok(Probe {
        embedding: ProtectedEmbedding::from_untrusted(&probe.embedding)?,
        codes: probe
            .orientation_codes
            .iter()
            .map(|code| ProtectedCode::from_untrusted(code))
            .collect::<Result<_, _>>()?,
        quality: Quality::new(probe.quality)?,
    })
}

pub(crate) fn payment(payment: Option<wire::PaymentReference>) -> Checked<v1::Payment> {
    let payment = payment.ok_or_else(|| VaultError::field("payment", "is missing"))?;
    Ok(v1::Payment {
        provider: payment.provider,
        customer: payment.customer,
        payment_method: payment.payment_method,
        label: payment.label,
    })
}

/// The part of a gallery that a matcher names; all of it unless it does.
pub(crate) fn shard(shard: Option<wire::Shard>) -> Checked<Shard> {
    let named = shard.map(|wire::Shard { index, count }| Shard::new(index, count));
    named.unwrap_or(Ok(Shard::WHOLE)).map_err(|error| VaultError::field("shard", format!("is no shard: {error}")))
}

/// What a follower asks for.
pub(crate) fn wanted(request: &wire::FollowRequest) -> Checked<Wanted> {
    match (request.keys_only, request.shard) {
        (true, None) => Ok(Wanted::Keys),
        (true, Some(_)) => Err(VaultError::field("shard", "must be unset with keys_only")),
        (false, shard) => Ok(Wanted::Events(self::shard(shard)?)),
    }
}

/// Scans that a matcher tells.
pub(crate) fn scans(scans: Vec<wire::Scan>) -> Checked<Vec<Scan>> {
    if scans.is_empty() || scans.len() > SCANS_REPORTED_MAX {
        return Err(VaultError::field("scans", format!("must be 1 to {SCANS_REPORTED_MAX}")));
    }
    scans.into_iter().map(scan).collect()
}

fn scan(scan: wire::Scan) -> Checked<Scan> {
    let decision = match scan.decision() {
        wire::Decision::Unspecified => return Err(VaultError::field("scans.decision", "is missing or unknown")),
        wire::Decision::Admitted => "admitted",
        wire::Decision::StepUp => "step-up",
        wire::Decision::NoMatch => "no-match",
        wire::Decision::Retry => "retry",
        wire::Decision::Rejected => "rejected",
    };
    let purpose = match scan.purpose() {
        wire::Purpose::Unspecified => {
            return Err(VaultError::field("scans.purpose", "must be ADMISSION or WITHDRAWAL"));
        }
        wire::Purpose::Admission => Purpose::Admission,
        wire::Purpose::Withdrawal => Purpose::Withdrawal,
    };
    let admitted = match (scan.decision(), scan.subject_id.as_slice().try_into()) {
        (wire::Decision::Admitted, Ok(bytes)) => Some(SubjectId::from_bytes(bytes)),
        (wire::Decision::Admitted, Err(_)) => return Err(VaultError::field("scans.subject_id", "must have 16 bytes")),
        (_, _) if scan.subject_id.is_empty() => None,
        (_, _) => return Err(VaultError::field("scans.subject_id", "must be empty unless somebody was admitted")),
    };
    let is_word = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    if scan.reason.is_empty() || scan.reason.len() > REASON_BYTES_MAX || !scan.reason.bytes().all(is_word) {
        let rule = format!("must be 1 to {REASON_BYTES_MAX} capital letters and underscores");
        return Err(VaultError::field("scans.reason", rule));
    }
    let reason = scan.reason.to_ascii_lowercase().replace('_', "-");
    Ok(Scan {
        decided_at: Timestamp::from_unix_milliseconds(scan.decided_at_unix_ms),
        site: parse("scans.site", &scan.site)?,
        device: parse("scans.device", &scan.device)?,
        lane: parse("scans.lane", &scan.lane)?,
        purpose,
        decision: format!("{decision}: {reason}"),
        admitted,
    })
}

/// Whom a verdict suspects; `None` for clear.
pub(crate) fn verdict(verdict: Option<wire::report_verdict_request::Verdict>) -> Checked<Option<Suspicion>> {
    use wire::report_verdict_request::Verdict;
    match verdict {
        None => Err(VaultError::field("verdict", "is missing: clear or suspected_duplicate")),
        Some(Verdict::Clear(_)) => Ok(None),
        Some(Verdict::SuspectedDuplicate(suspected)) => {
            let bytes = suspected.of_subject_id.try_into();
            let bytes =
                bytes.map_err(|_| VaultError::field("suspected_duplicate.of_subject_id", "must have 16 bytes"))?;
            let score = Some(suspected.score).filter(|score| score.is_finite());
            let score = score.ok_or_else(|| VaultError::field("suspected_duplicate.score", "must be a number"))?;
            Ok(Some(Suspicion { of: SubjectId::from_bytes(bytes), score: Some(score) }))
        }
    }
}

pub(crate) fn review_decision(decision: wire::decide_review_request::Decision) -> Checked<ReviewDecision> {
    use wire::decide_review_request::Decision;
    match decision {
        Decision::Unspecified => Err(VaultError::field("decision", "must be DIFFERENT_PERSON or SAME_PERSON")),
        Decision::DifferentPerson => Ok(ReviewDecision::DifferentPerson),
        Decision::SamePerson => Ok(ReviewDecision::SamePerson),
    }
}

/// The state that a listing is limited to; `None` for all.
pub(crate) fn listed_state(state: i32) -> Checked<Option<State>> {
    match wire::EnrollmentState::try_from(state) {
        Ok(wire::EnrollmentState::Unspecified) => Ok(None),
        Ok(wire::EnrollmentState::Pending) => Ok(Some(State::Pending)),
        Ok(wire::EnrollmentState::Active) => Ok(Some(State::Active)),
        Ok(wire::EnrollmentState::InReview) => Ok(Some(State::InReview)),
        Ok(wire::EnrollmentState::Erased) => {
            Err(VaultError::field("state", "ERASED cannot be listed: nothing is left"))
        }
        Err(_) => Err(VaultError::field("state", "is no enrollment state")),
    }
}

/// `None` is erased.
pub(crate) fn state(state: Option<State>) -> wire::EnrollmentState {
    match state {
        None => wire::EnrollmentState::Erased,
        Some(State::Pending) => wire::EnrollmentState::Pending,
        Some(State::Active) => wire::EnrollmentState::Active,
        Some(State::InReview) => wire::EnrollmentState::InReview,
    }
}

pub(crate) fn standing(standing: Standing) -> wire::GetEnrollmentResponse {
    wire::GetEnrollmentResponse { state: state(standing.state).into(), payment_bound: standing.payment_bound }
}

pub(crate) fn protection(protection: &Protection) -> wire::GetProtectionResponse {
    wire::GetProtectionResponse {
        key: protection.key.expose().to_vec(),
        generation: protection.generation,
        model: protection.model.to_string(),
    }
}

pub(crate) fn receipt(receipt: Receipt) -> wire::ErasureReceipt {
    let names = |devices: Vec<volar_core::id::DeviceId>| devices.into_iter().map(String::from).collect();
    wire::ErasureReceipt {
        receipt_id: uuid::Builder::from_random_bytes(receipt.id).into_uuid().to_string(),
        erased_at_unix_ms: receipt.erased_at.unix_milliseconds(),
        matchers_confirmed: names(receipt.confirmed),
        matchers_pending: names(receipt.pending),
        proof: receipt.proof.map(erasure_proof),
    }
}

fn erasure_proof(proof: Proof) -> wire::ErasureProof {
    wire::ErasureProof {
        subject_id: proof.subject.to_string(),
        salt: proof.salt.to_vec(),
        leaf: proof.leaf.leaf,
        leaf_index: proof.leaf.index,
        inclusion: hashes(&proof.leaf.inclusion),
        head: proof.leaf.head.text().to_owned(),
        public_key: proof.leaf.key.to_string(),
    }
}

fn hashes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

pub(crate) fn claimed(claimed: &Claimed) -> wire::ClaimResponse {
    wire::ClaimResponse {
        payment: Some(wire::PaymentReference {
            provider: claimed.payment.provider.clone(),
            customer: claimed.payment.customer.clone(),
            payment_method: claimed.payment.payment_method.clone(),
            label: claimed.payment.label.clone(),
        }),
        pseudonym: claimed.pseudonym.clone(),
        ticket_id: claimed.ticket.id.to_string(),
        site: claimed.ticket.site.to_string(),
        lane: claimed.ticket.lane.to_string(),
        admitted_at_unix_ms: claimed.ticket.decided_at.unix_milliseconds(),
        claimed_at_unix_ms: claimed.claimed_at.unix_milliseconds(),
    }
}

pub(crate) fn feed_start(start: &FeedStart) -> wire::FollowResponse {
    use wire::follow_response::Item;
    let feed_id = uuid::Builder::from_random_bytes(start.feed_id).into_uuid().to_string();
    wire::FollowResponse {
        item: Some(Item::Start(wire::FeedStart {
            feed_id,
            generation: start.generation,
            model: start.model.clone(),
            last_sequence: start.last_sequence,
            sites: start.sites.iter().map(ToString::to_string).collect(),
        })),
    }
}

pub(crate) fn ticket_key(key: &volar_core::ticket::TicketKey, lifetime: std::time::Duration) -> wire::FollowResponse {
    use wire::follow_response::Item;
    let ticket_lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    let key = wire::TicketKey { epoch: key.epoch, key: key.key.expose().to_vec(), ticket_lifetime_ms };
    wire::FollowResponse { item: Some(Item::TicketKey(key)) }
}

pub(crate) fn caught_up(last_sequence: u64) -> wire::FollowResponse {
    use wire::follow_response::Item;
    wire::FollowResponse { item: Some(Item::CaughtUp(wire::CaughtUp { last_sequence })) }
}

pub(crate) fn feed_item(item: &FeedItem) -> wire::FollowResponse {
    use wire::feed_event::Change;
    let change = match &item.news {
        News::Enrolled { palms, probes, elsewhere } => {
            let probe = |number: usize| probes.as_ref().and_then(|probes| probes.probes.get(number));
            let palms = palms.iter().enumerate().map(|(number, palm)| enrolled_palm(palm, probe(number))).collect();
            let verdict_wanted = probes.is_some();
            Change::Enrolled(wire::SubjectEnrolled { palms, verdict_wanted, elsewhere: *elsewhere })
        }
        News::Activated => Change::Activated(wire::SubjectActivated {}),
        News::Held => Change::Held(wire::SubjectHeld {}),
        News::Erased => Change::Erased(wire::SubjectErased {}),
    };
    let event =
        wire::FeedEvent { sequence: item.sequence, subject_id: item.subject.as_bytes().to_vec(), change: Some(change) };
    wire::FollowResponse { item: Some(wire::follow_response::Item::Event(event)) }
}

fn enrolled_palm(palm: &v1::Palm, probe: Option<&v1::Probe>) -> wire::EnrolledPalm {
    wire::EnrolledPalm {
        position: position(palm.position).into(),
        references: palm
            .references
            .iter()
            .map(|reference| wire::Reference {
                embedding: reference.embedding.clone(),
                orientation_code: reference.code.clone(),
                quality: reference.quality.into(),
            })
            .collect(),
        probe: probe.map(|probe| wire::Probe {
            embedding: probe.embedding.clone(),
            orientation_codes: probe.codes.chunks_exact(CODE_BYTES).map(<[u8]>::to_vec).collect(),
            quality: probe.quality.into(),
        }),
    }
}

fn position(position: Position) -> wire::PalmPosition {
    match position {
        Position::Left => wire::PalmPosition::Left,
        Position::Right => wire::PalmPosition::Right,
    }
}
