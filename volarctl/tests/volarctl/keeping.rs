//! Audit log, retention and access exports, by the real binary.

use serde_json::{Value, json};

use crate::support::{Installation, SUBJECT, log};

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_log_is_checked_offline_against_heads_that_were_kept() {
    let installation = Installation::start().await;
    let (file, kept) = (installation.file("log.jsonl"), installation.file("kept.head"));
    let key = installation.run(&["audit", "public-key"]).await.json(0)["public_key"].clone();
    let key = key.as_str().expect("a key");
    let exported = installation.run(&["audit", "export", "--out", &file]).await.json(0);
    assert_eq!(exported["leaves"], 11);
    std::fs::write(&kept, log::head(6)).expect("written");
    let verify = ["audit", "verify", &file, "--log-key", key, "--pinned", &kept];
    let verified = installation.run(&verify).await.json(0);
    assert_eq!((&verified["leaves"], &verified["key_was_given"]), (&json!(11), &json!(true)));
    let head = installation.run(&["audit", "head", "--pinned", &kept]).await.json(0);
    assert_eq!((&head["size"], &head["pinned_heads"]), (&json!(11), &json!(1)));
    let listed = installation.run(&["audit", "list", "--from", "9"]).await.json(0);
    assert_eq!(listed["leaves"].as_array().map(Vec::len), Some(2));

    let text = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, text.replacen("kiosk-1", "kiosk-2", 1)).expect("written");
    assert_eq!(installation.run(&verify).await.error(65), "AUDIT_LOG_BROKEN");
    assert_eq!(installation.run(&["audit", "verify", "nowhere"]).await.error(69), "FILE");
    assert_eq!(installation.run(&["audit", "head", "--log-key", "acme"]).await.error(65), "AUDIT_LOG_BROKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_listed_and_its_schedule_printed() {
    let installation = Installation::start().await;
    let run = installation.run(&["retention", "run", "--dry-run"]).await.json(0);
    assert_eq!((&run["dry_run"], &run["removals"][0]["subject_id"]), (&Value::from(true), &SUBJECT.into()));
    let schedule = installation.run(&["retention", "schedule"]).await.json(0);
    assert_eq!(schedule["schedules"][0]["jurisdiction"], "US-IL");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_about_a_person_is_written_for_them() {
    let installation = Installation::start().await;
    let out = installation.file("anna");
    let written = installation.run(&["subject", "export", SUBJECT, "--out", &out]).await.json(0);
    let page = std::fs::read_to_string(written["page"].as_str().expect("a path")).expect("there");
    assert!(page.contains(SUBJECT) && page.contains("Test account anna"), "{page}");
    let data = std::fs::read_to_string(written["data"].as_str().expect("a path")).expect("there");
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["subject"]["subject_id"], SUBJECT);
    let receipt = installation.file("receipt.json");
    installation.run(&["subject", "erase", SUBJECT, "--yes", "--receipt", &receipt]).await.json(0);
    let receipt: Value = serde_json::from_str(&std::fs::read_to_string(receipt).expect("there")).expect("JSON");
    assert_eq!(receipt["format"], "volar erasure receipt v1");
}
