//! The process itself: its arguments, its certificates, and how it comes and goes while its vault is away.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use volar_matcher::config::{Config, DEFAULTS};
use volar_matcher::testing::{MODEL, Palms};
use volar_proto::v1;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;
use volar_service::fault::Fault;
use volar_service::identity::Role;
use volar_service::tls::TlsConfig;

use crate::vault::wire_probe;

/// A folder with an authority, certificates and a configuration.
struct Site {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key pair");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a self-signed certificate");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("writable");
        Self { folder, issuer: Issuer::new(parameters, key) }
    }

    fn certificate(&self, role: Role) -> TlsConfig {
        let key = KeyPair::generate().expect("a key pair");
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a host name");
        let name = format!("spiffe://volar/acme/north/{role}/one");
        parameters.subject_alt_names.push(SanType::URI(name.try_into().expect("ASCII")));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a signed certificate");
        let path = |end: &str| self.path(&format!("{role}.{end}"));
        std::fs::write(path("pem"), certificate.pem()).expect("writable");
        std::fs::write(path("key"), key.serialize_pem()).expect("writable");
        TlsConfig { ca: self.path("ca.pem"), certificate: path("pem"), key: path("key") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration whose process has the certificate of `role`. Nobody listens at the vault's address.
    fn configuration(&self, role: Role, more: &str) -> PathBuf {
        self.certificate(role);
        let path = self.path("matcher.toml");
        let text = format!(
            "vault = \"https://localhost:1\"\ngalleries = [\"members\"]\n[server]\nlisten = \"127.0.0.1:0\"\n\
             [tls]\nca = \"ca.pem\"\ncertificate = \"{role}.pem\"\nkey = \"{role}.key\"\n{more}"
        );
        std::fs::write(&path, text).expect("writable");
        path
    }

    fn run(&self, role: Role, more: &str) -> Output {
        let output = matcher().arg("--config").arg(self.configuration(role, more)).output();
        output.expect("the matcher was built")
    }
}

fn matcher() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volar-matcher"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ends the process with the test, however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn invalid_use_exits_with_64_and_says_what_to_do() {
    let site = Site::new();
    let says = |output: Output, words: &str| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(words), "{text}");
    };
    let run = |arguments: &[&str]| matcher().args(arguments).output().expect("the matcher was built");
    says(run(&[]), "--config");
    says(run(&["--config", "/nowhere/x.toml"]), "/nowhere/x.toml");
    says(run(&["--cofnig", "x"]), "--config");
    says(site.run(Role::Gate, ""), "role matcher");
    says(site.run(Role::Matcher, "[decision]\nthreshold = 7\n"), "threshold");
    says(site.run(Role::Matcher, "[decision]\nadmit_fpir = 0.5\n"), "laxer");
    says(site.run(Role::Matcher, "[lockout]\nfirst_seconds = 3\n"), "800-63B-4");
}

#[test]
fn the_default_configuration_is_printed_and_valid() {
    let output = matcher().arg("--print-default-config").output().expect("the matcher was built");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), DEFAULTS);
    let config: Config = toml::from_str(DEFAULTS).expect("valid");
    assert_eq!(config.check(), Ok(()));
}

#[tokio::test]
async fn without_its_vault_it_lives_says_it_is_not_ready_and_ends_in_order() {
    let site = Site::new();
    let announced = site.path("address");
    let mut running = Running(
        matcher()
            .arg("--config")
            .arg(site.configuration(Role::Matcher, "[process]\nmemory_lock = \"off\"\n"))
            .arg("--announce")
            .arg(&announced)
            .stderr(Stdio::null())
            .spawn()
            .expect("the matcher was built"),
    );
    let url = format!("https://localhost:{}", port_in(&announced).await);

    let channel = site.certificate(Role::Gate).channel(&url).expect("readable certificates");
    let service = "volar.v1.IdentificationService";
    for service in ["", service] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.expect("health is open to all");
        assert_eq!(answer.into_inner().status, 2, "\"{service}\" is not serving");
    }
    for role in Role::ALL {
        let status = identify(&site.certificate(role), &url, role).await;
        let expected = match role {
            Role::Gate | Role::Kiosk => (Code::Unavailable, "GALLERY_NOT_READY"),
            _ => (Code::PermissionDenied, "ROLE_NOT_ALLOWED"),
        };
        let found = (status.code(), Fault::reason_of(&status).unwrap_or_default());
        assert_eq!((found.0, found.1.as_str()), expected, "{role}");
    }

    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the process lives");
    for _ in 0..2_000 {
        if let Some(status) = running.0.try_wait().expect("our child") {
            assert_eq!(status.code(), Some(0));
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not end");
}

async fn port_in(announced: &Path) -> u16 {
    for _ in 0..4_000 {
        if let Ok(line) = std::fs::read_to_string(announced) {
            let address: std::net::SocketAddr = line.trim().parse().expect("an address");
            return address.port();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not announce itself");
}

async fn identify(tls: &TlsConfig, url: &str, role: Role) -> Status {
    let mut palms = Palms::new(1);
    let template = palms.template();
    let purpose = if role == Role::Kiosk { v1::Purpose::Withdrawal } else { v1::Purpose::Admission };
    let request = v1::IdentifyRequest {
        idempotency_id: "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d".to_owned(),
        lane: "a".to_owned(),
        purpose: purpose.into(),
        probes: vec![v1::GalleryProbe {
            gallery: "members".to_owned(),
            generation: 1,
            model: MODEL.to_owned(),
            probe: Some(wire_probe(&palms.probe(&template))),
        }],
    };
    let channel = tls.channel(url).expect("readable certificates");
    let outcome = IdentificationServiceClient::new(channel).identify(request).await;
    outcome.err().expect("nothing is answered without a gallery")
}
