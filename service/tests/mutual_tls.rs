//! A server takes calls only from peers that its authority vouches for, and only those its table allows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use volar_service::access::AccessTable;
use volar_service::fault::Fault;
use volar_service::server::{ServeError, Server, ServerConfig};
use volar_service::tls::{HandshakeFailure, TlsConfig};

struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a writable folder");
        let key = KeyPair::generate().expect("a key pair");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a self-signed certificate");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).expect("writable");
        Self { folder: folder.to_owned(), issuer: Issuer::new(parameters, key) }
    }

    fn issue(&self, file: &str, uri: Option<&str>, last_year: i32) -> TlsConfig {
        let key = KeyPair::generate().expect("a key pair");
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a host name");
        if let Some(uri) = uri {
            parameters.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a signed certificate");
        let path = |end: &str| self.folder.join(format!("{file}.{end}"));
        std::fs::write(path("pem"), certificate.pem()).expect("writable");
        std::fs::write(path("key"), key.serialize_pem()).expect("writable");
        TlsConfig { ca: self.folder.join("ca.pem"), certificate: path("pem"), key: path("key") }
    }
}

const GATE: Option<&str> = Some("spiffe://volar/acme/north/gate/gate-1");
const FAR: i32 = 2200;

/// A server without services of its own: where it is, and how to end it.
async fn served(own: &TlsConfig) -> (String, CancellationToken, JoinHandle<Result<(), ServeError>>) {
    let config = ServerConfig { listen: "127.0.0.1:0".parse().expect("an address"), calls_per_connection_max: 8 };
    let server = Server::bind(&config, own, AccessTable::new(&[])).await.expect("a free port");
    let url = format!("https://localhost:{}", server.address().port());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(tonic::service::Routes::default(), shutdown.clone()));
    (url, shutdown, serving)
}

#[tokio::test]
async fn only_vouched_for_peers_are_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = Authority::new(&folder.path().join("ours"));
    let theirs = Authority::new(&folder.path().join("theirs"));

    let own = ours.issue("vault", Some("spiffe://volar/acme/north/vault/vault-1"), FAR);
    let (url, shutdown, serving) = served(&own).await;

    let check = async |tls: &TlsConfig| {
        let channel = tls.channel(&url).expect("readable certificates");
        HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await
    };

    check(&ours.issue("good", GATE, FAR)).await.expect("a peer of ours is served");

    let expired = check(&ours.issue("expired", GATE, 2021)).await.expect_err("an expired certificate");
    assert_eq!(HandshakeFailure::of(&expired), Some(HandshakeFailure::OwnExpired), "{expired}");

    // Trusts our server, but was signed by another authority.
    let mut stranger = theirs.issue("stranger", GATE, FAR);
    stranger.ca.clone_from(&own.ca);
    let refused = check(&stranger).await.expect_err("a certificate of another authority");
    assert_eq!(HandshakeFailure::of(&refused), Some(HandshakeFailure::OwnRefused), "{refused}");

    let nameless = check(&ours.issue("nameless", None, FAR)).await.expect_err("a certificate without a name");
    assert_eq!(Fault::reason_of(&nameless).as_deref(), Some("CERTIFICATE_WITHOUT_NAME"), "{nameless}");

    // A client refuses a server of another authority.
    let mut cautious = ours.issue("cautious", GATE, FAR);
    cautious.ca = folder.path().join("theirs/ca.pem");
    let foreign = check(&cautious).await.expect_err("a foreign server");
    assert_eq!(HandshakeFailure::of(&foreign), Some(HandshakeFailure::ServerRefused), "{foreign}");

    shutdown.cancel();
    serving.await.expect("the task ends").expect("an orderly end");
}

#[tokio::test]
async fn generic_clients_find_the_contract_and_the_reasons_of_refusals() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = Authority::new(folder.path());
    let (url, shutdown, serving) =
        served(&ours.issue("vault", Some("spiffe://volar/acme/north/vault/vault-1"), FAR)).await;
    let channel = ours.issue("gate", GATE, FAR).channel(&url).expect("readable certificates");
    let mut client = ServerReflectionClient::new(channel);
    for symbol in ["volar.v1.CheckoutService", "grpc.health.v1.Health", "google.rpc.ErrorInfo"] {
        let question = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
        };
        let questions = futures::stream::iter([question]);
        let mut answers = client.server_reflection_info(questions).await.expect("reflection answers").into_inner();
        let answer = answers.message().await.expect("no fault").expect("one answer").message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {answer:?}");
    }
    shutdown.cancel();
    serving.await.expect("the task ends").expect("an orderly end");
}

/// Whoever connects and says nothing holds a connection for ten seconds and no longer. (Time passes at once here.)
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = Authority::new(folder.path()).issue("vault", Some("spiffe://volar/acme/north/vault/vault-1"), FAR);
    let (url, _shutdown, _serving) = served(&own).await;
    let address = url.trim_start_matches("https://").to_owned();
    let mut silent = TcpStream::connect(&address).await.expect("it listens");
    let began = tokio::time::Instant::now();
    let mut bytes = [0; 16];
    let read =
        tokio::time::timeout(Duration::from_secs(60), silent.read(&mut bytes)).await.expect("the server hangs up");
    assert!(matches!(read, Ok(0) | Err(_)), "the server says something: {read:?}");
    assert!(began.elapsed() >= Duration::from_secs(9), "cut after {:?}", began.elapsed());
}

/// A setting with which every call would wait for ever is refused.
#[tokio::test]
async fn a_server_answers_at_least_one_call_at_a_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = Authority::new(folder.path()).issue("vault", Some("spiffe://volar/acme/north/vault/vault-1"), FAR);
    let config = ServerConfig { listen: "127.0.0.1:0".parse().expect("an address"), calls_per_connection_max: 0 };
    let refused = Server::bind(&config, &own, AccessTable::new(&[])).await.map(drop);
    assert!(matches!(refused, Err(ServeError::NoCalls)), "{refused:?}");
}
