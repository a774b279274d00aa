//! What real encoders write, as seeds. The example "seeds" writes them to a folder for libFuzzer.

use prost::Message;
use volar_core::audit::{Action, Edge, Leaf, TreeHead, leaf_hash};
use volar_core::challenge::{Candidate, Challenge};
use volar_core::clock::Timestamp;
use volar_core::id::{SubjectId, TicketId};
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::template::{CODE_BYTES, EMBEDDING_DIMENSIONS};
use volar_core::ticket::{Purpose, Ticket};
use volar_palm::frame::Frame;
use volar_proto::v1;

use crate::log::signer;

/// A seed: its file's name, and what is in it.
pub type Seed = (String, Vec<u8>);

/// The seeds of the target `name`.
pub fn of(name: &str) -> Vec<Seed> {
    match name {
        "record" => {
            let records = volar_vault::fuzzing::plain_records().into_iter();
            records.map(|(name, which, plain)| chosen(&name.to_lowercase(), which, &plain)).collect()
        }
        "key-file" => key_files(),
        "ticket" => vec![plain("ticket", &ticket()), plain("challenge", &challenge())],
        "to-vault" => to_vault(),
        "to-matcher" => to_matcher(),
        "to-device" => to_device(),
        "certificate" => certificates(),
        "settings" => settings(),
        "rules" => vec![("shipped".to_owned(), volar_vault::retention::RULES.into())],
        "score-model" => vec![("shipped".to_owned(), score_model().into())],
        "manifest" => vec![("rows".to_owned(), MANIFEST.into())],
        "picture" => pictures(),
        "audit" => audit(),
        "page" => pages(),
        other => unreachable!("{other} is no target"),
    }
}

const MANIFEST: &str = "path,subject,position,session,kind,spectrum,group,species\n\
                        /dev/null,p1,left,1,roi,850nm,\"a, b\",\n/dev/zero,p2,right,2,frame,,,print\ngone.png,p3,unknown,,roi,,,\n";

/// A thing of which there are several, with the byte that says which.
fn chosen(name: &str, which: usize, bytes: &[u8]) -> Seed {
    let which = u8::try_from(which).expect("few things");
    (name.to_owned(), [&[which], bytes].concat())
}

fn message(name: &str, which: usize, message: &impl Message) -> Seed {
    chosen(name, which, &message.encode_to_vec())
}

fn text(text: &str) -> String {
    text.to_owned()
}

const ID: &str = "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d";
const AT: u64 = 1_790_000_000_000;

fn ticket() -> Ticket {
    Ticket {
        id: TicketId::from_bytes([3; 16]),
        purpose: Purpose::Admission,
        tenant: "acme".parse().expect("a slug"),
        gallery: "members".parse().expect("a slug"),
        subject: SubjectId::from_bytes([7; 16]),
        site: "north".parse().expect("a slug"),
        device: "gate-1".parse().expect("a slug"),
        lane: "lane-1".parse().expect("a slug"),
        decided_at: Timestamp::from_unix_milliseconds(1_000),
        expires_at: Timestamp::from_unix_milliseconds(2_000),
    }
}

fn challenge() -> Challenge {
    let candidate = |byte, gallery: &str| Candidate {
        subject: SubjectId::from_bytes([byte; 16]),
        gallery: gallery.parse().expect("a slug"),
    };
    Challenge {
        id: TicketId::from_bytes([3; 16]),
        tenant: "acme".parse().expect("a slug"),
        best: candidate(7, "members"),
        second: Some(candidate(8, "staff")),
        site: "north".parse().expect("a slug"),
        device: "gate-1".parse().expect("a slug"),
        lane: "lane-1".parse().expect("a slug"),
        expires_at: Timestamp::from_unix_milliseconds(2_000),
    }
}

fn plain<T: serde::Serialize>(name: &str, value: &T) -> Seed {
    (name.to_owned(), postcard::to_stdvec(value).expect("plain data always encodes"))
}

fn key_files() -> Vec<Seed> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = |(which, path): (usize, &std::path::PathBuf)| {
        let mut bytes = std::fs::read(path).expect("just written");
        // A key table grows by many free slots at once; one is enough.
        bytes.truncate(4096 + 512);
        chosen(&path.file_name().expect("a file").to_string_lossy(), which, &bytes)
    };
    volar_vault::fuzzing::key_files(folder.path()).iter().enumerate().map(read).collect()
}

/// A unit vector that is short when written, and a code of one orientation.
fn reference() -> v1::Reference {
    v1::Reference { embedding: embedding(), orientation_code: vec![0; CODE_BYTES], quality: 80 }
}

fn embedding() -> Vec<f32> {
    vec![1.0 / (EMBEDDING_DIMENSIONS as f32).sqrt(); EMBEDDING_DIMENSIONS]
}

fn probe() -> v1::Probe {
    v1::Probe { embedding: embedding(), orientation_codes: vec![vec![0; CODE_BYTES]; 2], quality: 70 }
}

fn gallery_probe(gallery: &str) -> v1::GalleryProbe {
    v1::GalleryProbe { gallery: text(gallery), generation: 1, model: text("palm-lines-3"), probe: Some(probe()) }
}

fn palm() -> v1::EnrolledPalm {
    v1::EnrolledPalm { position: v1::PalmPosition::Left.into(), references: vec![reference()], probe: Some(probe()) }
}

fn membership(gallery: &str) -> v1::Membership {
    v1::Membership { gallery: text(gallery), generation: 1, model: text("palm-lines-3"), palms: vec![palm()] }
}

fn consent() -> v1::Consent {
    v1::Consent {
        policy_version: text("2026-11"),
        language: text("de"),
        text_sha256: vec![3; 32],
        given_at_unix_ms: AT,
        method: text("touch-screen"),
    }
}

fn payment() -> v1::PaymentReference {
    v1::PaymentReference {
        provider: text("test"),
        customer: text("cus_1"),
        payment_method: text("pm_1 4242"),
        label: text("Anna Ä"),
    }
}

fn scan(admitted: bool) -> v1::Scan {
    let (decision, reason) = match admitted {
        true => (v1::Decision::Admitted, "MATCH"),
        false => (v1::Decision::NoMatch, "BELOW_THRESHOLD"),
    };
    v1::Scan {
        decided_at_unix_ms: AT,
        site: text("north"),
        device: text("gate-1"),
        lane: text("lane-1"),
        purpose: v1::Purpose::Admission.into(),
        decision: decision.into(),
        reason: text(reason),
        subject_id: if admitted { vec![7; 16] } else { Vec::new() },
    }
}

fn to_vault() -> Vec<Seed> {
    let suspected = v1::SuspectedDuplicate { of_subject_id: vec![7; 16], score: 4.5 };
    vec![
        message(
            "enroll",
            0,
            &v1::EnrollRequest {
                idempotency_id: text(ID),
                consent: Some(consent()),
                payment_follows: true,
                memberships: vec![membership("members"), membership("staff")],
            },
        ),
        message(
            "bind-payment",
            1,
            &v1::BindPaymentRequest { idempotency_id: text(ID), enrollment_id: text(ID), payment: Some(payment()) },
        ),
        message(
            "verdict",
            2,
            &v1::ReportVerdictRequest {
                idempotency_id: text(ID),
                gallery: text("members"),
                sequence: 8,
                shard: Some(v1::Shard { index: 1, count: 3 }),
                verdict: Some(v1::report_verdict_request::Verdict::SuspectedDuplicate(suspected)),
            },
        ),
        message(
            "follow",
            3,
            &v1::FollowRequest {
                gallery: text("members"),
                from_sequence: 1,
                shard: Some(v1::Shard { index: 0, count: 2 }),
                keys_only: false,
            },
        ),
        message(
            "review",
            4,
            &v1::DecideReviewRequest {
                subject_id: text(ID),
                decision: v1::decide_review_request::Decision::SamePerson.into(),
                ..Default::default()
            },
        ),
        message(
            "list",
            5,
            &v1::ListSubjectsRequest {
                gallery: text("members"),
                state: v1::EnrollmentState::Pending.into(),
                page_token: text("00ff"),
                ..Default::default()
            },
        ),
        message("withdraw", 6, &v1::WithdrawRequest { idempotency_id: text(ID), ticket: vec![1; 60] }),
        message(
            "set-second-factor",
            7,
            &v1::SetSecondFactorRequest {
                idempotency_id: text(ID),
                enrollment_id: text(ID),
                second_factor: Some(v1::SecondFactor {
                    kind: v1::SecondFactorKind::Code.into(),
                    digits: text("80745129"),
                }),
            },
        ),
        message(
            "check-second-factor",
            8,
            &v1::CheckSecondFactorRequest {
                idempotency_id: text(ID),
                challenge: vec![1; 120],
                digits: text("80745129"),
            },
        ),
        message(
            "scans",
            9,
            &v1::ReportScansRequest { idempotency_id: text(ID), scans: vec![scan(true), scan(false)], lost: 3 },
        ),
        message("export", 10, &v1::ExportSubjectRequest { subject_id: text(ID), ..Default::default() }),
        message("re-protect", 11, &v1::ReprotectGalleryRequest { gallery: text("members"), from_generation: 1 }),
    ]
}

fn to_matcher() -> Vec<Seed> {
    use v1::feed_event::Change;
    use v1::follow_response::Item;
    let event = |change| v1::FeedEvent { sequence: 8, subject_id: vec![7; 16], change: Some(change) };
    let item = |item| v1::FollowResponse { item: Some(item) };
    let enrolled = v1::SubjectEnrolled { palms: vec![palm()], verdict_wanted: true, elsewhere: false };
    let key = v1::TicketKey { epoch: 7, key: vec![1; 32], ticket_lifetime_ms: 900_000 };
    let start = v1::FeedStart {
        feed_id: text(ID),
        generation: 1,
        model: text("palm-lines-3"),
        last_sequence: 9,
        sites: vec![text("north")],
    };
    vec![
        message(
            "identify",
            0,
            &v1::IdentifyRequest {
                idempotency_id: text(ID),
                lane: text("lane-1"),
                purpose: v1::Purpose::Admission.into(),
                probes: vec![gallery_probe("members"), gallery_probe("staff")],
            },
        ),
        message("search", 1, &v1::SearchRequest { probe: Some(gallery_probe("members")) }),
        message("feed-enrolled", 2, &item(Item::Event(event(Change::Enrolled(enrolled))))),
        message("feed-erased", 2, &item(Item::Event(event(Change::Erased(v1::SubjectErased {}))))),
        message("feed-key", 2, &item(Item::TicketKey(key))),
        message("feed-start", 2, &item(Item::Start(start))),
        message("feed-caught-up", 2, &item(Item::CaughtUp(v1::CaughtUp { last_sequence: 9 }))),
        message(
            "searched",
            3,
            &v1::SearchResponse {
                shard: Some(v1::Shard { index: 0, count: 1 }),
                feed_id: text(ID),
                references: 10,
                candidates: vec![v1::Candidate { subject_id: vec![7; 16], score: 3.5 }],
            },
        ),
        message(
            "second-factor",
            4,
            &v1::VerifySecondFactorRequest { idempotency_id: text(ID), challenge: vec![1; 120], digits: text("8074") },
        ),
        chosen("gallery", 5, b"members"),
    ]
}

/// The byte counts servers by three and their answers above that.
fn to_device() -> Vec<Seed> {
    let (gate, kiosk, operator) =
        (|which: usize| 3 * which, |which: usize| 3 * which + 1, |which: usize| 3 * which + 2);
    let protection = v1::GetProtectionResponse { key: vec![7; 32], generation: 1, model: text("palm-lines-3") };
    let identified = v1::IdentifyResponse {
        decision: v1::Decision::Admitted.into(),
        reason: text("MATCH"),
        ticket: vec![1; 60],
        ticket_id: text(ID),
        decided_at_unix_ms: AT,
        retry_after_ms: 1_500,
        challenge: vec![1; 120],
        challenge_time_ms: 60_000,
    };
    let receipt = v1::ErasureReceipt {
        receipt_id: text(ID),
        erased_at_unix_ms: AT,
        matchers_confirmed: vec![text("matcher-1")],
        matchers_pending: vec![text("matcher-2")],
        proof: Some(v1::ErasureProof {
            subject_id: text(ID),
            salt: vec![1; 32],
            leaf: leaf(0),
            leaf_index: 0,
            inclusion: vec![vec![2; 32]],
            head: head(1),
            public_key: signer().public().to_string(),
        }),
    };
    let subject = v1::Subject {
        subject_id: text(ID),
        galleries: vec![text("members"), text("staff")],
        state: v1::EnrollmentState::InReview.into(),
        positions: vec![v1::PalmPosition::Left.into()],
        enrolled_at_unix_ms: AT,
        suspected_duplicate_of: text(ID),
        suspected_score: Some(14.25),
        ..Default::default()
    };
    let state = v1::EnrollmentState::Active.into();
    vec![
        message("gate-identified", gate(0), &identified),
        message("gate-protection", gate(1), &protection),
        message("kiosk-protection", kiosk(0), &protection),
        message("kiosk-enrolled", kiosk(1), &v1::EnrollResponse { enrollment_id: text(ID), state }),
        message("kiosk-standing", kiosk(2), &v1::GetEnrollmentResponse { state, payment_bound: true }),
        message("kiosk-identified", kiosk(3), &identified),
        message("kiosk-receipt", kiosk(4), &v1::WithdrawResponse { receipt: Some(receipt.clone()) }),
        message(
            "operator-export",
            operator(0),
            &v1::ExportSubjectResponse {
                subject: Some(subject.clone()),
                site: text("north"),
                consent: Some(consent()),
                payment_provider: text("test"),
                payment_label: text("<script>Anna"),
                last_seen_unix_ms: AT,
                memberships: vec![v1::ExportedMembership {
                    gallery: text("members"),
                    generation: 1,
                    model: text("palm-lines-3"),
                    palms: vec![v1::ExportedPalm {
                        position: v1::PalmPosition::Left.into(),
                        qualities: vec![80],
                        references: vec![reference()],
                        ..Default::default()
                    }],
                }],
                leaves: vec![v1::ExportedLeaf { leaf: leaf(0), salt: vec![1; 32] }],
                second_factor: v1::SecondFactorKind::Code.into(),
            },
        ),
        message("operator-receipt", operator(1), &receipt),
        message(
            "operator-list",
            operator(2),
            &v1::ListSubjectsResponse { subjects: vec![subject], next_page_token: text("00ff") },
        ),
        message(
            "operator-gallery",
            operator(3),
            &v1::GalleryStatus {
                gallery: text("members"),
                followers: vec![v1::FollowerStatus { device: text("matcher-1"), acknowledged_sequence: 4 }],
                ..Default::default()
            },
        ),
        message("operator-claim", operator(4), &v1::ClaimResponse { payment: Some(payment()), ..Default::default() }),
    ]
}

/// The DER is of one ECDSA certificate that was made once: signing draws chance of its own.
fn certificates() -> Vec<Seed> {
    let peer = "spiffe://volar/acme/north/kiosk/kiosk-1";
    vec![("name".to_owned(), peer.into()), ("kiosk".to_owned(), include_bytes!("kiosk.der").to_vec())]
}

fn settings() -> Vec<Seed> {
    let files = [
        ("vault", volar_vault::config::DEFAULTS),
        ("matcher", volar_matcher::config::DEFAULTS),
        ("gate", volar_gate::config::DEFAULTS),
        ("kiosk", volar_kiosk::config::DEFAULT),
    ];
    files.iter().enumerate().map(|(which, (name, text))| chosen(name, which, text.as_bytes())).collect()
}

fn score_model() -> String {
    let model = volar_core::score::ScoreModel::for_model(&"palm-lines-3".parse().expect("a slug"));
    model.expect("shipped").to_toml()
}

fn pictures() -> Vec<Seed> {
    let pixels = (0..160 * 120).map(|at| (at % 160) as u8).collect();
    let frame = Frame::new(160, 120, pixels, Timestamp::from_unix_milliseconds(0), 0).expect("of a fair size");
    let jpeg = frame.to_jpeg(160).expect("encodes");
    // A bitmap's header: sizes, place of the pixels, one plane of 24 bits.
    let mut bitmap = b"BM".to_vec();
    bitmap.extend([0, 0, 54, 40, 160, 120].iter().flat_map(|number: &u32| number.to_le_bytes()));
    bitmap.extend([1, 0, 24, 0]);
    bitmap.resize(54 + 160 * 120 * 3, 0x55);
    vec![("jpeg".to_owned(), jpeg), ("bitmap".to_owned(), bitmap)]
}

fn leaf(index: u64) -> String {
    let leaf = Leaf {
        tenant: "acme".parse().expect("a slug"),
        index,
        at: Timestamp::from_unix_milliseconds(AT + index),
        actor: text("operator/north/ops-1"),
        action: Action::Erasure,
        subject: Some([0xab; 32]),
        outcome: text("done"),
        detail: text("members"),
    };
    leaf.to_text()
}

fn head(leaves: u64) -> String {
    let mut edge = Edge::default();
    (0..leaves).for_each(|index| drop(edge.push(leaf_hash(leaf(index).as_bytes()))));
    let (size, root) = (edge.size, edge.root());
    let head =
        TreeHead { tenant: "acme".parse().expect("a slug"), size, root, at: Timestamp::from_unix_milliseconds(AT) };
    signer().sign(head).text().to_owned()
}

fn audit() -> Vec<Seed> {
    let escaped = |text: &str| text.replace('\n', "\\n");
    let mut export = format!("{{\"format\":\"volar audit export v1\",\"public_key\":\"{}\"}}\n", signer().public());
    (0..5).for_each(|index| export.push_str(&format!("{{\"leaf\":\"{}\"}}\n", escaped(&leaf(index)))));
    export.push_str(&format!("{{\"head\":\"{}\"}}\n", escaped(&head(5))));
    let mut proof = [1_u64, 3, AT, 0].map(u64::to_be_bytes).concat();
    let randomness: &dyn Randomness = &SeededRandomness::new(2);
    (0..4).for_each(|_| proof.extend(randomness.bytes::<32>()));
    vec![
        chosen("export", 0, export.as_bytes()),
        chosen("leaf", 1, leaf(17).as_bytes()),
        chosen("public-key", 2, signer().public().to_string().as_bytes()),
        chosen("head", 3, head(5).as_bytes()),
        chosen("proof", 4, &proof),
    ]
}

fn pages() -> Vec<Seed> {
    let request = |name: &str, line: &str, body: &str| {
        let length = body.len();
        let text = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:7410\r\nContent-Length: {length}\r\n\r\n{body}");
        (name.to_owned(), text.into_bytes())
    };
    let mut visit = request("visit", "POST /api/session", "{\"language\":\"en\"}");
    for (line, body) in [
        ("POST /api/session/consent", "{\"accepted\":true}"),
        ("POST /api/session/hands", "{\"hands\":[\"left\",\"right\"]}"),
        ("POST /api/session/payment", "{\"account\":\"anna\"}"),
        ("POST /api/touch", ""),
        ("GET /api/state", ""),
        ("DELETE /api/session", ""),
    ] {
        visit.1.extend(request("", line, body).1);
    }
    let upgrade = "GET /api/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frame = [0x81, 0x85, 1, 2, 3, 4, b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1];
    let chunked = "POST /api/language HTTP/1.1\r\nHost: [::1]:1\r\nOrigin: http://[::1]:1\r\n\
                   Transfer-Encoding: chunked\r\n\r\n11\r\n{\"language\":\"de\"}\r\n0\r\n\r\n";
    vec![
        visit,
        request("page", "GET /", ""),
        request("notice", "GET /api/notice?language=de", ""),
        request("removal", "POST /api/removal", "{}"),
        request("decline", "POST /api/session/decline", ""),
        ("live".to_owned(), [upgrade.as_bytes(), &frame].concat()),
        ("chunked".to_owned(), chunked.into()),
        ("stranger".to_owned(), b"GET /api/state HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec()),
    ]
}
