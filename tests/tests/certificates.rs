//! Certificates that must not open anything: another authority's, an expired one, none, one of another tenant.

use std::ffi::OsStr;
use std::path::Path;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};
use volar_proto::v1::GetProtectionRequest;
use volar_proto::v1::protection_service_client::ProtectionServiceClient;
use volar_service::tls::TlsConfig;
use volar_tests::client::reason;
use volar_tests::system::System;
use xtask::configuration::{GALLERY, SITE, TENANT};
use xtask::operator::volarctl;

/// Issues a kiosk's certificate for `device`.
fn issue(authority: &Path, out: &Path, device: &str, tenant: &str, days: &str) {
    let words = ["certificate", "issue", "--role", "kiosk", "--site", SITE, "--tenant", tenant, "--device", device];
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    let days = format!("--days={days}");
    arguments.extend(["--ca".as_ref(), authority.as_os_str(), "--out".as_ref(), out.as_os_str(), days.as_ref()]);
    let said = volarctl(&arguments).expect("volarctl runs");
    assert!(said.ok, "{}", said.errors);
}

/// What the vault answers to a kiosk's first call.
async fn first_call(channel: Channel) -> Result<(), Status> {
    let request = GetProtectionRequest { gallery: GALLERY.to_owned() };
    ProtectionServiceClient::new(channel).get_protection(request).await.map(drop)
}

/// A refused handshake shows as a connection that breaks, never as an answer. Under TLS 1.3 the server's alert may come
/// after the client believes itself connected (RFC 8446, section 4.4.2.4), so the call may count as cancelled.
fn assert_handshake_refused(answered: Result<(), Status>, what: &str) {
    let status = answered.expect_err(what);
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{what}: {status:?}");
    assert_eq!(volar_service::fault::Fault::reason_of(&status), None, "{what}");
}

#[tokio::test]
async fn the_right_certificate_opens() {
    let system = System::vault();
    let clients = system.clients();
    first_call(clients.vault_with(&clients.tls_of("kiosk-1"))).await.expect("the kiosk's own certificate");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let system = System::vault();
    let clients = system.clients();
    let other = tempfile::tempdir().expect("a folder");
    let words = ["certificate", "authority", "--out"].map(OsStr::new);
    let made = volarctl(&[&words[..], &[other.path().as_os_str()]].concat()).expect("volarctl runs");
    assert!(made.ok, "{}", made.errors);
    issue(other.path(), other.path(), "kiosk-1", TENANT, "1");
    // It trusts the true vault; only its own certificate is the other authority's.
    let tls = TlsConfig {
        ca: clients.tls_of("kiosk-1").ca,
        certificate: other.path().join("kiosk-1.pem"),
        key: other.path().join("kiosk-1.key"),
    };
    assert_handshake_refused(first_call(clients.vault_with(&tls)).await, "another authority");
    // And a device that trusts the other authority does not talk to this vault.
    let tls = TlsConfig { ca: other.path().join("ca.pem"), ..clients.tls_of("kiosk-1") };
    assert_handshake_refused(first_call(clients.vault_with(&tls)).await, "a vault of another authority");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let system = System::vault();
    let clients = system.clients();
    let authority = system.folder().join("certificates");
    issue(&authority, &authority, "kiosk-old", TENANT, "-1");
    assert_handshake_refused(first_call(clients.vault_with(&clients.tls_of("kiosk-old"))).await, "expired");
}

#[tokio::test]
async fn no_certificate_is_refused() {
    let system = System::vault();
    let clients = system.clients();
    let ca = std::fs::read(clients.tls_of("kiosk-1").ca).expect("the authority's certificate");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let url = format!("https://{}", system.deployment.addresses().vault);
    let endpoint = Endpoint::from_shared(url).and_then(|endpoint| endpoint.tls_config(tls)).expect("an address");
    assert_handshake_refused(first_call(endpoint.connect_lazy()).await, "no certificate");
}

#[tokio::test]
async fn a_tenant_that_the_vault_does_not_serve_is_refused_by_name() {
    let system = System::vault();
    let clients = system.clients();
    let authority = system.folder().join("certificates");
    issue(&authority, &authority, "kiosk-other", "umbrella", "1");
    let status = first_call(clients.vault_with(&clients.tls_of("kiosk-other"))).await.expect_err("unknown tenant");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "TENANT_UNKNOWN"));
}
