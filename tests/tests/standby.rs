//! A second vault on the store of the first. It stands by, and takes over when that is gone: nothing acknowledged is lost,
//! matchers follow it by themselves, and a sealed vault stays sealed. Or both share a database, and serve at once.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use volar_proto::v1::seal_service_client::SealServiceClient;
use volar_proto::v1::{
    EnrollmentState, EraseSubjectRequest, GetSealRequest, ListSubjectsRequest, SealRequest, UnsealRequest,
};
use volar_service::identity::Role;
use volar_tests::client::{Clients, enroll, fresh_id, reason};
use volar_tests::palms::Person;
use volar_tests::system::System;
use xtask::configuration::GALLERY;
use xtask::process::{Process, Start};
use xtask::workspace::binaries;

#[allow(dead_code, reason = "the vault's own tests do more with it")]
#[path = "../../vault/tests/it/postgres/server.rs"]
mod server;

const PATIENCE: Duration = Duration::from_secs(30);

/// A vault beside the system's own.
struct Second {
    process: Process,
    announce: PathBuf,
    log: PathBuf,
}

impl Second {
    /// One that takes `listen` once nobody else has the store.
    fn standing_by(system: &System, name: &str, listen: SocketAddr) -> Self {
        let mut standby = Self::start(system, name, listen, "standby = true\n");
        let log = standby.log.clone();
        let stands_by = || fs::read_to_string(&log).ok()?.contains("standing by").then_some(());
        standby.process.wait_until(stands_by).expect("it says that it stands by");
        standby
    }

    fn start(system: &System, name: &str, listen: SocketAddr, more: &str) -> Self {
        let folder = system.folder();
        let text = fs::read_to_string(folder.join("vault.toml")).expect("the first vault's configuration");
        // Written before the first one's port was known.
        let own = text.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{listen}\""));
        let own = own.replace("[store]\n", &format!("[store]\n{more}"));
        let config = folder.join(name).with_extension("toml");
        fs::write(&config, own).expect("the folder is writable");
        let (announce, log) = (folder.join("run").join(name), folder.join("logs").join(name).with_extension("log"));
        let arguments: Vec<OsString> =
            vec!["--config".into(), config.into(), "--announce".into(), announce.clone().into()];
        let start = Start {
            name,
            binaries: binaries(),
            program: "volar-vault",
            arguments,
            log: log.clone(),
            output: false,
            environment: Vec::new(),
        };
        let (process, _) = Process::start(start).expect("the second vault starts");
        Self { process, announce, log }
    }

    fn serves(&self) -> bool {
        self.announce.exists()
    }

    /// Waits until it serves; where it listens.
    fn serving(&mut self) -> SocketAddr {
        let announce = &self.announce;
        let address = self.process.wait_until(|| fs::read_to_string(announce).ok()?.trim().parse().ok());
        address.unwrap_or_else(|error| panic!("{error:#}; see {}", self.log.display()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_and_leaves_a_sealed_vault_sealed() {
    let mut system = System::servers();
    let clients = system.clients();
    let palms = clients.palms().await;
    let (anna, ben) = (Person::new(1), Person::new(2));
    enrolled(&clients, &palms, &anna).await;

    // On the first one's address, as one that moves with the service.
    let mut second = Second::standing_by(&system, "vault-2", system.deployment.addresses().vault);
    assert!(!second.serves(), "the first still does");
    tokio::task::block_in_place(|| system.deployment.vault_process().expect("it runs").kill());
    let killed = Instant::now();
    tokio::task::block_in_place(|| second.serving());
    println!("the standby served {:.1?} after the kill", killed.elapsed());
    assert_eq!(clients.subjects().await.len(), 1, "what was acknowledged is there");
    // The matcher follows by itself: who enrols at the standby is searched for and admitted.
    enrolled(&clients, &palms, &ben).await;
    for person in [&anna, &ben] {
        clients.admit(&palms, person).await;
    }

    // Sealed by an operator: the next standby has store and keys to itself, and opens nothing.
    let mut third = Second::standing_by(&system, "vault-3", SocketAddr::from(([127, 0, 0, 1], 0)));
    seal(&clients).seal(SealRequest {}).await.expect("sealed");
    let mut addresses = system.deployment.addresses();
    addresses.vault = tokio::task::block_in_place(|| third.serving());
    let clients = Clients::new(system.folder(), addresses);
    let sealed = seal(&clients).get_seal(GetSealRequest {}).await.expect("answered").into_inner();
    assert!(sealed.sealed && sealed.reason.contains("volarctl vault unseal"), "{sealed:?}");
    let list = ListSubjectsRequest { gallery: GALLERY.to_owned(), ..ListSubjectsRequest::default() };
    let refused = clients.admin().list_subjects(list).await.expect_err("nobody is served");
    assert_eq!(reason(&refused), "SEALED");
    seal(&clients).unseal(UnsealRequest { secret: String::new() }).await.expect("its key is in a file");
    assert_eq!(clients.subjects().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_vaults_serve_at_once_and_one_may_die() {
    let database = server::shared().database();
    let mut system = System::servers_on(format!("[store.postgres]\nurl = \"{database}\"\nshared = true\n"));
    let first = system.clients();
    let mut beside = Second::start(&system, "vault-2", SocketAddr::from(([127, 0, 0, 1], 0)), "");
    let mut addresses = system.deployment.addresses();
    let home = addresses.vault;
    addresses.vault = tokio::task::block_in_place(|| beside.serving());
    let second = Clients::new(system.folder(), addresses);
    let palms = first.palms().await;
    let (anna, ben, cara) = (Person::new(1), Person::new(2), Person::new(3));

    // The matcher follows the first, and hears of whoever enrols at the second.
    enrolled(&second, &palms, &anna).await;
    enrolled(&first, &palms, &ben).await;
    let (at_first, at_second) = (first.subjects().await, second.subjects().await);
    assert_eq!(at_first, at_second);
    let ticket = second.admit(&palms, &anna).await.ticket;
    let claimed = second.claim(&ticket).await.map(drop).expect_err("no payment was bound");
    assert_eq!(reason(&claimed), "NO_PAYMENT_REFERENCE");

    // The second waits for the first one's matcher before it gives a receipt.
    let subject_id = at_second[0].subject_id.clone();
    let request = EraseSubjectRequest { idempotency_id: fresh_id(), subject_id };
    let receipt = second.admin().erase_subject(request.clone()).await.expect("erased").into_inner().receipt;
    let receipt = receipt.expect("a receipt");
    assert_eq!((receipt.matchers_confirmed, receipt.matchers_pending), (vec!["matcher-1".to_owned()], vec![]));

    // Keys are changed at the first, and the second goes on with the new ones.
    for words in [["keys", "rotate"].as_slice(), &["gallery", "re-protect", "members"]] {
        tokio::task::block_in_place(|| system.deployment.operator().run(words)).expect("it ends well");
    }
    let palms = second.palms().await;
    assert_eq!(palms.generation, 2);
    second.admit(&palms, &ben).await;

    // The first dies: the second goes on at once, and the matcher when its vault is back.
    tokio::task::block_in_place(|| system.deployment.vault_process().expect("it runs").kill());
    let waiting = second.enrollment().enroll(enroll(&palms, &cara, false)).await.expect("it goes on").into_inner();
    second.admit(&palms, &ben).await;
    let mut again = Second::start(&system, "vault-3", home, "");
    tokio::task::block_in_place(|| again.serving());
    assert_eq!(second.settled(&waiting.enrollment_id).await, EnrollmentState::Active);
    second.admit(&palms, &cara).await;

    // A seal at one closes both, and each is opened by itself.
    seal(&second).seal(SealRequest {}).await.expect("sealed");
    let until = Instant::now() + PATIENCE;
    while !seal(&first).get_seal(GetSealRequest {}).await.is_ok_and(|seal| seal.into_inner().sealed) {
        assert!(Instant::now() < until, "the other stays open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seal(&first).unseal(UnsealRequest { secret: String::new() }).await.expect("its key is in a file");
    assert_eq!(first.subjects().await.len(), 2);
    let sealed = seal(&second).get_seal(GetSealRequest {}).await.expect("answered").into_inner();
    assert!(sealed.sealed, "opened by another's word");
}

fn seal(clients: &Clients) -> SealServiceClient<tonic::transport::Channel> {
    SealServiceClient::new(clients.vault(Role::Operator))
}

/// Enrols somebody and waits until they are admitted; asks again while the channel finds its way to the vault.
async fn enrolled(clients: &Clients, palms: &volar_tests::palms::Palms, person: &Person) {
    let request = enroll(palms, person, false);
    let until = Instant::now() + PATIENCE;
    let answer = loop {
        match clients.enrollment().enroll(request.clone()).await {
            Ok(answer) => break answer.into_inner(),
            Err(status) => assert!(Instant::now() < until, "still not enrolled: {status}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    while clients.settled(&answer.enrollment_id).await != EnrollmentState::Active {
        assert!(Instant::now() < until, "no verdict");
    }
    clients.admit(palms, person).await;
}
