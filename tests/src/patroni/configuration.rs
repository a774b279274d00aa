//! What Patroni, etcd and PostgreSQL are told: what `README.md` tells operators to.
//!
//! Patroni speaks etcd's second interface here. Over the third, releases before 3.0.3, Debian 12's among them, renew a
//! leader's lock without looking whose it has become meanwhile (patroni/patroni#2689): a primary that was cut off and
//! comes back takes it from the one that led in its place, and the cluster loses what that one acknowledged. Over the
//! second, which Debian's etcd has, the lock is renewed only by whom it names.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::network::Place;
use super::{LEADER_TIME_TO_LIVE, programs};

/// The vault's, in a cluster that lives as long as a test.
pub(super) const PASSWORD: &str = "one-of-a-test";

/// What a server is called.
pub(super) fn name(number: usize) -> String {
    format!("node-{number}")
}

/// `patroni.yml` of one server.
pub(super) fn patroni(cluster: &Path, folder: &Path, number: usize, places: &[Place]) -> String {
    let Place { peer, client, .. } = &places[number];
    let etcd: Vec<String> = places.iter().map(|place| format!("{}:2379", place.peer)).collect();
    let listen = if peer == client { peer.clone() } else { format!("{peer},{client}") };
    // Patroni's own page takes one address.
    let page = if peer == client { peer } else { "0.0.0.0" };
    format!(
        r#"scope: volar
name: {name}
restapi: {{listen: "{page}:8008", connect_address: "{peer}:8008"}}
etcd: {{hosts: "{etcd}"}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 1
    retry_timeout: 5
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters:
        wal_log_hints: "on"
        synchronous_commit: "on"
        max_connections: 100
        # The other standby must follow the new primary before anything is acknowledged.
        wal_retrieve_retry_interval: 500ms
  initdb: [{{encoding: UTF8}}, {{locale: C}}, data-checksums]
postgresql:
  listen: "{listen}:5432"
  connect_address: "{peer}:5432"
  data_dir: {folder}/data
  bin_dir: {programs}
  pgpass: {folder}/pgpass
  use_unix_socket: true
  # A server that is copied anew waits for no checkpoint's turn.
  basebackup: [{{checkpoint: fast}}]
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator, password: {PASSWORD}}}
    rewind: {{username: rewinder, password: {PASSWORD}}}
  parameters:
    unix_socket_directories: {folder}
    ssl: "on"
    ssl_cert_file: {cluster}/server.pem
    ssl_key_file: {cluster}/server.key
  pg_hba:
    - local all all trust
    - hostssl all volar 0.0.0.0/0 scram-sha-256
    - hostssl replication replicator 0.0.0.0/0 scram-sha-256
    - hostssl all rewinder 0.0.0.0/0 scram-sha-256
"#,
        name = name(number),
        etcd = etcd.join(","),
        ttl = LEADER_TIME_TO_LIVE.as_secs(),
        programs = programs().display(),
        folder = folder.display(),
        cluster = cluster.display(),
    )
}

/// etcd's arguments on one server.
pub(super) fn etcd(folder: &Path, number: usize, places: &[Place]) -> Vec<String> {
    let peer = &places[number].peer;
    let all: Vec<String> =
        (0..).zip(places).map(|(number, place)| format!("{}=http://{}:2380", name(number), place.peer)).collect();
    let (peers, clients) = (format!("http://{peer}:2380"), format!("http://{peer}:2379"));
    let words = [
        ("name", name(number)),
        ("data-dir", folder.join("etcd").display().to_string()),
        ("listen-peer-urls", peers.clone()),
        ("initial-advertise-peer-urls", peers),
        ("listen-client-urls", clients.clone()),
        ("advertise-client-urls", clients),
        ("initial-cluster", all.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        // All three share one disk here, and none of them is killed: what is tried is PostgreSQL.
        ("heartbeat-interval", "300".to_owned()),
        ("election-timeout", "3000".to_owned()),
    ];
    let words = words.into_iter().map(|(name, value)| format!("--{name}={value}"));
    words.chain(["--enable-v2", "--unsafe-no-fsync"].map(str::to_owned)).collect()
}

/// Writes what the vault and the servers know each other by: one authority, one certificate for every server, and the
/// vault's password.
pub(super) fn certify(folder: &Path, places: &[Place]) {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "database authority");
    let ca = parameters.self_signed(&key).expect("signed");
    let issuer = Issuer::new(parameters, key);
    let server = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::default();
    let address = |text: &String| SanType::IpAddress(text.parse::<IpAddr>().expect("an address"));
    parameters.subject_alt_names = places.iter().flat_map(|place| [&place.peer, &place.client]).map(address).collect();
    parameters.distinguished_name.push(DnType::CommonName, "database");
    let certificate = parameters.signed_by(&server, &issuer).expect("signed");
    let write = |name: &str, text: &str, mode| {
        let path = folder.join(name);
        fs::write(&path, text).expect("the folder is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    write("ca.pem", &ca.pem(), 0o644);
    write("server.pem", &certificate.pem(), 0o644);
    write("server.key", &server.serialize_pem(), 0o600);
    write("password", PASSWORD, 0o600);
}
