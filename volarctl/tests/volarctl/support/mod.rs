//! A vault and a matcher that know a few made-up people, over mutual TLS.

pub(crate) mod log;
mod vault;

use std::process::Output;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use volar_core::clock::{Clock, Timestamp};
use volar_proto::v1::admin_service_server::AdminServiceServer;
use volar_proto::v1::checkout_service_server::CheckoutServiceServer;
use volar_proto::v1::seal_service_server::SealServiceServer;
use volar_proto::v1::store_service_server::StoreServiceServer;
use volar_service::access::AccessTable;
use volar_service::identity::Role;
use volar_service::server::{Server, ServerConfig};
use volar_service::system::SystemClock;
use volar_service::tls::TlsConfig;
use volarctl::certificate::{Authority, Request, Validity};

pub(crate) use vault::{SUBJECT, TICKET, Vault};

const ACCESS: AccessTable = AccessTable::new(&[
    ("/volar.v1.AdminService/GetStatus", &[Role::Operator]),
    ("/volar.v1.AdminService/ListSubjects", &[Role::Operator]),
    ("/volar.v1.AdminService/EraseSubject", &[Role::Operator]),
    ("/volar.v1.AdminService/DecideReview", &[Role::Operator]),
    ("/volar.v1.AdminService/GetKeys", &[Role::Operator]),
    ("/volar.v1.AdminService/RotateKeys", &[Role::Operator]),
    ("/volar.v1.AdminService/ReprotectGallery", &[Role::Operator]),
    ("/volar.v1.SealService/GetSeal", &[Role::Operator]),
    ("/volar.v1.SealService/Unseal", &[Role::Operator]),
    ("/volar.v1.SealService/Seal", &[Role::Operator]),
    ("/volar.v1.StoreService/GetStore", &[Role::Operator]),
    ("/volar.v1.StoreService/MoveStore", &[Role::Operator]),
    ("/volar.v1.AdminService/GetAuditHead", &[Role::Operator]),
    ("/volar.v1.AdminService/ListAuditLeaves", &[Role::Operator]),
    ("/volar.v1.AdminService/RunRetention", &[Role::Operator]),
    ("/volar.v1.AdminService/GetRetentionSchedule", &[Role::Operator]),
    ("/volar.v1.AdminService/ExportSubject", &[Role::Operator]),
    ("/volar.v1.AdminService/CreateBackup", &[Role::Operator]),
    ("/volar.v1.AdminService/VerifyBackup", &[Role::Operator]),
    ("/volar.v1.AdminService/ListBackups", &[Role::Operator]),
    ("/volar.v1.CheckoutService/Claim", &[Role::Checkout]),
]);

/// Fake servers, and a configuration that knows them.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    pub(crate) vault: Vault,
    _stop: DropGuard,
}

impl Installation {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        issue_certificates(folder.path());
        let stop = CancellationToken::new();
        let vault = Vault::default();
        let services = Routes::new(AdminServiceServer::new(vault.clone()))
            .add_service(CheckoutServiceServer::new(vault.clone()))
            .add_service(SealServiceServer::new(vault.clone()))
            .add_service(StoreServiceServer::new(vault.clone()));
        let vault_port = serve(&tls(folder.path(), "vault-1"), services, stop.clone()).await;
        let matcher_port = serve(&tls(folder.path(), "matcher-1"), Routes::default(), stop.clone()).await;
        let config = format!(
            "vault = \"https://localhost:{vault_port}\"\nmatcher = \"https://localhost:{matcher_port}\"\n{}{}",
            section("tls", "operator-1"),
            section("checkout", "checkout-1"),
        );
        std::fs::write(folder.path().join("volarctl.toml"), config).expect("written");
        Self { folder, vault, _stop: stop.drop_guard() }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// With `--json`.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with_input(arguments, "").await
    }

    pub(crate) async fn run_owned(&self, arguments: Vec<&'static str>) -> Said {
        self.run(&arguments).await
    }

    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let config = self.file("volarctl.toml");
        let all = [&["--config", &config, "--json"], arguments].concat();
        said(&all, input).await
    }

    /// Without.
    pub(crate) async fn run_for_people(&self, arguments: &[&str]) -> Said {
        let config = self.file("volarctl.toml");
        said(&[&["--config", &config], arguments].concat(), "").await
    }
}

/// Without a configuration.
pub(crate) async fn volarctl(arguments: &[&str]) -> Said {
    said(arguments, "").await
}

async fn said(arguments: &[&str], input: &str) -> Said {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_volarctl"));
    let piped = std::process::Stdio::piped;
    command.args(arguments).stdin(piped()).stdout(piped()).stderr(piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut to_child = child.stdin.take().expect("piped");
    // A command that reads no input may be gone already.
    let _ = to_child.write_all(input.as_bytes()).await;
    drop(to_child);
    Said(child.wait_with_output().await.expect("it ends"))
}

/// What `volarctl` said.
pub(crate) struct Said(Output);

impl Said {
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// The one document on standard output, of a command that ended with `code`.
    pub(crate) fn json(&self, code: i32) -> Value {
        assert_eq!(self.code(), Some(code), "{}", self.errors());
        serde_json::from_slice(&self.0.stdout).expect("exactly one JSON document")
    }

    /// The reason of a failure.
    pub(crate) fn error(&self, code: i32) -> String {
        self.json(code)["error"]["reason"].as_str().expect("a reason").to_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn everything(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned() + &self.errors()
    }
}

async fn serve(tls: &TlsConfig, services: Routes, stop: CancellationToken) -> u16 {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let server = Server::bind(&ServerConfig { listen, calls_per_connection_max: 8 }, tls, ACCESS).await.expect("binds");
    server.health().set_service_status("", ServingStatus::Serving).await;
    let port = server.address().port();
    tokio::spawn(server.serve(services, stop));
    port
}

fn issue_certificates(folder: &std::path::Path) {
    let now = SystemClock.now();
    let authority = Authority::create(folder, now).expect("an authority");
    for (role, device) in
        [("vault", "vault-1"), ("matcher", "matcher-1"), ("operator", "operator-1"), ("checkout", "checkout-1")]
    {
        let peer = format!("spiffe://volar/acme/north/{role}/{device}").parse().expect("a name");
        let later = Timestamp::from_unix_milliseconds(now.unix_milliseconds() + 3_600_000);
        let request = Request { peer, validity: Validity::until(later, now), hosts: Vec::new() };
        authority.issue(&request, folder, false).expect("issued");
    }
}

fn tls(folder: &std::path::Path, device: &str) -> TlsConfig {
    let file = |name: String| folder.join(name);
    TlsConfig {
        ca: file("ca.pem".to_owned()),
        certificate: file(format!("{device}.pem")),
        key: file(format!("{device}.key")),
    }
}

fn section(name: &str, device: &str) -> String {
    format!("[{name}]\nca = \"ca.pem\"\ncertificate = \"{device}.pem\"\nkey = \"{device}.key\"\n")
}
