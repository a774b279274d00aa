//! What is kept about one person, as a page that they can read and as data.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Value, json};
use volar_core::audit::Leaf;
use volar_proto::v1::{ExportSubjectResponse, ExportedPalm, SecondFactorKind};

use crate::convert;
use crate::moment;

/// The look of every page: nothing is loaded from anywhere.
pub(crate) const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;\
width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ccc;vertical-align:top;\
overflow-wrap:anywhere}th{font-weight:600}small{color:#555}";

/// The export as data. Templates are in it only if they were asked for.
pub(crate) fn data(export: &ExportSubjectResponse) -> Value {
    let palm = |palm: &ExportedPalm| {
        let references = palm.references.iter().map(|reference| {
            json!({
                "embedding": reference.embedding,
                "orientation_code": hex::encode(&reference.orientation_code),
                "quality": reference.quality,
            })
        });
        json!({
            "position": convert::position_word(palm.position()),
            "references": palm.qualities.len(),
            "qualities": palm.qualities,
            "reference_bytes": palm.reference_bytes,
            "templates": references.collect::<Vec<_>>(),
        })
    };
    let memberships = export.memberships.iter().map(|membership| {
        json!({
            "gallery": membership.gallery,
            "model": membership.model,
            "generation": membership.generation,
            "palms": membership.palms.iter().map(palm).collect::<Vec<_>>(),
        })
    });
    let consent = export.consent.as_ref().map(|consent| {
        json!({
            "policy_version": consent.policy_version, "language": consent.language, "method": consent.method,
            "text_sha256": hex::encode(&consent.text_sha256), "given_at_unix_ms": consent.given_at_unix_ms,
        })
    });
    let leaves = export.leaves.iter().map(|leaf| json!({ "leaf": leaf.leaf, "salt": hex::encode(&leaf.salt) }));
    json!({
        "format": "volar subject export v2",
        "subject": export.subject.as_ref().map(convert::subject),
        "site": export.site,
        "last_seen_unix_ms": export.last_seen_unix_ms,
        "consent": consent,
        "payment": { "provider": export.payment_provider, "label": export.payment_label },
        "second_factor": factor(export),
        "memberships": memberships.collect::<Vec<_>>(),
        "audit_log": leaves.collect::<Vec<_>>(),
    })
}

/// The export as a page.
pub(crate) fn page(export: &ExportSubjectResponse) -> String {
    let subject = export.subject.clone().unwrap_or_default();
    let consent = export.consent.clone().unwrap_or_default();
    let payment = match export.payment_label.as_str() {
        "" => "none".to_owned(),
        label => format!("{label} ({})", export.payment_provider),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "What is kept about you" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "What is kept about you" }
                p { "Everything that this palm recognition system holds about the person with the number below." }
                table {
                    (row("Number", &subject.subject_id))
                    (row("State", convert::state_word(subject.state)))
                    (row("Enrolled", &moment::written(subject.enrolled_at_unix_ms)))
                    (row("Where", &format!("{}, {}", export.site, subject.enrolled_by_device)))
                    (row("Last visit", &moment::written(export.last_seen_unix_ms)))
                    (row("Pays with", &payment))
                    (row("Second factor", factor(export).unwrap_or("none")))
                }
                h2 { "Your consent" }
                table {
                    (row("Given", &moment::written(consent.given_at_unix_ms)))
                    (row("How", &consent.method))
                    (row("Notice", &format!("version {}, {}", consent.policy_version, consent.language)))
                    (row("Fingerprint of its text (SHA-256)", &hex::encode(&consent.text_sha256)))
                }
                h2 { "Your palms" }
                p { "No picture of your hand is kept: only numbers made from it, protected by a key." }
                table {
                    tr { th { "Group" } th { "Hand" } th { "Views" } th { "Quality (0 to 100)" } th { "Bytes a view" } }
                    @for membership in &export.memberships {
                        @for palm in &membership.palms {
                            tr {
                                td { (membership.gallery) }
                                td { (convert::position_word(palm.position())) }
                                td { (palm.qualities.len()) }
                                td { (palm.qualities.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")) }
                                td { (palm.reference_bytes) }
                            }
                        }
                    }
                }
                @for membership in &export.memberships {
                    p { small {
                        "For " (membership.gallery) ": made by model " (membership.model) ", protection generation "
                        (membership.generation) "."
                    } }
                }
                h2 { "What happened" }
                table {
                    tr { th { "When" } th { "What" } th { "By" } th { "Detail" } }
                    @for leaf in &export.leaves { (happening(&leaf.leaf)) }
                }
            }
        }
    };
    page.into_string()
}

/// What the person's second factor is. Its digits are kept nowhere.
fn factor(export: &ExportSubjectResponse) -> Option<&'static str> {
    match export.second_factor() {
        SecondFactorKind::Unspecified => None,
        SecondFactorKind::PhoneDigits => Some("the last four digits of the telephone number"),
        SecondFactorKind::Code => Some("a code"),
    }
}

fn row(name: &str, value: &str) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

fn happening(text: &str) -> Markup {
    match Leaf::parse(text) {
        Ok(leaf) => html! {
            tr {
                td { (moment::written(leaf.at.unix_milliseconds())) }
                td { (leaf.action.word()) @if leaf.outcome != "done" { ", " (leaf.outcome) } }
                td { (leaf.actor) }
                td { (leaf.detail) }
            }
        },
        Err(error) => html! { tr { td colspan="4" { (error.to_string()) } } },
    }
}

#[cfg(test)]
mod tests {
    use volar_proto::v1::{Consent, ExportedMembership, PalmPosition, Reference, Subject};

    use super::*;

    fn export() -> ExportSubjectResponse {
        let reference = Reference { embedding: vec![0.5], orientation_code: vec![0xab], quality: 80 };
        ExportSubjectResponse {
            subject: Some(Subject { subject_id: "3f2b".to_owned(), state: 2, ..Subject::default() }),
            consent: Some(Consent { method: "<script>".to_owned(), ..Consent::default() }),
            payment_provider: "test".to_owned(),
            payment_label: "Test account anna".to_owned(),
            memberships: vec![ExportedMembership {
                gallery: "members".to_owned(),
                generation: 1,
                model: "palm-lines-3".to_owned(),
                palms: vec![ExportedPalm {
                    position: PalmPosition::Left.into(),
                    qualities: vec![80],
                    reference_bytes: 1_408,
                    references: vec![reference],
                }],
            }],
            ..ExportSubjectResponse::default()
        }
    }

    #[test]
    fn a_page_shows_everything_and_takes_nothing_as_markup() {
        let page = page(&export());
        for shown in ["3f2b", "Test account anna (test)", "active", "members", "left", "1408", "&lt;script&gt;"] {
            assert!(page.contains(shown), "{shown}");
        }
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("http"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn data_has_what_the_page_has_and_the_templates() {
        let data = data(&export());
        assert_eq!(data["subject"]["state"], "active");
        assert_eq!(data["memberships"][0]["palms"][0]["templates"][0]["orientation_code"], "ab");
        assert_eq!(data["payment"], json!({ "provider": "test", "label": "Test account anna" }));
    }
}
