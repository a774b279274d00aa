//! Tickets: claimed once, by whoever holds them whole and in time.

use volar_proto::v1::{BindPaymentRequest, ClaimRequest, EnrollmentState, PaymentReference};
use volar_tests::client::{Clients, enroll, fresh_id, reason};
use volar_tests::palms::Person;
use volar_tests::system::System;

/// Somebody enrolled, paying as `customer`, and freshly admitted: the ticket.
async fn admitted(clients: &Clients, seed: u64, customer: &str) -> Vec<u8> {
    let palms = clients.palms().await;
    let person = Person::new(seed);
    let request = enroll(&palms, &person, true);
    let enrolled = clients.enrollment().enroll(request).await.expect("a good enrolment").into_inner();
    let payment = PaymentReference {
        provider: "test".to_owned(),
        customer: customer.to_owned(),
        payment_method: format!("pm_{customer}"),
        label: format!("Test account {customer}"),
    };
    let bind = BindPaymentRequest {
        idempotency_id: fresh_id(),
        enrollment_id: enrolled.enrollment_id.clone(),
        payment: Some(payment),
    };
    clients.enrollment().bind_payment(bind).await.expect("a token");
    assert_eq!(clients.settled(&enrolled.enrollment_id).await, EnrollmentState::Active);
    clients.admit(&palms, &person).await.ticket
}

#[tokio::test]
async fn a_ticket_pays_once() {
    let system = System::servers();
    let clients = system.clients();
    let ticket = admitted(&clients, 1, "cus_test_anna").await;
    let request = ClaimRequest { idempotency_id: fresh_id(), ticket: ticket.clone() };
    let first = clients.checkout().claim(request.clone()).await.expect("the first claim").into_inner();
    assert_eq!(first.payment.as_ref().expect("a payment").customer, "cus_test_anna");
    let repeated = clients.checkout().claim(request).await.expect("the same claim").into_inner();
    assert!(repeated == first, "the same id gets the same answer");
    let status = clients.claim(&ticket).await.err().expect("a second claim");
    assert_eq!(reason(&status), "TICKET_ALREADY_CLAIMED");
}

#[tokio::test]
async fn an_altered_ticket_is_refused_and_the_true_one_still_pays() {
    let system = System::servers();
    let clients = system.clients();
    let ticket = admitted(&clients, 2, "cus_test_ben").await;
    for at in [1, 5, ticket.len() / 2, ticket.len() - 1] {
        let mut altered = ticket.clone();
        altered[at] ^= 1;
        let status = clients.claim(&altered).await.err().expect("altered");
        assert_eq!(reason(&status), "TICKET_FORGED", "byte {at}");
    }
    for cut in [0, 1, 16] {
        let status = clients.claim(&ticket[..cut]).await.err().expect("cut");
        assert_eq!(reason(&status), "TICKET_MALFORMED", "{cut} bytes");
    }
    clients.claim(&ticket).await.expect("the true one");
}

#[tokio::test]
async fn a_ticket_expires() {
    let system = System::servers_with(vec![("vault", "[tickets]\nlifetime_seconds = 1".to_owned())]);
    let clients = system.clients();
    let ticket = admitted(&clients, 3, "cus_test_chloe").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let status = clients.claim(&ticket).await.err().expect("expired");
    assert_eq!(reason(&status), "TICKET_EXPIRED");
}
