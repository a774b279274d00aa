//! From wire messages to what is printed. What a server sends is cut and shown, never trusted.

use serde_json::{Value, json};
use volar_proto::v1;

use crate::arguments::StateArgument;
use crate::moment;

/// A subject as `--json` prints it.
pub(crate) fn subject(subject: &v1::Subject) -> Value {
    json!({
        "subject_id": subject.subject_id,
        "galleries": subject.galleries,
        "state": state_word(subject.state),
        "payment_bound": subject.payment_bound,
        "consent_policy_version": subject.consent_policy_version,
        "consent_language": subject.consent_language,
        "enrolled_at_unix_ms": subject.enrolled_at_unix_ms,
        "positions": positions(subject),
        "enrolled_by_device": subject.enrolled_by_device,
        "suspected_duplicate_of": none_if_empty(&subject.suspected_duplicate_of),
        "suspected_score": subject.suspected_score,
    })
}

/// Columns of [`subject_row`].
pub(crate) const SUBJECT_HEADER: [&str; 7] =
    ["subject", "galleries", "state", "hands", "payment", "enrolled", "duplicate of"];

/// A subject as a row of a table.
pub(crate) fn subject_row(subject: &v1::Subject) -> Vec<String> {
    vec![
        shown(&subject.subject_id),
        subject.galleries.iter().map(|gallery| shown(gallery)).collect::<Vec<_>>().join(", "),
        state_word(subject.state).to_owned(),
        positions(subject).join(", "),
        if subject.payment_bound { "linked" } else { "none" }.to_owned(),
        moment::written(subject.enrolled_at_unix_ms),
        shown(&subject.suspected_duplicate_of),
    ]
}

/// Columns of [`review_row`].
pub(crate) const REVIEW_HEADER: [&str; 8] =
    ["subject", "galleries", "state", "hands", "payment", "enrolled", "duplicate of", "score"];

/// A subject in review as a row of a table.
pub(crate) fn review_row(subject: &v1::Subject) -> Vec<String> {
    let score = subject.suspected_score.map(|score| format!("{score:.1}")).unwrap_or_default();
    [subject_row(subject), vec![score]].concat()
}

/// A receipt as `--json` prints it.
pub(crate) fn receipt(receipt: &v1::ErasureReceipt) -> Value {
    json!({
        "receipt_id": receipt.receipt_id,
        "erased_at_unix_ms": receipt.erased_at_unix_ms,
        "matchers_confirmed": receipt.matchers_confirmed,
        "matchers_pending": receipt.matchers_pending,
    })
}

/// A receipt as a file that `tools/verify-receipt` checks. Without a proof only what the vault says.
pub(crate) fn receipt_file(receipt: &v1::ErasureReceipt) -> Value {
    let mut file = self::receipt(receipt);
    file["format"] = "volar erasure receipt v1".into();
    if let Some(proof) = &receipt.proof {
        file["subject_id"] = proof.subject_id.as_str().into();
        file["salt"] = hex::encode(&proof.salt).into();
        file["leaf"] = proof.leaf.as_str().into();
        file["leaf_index"] = proof.leaf_index.into();
        file["inclusion"] = proof.inclusion.iter().map(hex::encode).collect::<Vec<_>>().into();
        file["head"] = proof.head.as_str().into();
        file["public_key"] = proof.public_key.as_str().into();
    }
    file
}

/// A gallery's status as `--json` prints it.
pub(crate) fn gallery(gallery: &v1::GalleryStatus) -> Value {
    let follower = |follower: &v1::FollowerStatus| json!({ "device": follower.device, "acknowledged_sequence": follower.acknowledged_sequence });
    json!({
        "gallery": gallery.gallery,
        "generation": gallery.generation,
        "model": gallery.model,
        "subjects_pending": gallery.subjects_pending,
        "subjects_active": gallery.subjects_active,
        "subjects_in_review": gallery.subjects_in_review,
        "last_sequence": gallery.last_sequence,
        "sites": gallery.sites,
        "renewal": gallery.renewal.as_ref().map(|renewal| json!({
            "other_generation": renewal.other_generation, "done": renewal.done, "total": renewal.total,
            "stopped": Some(&renewal.stopped).filter(|stopped| !stopped.is_empty()),
        })),
        "followers": gallery.followers.iter().map(follower).collect::<Vec<_>>(),
    })
}

/// A claim's answer as `--json` prints it. The one place where payment tokens are printed.
pub(crate) fn claim(claim: &v1::ClaimResponse) -> Value {
    let payment = claim.payment.as_ref().map(|payment| {
        json!({
            "provider": payment.provider,
            "customer": payment.customer,
            "payment_method": payment.payment_method,
            "label": payment.label,
        })
    });
    json!({
        "payment": payment,
        "pseudonym": claim.pseudonym,
        "ticket_id": claim.ticket_id,
        "site": claim.site,
        "lane": claim.lane,
        "admitted_at_unix_ms": claim.admitted_at_unix_ms,
        "claimed_at_unix_ms": claim.claimed_at_unix_ms,
    })
}

/// The wire's number for a state.
pub(crate) fn state_number(state: Option<StateArgument>) -> i32 {
    match state {
        None => v1::EnrollmentState::Unspecified,
        Some(StateArgument::Pending) => v1::EnrollmentState::Pending,
        Some(StateArgument::Active) => v1::EnrollmentState::Active,
        Some(StateArgument::InReview) => v1::EnrollmentState::InReview,
        Some(StateArgument::Erased) => v1::EnrollmentState::Erased,
    }
    .into()
}

/// A state in one word.
pub(crate) fn state_word(state: i32) -> &'static str {
    match v1::EnrollmentState::try_from(state) {
        Ok(v1::EnrollmentState::Pending) => "pending",
        Ok(v1::EnrollmentState::Active) => "active",
        Ok(v1::EnrollmentState::InReview) => "in-review",
        Ok(v1::EnrollmentState::Erased) => "erased",
        Ok(v1::EnrollmentState::Unspecified) | Err(_) => "unknown",
    }
}

/// Text from a server as a terminal may show it: control characters could move its cursor or change its title.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn positions(subject: &v1::Subject) -> Vec<String> {
    subject.positions().map(|position| position_word(position).to_owned()).collect()
}

/// A hand in one word.
pub(crate) fn position_word(position: v1::PalmPosition) -> &'static str {
    match position {
        v1::PalmPosition::Left => "left",
        v1::PalmPosition::Right => "right",
        v1::PalmPosition::Unspecified => "unknown",
    }
}

fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a[2Jb");
        assert_eq!(shown(&"x".repeat(300)).len(), 200);
    }

    #[test]
    fn states_have_their_words_both_ways() {
        for (argument, word) in [
            (StateArgument::Pending, "pending"),
            (StateArgument::Active, "active"),
            (StateArgument::InReview, "in-review"),
            (StateArgument::Erased, "erased"),
        ] {
            assert_eq!(state_word(state_number(Some(argument))), word);
        }
        assert_eq!(state_word(99), "unknown");
    }
}
