//! Second factors from kiosk to gate: two people whom the matcher cannot tell apart, told apart by what they type.

use serde_json::json;
use tonic::{Code, Status};
use volar_proto::v1::decide_review_request::Decision as Review;
use volar_proto::v1::{
    BindPaymentRequest, DecideReviewRequest, Decision, EnrollmentState, IdentifyResponse, PaymentReference,
    SecondFactor, SecondFactorKind, SetSecondFactorRequest, VerifySecondFactorRequest, VerifySecondFactorResponse,
};
use volar_tests::client::{Clients, enroll, fresh_id, identify, reason};
use volar_tests::palms::{Palms, Person};
use volar_tests::system::System;
use xtask::kiosk::Visit;

use crate::scan;

/// Long enough to be nowhere by chance.
const ANNA: &str = "80745129";
const TWIN: &str = "51296307";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

fn on() -> Vec<(&'static str, String)> {
    vec![("matcher", "[decision]\nsecond_factor = \"on\"".to_owned())]
}

/// Enrols a person who pays as `customer` and has chosen `code`.
async fn enrolled(clients: &Clients, palms: &Palms, person: &Person, customer: &str, code: &str) -> EnrollmentState {
    let mut enrollment = clients.enrollment();
    let request = enroll(palms, person, true);
    let enrollment_id = enrollment.enroll(request).await.expect("a good enrolment").into_inner().enrollment_id;
    let factor = SecondFactor { kind: SecondFactorKind::Code.into(), digits: code.to_owned() };
    let set = SetSecondFactorRequest {
        idempotency_id: fresh_id(),
        enrollment_id: enrollment_id.clone(),
        second_factor: Some(factor),
    };
    enrollment.set_second_factor(set).await.expect("a good code");
    let payment = PaymentReference {
        provider: "test".to_owned(),
        customer: customer.to_owned(),
        payment_method: format!("pm_{customer}"),
        label: "Test account".to_owned(),
    };
    let bind =
        BindPaymentRequest { idempotency_id: fresh_id(), enrollment_id: enrollment_id.clone(), payment: Some(payment) };
    enrollment.bind_payment(bind).await.expect("a token");
    clients.settled(&enrollment_id).await
}

/// Anna and her twin, whom a reviewer has found to be two people.
async fn twins(clients: &Clients) -> (Palms, Person) {
    let palms = clients.palms().await;
    let anna = Person::new(7_001);
    assert_eq!(enrolled(clients, &palms, &anna, "cus_test_anna", ANNA).await, EnrollmentState::Active);
    clients.admit(&palms, &anna).await;
    assert_eq!(enrolled(clients, &palms, &anna, "cus_test_twin", TWIN).await, EnrollmentState::InReview);
    let subjects = clients.subjects().await;
    let twin = subjects.iter().find(|subject| subject.state() == EnrollmentState::InReview).expect("the twin");
    let decide = DecideReviewRequest {
        idempotency_id: fresh_id(),
        subject_id: twin.subject_id.clone(),
        decision: Review::DifferentPerson.into(),
    };
    clients.admin().decide_review(decide).await.expect("decided");
    (palms, anna)
}

/// An answer that is not sure enough, with its challenge.
async fn unsure(clients: &Clients, palms: &Palms, person: &Person, lane: &str) -> IdentifyResponse {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = clients.identification().identify(identify(palms, person, lane)).await.expect("an answer");
        let answer = answer.into_inner();
        if answer.decision() == Decision::StepUp {
            assert_eq!(answer.reason, "CLOSE_SECOND");
            assert!(!answer.challenge.is_empty() && answer.challenge_time_ms > 0 && answer.ticket.is_empty());
            return answer;
        }
        // The matcher has not met the twin's activation yet.
        assert!(std::time::Instant::now() < end, "still {answer:?}", answer = answer.reason);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn verify(clients: &Clients, challenge: &[u8], digits: &str) -> Result<VerifySecondFactorResponse, Status> {
    let request = VerifySecondFactorRequest {
        idempotency_id: fresh_id(),
        challenge: challenge.to_vec(),
        digits: digits.to_owned(),
    };
    clients.identification().verify_second_factor(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_pay_each_from_their_own_account() {
    let system = System::servers_with(on());
    let clients = system.clients();
    let (palms, anna) = twins(&clients).await;
    for (digits, customer) in [(ANNA, "cus_test_anna"), (TWIN, "cus_test_twin")] {
        let challenge = unsure(&clients, &palms, &anna, "lane-1").await.challenge;
        let answer = verify(&clients, &challenge, digits).await.expect("an answer");
        assert_eq!((answer.decision(), answer.reason.as_str()), (Decision::Admitted, "SECOND_FACTOR"));
        let claimed = clients.claim(&answer.ticket).await.expect("claimed");
        assert_eq!(claimed.payment.expect("a payment").customer, customer);
        let status = clients.claim(&answer.ticket).await.err().expect("once");
        assert_eq!(reason(&status), "TICKET_ALREADY_CLAIMED");
        let status = verify(&clients, &challenge, digits).await.err().expect("a challenge is answered once");
        assert_eq!(reason(&status), "CHALLENGE_ANSWERED");
    }
    let challenge = unsure(&clients, &palms, &anna, "lane-1").await.challenge;
    let status = clients.claim(&challenge).await.err().expect("a challenge is no ticket");
    assert_eq!(reason(&status), "TICKET_FORGED");
    drop(clients);
    let mut files = scan::Files::below(system.folder());
    files.assert_absent("a second factor", ANNA.as_bytes());
    files.assert_absent("a second factor", TWIN.as_bytes());
    files.assert_no_pictures();
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_few_and_a_killed_vault_forgets_none() {
    let mut system = System::servers_with(on());
    let clients = system.clients();
    let (palms, anna) = twins(&clients).await;
    for guess in 0..5 {
        let challenge = unsure(&clients, &palms, &anna, "lane-1").await.challenge;
        let answer = verify(&clients, &challenge, &format!("9631{guess}")).await.expect("an answer");
        assert_eq!((answer.decision(), answer.reason.as_str()), (Decision::Rejected, "SECOND_FACTOR_REFUSED"));
        assert_eq!((answer.ticket.len(), answer.retry_after_ms), (0, 0));
    }
    let challenge = unsure(&clients, &palms, &anna, "lane-1").await.challenge;
    system.deployment.vault_process().expect("it runs").kill();
    let status = verify(&clients, &challenge, ANNA).await.err().expect("nobody can say");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SECOND_FACTOR_UNAVAILABLE"));
    tokio::task::block_in_place(|| system.deployment.start_vault()).expect("it starts again");
    let end = std::time::Instant::now() + PATIENCE;
    let answer = loop {
        match verify(&clients, &challenge, ANNA).await {
            Ok(answer) => break answer,
            Err(status) => assert_eq!(reason(&status), "SECOND_FACTOR_UNAVAILABLE"),
        }
        assert!(std::time::Instant::now() < end, "the vault is back");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!((answer.decision(), answer.reason.as_str()), (Decision::Rejected, "LOCKED_OUT"));
    assert!((1..=30_000).contains(&answer.retry_after_ms), "{}", answer.retry_after_ms);
    // Both are guessed at, so both wait, on every lane, and are told no more than that it did not match.
    let challenge = unsure(&clients, &palms, &anna, "lane-2").await.challenge;
    let answer = verify(&clients, &challenge, ANNA).await.expect("an answer");
    assert_eq!(answer.reason, "SECOND_FACTOR_REFUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_second_factors_an_unsure_palm_gets_no_challenge() {
    let system = System::servers();
    let clients = system.clients();
    let status = verify(&clients, &[1; 80], ANNA).await.err().expect("off");
    assert_eq!(reason(&status), "SECOND_FACTOR_OFF");
}

#[test]
fn from_the_kiosks_keys_to_the_gates() {
    let mut extra = on();
    extra.push(("kiosk", "[second_factor]\noffered = true".to_owned()));
    let system = System::whole_with(extra);
    let (kiosk, operator) = (system.deployment.kiosk().expect("it runs"), system.deployment.operator());
    let hand = |sample: u64| json!({"show": "hand", "person": 42, "position": "left", "sample": sample});
    for (account, code, kind) in [("anna", ANNA, "active"), ("twin", TWIN, "in-review")] {
        let visit = Visit { hands: &["left"], account: Some(account), code: Some(code) };
        assert_eq!(kiosk.enroll(&visit, |_| hand(0)).expect("a visit"), kind);
    }
    let reviews = operator.reviews().expect("a list");
    let twin = reviews[0]["subject_id"].as_str().expect("an id");
    operator.run(&["review", "decide", twin, "--different-person"]).expect("decided");

    let gate = system.deployment.gate().expect("it runs");
    let types = |sample, digits| {
        let passage = gate.walk_in_and_type(&hand(sample), &json!({"show": "empty"}), digits, PATIENCE);
        passage.expect("the gate answers")
    };
    let refused = types(1, "96310");
    assert_eq!((refused.decision.as_str(), refused.reason.as_str()), ("rejected", "SECOND_FACTOR_REFUSED"));
    assert_eq!(refused.ticket, None);
    for (sample, digits, customer) in [(2, TWIN, "cus_test_twin"), (3, ANNA, "cus_test_anna")] {
        let passage = types(sample, digits);
        assert_eq!((passage.decision.as_str(), passage.reason.as_str()), ("admitted", "SECOND_FACTOR"));
        let claimed = operator.claim(&passage.ticket.expect("a ticket")).expect("an answer");
        assert_eq!(claimed.as_deref(), Ok(customer));
    }
    let leaves = operator.run(&["audit", "list"]).expect("a list").to_string();
    assert_eq!(leaves.matches("action second-factor").count(), 6, "two chosen, two refused, two matched: {leaves}");
    scan::Files::below(system.folder()).assert_absent("a second factor", ANNA.as_bytes());
}
