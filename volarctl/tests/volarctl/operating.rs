//! Subjects, reviews, claims and status, by the real binary against fake servers over mutual TLS.

use crate::support::{self, Installation, SUBJECT, TICKET};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_through_every_page_of_every_gallery() {
    let installation = Installation::start().await;
    let listed = installation.run(&["subject", "list"]).await.json(0);
    let subjects = listed["subjects"].as_array().expect("a list");
    assert_eq!(subjects.len(), 5, "two pages of one gallery and one of another");
    assert_eq!(subjects[0]["subject_id"], SUBJECT);
    assert_eq!(subjects[0]["state"], "active");
    assert_eq!(subjects[0]["positions"], serde_json::json!(["left", "right"]));
    assert!(subjects[0]["suspected_duplicate_of"].is_null());
    assert_eq!(listed["more"], false);

    let limited = installation.run(&["subject", "list", "--gallery", "members", "--limit", "2"]).await.json(0);
    assert_eq!((limited["subjects"].as_array().map(Vec::len), &limited["more"]), (Some(2), &Value::from(true)));

    let reviews = installation.run(&["review", "list"]).await.json(0);
    let reviews = reviews["subjects"].as_array().expect("a list");
    assert_eq!(reviews.len(), 1);
    assert_eq!((&reviews[0]["state"], &reviews[0]["suspected_duplicate_of"]), (&"in-review".into(), &SUBJECT.into()));
    assert_eq!(reviews[0]["suspected_score"], 14.25);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subject_is_shown_and_an_unknown_one_is_refused() {
    let installation = Installation::start().await;
    assert_eq!(installation.run(&["subject", "show", SUBJECT]).await.json(0)["subject_id"], SUBJECT);
    let unknown = "00000000-0000-4000-8000-0000000000ff";
    assert_eq!(installation.run(&["subject", "show", unknown]).await.error(65), "SUBJECT_UNKNOWN");
    assert_eq!(installation.run(&["subject", "show", "anna"]).await.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_gives_a_receipt_and_is_repeated_under_its_id() {
    let installation = Installation::start().await;
    let first = installation.run(&["subject", "erase", SUBJECT, "--yes"]).await;
    assert!(first.errors().contains("--idempotency-id"), "the id is told before the answer");
    let first = first.json(0);
    assert_eq!(first["receipt"]["matchers_confirmed"], serde_json::json!(["matcher-1"]));
    let id = first["idempotency_id"].as_str().expect("an id");
    let again = installation.run(&["subject", "erase", SUBJECT, "--idempotency-id", id]).await.json(0);
    assert_eq!(again, first);
    // Another request has another id, so the vault sees that the subject is gone.
    assert_eq!(installation.run(&["subject", "erase", SUBJECT]).await.error(65), "SUBJECT_ERASED");
    let erased = installation.vault.calls("erase");
    assert_eq!((&erased[0], &erased[1]), (&id.to_owned(), &id.to_owned()));
    assert_ne!(erased[2], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_decided_one_way_or_the_other() {
    let installation = Installation::start().await;
    let decided = |option: &'static str| installation.run_owned(vec!["review", "decide", SUBJECT, option]);
    assert_eq!(decided("--same-person").await.json(0)["state"], "erased");
    assert_eq!(decided("--different-person").await.json(0)["state"], "active");
    assert_eq!(installation.run(&["review", "decide", SUBJECT]).await.code(), Some(64));
    let both = ["review", "decide", SUBJECT, "--same-person", "--different-person"];
    assert_eq!(installation.run(&both).await.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_tells_whom_to_charge_once() {
    let installation = Installation::start().await;
    let claimed = installation.run(&["claim", TICKET]).await.json(0);
    assert_eq!(claimed["payment"]["customer"], "cus_test_anna");
    assert_eq!(claimed["lane"], "lane-1");
    let id = claimed["idempotency_id"].as_str().expect("an id").to_owned();
    let again = installation.run(&["claim", TICKET, "--idempotency-id", &id]).await.json(0);
    assert_eq!(again, claimed);
    let second = installation.run(&["claim", TICKET]).await;
    assert!(second.errors().contains("--idempotency-id"), "says what gets the answer again");
    assert_eq!(second.error(65), "TICKET_ALREADY_CLAIMED");
    assert_eq!(installation.run(&["claim", "not base64!"]).await.error(64), "NO_TICKET");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_can_come_on_standard_input() {
    let installation = Installation::start().await;
    let claimed = installation.run_with_input(&["claim", "-"], TICKET).await.json(0);
    assert_eq!(claimed["payment"]["customer"], "cus_test_anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_tokens_are_printed_by_claims_only() {
    let installation = Installation::start().await;
    for arguments in [vec!["subject", "list"], vec!["subject", "show", SUBJECT], vec!["status"]] {
        let said = installation.run(&arguments).await;
        assert!(!said.everything().contains("cus_test_anna"), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_certificate_is_refused_with_what_to_do() {
    let installation = Installation::start().await;
    // The operator's certificate for a claim, in place of the checkout's.
    let (certificate, key) = (installation.file("operator-1.pem"), installation.file("operator-1.key"));
    let claim = ["claim", TICKET, "--certificate", &certificate, "--key", &key];
    let said = installation.run(&claim).await;
    assert!(said.errors().contains("[checkout]"), "{}", said.errors());
    assert_eq!(said.error(65), "ROLE_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_both_servers_even_when_one_is_gone() {
    let installation = Installation::start().await;
    let status = installation.run(&["status"]).await.json(0);
    assert_eq!(status["well"], true);
    assert_eq!(status["vault"]["health"], "serving");
    assert_eq!(status["vault"]["galleries"][0]["gallery"], "members");
    assert_eq!(status["vault"]["galleries"][0]["last_sequence"], 12);
    assert_eq!(status["matcher"]["health"], "serving");

    let gone = ["status", "--matcher", "https://127.0.0.1:1"];
    let status = installation.run(&gone).await.json(69);
    assert_eq!((&status["vault"]["health"], &status["matcher"]["health"]), (&"serving".into(), &"unreachable".into()));
    assert_eq!(status["matcher"]["error"]["reason"], "NOT_REACHED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_says_why_and_with_which_code() {
    let installation = Installation::start().await;
    let erase = ["subject", "erase", SUBJECT, "--vault", "https://127.0.0.1:1"];
    let said = installation.run(&erase).await;
    assert!(said.errors().contains("may have had its effect"), "{}", said.errors());
    assert_eq!(said.error(69), "NOT_REACHED");
    assert_eq!(
        installation.run(&["subject", "list", "--vault", "localhost"]).await.error(64),
        "OWN_CERTIFICATE_UNUSABLE"
    );
    assert_eq!(support::volarctl(&["--json", "subject", "list"]).await.error(64), "OPTION_MISSING");
    assert_eq!(installation.run(&["subject", "list", "--gallery", "nowhere"]).await.error(65), "GALLERY_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_tables() {
    let installation = Installation::start().await;
    let listed = installation.run_for_people(&["subject", "list"]).await.everything();
    assert!(listed.contains(SUBJECT) && listed.contains("left, right") && listed.contains("5 subjects"), "{listed}");
    let status = installation.run_for_people(&["status"]).await.everything();
    assert!(status.contains("matcher-1 (2 behind)"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_and_a_rotation_is_watched_to_its_end() {
    let installation = Installation::start().await;
    let shown = installation.run(&["keys", "status"]).await.json(0);
    assert_eq!((&shown["holder"], &shown["versions"][0]["state"]), (&"key file".into(), &"current".into()));
    assert_eq!(shown["versions"][0]["records"], 7);
    let rotated = installation.run(&["keys", "rotate"]).await.json(0);
    assert_eq!(installation.vault.calls("rotate"), ["1"], "it names the version to leave, so that twice is once");
    assert_eq!((&rotated["versions"][0]["version"], &rotated["rotation"]), (&2.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_is_protected_anew_and_watched_to_its_end() {
    let installation = Installation::start().await;
    let gone = installation.run(&["gallery", "re-protect", "nowhere"]).await;
    assert!(!gone.error(65).is_empty());
    let renewed = installation.run(&["gallery", "re-protect", "members"]).await.json(0);
    let asked = installation.vault.calls("re-protect");
    assert_eq!(asked, ["members 1"], "it names the generation to leave, so that twice is once");
    assert_eq!((&renewed["generation"], &renewed["renewal"]), (&2.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_sealed_and_unsealed_with_a_secret_from_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let installation = Installation::start().await;
    assert_eq!(installation.run(&["vault", "status"]).await.json(0)["sealed"], false);
    assert_eq!(installation.run(&["vault", "seal"]).await.json(0)["sealed"], true);
    let said = installation.run(&["vault", "unseal"]).await;
    assert_eq!(said.error(64), "OPTION_MISSING", "without a terminal nobody is asked");
    let file = installation.file("secret");
    let put = |text: &str, mode| {
        std::fs::write(&file, text).expect("writable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("own file");
    };
    put("wrong horse\n", 0o600);
    assert_eq!(installation.run(&["vault", "unseal", "--secret-file", &file]).await.error(65), "SECRET_WRONG");
    put("correct horse\n", 0o644);
    assert_eq!(installation.run(&["vault", "unseal", "--secret-file", &file]).await.error(64), "SECRET_UNUSABLE");
    put("correct horse\n", 0o600);
    assert_eq!(installation.run(&["vault", "unseal", "--secret-file", &file]).await.json(0)["sealed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_moved_and_where_they_are_is_said() {
    let installation = Installation::start().await;
    let before = installation.run(&["store", "status"]).await.json(0);
    assert_eq!((&before["engine"], &before["move"]), (&"sled".into(), &Value::Null));
    let moved = installation.run(&["store", "migrate"]).await.json(0);
    assert_eq!((&moved["engine"], &moved["move"]["ended"]), (&"postgres".into(), &true.into()), "it waits for the end");
    assert_eq!(moved["move"]["outcome"], "12 rows and 1 blobs moved to PostgreSQL and read back");
    assert_eq!(installation.run(&["store", "migrate"]).await.error(65), "NOWHERE_TO_MOVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_listed_and_verified() {
    let installation = Installation::start().await;
    let listed = installation.run(&["backup", "list"]).await.json(0);
    assert_eq!((&listed["backups"][0]["subjects"], &listed["job"]), (&7.into(), &Value::Null));
    let made = installation.run(&["backup", "create"]).await.json(0);
    assert_eq!(made["job"]["outcome"], "backup 000001-20260921T120000Z made", "it waits for the end");
    assert_eq!(installation.run(&["backup", "verify", "other"]).await.error(65), "BACKUP_UNKNOWN");
    let damaged = installation.run(&["backup", "verify", "000001-20260921T120000Z"]).await.json(69);
    assert_eq!((&damaged["job"]["failed"], &damaged["job"]["outcome"]), (&true.into(), &"pieces/aa is damaged".into()));
}
