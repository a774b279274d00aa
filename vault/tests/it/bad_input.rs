//! What kiosks and checkouts may get wrong, or send on purpose: each has its code and reason, and stores nothing.

use tonic::Code;
use volar_core::ticket::Purpose;
use volar_proto::v1 as wire;
use volar_proto::v1::checkout_service_server::CheckoutService;
use volar_proto::v1::enrollment_service_server::EnrollmentService;
use volar_vault::service::{Checkout, Enrollment};

use crate::services::{enroll_request, from, id, reason};
use crate::world::{World, checkout, kiosk};

type Spoil = fn(&mut wire::EnrollRequest);

const SPOILED: &[(&str, Code, &str, Spoil)] = &[
    ("idempotency id missing", Code::InvalidArgument, "FIELD_INVALID", |r| r.idempotency_id.clear()),
    ("idempotency id no UUID", Code::InvalidArgument, "FIELD_INVALID", |r| r.idempotency_id = "1".repeat(36)),
    ("gallery unknown", Code::NotFound, "GALLERY_UNKNOWN", |r| r.memberships[0].gallery = "visitors".to_owned()),
    ("gallery no slug", Code::InvalidArgument, "FIELD_INVALID", |r| r.memberships[0].gallery = "../members".to_owned()),
    ("generation old", Code::FailedPrecondition, "GENERATION_MISMATCH", |r| r.memberships[0].generation = 0),
    ("model other", Code::FailedPrecondition, "MODEL_MISMATCH", |r| {
        r.memberships[0].model = "oriented-filters-2".to_owned()
    }),
    ("consent missing", Code::InvalidArgument, "CONSENT_MISSING", |r| r.consent = None),
    ("consent policy empty", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).policy_version = " ".to_owned()),
    ("consent language empty", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).language.clear()),
    ("consent method long", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).method = "x".repeat(201)),
    ("consent hash short", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).text_sha256.truncate(31)),
    ("consent undated", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).given_at_unix_ms = 0),
    ("consent in the future", Code::InvalidArgument, "FIELD_INVALID", |r| consent(r).given_at_unix_ms += 300_001),
    ("no palm", Code::InvalidArgument, "FIELD_INVALID", |r| r.memberships[0].palms.clear()),
    ("three palms", Code::InvalidArgument, "FIELD_INVALID", |r| {
        let one = r.memberships[0].palms[0].clone();
        r.memberships[0].palms.push(one);
    }),
    ("one hand twice", Code::InvalidArgument, "FIELD_INVALID", |r| {
        r.memberships[0].palms[1].position = r.memberships[0].palms[0].position
    }),
    ("no hand", Code::InvalidArgument, "TEMPLATE_INVALID", |r| r.memberships[0].palms[0].position = 0),
    ("hand of the future", Code::InvalidArgument, "TEMPLATE_INVALID", |r| r.memberships[0].palms[0].position = 3),
    ("no reference", Code::InvalidArgument, "TEMPLATE_INVALID", |r| r.memberships[0].palms[0].references.clear()),
    ("six references", Code::InvalidArgument, "TEMPLATE_INVALID", |r| {
        let one = r.memberships[0].palms[0].references[0].clone();
        r.memberships[0].palms[0].references = vec![one; 6];
    }),
    ("embedding short", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).embedding.truncate(255)),
    ("embedding long", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).embedding.push(0.0)),
    ("embedding NaN", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).embedding[7] = f32::NAN),
    ("embedding infinite", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).embedding[7] = f32::INFINITY),
    ("embedding zero", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).embedding = vec![0.0; 256]),
    ("embedding not unit", Code::InvalidArgument, "TEMPLATE_INVALID", |r| {
        reference(r).embedding.iter_mut().for_each(|value| *value *= 2.0);
    }),
    ("code short", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).orientation_code.truncate(383)),
    ("code impossible", Code::InvalidArgument, "TEMPLATE_INVALID", |r| {
        reference(r).orientation_code = [vec![0; 128], vec![1; 128], vec![0; 128]].concat();
    }),
    ("quality 101", Code::InvalidArgument, "TEMPLATE_INVALID", |r| reference(r).quality = 101),
    ("no probe", Code::InvalidArgument, "TEMPLATE_INVALID", |r| r.memberships[0].palms[1].probe = None),
    ("probe without codes", Code::InvalidArgument, "TEMPLATE_INVALID", |r| probe(r).orientation_codes.clear()),
    ("probe of 246 codes", Code::InvalidArgument, "TEMPLATE_INVALID", |r| {
        let one = probe(r).orientation_codes[0].clone();
        probe(r).orientation_codes = vec![one; 246];
    }),
    ("probe NaN", Code::InvalidArgument, "TEMPLATE_INVALID", |r| probe(r).embedding[0] = f32::NAN),
];

fn consent(request: &mut wire::EnrollRequest) -> &mut wire::Consent {
    request.consent.as_mut().expect("a good request has one")
}

fn reference(request: &mut wire::EnrollRequest) -> &mut wire::Reference {
    &mut request.memberships[0].palms[0].references[1]
}

fn probe(request: &mut wire::EnrollRequest) -> &mut wire::Probe {
    request.memberships[0].palms[1].probe.as_mut().expect("a good request has one")
}

#[tokio::test]
async fn spoiled_enrollments_are_refused_by_name_and_store_nothing() {
    let world = World::new();
    let vault = world.open();
    let service = Enrollment(vault.clone());
    for (name, code, why, spoil) in SPOILED {
        let mut request = enroll_request(&world);
        spoil(&mut request);
        let refused = service.enroll(from(kiosk(), request)).await;
        assert_eq!(reason(refused), (*code, (*why).to_owned()), "{name}");
    }
    assert!(world.feed(&vault).is_empty());
    assert_eq!(std::fs::read_dir(world.path("store/blobs")).expect("readable").count(), 0);
    service.enroll(from(kiosk(), enroll_request(&world))).await.expect("the unspoiled one is taken");
}

#[tokio::test]
async fn a_repeat_with_another_body_is_refused() {
    let world = World::new();
    let service = Enrollment(world.open());
    let request = enroll_request(&world);
    let first = service.enroll(from(kiosk(), request.clone())).await.expect("enrolled").into_inner();
    let again = service.enroll(from(kiosk(), request.clone())).await.expect("the same answer").into_inner();
    assert_eq!(first, again);
    let mut other = request;
    other.memberships[0].palms[0].references[0].quality -= 1;
    let refused = service.enroll(from(kiosk(), other)).await;
    assert_eq!(reason(refused), (Code::AlreadyExists, "IDEMPOTENCY_CONFLICT".to_owned()));
}

#[tokio::test]
async fn card_numbers_and_malformed_payments_are_refused() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, _, _) = world.enroll(&vault);
    let service = Enrollment(vault);
    let bind = |spoil: fn(&mut wire::BindPaymentRequest)| {
        let text = |text: &str| text.to_owned();
        let mut request = wire::BindPaymentRequest {
            idempotency_id: id(&world),
            enrollment_id: enrollment.to_string(),
            payment: Some(wire::PaymentReference {
                provider: text("test"),
                customer: text("cus_1"),
                payment_method: text("pm_1"),
                label: text("Anna"),
            }),
        };
        spoil(&mut request);
        service.bind_payment(from(kiosk(), request))
    };
    fn payment(request: &mut wire::BindPaymentRequest) -> &mut wire::PaymentReference {
        request.payment.as_mut().expect("a good request has one")
    }
    let card = (Code::InvalidArgument, "CARD_NUMBER_REFUSED".to_owned());
    let invalid = (Code::InvalidArgument, "FIELD_INVALID".to_owned());
    assert_eq!(reason(bind(|r| payment(r).payment_method = "4111 1111 1111 1111".to_owned()).await), card);
    assert_eq!(reason(bind(|r| payment(r).label = "visa 4111-1111-1111-1111".to_owned()).await), card);
    assert_eq!(reason(bind(|r| payment(r).provider.clear()).await), invalid);
    assert_eq!(reason(bind(|r| r.enrollment_id = "x".to_owned()).await), invalid);
    let unknown = bind(|r| r.enrollment_id = "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d".to_owned()).await;
    assert_eq!(reason(unknown), (Code::NotFound, "ENROLLMENT_UNKNOWN".to_owned()));
    bind(|_| {}).await.expect("the unspoiled one is bound");
    assert_eq!(reason(bind(|_| {}).await), (Code::AlreadyExists, "PAYMENT_ALREADY_BOUND".to_owned()));
}

#[tokio::test]
async fn bad_tickets_are_refused_by_name() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let service = Checkout(vault.clone());
    let claim =
        |ticket: Vec<u8>| service.claim(from(checkout(), wire::ClaimRequest { idempotency_id: id(&world), ticket }));
    let good = world.sealed(&vault, subject, Purpose::Admission);
    let mut tampered = good.clone();
    *tampered.last_mut().expect("not empty") ^= 1;
    let withdrawal = world.sealed(&vault, subject, Purpose::Withdrawal);
    let late = world.sealed(&vault, subject, Purpose::Admission);
    let why = |code, reason: &str| (code, reason.to_owned());
    assert_eq!(reason(claim(vec![7; 40]).await), why(Code::InvalidArgument, "TICKET_MALFORMED"));
    assert_eq!(reason(claim(tampered).await), why(Code::PermissionDenied, "TICKET_FORGED"));
    assert_eq!(reason(claim(withdrawal).await), why(Code::FailedPrecondition, "PURPOSE_MISMATCH"));
    claim(good.clone()).await.expect("claimed");
    assert_eq!(reason(claim(good).await), why(Code::AlreadyExists, "TICKET_ALREADY_CLAIMED"));
    world.clock.advance(world.settings.ticket_lifetime);
    assert_eq!(reason(claim(late).await), why(Code::FailedPrecondition, "TICKET_EXPIRED"));
}
