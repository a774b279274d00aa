//! The audit log: a leaf for everything that happens and for nothing else, proofs that hold, and receipts that a
//! program which knows nothing of the vault verifies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tonic::Request;
use volar_core::audit::{Action, Leaf, SignedHead, commitment, verify_consistency, verify_inclusion};
use volar_core::clock::{Clock, Timestamp};
use volar_core::id::SubjectId;
use volar_core::shard::Shard;
use volar_core::ticket::Purpose;
use volar_proto::v1 as wire;
use volar_proto::v1::admin_service_server::AdminService;
use volar_proto::v1::scan_service_server::ScanService;
use volar_vault::admin::ReviewDecision;
use volar_vault::erasure::Erase;
use volar_vault::scans::Scan;
use volar_vault::service::{Admin, Scans};
use volar_vault::vault::Vault;

use crate::world::{World, checkout, kiosk, matcher, members, operator, slug, suspicion};

fn leaves(vault: &Vault) -> Vec<Leaf> {
    let texts = vault.audit_leaves(&operator(), 0, 1_000).expect("readable");
    texts.iter().map(|text| Leaf::parse(text).expect("a leaf")).collect()
}

fn size(vault: &Vault) -> u64 {
    vault.audit_head(&operator(), 0).expect("signed").head.head().size
}

#[tokio::test]
async fn everything_that_happens_is_one_leaf() {
    let world = World::new();
    let vault = world.open();
    let begun = size(&vault);
    let subject = world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
    vault.give_protection(&kiosk(), &members()).expect("given");
    let (_, twin, sequence) = world.enroll(&vault);
    vault
        .report_verdict(&matcher(), &world.call(0), &members(), sequence, Shard::WHOLE, Some(suspicion(subject)))
        .expect("held");
    let same = ReviewDecision::SamePerson;
    vault.decide_review(&operator(), world.call(0), twin, same).await.expect("decided");
    vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");

    let leaves = leaves(&vault);
    let told: Vec<_> = leaves[begun as usize..]
        .iter()
        .map(|leaf| (leaf.action, leaf.actor.as_str(), leaf.detail.split(", ").last().unwrap_or_default()))
        .collect();
    let expected = [
        (Action::Enrollment, "kiosk/north/kiosk-1", "members"),
        (Action::Verdict, "matcher/north/matcher-1", "clear"),
        (Action::Payment, "kiosk/north/kiosk-1", "bound"),
        (Action::Claim, "checkout/north/checkout-1", "north/lane-1"),
        (Action::Key, "kiosk/north/kiosk-1", "was given out"),
        (Action::Enrollment, "kiosk/north/kiosk-1", "members"),
        (Action::Verdict, "matcher/north/matcher-1", "suspected duplicate"),
        (Action::Review, "operator/north/ops-1", "same person"),
        (Action::Erasure, "operator/north/ops-1", "found to be enrolled twice"),
        (Action::Erasure, "operator/north/ops-1", "on an operator's word"),
    ];
    assert_eq!(told, expected);
    for (index, leaf) in leaves.iter().enumerate() {
        assert_eq!(leaf.index, index as u64);
        let text = leaf.to_text();
        for id in [subject, twin] {
            assert!(!text.contains(&id.to_string()) && !text.contains(&hex::encode(id.as_bytes())), "{text}");
        }
    }
    let mut commitments: Vec<_> = leaves.iter().filter_map(|leaf| leaf.subject).collect();
    assert_eq!(commitments.len(), 9, "all but the keys' are about somebody");
    commitments.sort_unstable();
    commitments.dedup();
    assert_eq!(commitments.len(), 9, "no two leaves have anything in common");
}

#[test]
fn what_is_repeated_leaves_nothing() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let call = world.call(0);
    vault.claim(&checkout(), &call, &ticket).expect("claimed");
    let before = size(&vault);
    vault.claim(&checkout(), &call, &ticket).expect("the same answer");
    let mut request = world.request(true);
    request.consent = None;
    vault.enroll(&kiosk(), &world.call(0), &request).expect_err("no consent");
    assert_eq!(size(&vault), before);
}

#[test]
fn a_refused_claim_is_a_leaf_that_says_why() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    let claim = |ticket: &[u8]| vault.claim(&checkout(), &world.call(0), ticket);
    claim(&ticket).expect("claimed");
    let begun = size(&vault) as usize;
    claim(&ticket).expect_err("claimed already");
    claim(b"no ticket").expect_err("not a ticket");
    let mut forged = ticket.clone();
    *forged.last_mut().expect("not empty") ^= 1;
    claim(&forged).expect_err("forged");
    claim(&world.sealed(&vault, subject, Purpose::Withdrawal)).expect_err("made to leave with");
    claim(&world.sealed(&vault, SubjectId::from_bytes([9; 16]), Purpose::Admission)).expect_err("nobody's");
    world.clock.advance(Duration::from_secs(100_000));
    claim(&ticket).expect_err("expired");

    let leaves = leaves(&vault);
    let told: Vec<_> = leaves[begun..].iter().map(|leaf| (leaf.outcome.as_str(), leaf.detail.as_str())).collect();
    let why = [
        "claimed already",
        "not a ticket",
        "forged",
        "made for another purpose",
        "of nobody who is enrolled",
        "expired",
    ];
    assert_eq!(told, why.map(|why| ("refused", why)));
    for leaf in &leaves[begun..] {
        assert_eq!((leaf.action, leaf.actor.as_str()), (Action::Claim, "checkout/north/checkout-1"));
        assert_eq!(leaf.subject, None, "whose ticket it was is not told");
    }
}

#[test]
fn every_leaf_is_in_every_later_tree_across_restarts() {
    let world = World::new();
    let mut vault = world.open();
    let mut heads: Vec<SignedHead> = Vec::new();
    let key = vault.audit_head(&operator(), 0).expect("signed").key;
    for round in 0..24 {
        world.enroll(&vault);
        if round % 8 == 7 {
            drop(vault);
            vault = world.open();
        }
        let log = vault.audit_head(&operator(), 0).expect("signed");
        assert_eq!(log.key, key, "the key outlives a restart");
        let newest = SignedHead::open(log.head.text(), &key).expect("by the key").head().clone();
        for old in &heads {
            let old = old.head();
            let proof = vault.audit_head(&operator(), old.size).expect("proven").consistency;
            assert!(verify_consistency((old.size, &old.root), (newest.size, &newest.root), &proof));
        }
        heads.push(log.head);
    }
    let newest = heads.last().expect("some").head();
    assert!(newest.size >= 24);
    for size in [1, 2, 15, 16, 17, newest.size] {
        for index in 0..size {
            let proof = vault.audit_leaf(&operator(), index, size).expect("proven");
            let head = SignedHead::open(proof.head.text(), &key).expect("by the key").head().clone();
            assert!(
                verify_inclusion(proof.leaf.as_bytes(), index, size, &head.root, &proof.inclusion),
                "{index} of {size}"
            );
        }
    }
    assert!(vault.audit_leaf(&operator(), newest.size, 0).is_err());
    assert!(vault.audit_head(&operator(), newest.size + 1).is_err());
}

#[tokio::test]
async fn a_person_finds_their_own_leaves_and_nobody_does_after_the_erasure() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    world.member(&vault);
    let ticket = world.sealed(&vault, subject, Purpose::Admission);
    vault.claim(&checkout(), &world.call(0), &ticket).expect("claimed");
    let export = vault.export_subject(&operator(), &world.call(0), subject, false).expect("exported");
    let actions: Vec<_> = export.leaves.iter().map(|(text, _)| Leaf::parse(text).expect("a leaf").action).collect();
    let expected = [Action::Enrollment, Action::Verdict, Action::Payment, Action::Claim, Action::Export];
    assert_eq!(actions, expected);
    for (text, salt) in &export.leaves {
        assert_eq!(Leaf::parse(text).expect("a leaf").subject, Some(commitment(salt, subject)));
    }
    let receipt = vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");
    assert!(vault.export_subject(&operator(), &world.call(0), subject, false).is_err());
    let proof = receipt.proof.expect("proven");
    // What the receipt tells opens its own leaf and no other.
    let opened = leaves(&vault).into_iter().filter(|leaf| leaf.subject == Some(commitment(&proof.salt, subject)));
    assert_eq!(opened.map(|leaf| leaf.action).collect::<Vec<_>>(), [Action::Erasure]);
}

fn scan(admitted: Option<SubjectId>) -> Scan {
    Scan {
        decided_at: Timestamp::from_unix_milliseconds(1_789_999_999_000),
        site: slug("north"),
        device: slug("gate-1"),
        lane: slug("lane-1"),
        purpose: Purpose::Admission,
        decision: if admitted.is_some() { "admitted: match" } else { "no-match: below-threshold" }.to_owned(),
        admitted,
    }
}

#[tokio::test]
async fn every_scan_is_a_leaf_and_a_person_finds_those_that_admitted_them() {
    let world = World::new();
    let vault = world.open();
    let (subject, gone) = (world.member(&vault), world.member(&vault));
    vault.erase(&operator(), world.call(0), Erase::Subject(gone)).await.expect("erased");
    world.clock.advance(std::time::Duration::from_secs(3_600));
    let begun = size(&vault);
    let withdrawal = Scan { purpose: Purpose::Withdrawal, device: slug("kiosk-1"), ..scan(Some(subject)) };
    let scans = [scan(Some(subject)), scan(None), scan(Some(gone)), withdrawal];
    let call = world.call(0);
    for _ in 0..2 {
        vault.report_scans(&matcher(), &call, &scans, 7).expect("taken down");
    }
    let leaves = leaves(&vault).split_off(begun as usize);
    let said = |leaf: &Leaf| (leaf.actor.clone(), leaf.outcome.clone(), leaf.detail.clone());
    let told: Vec<_> = leaves.iter().map(said).collect();
    let at = "lane-1 at 1789999999000";
    let expected = [
        ("matcher/north/matcher-1", "lost", "7 scans were not told in time".to_owned()),
        ("gate/north/gate-1", "done", format!("{at}, admitted: match, by matcher-1")),
        ("gate/north/gate-1", "refused", format!("{at}, no-match: below-threshold, by matcher-1")),
        ("gate/north/gate-1", "done", format!("{at}, admitted: match, by matcher-1")),
        ("kiosk/north/kiosk-1", "done", format!("{at}, admitted: match, by matcher-1")),
    ];
    assert_eq!(told, expected.map(|(who, how, what)| (who.to_owned(), how.to_owned(), what)));
    assert!(leaves.iter().all(|leaf| leaf.action == Action::Scan), "a repeat appends nothing");
    assert_eq!(leaves.iter().map(|leaf| leaf.subject.is_some()).collect::<Vec<_>>(), [false, true, false, false, true]);

    let export = vault.export_subject(&operator(), &world.call(0), subject, false).expect("exported");
    let own = export.leaves.iter().filter(|(text, _)| Leaf::parse(text).expect("a leaf").action == Action::Scan);
    assert_eq!(own.count(), 2);
    assert_eq!(export.last_seen, world.clock.now(), "being admitted is taking part");
}

#[tokio::test]
async fn scans_that_are_none_are_refused_whole() {
    let world = World::new();
    let vault = world.open();
    let good = wire::Scan {
        decided_at_unix_ms: 1,
        site: "north".to_owned(),
        device: "gate-1".to_owned(),
        lane: "lane-1".to_owned(),
        purpose: wire::Purpose::Admission.into(),
        decision: wire::Decision::Admitted.into(),
        reason: "MATCH".to_owned(),
        subject_id: vec![7; 16],
    };
    let report = |scans: Vec<wire::Scan>| {
        let idempotency_id = volar_core::id::IdempotencyId::random(&*world.randomness).to_string();
        let mut request = Request::new(wire::ReportScansRequest { idempotency_id, scans, lost: 0 });
        request.extensions_mut().insert(matcher());
        let scans = Scans(vault.clone());
        async move { scans.report_scans(request).await.map(drop) }
    };
    let before = size(&vault);
    type Spoil = fn(&mut wire::Scan);
    let spoilt: [(&str, Spoil); 10] = [
        ("scans.site", |scan| scan.site = "North".to_owned()),
        ("scans.device", |scan| scan.device.clear()),
        ("scans.lane", |scan| scan.lane = "lane 1".to_owned()),
        ("scans.purpose", |scan| scan.purpose = 0),
        ("scans.decision", |scan| scan.decision = 99),
        ("scans.reason", |scan| scan.reason = "MATCH, detail anna".to_owned()),
        ("scans.reason", |scan| scan.reason = "M".repeat(41)),
        ("scans.reason", |scan| scan.reason.clear()),
        ("scans.subject_id", |scan| scan.subject_id.truncate(15)),
        ("scans.subject_id", |scan| scan.decision = wire::Decision::NoMatch.into()),
    ];
    for (field, spoil) in spoilt {
        let mut bad = good.clone();
        spoil(&mut bad);
        let refused = report(vec![good.clone(), bad]).await.expect_err(field);
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{field}");
        assert!(refused.message().contains(field), "{field}: {}", refused.message());
    }
    report(Vec::new()).await.expect_err("nothing to take down");
    report(vec![good.clone(); 257]).await.expect_err("too many");
    assert_eq!(size(&vault), before, "all or none");
    report(vec![good.clone(); 256]).await.expect("taken down");
    assert_eq!(size(&vault), before + 256);
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/verify-receipt").join(name)
}

fn python(world: &World, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(tool(program)).args(arguments).current_dir(world.folder.path());
    command.output().expect("python3 is installed")
}

fn as_file(receipt: &wire::ErasureReceipt) -> Value {
    let proof = receipt.proof.as_ref().expect("proven");
    json!({
        "format": "volar erasure receipt v1",
        "receipt_id": receipt.receipt_id,
        "erased_at_unix_ms": receipt.erased_at_unix_ms,
        "subject_id": proof.subject_id,
        "salt": hex::encode(&proof.salt),
        "leaf": proof.leaf,
        "leaf_index": proof.leaf_index,
        "inclusion": proof.inclusion.iter().map(hex::encode).collect::<Vec<_>>(),
        "head": proof.head,
        "public_key": proof.public_key,
    })
}

async fn erased(world: &World, vault: &std::sync::Arc<Vault>, subject: SubjectId) -> wire::ErasureReceipt {
    let id = volar_core::id::IdempotencyId::random(&*world.randomness);
    let request = wire::EraseSubjectRequest { idempotency_id: id.to_string(), subject_id: subject.to_string() };
    let mut request = Request::new(request);
    request.extensions_mut().insert(operator());
    let answer = Admin(vault.clone()).erase_subject(request).await.expect("erased");
    answer.into_inner().receipt.expect("a receipt")
}

#[tokio::test]
async fn a_receipt_is_verified_by_a_program_that_shares_no_code_with_the_vault() {
    let world = World::new();
    let vault = world.open();
    let subject = world.member(&vault);
    world.member(&vault);
    let receipt = erased(&world, &vault, subject).await;
    let again = erased(&world, &vault, subject).await;
    assert_eq!(again, receipt, "the same receipt whenever it is asked for");
    let key = vault.audit_head(&operator(), 0).expect("signed").key.to_string();
    let path = world.path("receipt.json");
    let write = |value: &Value| std::fs::write(&path, value.to_string()).expect("writable");
    write(&as_file(&receipt));
    std::fs::write(world.path("kept.head"), &receipt.proof.as_ref().expect("proven").head).expect("writable");
    let verify = |arguments: &[&str]| {
        let output = python(&world, "verify_receipt.py", &[&["receipt.json"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = verify(&["--key", &key, "--head", "kept.head"]);
    assert_eq!((code, said.starts_with("PROVEN")), (Some(0), true), "{said}");

    // Another vault's key, and a head that another vault signed.
    let elsewhere =
        World { randomness: std::sync::Arc::new(volar_core::randomness::SeededRandomness::new(2)), ..World::new() };
    let other = elsewhere.open().audit_head(&operator(), 0).expect("signed");
    let (code, said) = verify(&["--key", &other.key.to_string()]);
    assert_eq!((code, said.contains("another key")), (Some(1), true), "{said}");
    let mut foreign = as_file(&receipt);
    foreign["head"] = other.head.text().into();
    write(&foreign);
    let (code, said) = verify(&["--key", &key]);
    assert_eq!((code, said.contains("not signed by this key")), (Some(1), true), "{said}");

    // A later head of the same log proves it only with a proof of its own.
    world.member(&vault);
    let later = vault.audit_leaf(&operator(), receipt.proof.as_ref().expect("proven").leaf_index, 0).expect("proven");
    let mut moved = as_file(&receipt);
    moved["head"] = later.head.text().into();
    write(&moved);
    assert_eq!(verify(&["--key", &key]).0, Some(1));
    moved["inclusion"] = later.inclusion.iter().map(hex::encode).collect::<Vec<_>>().into();
    write(&moved);
    assert_eq!(verify(&["--key", &key]).0, Some(0));

    write(&as_file(&receipt));
    let output = python(&world, "every_alteration.py", &["receipt.json", &key]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("alterations refused"), "{said}");
}

#[test]
fn heads_are_written_where_outsiders_can_take_them_from() {
    let world = World::new();
    let vault = world.open();
    let folder = world.path("heads");
    assert_eq!(vault.publish_heads(&folder).expect("written"), 2, "one a tenant");
    assert_eq!(vault.publish_heads(&folder).expect("written"), 0, "nothing has happened since");
    world.enroll(&vault);
    assert_eq!(vault.publish_heads(&folder).expect("written"), 1);
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("acme")).expect("there").flatten().map(|file| file.path()).collect();
    files.sort();
    let log = vault.audit_head(&operator(), 0).expect("signed");
    let sizes: Vec<u64> = files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("readable");
            SignedHead::open(&text, &log.key).expect("by the key").head().size
        })
        .collect();
    assert_eq!(sizes, [2, 3]);
}
