//! What is refused, with which reason.

use tonic::Code;
use volar_core::template::PROBE_CODES_MAX;
use volar_proto::v1;
use volar_service::identity::Role;

use crate::world::{World, peer};

#[tokio::test]
async fn each_role_has_its_purpose() {
    let mut world = World::ready(20).await;
    let anna = world.palms.template();
    world.admit(1, &anna).await;
    for role in Role::ALL {
        for purpose in [v1::Purpose::Admission, v1::Purpose::Withdrawal] {
            let mut request = world.request(&anna, "a");
            request.purpose = purpose.into();
            let allowed = matches!(
                (role, purpose),
                (Role::Gate, v1::Purpose::Admission) | (Role::Kiosk, v1::Purpose::Withdrawal)
            );
            let outcome = world.matcher.identify(peer(role), request).await;
            match outcome {
                Ok(answer) => assert!(allowed && answer.ticket.is_some(), "{role} {purpose:?}"),
                Err(fault) => {
                    assert!(!allowed, "{role} {purpose:?}: {fault}");
                    assert_eq!((fault.code, fault.reason), (Code::PermissionDenied, "PURPOSE_NOT_ALLOWED"));
                }
            }
        }
    }
}

#[tokio::test]
async fn another_tenants_gate_is_refused() {
    let mut world = World::ready(21).await;
    let anna = world.palms.template();
    world.admit(1, &anna).await;
    let other = "spiffe://volar/other/north/gate/one".parse().expect("a good name");
    let fault = world.matcher.identify(other, world.request(&anna, "a")).await.expect_err("refused");
    assert_eq!((fault.code, fault.reason), (Code::PermissionDenied, "TENANT_NOT_SERVED"));
}

/// A change that breaks a request, the reason it is refused with, and the field it names.
type Break = (fn(&mut v1::IdentifyRequest), Code, &'static str, &'static str);

const BROKEN: &[Break] = &[
    (|r| probe(r).embedding[3] = f32::NAN, Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding[3] = f32::INFINITY, Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding.fill(0.0), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding.fill(1.0), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding.truncate(255), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding.push(0.0), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).embedding.clear(), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.embedding"),
    (|r| probe(r).orientation_codes.clear(), Code::InvalidArgument, "TEMPLATE_INVALID", "probe.orientation_codes"),
    (over_long, Code::InvalidArgument, "TEMPLATE_INVALID", "probe.orientation_codes"),
    (
        |r| probe(r).orientation_codes[7].truncate(383),
        Code::InvalidArgument,
        "TEMPLATE_INVALID",
        "probe.orientation_codes",
    ),
    (impossible_cell, Code::InvalidArgument, "TEMPLATE_INVALID", "probe.orientation_codes"),
    (|r| probe(r).quality = 101, Code::InvalidArgument, "TEMPLATE_INVALID", "probe.quality"),
    (|r| r.probes[0].probe = None, Code::InvalidArgument, "FIELD_INVALID", "probe"),
    (|r| r.purpose = 0, Code::InvalidArgument, "FIELD_INVALID", "purpose"),
    (|r| r.purpose = 77, Code::InvalidArgument, "FIELD_INVALID", "purpose"),
    (|r| r.idempotency_id.clear(), Code::InvalidArgument, "FIELD_INVALID", "idempotency_id"),
    (|r| r.lane = "Lane 1".to_owned(), Code::InvalidArgument, "FIELD_INVALID", "lane"),
    (|r| r.probes[0].gallery = "../x".to_owned(), Code::InvalidArgument, "FIELD_INVALID", "gallery"),
    (|r| r.probes[0].model = "ä".to_owned(), Code::InvalidArgument, "FIELD_INVALID", "model"),
    (|r| r.probes[0].gallery = "staff".to_owned(), Code::NotFound, "GALLERY_UNKNOWN", "gallery"),
    (|r| r.probes[0].generation = 2, Code::FailedPrecondition, "PROTECTION_GENERATION_MISMATCH", "generation"),
    (|r| r.probes[0].model = "oriented-filters-2".to_owned(), Code::FailedPrecondition, "MODEL_MISMATCH", "model"),
];

fn probe(request: &mut v1::IdentifyRequest) -> &mut v1::Probe {
    request.probes[0].probe.as_mut().expect("requests are made with a probe")
}

fn over_long(request: &mut v1::IdentifyRequest) {
    let code = probe(request).orientation_codes[0].clone();
    probe(request).orientation_codes.resize(PROBE_CODES_MAX + 1, code);
}

fn impossible_cell(request: &mut v1::IdentifyRequest) {
    let code = &mut probe(request).orientation_codes[48];
    code.fill(0);
    code[128] = 1;
}

#[tokio::test]
async fn bad_requests_are_refused_by_name_and_count_as_nothing() {
    let mut world = World::ready(22).await;
    let anna = world.palms.template();
    world.admit(1, &anna).await;
    for (number, (break_it, code, reason, field)) in BROKEN.iter().enumerate() {
        let mut request = world.request(&anna, "a");
        break_it(&mut request);
        let fault = world.send(request).await.expect_err(reason);
        assert_eq!((fault.code, fault.reason), (*code, *reason), "{number}: {fault}");
        assert!(fault.metadata.iter().any(|(_, value)| value == *field) || fault.metadata[0].0 == *field, "{number}");
    }
    assert_eq!(world.says(&anna, "a").await, ("admitted", "MATCH"), "none of them was a failure");
}

#[tokio::test]
async fn the_most_codes_that_a_probe_may_carry_are_taken() {
    let mut world = World::ready(23).await;
    let anna = world.palms.template();
    world.admit(1, &anna).await;
    let mut request = world.request(&anna, "a");
    over_long(&mut request);
    probe(&mut request).orientation_codes.pop();
    assert_eq!(world.send(request).await.expect("an answer").decision.as_str(), "admitted");
}
