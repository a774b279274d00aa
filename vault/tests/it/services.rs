//! The services, called as a server calls them.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use volar_core::clock::Clock;
use volar_core::id::IdempotencyId;
use volar_core::template::{EnrolledPalm, Position};
use volar_core::ticket::{Purpose, Ticket, TicketKey};
use volar_proto::v1 as wire;
use volar_proto::v1::admin_service_server::AdminService;
use volar_proto::v1::checkout_service_server::CheckoutService;
use volar_proto::v1::enrollment_service_server::EnrollmentService;
use volar_proto::v1::follow_response::Item;
use volar_proto::v1::protection_service_server::ProtectionService;
use volar_proto::v1::template_feed_server::TemplateFeed;
use volar_service::fault::Fault;
use volar_service::identity::{Peer, Role};
use volar_vault::service::{ACCESS, Admin, Checkout, Enrollment, Feed, Protection};
use volar_vault::vault::Vault;

use crate::world::{World, checkout, kiosk, matcher, members, operator, peer};

/// A request as the access layer hands it on.
pub(crate) fn from<T>(peer: Peer, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(peer);
    request
}

pub(crate) fn id(world: &World) -> String {
    IdempotencyId::random(&*world.randomness).to_string()
}

#[track_caller]
pub(crate) fn reason<T>(result: Result<T, Status>) -> (Code, String) {
    let status = result.err().expect("must be refused");
    (status.code(), Fault::reason_of(&status).expect("every refusal has a reason"))
}

pub(crate) fn enroll_request(world: &World) -> wire::EnrollRequest {
    wire::EnrollRequest {
        idempotency_id: id(world),
        consent: Some(wire::Consent {
            policy_version: "2026-11".to_owned(),
            language: "en".to_owned(),
            text_sha256: vec![1; 32],
            given_at_unix_ms: world.clock.now().unix_milliseconds(),
            method: "touch-screen".to_owned(),
        }),
        payment_follows: true,
        memberships: vec![wire_membership(world, "members")],
    }
}

pub(crate) fn wire_membership(world: &World, gallery: &str) -> wire::Membership {
    wire::Membership {
        gallery: gallery.to_owned(),
        generation: 1,
        model: "palm-lines-3".to_owned(),
        palms: vec![wire_palm(world, Position::Left), wire_palm(world, Position::Right)],
    }
}

fn wire_palm(world: &World, position: Position) -> wire::EnrolledPalm {
    let EnrolledPalm { references, probe, .. } = crate::people::palm(&*world.randomness, position, 3, 5);
    wire::EnrolledPalm {
        position: match position {
            Position::Left => wire::PalmPosition::Left.into(),
            Position::Right => wire::PalmPosition::Right.into(),
        },
        references: references
            .iter()
            .map(|reference| wire::Reference {
                embedding: reference.embedding.expose().to_vec(),
                orientation_code: reference.code.to_bytes(),
                quality: 80,
            })
            .collect(),
        probe: Some(wire::Probe {
            embedding: probe.embedding.expose().to_vec(),
            orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
            quality: 70,
        }),
    }
}

fn feed(vault: &Arc<Vault>) -> Feed {
    Feed { vault: vault.clone(), shutdown: CancellationToken::new() }
}

async fn follow(feed: &Feed, from_sequence: u64) -> impl tokio_stream::Stream<Item = Item> + Unpin {
    let request = wire::FollowRequest { gallery: "members".to_owned(), from_sequence, shard: None, keys_only: false };
    let stream = feed.follow(from(matcher(), request)).await.expect("followed").into_inner();
    stream.map(|item| item.expect("no failure").item.expect("every response has an item"))
}

#[test]
fn the_access_table_covers_exactly_what_the_contract_has() {
    use prost::Message;
    #[derive(Clone, PartialEq, Message)]
    struct Files {
        #[prost(message, repeated, tag = "1")]
        files: Vec<FileDescriptor>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct FileDescriptor {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "6")]
        services: Vec<ServiceDescriptor>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct ServiceDescriptor {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        methods: Vec<MethodDescriptor>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct MethodDescriptor {
        #[prost(string, tag = "1")]
        name: String,
    }
    let files = Files::decode(volar_proto::FILE_DESCRIPTOR_SET).expect("committed descriptors");
    let vault = files.files.iter().find(|file| file.name.ends_with("v1/vault.proto")).expect("the vault's contract");
    let mut contract: Vec<String> = vault
        .services
        .iter()
        .flat_map(|service| service.methods.iter().map(|method| format!("/volar.v1.{}/{}", service.name, method.name)))
        .collect();
    let mut table: Vec<String> = ACCESS.rows().iter().map(|(method, _)| (*method).to_owned()).collect();
    contract.sort();
    table.sort();
    assert_eq!(table, contract);
    assert!(ACCESS.rows().iter().all(|(_, roles)| !roles.is_empty() && !roles.contains(&Role::Vault)));
}

#[tokio::test]
async fn the_whole_story_over_the_services() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, feed) = (Enrollment(vault.clone()), feed(&vault));
    let request = wire::GetProtectionRequest { gallery: "members".to_owned() };
    let protection =
        Protection(vault.clone()).get_protection(from(kiosk(), request)).await.expect("given").into_inner();
    assert_eq!((protection.key.len(), protection.generation), (32, 1));

    let mut events = follow(&feed, 1).await;
    let Some(Item::Start(start)) = events.next().await else { panic!("a feed begins with its start") };
    assert_eq!(start.last_sequence, 0);
    let Some(Item::TicketKey(ticket_key)) = events.next().await else { panic!("then the ticket key") };
    let Some(Item::CaughtUp(caught_up)) = events.next().await else { panic!("then nothing more for now") };
    assert_eq!(caught_up.last_sequence, 0);

    let sent = enroll_request(&world);
    let enrolled = enrollment.enroll(from(kiosk(), sent.clone())).await.expect("enrolled").into_inner();
    assert_eq!(enrolled.state(), wire::EnrollmentState::Pending);
    let event = loop {
        match events.next().await.expect("the feed goes on") {
            Item::Event(event) => break event,
            Item::CaughtUp(_) => {}
            _ => panic!("neither an event nor a heartbeat"),
        }
    };
    let Some(wire::feed_event::Change::Enrolled(news)) = event.change else { panic!("not an enrollment") };
    assert!(news.verdict_wanted);
    assert!(news.palms == sent.memberships[0].palms, "what matchers get is what the kiosk sent, bit for bit");

    let waiting = tokio::spawn({
        let enrollment = Enrollment(vault.clone());
        let request =
            wire::GetEnrollmentRequest { enrollment_id: enrolled.enrollment_id.clone(), wait_milliseconds: 10_000 };
        async move { enrollment.get_enrollment(from(kiosk(), request)).await }
    });
    let verdict = wire::ReportVerdictRequest {
        idempotency_id: id(&world),
        gallery: "members".to_owned(),
        sequence: event.sequence,
        verdict: Some(wire::report_verdict_request::Verdict::Clear(wire::Clear {})),
        shard: None,
    };
    feed.report_verdict(from(matcher(), verdict)).await.expect("taken");
    let standing = waiting.await.expect("no panic").expect("known").into_inner();
    assert_eq!(standing.state(), wire::EnrollmentState::Active, "whoever waits hears of it");

    let bind = wire::BindPaymentRequest {
        idempotency_id: id(&world),
        enrollment_id: enrolled.enrollment_id,
        payment: Some(wire::PaymentReference {
            provider: "test".to_owned(),
            customer: "cus_1".to_owned(),
            payment_method: "pm_1".to_owned(),
            label: "Test account anna".to_owned(),
        }),
    };
    enrollment.bind_payment(from(kiosk(), bind.clone())).await.expect("bound");

    // The ticket that a matcher makes with the key that the feed gave it.
    let subject = volar_core::id::SubjectId::from_bytes(event.subject_id.try_into().expect("16 bytes"));
    let key = TicketKey {
        epoch: ticket_key.epoch,
        key: volar_core::secret::Key::from_slice(&ticket_key.key).expect("32 bytes"),
    };
    let ticket: Ticket = world.ticket(subject, Purpose::Admission);
    let claim = wire::ClaimRequest { idempotency_id: id(&world), ticket: ticket.seal(&key, &*world.randomness) };
    let claimed = Checkout(vault.clone()).claim(from(checkout(), claim)).await.expect("claimed").into_inner();
    assert!(claimed.payment == bind.payment);
    assert_eq!((claimed.site.as_str(), claimed.lane.as_str()), ("north", "lane-1"));
    assert_eq!(claimed.ticket_id, ticket.id.to_string());

    let admin = Admin(vault.clone());
    let list = wire::ListSubjectsRequest { gallery: "members".to_owned(), ..Default::default() };
    let listed = admin.list_subjects(from(operator(), list)).await.expect("listed").into_inner();
    assert_eq!(listed.subjects.len(), 1);
    assert_eq!(listed.subjects[0].suspected_duplicate_of, "");
    let erase = wire::EraseSubjectRequest { idempotency_id: id(&world), subject_id: subject.to_string() };
    let receipt = admin.erase_subject(from(operator(), erase)).await.expect("erased").into_inner().receipt;
    assert_eq!(receipt.expect("a receipt").matchers_pending, ["matcher-1"], "it never acknowledged");
    let status = admin.get_status(from(operator(), wire::GetStatusRequest {})).await.expect("told").into_inner();
    assert_eq!((status.galleries[0].subjects_active, status.galleries[0].last_sequence), (0, 3));
    assert_eq!(status.galleries[0].followers.len(), 1);
}

#[tokio::test]
async fn a_feed_keeps_beating_and_tells_the_next_epochs_key() {
    let world = World::new();
    let vault = world.open();
    let feed = feed(&vault);
    let mut events = follow(&feed, 1).await;
    let mut beats = 0;
    let mut epochs = Vec::new();
    while beats < 4 {
        let item = tokio::time::timeout(Duration::from_secs(5), events.next()).await.expect("a heartbeat in time");
        match item.expect("the feed goes on") {
            Item::CaughtUp(_) => {
                beats += 1;
                if beats == 2 {
                    world.clock.advance(TicketKey::EPOCH);
                }
            }
            Item::TicketKey(key) => epochs.push(key.epoch),
            Item::Start(_) => {}
            Item::Event(event) => panic!("nothing happened, yet there is event {}", event.sequence),
        }
    }
    assert_eq!(epochs.len(), 2);
    assert_eq!(epochs[0] + 1, epochs[1]);
}

#[tokio::test]
async fn a_feed_ends_at_shutdown_and_a_follower_that_left_is_away() {
    let world = World::new();
    let vault = world.open();
    let feed = feed(&vault);
    let events = follow(&feed, 1).await;
    let connected = || vault.status(&operator()).expect("readable")[0].followers[0].connected;
    assert!(connected());
    drop(events);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if !connected() {
            break;
        }
    }
    assert!(!connected());
    let mut events = follow(&feed, 1).await;
    feed.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), async { while events.next().await.is_some() {} }).await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_call_without_a_peer_is_refused() {
    let world = World::new();
    let vault = world.open();
    let refused = Enrollment(vault).enroll(Request::new(enroll_request(&world))).await;
    assert_eq!(reason(refused), (Code::Unauthenticated, "NO_CERTIFICATE".to_owned()));
}

#[tokio::test]
async fn verdicts_and_acknowledgements_are_checked() {
    let world = World::new();
    let vault = world.open();
    let feed = feed(&vault);
    world.enroll(&vault);
    let report = |gallery: &str, sequence, verdict| {
        let gallery = gallery.to_owned();
        feed.report_verdict(from(
            matcher(),
            wire::ReportVerdictRequest { idempotency_id: id(&world), gallery, sequence, verdict, shard: None },
        ))
    };
    use wire::report_verdict_request::Verdict;
    let clear = || Some(Verdict::Clear(wire::Clear {}));
    let suspected = |bytes, score| {
        Some(Verdict::SuspectedDuplicate(wire::SuspectedDuplicate { of_subject_id: vec![0; bytes], score }))
    };
    let invalid = (Code::InvalidArgument, "FIELD_INVALID".to_owned());
    assert_eq!(reason(report("members", 1, None).await), invalid);
    assert_eq!(reason(report("members", 1, suspected(15, 9.0)).await), invalid);
    assert_eq!(reason(report("members", 1, suspected(16, f32::NAN)).await), invalid);
    assert_eq!(reason(report("members", 7, clear()).await), (Code::NotFound, "NOT_AN_ENROLLMENT".to_owned()));
    assert_eq!(reason(report("staff", 1, clear()).await), (Code::NotFound, "GALLERY_UNKNOWN".to_owned()));
    let request = wire::AcknowledgeRequest { gallery: "members".to_owned(), sequence: 2 };
    let refused = feed.acknowledge(from(matcher(), request)).await;
    assert_eq!(reason(refused), (Code::OutOfRange, "SEQUENCE_AHEAD".to_owned()));
    let request =
        wire::FollowRequest { gallery: "Members!".to_owned(), from_sequence: 1, shard: None, keys_only: false };
    assert_eq!(reason(feed.follow(from(matcher(), request)).await.map(|_| ())), invalid);
    let nobody = peer("matcher", "m").to_string().replace("acme", "nobody").parse().expect("a peer");
    let request =
        wire::FollowRequest { gallery: members().to_string(), from_sequence: 1, shard: None, keys_only: false };
    let refused = feed.follow(from(nobody, request)).await.map(|_| ());
    assert_eq!(reason(refused), (Code::PermissionDenied, "TENANT_UNKNOWN".to_owned()));
}
