//! A vault without its key serves nobody and says why; an operator opens it, and closes it again, without a restart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;
use volar_proto::v1 as wire;
use volar_proto::v1::seal_service_server::SealService;
use volar_service::fault::Fault;
use volar_service::identity::Peer;
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::error::VaultError;
use volar_vault::format::v1::State;
use volar_vault::seat::Seat;
use volar_vault::server;
use volar_vault::service::{Seal, seated_routes};

use crate::services::{from, reason};
use crate::world::{World, kiosk, matcher, operator};

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writable");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("own file");
}

/// A vault whose key file is under the passphrase "correct horse", which its configuration names no file of.
pub(crate) fn under_a_passphrase(folder: &Path) -> Config {
    let mut config: Config = toml::from_str(DEFAULTS).expect("valid");
    config.keys.file = Some(folder.join("vault.key"));
    config.store.folder = folder.join("store");
    config.store.key_table = folder.join("keys");
    let passphrase = folder.join("passphrase");
    write_private(&passphrase, "correct horse\n");
    config.keys.passphrase_file = Some(passphrase);
    assert!(server::init(&config, false).expect("made"));
    assert!(!server::init(&config, false).expect("kept"));
    config.keys.passphrase_file = None;
    config
}

pub(crate) fn seat(config: &Config, shutdown: &CancellationToken) -> Arc<Seat> {
    let settings = config.settings().expect("within the rules");
    Arc::new(Seat::new(config.clone(), settings, HealthReporter::new(), shutdown.clone()))
}

/// Calls a method with an empty message, as the server does; the refusal's reason, or nothing.
async fn refusal(seat: &Arc<Seat>, peer: Peer, path: &str) -> Option<String> {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .body(Body::from(vec![0; 5]))
        .expect("a request");
    request.extensions_mut().insert(peer);
    let answer = seated_routes(seat).into_axum_router().oneshot(request).await.expect("an answer");
    let status = tonic::Status::from_header_map(answer.headers())?;
    Some(Fault::reason_of(&status).unwrap_or_else(|| format!("{:?}", status.code())))
}

const STATUS: &str = "/volar.v1.AdminService/GetStatus";
const FOLLOW: &str = "/volar.v1.TemplateFeed/Follow";
const ENROLL: &str = "/volar.v1.EnrollmentService/Enroll";

#[tokio::test]
async fn a_vault_without_its_passphrase_is_sealed_until_an_operator_gives_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shutdown = CancellationToken::new();
    let seat = seat(&under_a_passphrase(folder.path()), &shutdown);
    let service = Seal(seat.clone());
    let unseal = |secret: &str| service.unseal(from(operator(), wire::UnsealRequest { secret: secret.to_owned() }));

    let failed = seat.start(None, None).await.expect_err("nobody has given the passphrase");
    assert!(failed.to_string().contains("volarctl vault unseal"), "{failed}");
    let seal = service.get_seal(from(operator(), wire::GetSealRequest {})).await.expect("answered").into_inner();
    assert!(seal.sealed && seal.secret_wanted && seal.reason.contains("under a passphrase"), "{seal:?}");
    for (peer, path) in [(operator(), STATUS), (kiosk(), ENROLL), (matcher(), FOLLOW)] {
        assert_eq!(refusal(&seat, peer, path).await.as_deref(), Some("SEALED"), "{path}");
    }
    assert!(!folder.path().join("store").exists(), "a sealed vault has touched its store");

    assert_eq!(reason(unseal("wrong horse").await).1, "SECRET_WRONG");
    assert_eq!(reason(unseal("two\nlines").await).1, "SECRET_UNUSABLE");
    unseal("correct horse").await.expect("opened");
    assert_eq!(refusal(&seat, operator(), STATUS).await, None);
    unseal("whatever").await.expect("an open one stays open");
    assert!(!service.get_seal(from(operator(), wire::GetSealRequest {})).await.expect("answered").into_inner().sealed);

    // A follower is there: sealing ends its feed, and the keys go with the last call.
    assert_ne!(refusal(&seat, matcher(), FOLLOW).await.as_deref(), Some("SEALED"));
    service.seal(from(operator(), wire::SealRequest {})).await.expect("sealed");
    assert_eq!(refusal(&seat, operator(), STATUS).await.as_deref(), Some("SEALED"));
    service.seal(from(operator(), wire::SealRequest {})).await.expect("sealed already");
    unseal("correct horse").await.expect("opened again, so its store was let go of");
    assert_eq!(refusal(&seat, operator(), STATUS).await, None);
    seat.seal(operator()).await.expect("sealed");
}

#[tokio::test]
async fn a_vault_whose_key_file_is_elsewhere_opens_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = under_a_passphrase(folder.path());
    config.keys.passphrase_file = Some(folder.path().join("passphrase"));
    let (key, away) = (folder.path().join("vault.key"), folder.path().join("stick"));
    std::fs::rename(&key, &away).expect("own file");
    let seat = seat(&config, &CancellationToken::new());
    seat.start(None, None).await.expect_err("no key file");
    let sealed = seat.sealed().expect("sealed");
    assert!(sealed.reason.contains("vault.key") && !sealed.secret_wanted, "{sealed:?}");
    std::fs::rename(&away, &key).expect("own file");
    seat.unseal(operator(), None).await.expect("its passphrase is in a file");
    tokio::time::timeout(Duration::from_secs(30), seat.seal(operator())).await.expect("in time").expect("sealed");
}

#[tokio::test]
async fn a_seal_outlives_the_process_and_is_in_the_audit_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = under_a_passphrase(folder.path());
    config.keys.passphrase_file = Some(folder.path().join("passphrase"));
    let first = seat(&config, &CancellationToken::new());
    first.start(None, None).await.expect("nobody has sealed it");
    first.seal(operator()).await.expect("sealed");

    let second = seat(&config, &CancellationToken::new());
    let refused = second.start(None, None).await.expect_err("an operator has sealed it");
    assert!(matches!(refused, VaultError::SealedByOperator), "{refused}");
    assert_eq!(refusal(&second, operator(), STATUS).await.as_deref(), Some("SEALED"));
    second.unseal(operator(), None).await.expect("an operator opens it");
    assert_eq!(refusal(&second, operator(), STATUS).await, None);
    second.stop().await.expect("stopped");

    let vault = server::open(&config, config.settings().expect("within the rules")).expect("it was opened");
    let leaves = vault.audit_leaves(&operator(), 0, 100).expect("readable");
    let told: Vec<_> = leaves.iter().filter(|leaf| leaf.contains("actor operator/north/ops-1")).collect();
    assert_eq!(told.len(), 2, "{leaves:?}");
    assert!(told[0].contains("the vault was sealed") && told[1].contains("the vault was unsealed"), "{told:?}");
}

#[tokio::test]
async fn whoever_waits_for_news_is_answered_when_a_vault_closes() {
    let world = World::new();
    let vault = world.open();
    let (enrollment, _, _) = world.enroll(&vault);
    let waits = {
        let vault = vault.clone();
        async move { vault.wait_for_standing(&kiosk(), enrollment, Duration::from_secs(10)).await }
    };
    let waiting = tokio::spawn(waits);
    vault.close();
    let answered = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it waits no longer");
    assert_eq!(answered.expect("no panic").expect("known").state, Some(State::Pending));
}
