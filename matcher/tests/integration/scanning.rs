//! What was answered is told to the vault's audit log: once, in order, however the vault behaves.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::Code;
use volar_core::clock::Timestamp;
use volar_core::randomness::SeededRandomness;
use volar_core::ticket::Purpose;
use volar_matcher::decision::{Decision, Reason};
use volar_matcher::identify::Answer;
use volar_matcher::parameters::SCANS_WAITING_MAX;
use volar_matcher::scan_log::{Scan, ScanLog, ScanTeller};
use volar_proto::{SCANS_REPORTED_MAX, v1};
use volar_service::identity::Role;

use crate::vault::Vault;
use crate::world::{World, eventually, peer};

const NOW: u64 = 1_790_000_000_000;

fn log(vault: &Vault) -> (ScanLog, ScanTeller) {
    ScanLog::new(vault.channel(), Arc::new(SeededRandomness::new(5)))
}

fn scan(number: u64) -> Scan {
    let answer = Answer {
        decision: Decision::NoMatch,
        reason: Reason::BelowThreshold,
        ticket: None,
        challenge: None,
        decided_at: Timestamp::from_unix_milliseconds(NOW + number),
        retry_after: None,
    };
    Scan { peer: peer(Role::Gate), lane: "lane-1".parse().expect("a slug"), purpose: Purpose::Admission, answer }
}

/// Times of everything that was told, since [`NOW`].
fn told(vault: &Vault) -> Vec<u64> {
    let reports = &vault.books().scans;
    reports.iter().flat_map(|report| &report.scans).map(|scan| scan.decided_at_unix_ms - NOW).collect()
}

#[tokio::test]
async fn every_answer_is_told_once_with_whom_it_admitted() {
    let mut world = World::ready(71).await;
    let (anna, stranger) = (world.palms.template(), world.palms.template());
    let subject = world.admit(1, &anna).await;
    let request = world.request(&anna, "lane-1");
    for _ in 0..2 {
        // The second is a repeat: it is answered from memory, and nobody was searched for.
        assert_eq!(world.send(request.clone()).await.expect("an answer").decision.as_str(), "admitted");
    }
    assert_eq!(world.says(&stranger, "lane-2").await, ("no-match", "BELOW_THRESHOLD"));
    let count = || world.vault.books().scans.iter().map(|report| report.scans.len()).sum::<usize>();
    eventually("told", || count() == 2).await;
    let expected = |lane: &str, decision: v1::Decision, reason: &str, subject_id: &[u8]| v1::Scan {
        decided_at_unix_ms: world.now().unix_milliseconds(),
        site: "north".to_owned(),
        device: "one".to_owned(),
        lane: lane.to_owned(),
        purpose: v1::Purpose::Admission.into(),
        decision: decision.into(),
        reason: reason.to_owned(),
        subject_id: subject_id.to_vec(),
    };
    let books = world.vault.books();
    let scans: Vec<_> = books.scans.iter().flat_map(|report| report.scans.clone()).collect();
    let admitted = expected("lane-1", v1::Decision::Admitted, "MATCH", subject.as_bytes());
    let unknown = expected("lane-2", v1::Decision::NoMatch, "BELOW_THRESHOLD", &[]);
    assert!(scans == [admitted, unknown], "told what was answered");
    assert!(books.scans.iter().all(|report| report.lost == 0));
}

#[tokio::test]
async fn a_report_that_fails_goes_out_again_as_it_was() {
    let vault = Vault::start(Timestamp::from_unix_milliseconds(NOW)).await;
    vault.books().scans_refused.extend([Code::Unavailable, Code::Internal]);
    let (log, teller) = log(&vault);
    let telling = tokio::spawn(teller.run(CancellationToken::new()));
    log.note(scan(1));
    drop(log);
    telling.await.expect("told");
    let books = vault.books();
    assert_eq!(books.scans.len(), 3);
    assert!(books.scans.iter().all(|report| *report == books.scans[0]), "the same call each time");
}

#[tokio::test]
async fn what_a_vault_will_not_take_is_counted_and_its_number_told() {
    let vault = Vault::start(Timestamp::from_unix_milliseconds(NOW)).await;
    vault.books().scans_refused.push_back(Code::InvalidArgument);
    let (log, teller) = log(&vault);
    let telling = tokio::spawn(teller.run(CancellationToken::new()));
    log.note(scan(1));
    log.note(scan(2));
    eventually("refused", || vault.books().scans.len() == 1).await;
    log.note(scan(3));
    drop(log);
    telling.await.expect("told");
    let books = vault.books();
    assert_eq!(
        books.scans.iter().map(|report| (report.scans.len(), report.lost)).collect::<Vec<_>>(),
        [(2, 0), (1, 2)]
    );
}

#[tokio::test]
async fn the_last_answers_are_told_when_a_matcher_ends() {
    let mut vault = Vault::start(Timestamp::from_unix_milliseconds(NOW)).await;
    let (log, teller) = log(&vault);
    let count = SCANS_REPORTED_MAX as u64 + 44;
    (0..count).for_each(|number| log.note(scan(number)));
    drop(log);
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    teller.run(shutdown.clone()).await;
    assert_eq!(told(&vault), (0..count).collect::<Vec<_>>());

    // Nor does a vault that is away keep it from ending.
    let (log, teller) = self::log(&vault);
    vault.go_away().await;
    log.note(scan(0));
    drop(log);
    teller.run(shutdown).await;
}

#[tokio::test]
async fn answers_that_find_no_room_are_counted_and_the_others_go_out_in_order() {
    let vault = Vault::start(Timestamp::from_unix_milliseconds(NOW)).await;
    let (log, teller) = log(&vault);
    (0..SCANS_WAITING_MAX as u64 + 5).for_each(|number| log.note(scan(number)));
    drop(log);
    teller.run(CancellationToken::new()).await;
    assert_eq!(told(&vault), (0..SCANS_WAITING_MAX as u64).collect::<Vec<_>>());
    assert_eq!(vault.books().scans.iter().map(|report| report.lost).sum::<u64>(), 5);
}
