//! Between this crate's types and the wire contract. What comes from outside is checked here.

use volar_core::clock::Timestamp;
use volar_core::id::{EnrollmentId, GalleryId, ModelId};
use volar_core::protection::GalleryProtection;
use volar_core::second_factor::Kind;
use volar_core::secret::Key;
use volar_core::template::{EnrolledPalm, Position, Probe, Reference};
use volar_proto::v1;
use zeroize::{Zeroize, Zeroizing};

use crate::client::CallError;
use crate::notice::Consent;
use crate::payment::PaymentReference;
use crate::second_factor::Chosen;
use crate::session::{Identified, Palm, Receipt, Standing};
use crate::vault_client::Protection;

/// A gallery's protection as the vault gives it.
pub(crate) fn protection(
    gallery: &GalleryId,
    mut response: v1::GetProtectionResponse,
) -> Result<Protection, CallError> {
    let key = Key::from_slice(&response.key).ok_or(CallError::malformed("key"));
    response.key.zeroize();
    let model: ModelId = response.model.parse().map_err(|_| CallError::malformed("model"))?;
    let (gallery, transform) = (gallery.clone(), GalleryProtection::new(&key?));
    Ok(Protection { gallery, transform, generation: response.generation, model })
}

/// A release as the vault records it.
pub(crate) fn consent(consent: &Consent) -> v1::Consent {
    v1::Consent {
        policy_version: consent.policy_version.clone(),
        language: consent.language.tag().to_owned(),
        text_sha256: consent.text_sha256.to_vec(),
        given_at_unix_ms: consent.given_at.unix_milliseconds(),
        method: "touch-screen".to_owned(),
    }
}

/// A palm under its gallery's protection; `None` of a palm without a template.
pub(crate) fn protect(palm: &Palm, protection: &GalleryProtection) -> Option<EnrolledPalm> {
    let references = palm.templates.iter().map(|template| protection.reference(template)).collect();
    let probe = protection.probe(palm.templates.first()?);
    Some(EnrolledPalm { position: palm.position, references, probe })
}

/// One gallery's palms as they travel.
pub(crate) fn membership(protection: &Protection, palms: &[EnrolledPalm]) -> v1::Membership {
    v1::Membership {
        gallery: protection.gallery.to_string(),
        generation: protection.generation,
        model: protection.model.to_string(),
        palms: palms.iter().map(palm).collect(),
    }
}

/// One gallery's probe as it travels.
pub(crate) fn gallery_probe(protection: &Protection, probe: &Probe) -> v1::GalleryProbe {
    v1::GalleryProbe {
        gallery: protection.gallery.to_string(),
        generation: protection.generation,
        model: protection.model.to_string(),
        probe: Some(self::probe(probe)),
    }
}

/// A protected palm as it travels.
fn palm(palm: &EnrolledPalm) -> v1::EnrolledPalm {
    let position = match palm.position {
        Position::Left => v1::PalmPosition::Left,
        Position::Right => v1::PalmPosition::Right,
    };
    v1::EnrolledPalm {
        position: position.into(),
        references: palm.references.iter().map(reference).collect(),
        probe: Some(probe(&palm.probe)),
    }
}

/// A protected probe as it travels.
fn probe(probe: &Probe) -> v1::Probe {
    v1::Probe {
        embedding: probe.embedding.expose().to_vec(),
        orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
        quality: probe.quality.into(),
    }
}

/// An enrollment's id as the vault gives it.
pub(crate) fn enrollment_id(text: &str) -> Result<EnrollmentId, CallError> {
    text.parse().map_err(|_| CallError::malformed("enrollment_id"))
}

/// Where an enrollment stands.
pub(crate) fn standing(state: v1::EnrollmentState) -> Result<Standing, CallError> {
    match state {
        v1::EnrollmentState::Pending => Ok(Standing::Pending),
        v1::EnrollmentState::Active => Ok(Standing::Active),
        v1::EnrollmentState::InReview => Ok(Standing::InReview),
        v1::EnrollmentState::Erased => Ok(Standing::Erased),
        v1::EnrollmentState::Unspecified => Err(CallError::malformed("state")),
    }
}

/// A second factor as it travels.
pub(crate) fn second_factor(chosen: &Chosen) -> v1::SecondFactor {
    let kind = match chosen.kind {
        Kind::PhoneDigits => v1::SecondFactorKind::PhoneDigits,
        Kind::Code => v1::SecondFactorKind::Code,
    };
    v1::SecondFactor { kind: kind.into(), digits: chosen.digits.expose().to_owned() }
}

/// A payment reference as it travels.
pub(crate) fn payment(payment: &PaymentReference) -> v1::PaymentReference {
    v1::PaymentReference {
        provider: payment.provider.clone(),
        customer: payment.customer.clone(),
        payment_method: payment.payment_method.clone(),
        label: payment.label.clone(),
    }
}

/// Whose palm a matcher says it is.
pub(crate) fn identified(response: v1::IdentifyResponse) -> Result<Identified, CallError> {
    let seconds = response.retry_after_ms.div_ceil(1_000);
    match response.decision() {
        v1::Decision::Admitted if !response.ticket.is_empty() => {
            Ok(Identified::Recognized(Zeroizing::new(response.ticket)))
        }
        v1::Decision::StepUp => Ok(Identified::NotSure),
        v1::Decision::NoMatch => Ok(Identified::NotRecognized),
        v1::Decision::Retry => Ok(Identified::Retry),
        v1::Decision::Rejected => Ok(Identified::LockedOut { seconds }),
        v1::Decision::Admitted => Err(CallError::malformed("ticket")),
        v1::Decision::Unspecified => Err(CallError::malformed("decision")),
    }
}

/// Proof of an erasure.
pub(crate) fn receipt(receipt: Option<v1::ErasureReceipt>) -> Result<Receipt, CallError> {
    let receipt = receipt.ok_or(CallError::malformed("receipt"))?;
    Ok(Receipt {
        number: receipt.receipt_id,
        erased_at: Timestamp::from_unix_milliseconds(receipt.erased_at_unix_ms),
        matchers_pending: receipt.matchers_pending.len(),
    })
}

fn reference(reference: &Reference) -> v1::Reference {
    v1::Reference {
        embedding: reference.embedding.expose().to_vec(),
        orientation_code: reference.code.to_bytes(),
        quality: reference.quality.into(),
    }
}
