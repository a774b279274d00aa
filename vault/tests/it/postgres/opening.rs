//! What is refused at opening, and how it is said.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use volar_service::system::SystemRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, StoreError, Table};

use super::server::{self, Server};

fn open(config: &PostgresConfig) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(config, &SystemRandomness)
}

fn hasty(url: String) -> PostgresConfig {
    PostgresConfig { patience_seconds: 1, ..PostgresConfig::at(url) }
}

#[test]
fn a_server_that_may_forget_is_refused() {
    for (setting, name) in [("fsync = off", "fsync"), ("full_page_writes = off", "full_page_writes")] {
        let server = Server::start(&[setting]);
        let refused = open(&hasty(server.database())).map(drop).expect_err("must be refused");
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains(name), "{refused}");
    }
}

#[test]
fn commits_wait_for_the_disk_whatever_the_server_does_by_default() {
    let server = Server::start(&["synchronous_commit = off"]);
    let store = open(&hasty(server.database())).expect("opens");
    put(&store, b"a");
    for write in 0..20_u8 {
        put(&store, &[write]);
        server.kill();
        server.run();
        assert!(volar_vault::store::Rows::read(&store, Table::Feed, &[write]).expect("readable").is_some());
    }
}

#[test]
fn tables_of_a_newer_vault_are_refused() {
    let url = server::shared().database();
    let database = url.rsplit('/').next().expect("a name").to_owned();
    drop(open(&hasty(url.clone())).expect("opens"));
    server::shared().sql(&database, "INSERT INTO volar.schema (version) VALUES (7)");
    let refused = open(&hasty(url)).map(drop).expect_err("must be refused");
    assert!(matches!(refused, StoreError::Format { found: 7, known: 2, .. }), "{refused}");
}

#[test]
fn a_user_without_rights_to_make_a_schema_uses_one_that_is_there() {
    let url = server::shared().database();
    let database = url.rsplit('/').next().expect("a name").to_owned();
    server::shared().sql("postgres", "CREATE ROLE plain LOGIN");
    let plain = url.replace("//volar@", "//plain@");
    let refused = open(&hasty(plain.clone())).map(drop).expect_err("must be refused");
    assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.contains("42501")), "{refused}");
    server::shared().sql(&database, "CREATE SCHEMA volar AUTHORIZATION plain");
    put(&open(&hasty(plain)).expect("opens"), b"a");
}

#[test]
fn nobody_there_is_said_in_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = folder.path().to_str().expect("plain path").replace('/', "%2F");
    let refused = open(&hasty(format!("postgresql://volar@{host}/volar"))).map(drop).expect_err("nobody there");
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    let missing = server::shared().url("nowhere");
    let refused = open(&hasty(missing)).map(drop).expect_err("no such database");
    assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.contains("nowhere")), "{refused}");
}

#[test]
fn a_server_that_is_away_is_waited_for_and_then_said() {
    let server = Server::start(&[]);
    let store = open(&PostgresConfig { patience_seconds: 3, ..PostgresConfig::at(server.database()) }).expect("opens");
    put(&store, b"a");
    std::thread::scope(|scope| {
        server.stop("fast");
        let waiting = scope.spawn(|| put(&store, b"b"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        server.run();
        waiting.join().expect("it went on by itself");
    });
    server.stop("fast");
    let refused = volar_vault::store::Store::transact(&store, &mut |transaction| {
        transaction.put(Table::Feed, b"c", b"")?;
        Ok(true)
    });
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let refused = volar_vault::store::Rows::read(&store, Table::Feed, b"b");
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    server.run();
    assert!(volar_vault::store::Rows::read(&store, Table::Feed, b"b").expect("readable").is_some());
    assert!(volar_vault::store::Rows::read(&store, Table::Feed, b"c").expect("readable").is_none(), "it was refused");
    put(&store, b"d");
}

/// Certificates both ways, a password, and nothing in the clear.
#[test]
fn a_server_over_the_network_is_spoken_to_in_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ca, other) = (authority(), authority());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        path
    };
    let (server_certificate, server_key) = signed(&ca, "localhost");
    let (certificate, key) = signed(&ca, "volar");
    // An address of this run's own, so that no other server's port is guessed.
    let id = std::process::id();
    let address = format!("127.{}.{}.{}", 1 + id % 250, 1 + id / 250 % 250, 1 + id / 62_500 % 250);
    let server = Server::start(&[&format!("listen_addresses = '{address}'"), "port = 5432"]);
    let data = server.data();
    give(&server, "server.crt", &server_certificate);
    give(&server, "server.key", &server_key);
    give(&server, "root.crt", &ca.0.pem());
    let hba =
        "local all all trust\nhostssl all volar all cert clientcert=verify-full\nhostssl all pass all scram-sha-256\n";
    give(&server, "pg_hba.conf", hba);
    for setting in
        ["ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'root.crt'"]
    {
        server.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    server.sql("postgres", "CREATE ROLE pass LOGIN SUPERUSER PASSWORD 'a secret word'");
    server.stop("fast");
    server.run();
    assert!(data.join("server.key").exists());
    let over = |user: &str, ca: &str| PostgresConfig {
        ca: Some(write("ca.pem", ca)),
        ..hasty(format!("postgresql://{user}@localhost:5432/postgres?hostaddr={address}"))
    };
    let ours = PostgresConfig {
        certificate: Some(write("vault.pem", &certificate)),
        key: Some(write("vault.key", &key)),
        ..over("volar", &ca.0.pem())
    };
    put(&open(&ours).expect("opens by certificate"), b"a");
    let without = open(&over("volar", &ca.0.pem())).map(drop).expect_err("no certificate shown");
    assert!(matches!(without, StoreError::Refused { .. } | StoreError::Unavailable { .. }), "{without}");
    let by_password =
        |word: &str| PostgresConfig { password_file: Some(write("word", word)), ..over("pass", &ca.0.pem()) };
    put(&open(&by_password("a secret word\n")).expect("opens by password"), b"b");
    let wrong = open(&by_password("another")).map(drop).expect_err("a wrong password");
    assert!(wrong.to_string().contains("28P01") && !wrong.to_string().contains("another\""), "{wrong}");
    let foreign = PostgresConfig { ca: Some(write("other.pem", &other.0.pem())), ..ours };
    let foreign = open(&foreign).map(drop).expect_err("signed by a stranger");
    assert!(foreign.to_string().contains("certificate"), "{foreign}");
}

type Authority = (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>);

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
    let certificate = parameters.self_signed(&key).expect("signed");
    (certificate, rcgen::Issuer::new(parameters, key))
}

fn signed(by: &Authority, name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    (parameters.signed_by(&key, &by.1).expect("signed").pem(), key.serialize_pem())
}

/// Puts a file into the server's folder, in its user's name.
fn give(server: &Server, name: &str, text: &str) {
    let path = server.data().join(name);
    std::fs::write(&path, text).expect("writable");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
    chown_like(&path, &server.data());
}

fn chown_like(path: &Path, like: &Path) {
    let status = Command::new("chown").arg("--reference").arg(like).arg(path).status().expect("chown runs");
    assert!(status.success());
}

fn put(store: &PostgresStore, key: &[u8]) {
    volar_vault::store::Store::transact(store, &mut |transaction| {
        transaction.put(Table::Feed, key, b"")?;
        Ok(true)
    })
    .expect("written");
}
