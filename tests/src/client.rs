//! gRPC clients with the certificate of any role, real or wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::checkout_service_client::CheckoutServiceClient;
use volar_proto::v1::enrollment_service_client::EnrollmentServiceClient;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;
use volar_proto::v1::protection_service_client::ProtectionServiceClient;
use volar_proto::v1::{
    ClaimRequest, ClaimResponse, Consent, Decision, EnrollRequest, EnrollmentState, GalleryProbe, GetEnrollmentRequest,
    GetProtectionRequest, IdentifyRequest, IdentifyResponse, ListSubjectsRequest, Membership, Purpose, Subject,
};
use volar_service::fault::Fault;
use volar_service::identity::Role;
use volar_service::tls::TlsConfig;
use xtask::configuration::{Addresses, GALLERY, PEERS};

use crate::palms::{Palms, Person};

/// How long a test waits until a person is admitted: normally a fraction of a second, but a matcher that starts with
/// thousands of unseen enrolments searches each for duplicates first.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Opens channels to one system's servers.
#[derive(Clone, Debug)]
pub struct Clients {
    certificates: PathBuf,
    addresses: Addresses,
}

/// A new idempotency id.
pub fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}

/// The reason that a refusal carries, or its code and message where it carries none.
pub fn reason(status: &Status) -> String {
    Fault::reason_of(status).unwrap_or_else(|| format!("{:?}: {}", status.code(), status.message()))
}

impl Clients {
    /// With the certificates in a deployment's folder.
    pub fn new(folder: &Path, addresses: Addresses) -> Self {
        Self { certificates: folder.join("certificates"), addresses }
    }

    /// TLS as the system's peer of that role has it.
    pub fn tls(&self, role: Role) -> TlsConfig {
        let (_, device) = PEERS.iter().find(|(name, _)| *name == role.as_str()).expect("every role has a peer");
        self.tls_of(device)
    }

    /// TLS with the certificate of a device.
    pub fn tls_of(&self, device: &str) -> TlsConfig {
        TlsConfig {
            ca: self.certificates.join("ca.pem"),
            certificate: self.certificates.join(format!("{device}.pem")),
            key: self.certificates.join(format!("{device}.key")),
        }
    }

    /// To the vault.
    pub fn vault(&self, role: Role) -> Channel {
        self.vault_with(&self.tls(role))
    }

    /// To the vault, with any certificate.
    pub fn vault_with(&self, tls: &TlsConfig) -> Channel {
        tls.channel(&format!("https://{}", self.addresses.vault)).expect("usable certificates")
    }

    /// To the matcher.
    pub fn matcher(&self, role: Role) -> Channel {
        self.tls(role).channel(&format!("https://{}", self.addresses.matcher)).expect("usable certificates")
    }

    /// Enrolment, as the kiosk.
    pub fn enrollment(&self) -> EnrollmentServiceClient<Channel> {
        EnrollmentServiceClient::new(self.vault(Role::Kiosk))
    }

    /// Claims, as the checkout backend.
    pub fn checkout(&self) -> CheckoutServiceClient<Channel> {
        CheckoutServiceClient::new(self.vault(Role::Checkout))
    }

    /// Administration, as the operator.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.vault(Role::Operator))
    }

    /// Identification, as the gate.
    pub fn identification(&self) -> IdentificationServiceClient<Channel> {
        IdentificationServiceClient::new(self.matcher(Role::Gate))
    }

    /// Palms protected for the system's gallery.
    pub async fn palms(&self) -> Palms {
        self.palms_in(GALLERY).await
    }

    /// Palms protected for one of its galleries.
    pub async fn palms_in(&self, gallery: &'static str) -> Palms {
        let request = GetProtectionRequest { gallery: gallery.to_owned() };
        let mut client = ProtectionServiceClient::new(self.vault(Role::Kiosk));
        let protection = client.get_protection(request).await.expect("the kiosk may protect").into_inner();
        Palms::new(gallery, &protection)
    }

    /// Waits until every subject is out of PENDING and in the matcher's memory: `person` is admitted.
    pub async fn admit(&self, palms: &Palms, person: &Person) -> IdentifyResponse {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let answered = self.identification().identify(identify(palms, person, "lane-admit")).await;
            let said = match answered {
                Ok(response) if response.get_ref().decision == Decision::Admitted as i32 => {
                    return response.into_inner();
                }
                Ok(response) => response.into_inner().reason,
                Err(status) => reason(&status),
            };
            assert!(std::time::Instant::now() < end, "still not admitted: {said}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until an enrollment has left PENDING.
    pub async fn settled(&self, enrollment_id: &str) -> EnrollmentState {
        let request = GetEnrollmentRequest { enrollment_id: enrollment_id.to_owned(), wait_milliseconds: 10_000 };
        self.enrollment().get_enrollment(request).await.expect("the kiosk's own enrollment").into_inner().state()
    }

    /// Claims a ticket under a new idempotency id.
    pub async fn claim(&self, ticket: &[u8]) -> Result<ClaimResponse, Status> {
        let request = ClaimRequest { idempotency_id: fresh_id(), ticket: ticket.to_vec() };
        self.checkout().claim(request).await.map(tonic::Response::into_inner)
    }

    /// Everybody of the system's gallery who is not erased.
    pub async fn subjects(&self) -> Vec<Subject> {
        self.subjects_in(GALLERY).await
    }

    /// Everybody of one of its galleries who is not erased.
    pub async fn subjects_in(&self, gallery: &str) -> Vec<Subject> {
        let mut admin = self.admin();
        let mut subjects = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListSubjectsRequest { gallery: gallery.to_owned(), state: 0, page_size: 1_000, page_token };
            let page = admin.list_subjects(request).await.expect("the operator may list").into_inner();
            subjects.extend(page.subjects);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return subjects;
            }
        }
    }
}

/// A complete request to enrol a person.
pub fn enroll(palms: &Palms, person: &Person, payment_follows: bool) -> EnrollRequest {
    EnrollRequest { payment_follows, ..enroll_in(&[palms], person) }
}

/// A complete request to enrol a person into several galleries.
pub fn enroll_in(galleries: &[&Palms], person: &Person) -> EnrollRequest {
    let membership = |palms: &&Palms| Membership {
        gallery: palms.gallery.to_owned(),
        generation: palms.generation,
        model: palms.model.clone(),
        palms: palms.enrolled(person),
    };
    EnrollRequest {
        idempotency_id: fresh_id(),
        consent: Some(consent()),
        payment_follows: false,
        memberships: galleries.iter().map(membership).collect(),
    }
}

/// A complete request to identify a person's left palm.
pub fn identify(palms: &Palms, person: &Person, lane: &str) -> IdentifyRequest {
    identify_in(&[palms], person, lane)
}

/// A complete request to identify a person's left palm in several galleries.
pub fn identify_in(galleries: &[&Palms], person: &Person, lane: &str) -> IdentifyRequest {
    let probe = |palms: &&Palms| GalleryProbe {
        gallery: palms.gallery.to_owned(),
        generation: palms.generation,
        model: palms.model.clone(),
        probe: Some(palms.probe(person)),
    };
    IdentifyRequest {
        idempotency_id: fresh_id(),
        lane: lane.to_owned(),
        purpose: Purpose::Admission as i32,
        probes: galleries.iter().map(probe).collect(),
    }
}

/// A release given now.
pub fn consent() -> Consent {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Consent {
        policy_version: "2026-11".to_owned(),
        language: "en".to_owned(),
        text_sha256: vec![7; 32],
        given_at_unix_ms: u64::try_from(now.as_millis()).expect("before the year 500 million"),
        method: "touch-screen".to_owned(),
    }
}
