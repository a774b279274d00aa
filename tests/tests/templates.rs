//! Templates and messages that break a rule are refused by name, at the vault and at the matcher, and store nothing.

use tonic::{Code, Status};
use volar_proto::v1::{EnrollRequest, IdentifyRequest};
use volar_tests::client::{enroll, identify, reason};
use volar_tests::palms::Person;
use volar_tests::system::System;

type Spoil<T> = (&'static str, fn(&mut T), &'static str);

/// What is wrong, how to make it so, and the reason that must come back.
const ENROLLMENTS: [Spoil<EnrollRequest>; 14] = [
    ("short embedding", |r| r.memberships[0].palms[0].references[0].embedding.truncate(255), "TEMPLATE_INVALID"),
    ("long embedding", |r| r.memberships[0].palms[0].references[0].embedding.push(0.0), "TEMPLATE_INVALID"),
    ("NaN", |r| r.memberships[0].palms[1].references[0].embedding[9] = f32::NAN, "TEMPLATE_INVALID"),
    ("infinite", |r| r.memberships[0].palms[1].references[0].embedding[9] = f32::INFINITY, "TEMPLATE_INVALID"),
    ("zero embedding", |r| r.memberships[0].palms[0].references[0].embedding.fill(0.0), "TEMPLATE_INVALID"),
    ("NaN in the probe", |r| probe(r).embedding[0] = f32::NAN, "TEMPLATE_INVALID"),
    ("short code", |r| r.memberships[0].palms[0].references[0].orientation_code.truncate(383), "TEMPLATE_INVALID"),
    ("short code in the probe", |r| probe(r).orientation_codes[3].truncate(1), "TEMPLATE_INVALID"),
    ("no reference", |r| r.memberships[0].palms[0].references.clear(), "TEMPLATE_INVALID"),
    ("another model", |r| r.memberships[0].model = "oriented-filters-0".to_owned(), "MODEL_MISMATCH"),
    ("another generation", |r| r.memberships[0].generation += 1, "GENERATION_MISMATCH"),
    ("another gallery", |r| r.memberships[0].gallery = "staff".to_owned(), "GALLERY_UNKNOWN"),
    ("no consent", |r| r.consent = None, "CONSENT_MISSING"),
    ("one hand twice", |r| r.memberships[0].palms[1].position = r.memberships[0].palms[0].position, "FIELD_INVALID"),
];

fn probe(request: &mut EnrollRequest) -> &mut volar_proto::v1::Probe {
    request.memberships[0].palms[0].probe.as_mut().expect("a complete request has probes")
}

#[tokio::test]
async fn the_vault_refuses_bad_enrollments_by_name() {
    let system = System::vault();
    let clients = system.clients();
    let palms = clients.palms().await;
    for (what, spoil, expected) in ENROLLMENTS {
        let mut request = enroll(&palms, &Person::new(1), false);
        spoil(&mut request);
        let status = clients.enrollment().enroll(request).await.expect_err(what);
        assert_eq!(reason(&status), expected, "{what}: {status:?}");
    }
    assert_eq!(clients.subjects().await.len(), 0, "nothing of them is stored");
    clients.enrollment().enroll(enroll(&palms, &Person::new(1), false)).await.expect("a good one is taken");
}

const IDENTIFICATIONS: [Spoil<IdentifyRequest>; 7] = [
    ("short embedding", |r| probe_of(r).embedding.truncate(255), "TEMPLATE_INVALID"),
    ("NaN", |r| probe_of(r).embedding[9] = f32::NAN, "TEMPLATE_INVALID"),
    ("infinite", |r| probe_of(r).embedding[9] = f32::NEG_INFINITY, "TEMPLATE_INVALID"),
    ("zero embedding", |r| probe_of(r).embedding.fill(0.0), "TEMPLATE_INVALID"),
    ("no code", |r| probe_of(r).orientation_codes.clear(), "TEMPLATE_INVALID"),
    ("another model", |r| r.probes[0].model = "oriented-filters-0".to_owned(), "MODEL_MISMATCH"),
    ("another gallery", |r| r.probes[0].gallery = "staff".to_owned(), "GALLERY_UNKNOWN"),
];

fn probe_of(request: &mut IdentifyRequest) -> &mut volar_proto::v1::Probe {
    request.probes[0].probe.as_mut().expect("a complete request has a probe")
}

#[tokio::test]
async fn the_matcher_refuses_bad_probes_by_name() {
    let system = System::servers();
    let clients = system.clients();
    let palms = clients.palms().await;
    let person = Person::new(1);
    clients.enrollment().enroll(enroll(&palms, &person, false)).await.expect("a good enrolment");
    clients.admit(&palms, &person).await;
    for (what, spoil, expected) in IDENTIFICATIONS {
        let mut request = identify(&palms, &person, "lane-1");
        spoil(&mut request);
        let status = clients.identification().identify(request).await.err().expect(what);
        assert_eq!(reason(&status), expected, "{what}: {status:?}");
    }
}

#[tokio::test]
async fn a_message_over_one_mebibyte_is_refused() {
    let system = System::servers();
    let clients = system.clients();
    let palms = clients.palms().await;
    let mut request = enroll(&palms, &Person::new(1), false);
    request.consent.as_mut().expect("given").method = "x".repeat(1024 * 1024);
    assert_too_large(&clients.enrollment().enroll(request).await.expect_err("too large"));
    let mut request = identify(&palms, &Person::new(1), "lane-1");
    request.lane = "x".repeat(1024 * 1024);
    assert_too_large(&clients.identification().identify(request).await.err().expect("too large"));
    assert_eq!(clients.subjects().await.len(), 0);
}

fn assert_too_large(status: &Status) {
    // tonic 0.14 answers OUT_OF_RANGE.
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    assert!(status.message().contains("too large"), "{status:?}");
}

#[tokio::test]
async fn an_idempotency_id_belongs_to_one_body() {
    let system = System::vault();
    let clients = system.clients();
    let palms = clients.palms().await;
    let first = enroll(&palms, &Person::new(1), false);
    let enrolled = clients.enrollment().enroll(first.clone()).await.expect("the first").into_inner();
    let again = clients.enrollment().enroll(first.clone()).await.expect("the same again").into_inner();
    assert_eq!(again.enrollment_id, enrolled.enrollment_id);
    let other = EnrollRequest { idempotency_id: first.idempotency_id, ..enroll(&palms, &Person::new(2), false) };
    let status = clients.enrollment().enroll(other).await.expect_err("another body");
    assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
    assert_eq!(clients.subjects().await.len(), 1);
}
