//! Certificates: read back by the library that every server trusts names to, and used in a real handshake.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use volar_service::access::AccessTable;
use volar_service::identity::{Peer, Role};
use volar_service::server::{Server, ServerConfig};
use volar_service::tls::TlsConfig;

fn volarctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_volarctl")).args(arguments).output().expect("the binary runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("exactly one JSON document")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have UTF-8 names")
}

/// An authority in a folder of its own.
struct Trial {
    folder: tempfile::TempDir,
}

impl Trial {
    fn new() -> Self {
        let trial = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let made = volarctl(&["certificate", "authority", "--out", text(trial.path()), "--json"]);
        assert!(made.status.success(), "{made:?}");
        trial
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn issue(&self, role: &str, device: &str, more: &[&str]) -> Output {
        let folder = text(self.path());
        let mut arguments = vec!["certificate", "issue", "--ca", folder, "--out", folder, "--role", role];
        arguments.extend(["--tenant", "acme", "--site", "north", "--device", device, "--json"]);
        arguments.extend(more);
        volarctl(&arguments)
    }

    fn tls(&self, device: &str) -> TlsConfig {
        let file = |name: String| self.path().join(name);
        TlsConfig {
            ca: file("ca.pem".to_owned()),
            certificate: file(format!("{device}.pem")),
            key: file(format!("{device}.key")),
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[test]
fn every_role_gets_a_certificate_that_names_it() {
    let trial = Trial::new();
    for role in Role::ALL {
        let issued = trial.issue(role.as_str(), role.as_str(), &[]);
        assert!(issued.status.success(), "{issued:?}");
        let name = trial.tls(role.as_str()).own_name().expect("the identity library reads it");
        let expected: Peer = format!("spiffe://volar/acme/north/{role}/{role}").parse().expect("a good name");
        assert_eq!(name, expected);
        assert_eq!(json(&issued)["name"], expected.to_string());
        assert_eq!(mode(&trial.tls(role.as_str()).key), 0o600);

        let shown = json(&volarctl(&["certificate", "show", text(&trial.tls(role.as_str()).certificate), "--json"]));
        assert_eq!(shown["client"], true, "{role}");
        assert_eq!(shown["server"], role.serves(), "{role}");
        assert_eq!(shown["valid"], true, "{role}");
        let hosts = shown["hosts"].as_array().expect("a list").len();
        assert_eq!(hosts, if role.serves() { 3 } else { 0 }, "{role}");
    }
}

#[test]
fn the_authority_is_for_development_and_keeps_its_key_to_its_owner() {
    let trial = Trial::new();
    assert_eq!(mode(&trial.path().join("ca.key")), 0o600);
    let shown = json(&volarctl(&["certificate", "show", text(&trial.path().join("ca.pem")), "--json"]));
    assert_eq!(shown["authority"], true);
    assert!(shown["subject"].as_str().expect("text").contains("development"));
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let trial = Trial::new();
    let read = |name: &str| std::fs::read(trial.path().join(name)).expect("the file is there");
    let (ca, ca_key) = (read("ca.pem"), read("ca.key"));
    let again = volarctl(&["certificate", "authority", "--out", text(trial.path()), "--json"]);
    assert_eq!(again.status.code(), Some(64));
    assert_eq!(json(&again)["error"]["reason"], "FILE_EXISTS");
    assert_eq!((read("ca.pem"), read("ca.key")), (ca, ca_key));

    assert!(trial.issue("gate", "gate-1", &[]).status.success());
    let (certificate, key) = (read("gate-1.pem"), read("gate-1.key"));
    assert_eq!(trial.issue("gate", "gate-1", &[]).status.code(), Some(64));
    assert_eq!((read("gate-1.pem"), read("gate-1.key")), (certificate.clone(), key));
    assert!(trial.issue("gate", "gate-1", &["--replace"]).status.success());
    assert_ne!(read("gate-1.pem"), certificate);
    assert_eq!(mode(&trial.path().join("gate-1.key")), 0o600);
}

#[test]
fn what_makes_no_sense_is_refused_and_writes_nothing() {
    let trial = Trial::new();
    let before = std::fs::read_dir(trial.path()).expect("a folder").count();
    for (role, device, more) in [
        ("gate", "gate-1", vec!["--host", "localhost"]),
        ("vault", "vault", vec!["--host", "not a host"]),
        ("king", "k", vec![]),
        ("gate", "Gate_1", vec![]),
        ("gate", "gate-1", vec!["--days", "forever"]),
        ("gate", "gate-1", vec!["--not-after", "3000-01-01T00:00:00Z"]),
        ("gate", "gate-1", vec!["--days", "1", "--not-after", "2030-01-01T00:00:00Z"]),
    ] {
        assert_eq!(trial.issue(role, device, &more).status.code(), Some(64), "{role} {device} {more:?}");
    }
    assert_eq!(std::fs::read_dir(trial.path()).expect("a folder").count(), before);
    let nowhere = trial.path().join("nowhere");
    let shown = volarctl(&["certificate", "show", text(&nowhere)]);
    assert_eq!(shown.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("nowhere"));
}

#[test]
fn an_expired_certificate_says_so() {
    let trial = Trial::new();
    assert!(trial.issue("gate", "gate-1", &["--days", "-1"]).status.success());
    assert!(trial.issue("gate", "gate-2", &["--not-after", "2020-01-01T00:00:00Z"]).status.success());
    for device in ["gate-1", "gate-2"] {
        let shown = json(&volarctl(&["certificate", "show", text(&trial.tls(device).certificate), "--json"]));
        assert_eq!(shown["valid"], false);
    }
}

#[tokio::test]
async fn certificates_hold_in_a_handshake_and_expired_ones_do_not() {
    let (trial, other) = (Trial::new(), Trial::new());
    assert!(trial.issue("vault", "vault", &[]).status.success());
    assert!(trial.issue("gate", "good", &[]).status.success());
    assert!(trial.issue("gate", "expired", &["--days", "-1"]).status.success());
    assert!(other.issue("gate", "foreign", &[]).status.success());

    let listen = "127.0.0.1:0".parse().expect("an address");
    let config = ServerConfig { listen, calls_per_connection_max: 8 };
    let server = Server::bind(&config, &trial.tls("vault"), AccessTable::new(&[])).await.expect("binds");
    let url = format!("https://localhost:{}", server.address().port());
    server.health().set_service_status("", ServingStatus::Serving).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(server.serve(tonic::service::Routes::default(), stop.clone()));

    let ca: PathBuf = trial.tls("vault").ca;
    for (tls, welcome) in [(trial.tls("good"), true), (trial.tls("expired"), false), (other.tls("foreign"), false)] {
        let channel = TlsConfig { ca: ca.clone(), ..tls }.channel(&url).expect("a URL");
        let answer = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await;
        assert_eq!(answer.is_ok(), welcome, "{answer:?}");
    }
    stop.cancel();
    serving.await.expect("no panic").expect("an orderly end");
}
