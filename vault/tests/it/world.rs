//! A vault in a temporary folder, with a clock that stands still until told, and the peers around it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use volar_core::clock::{Clock, ManualClock, Timestamp};
use volar_core::id::{GalleryId, IdempotencyId, SubjectId, TicketId};
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, Ticket};
use volar_service::identity::Peer;
use volar_service::system::SystemRandomness;
use volar_vault::backup::BackupConfig;
use volar_vault::config::GalleryConfig;
use volar_vault::enrollment::Enroll;
use volar_vault::error::VaultError;
use volar_vault::feed::FeedItem;
use volar_vault::format::v1::{Consent, Payment, State};
use volar_vault::format::v3::Suspicion;
use volar_vault::keys::{KeyFile, KeyTableError};
use volar_vault::store::{PostgresConfig, PostgresStore, SledStore, Store, StoreError};
use volar_vault::vault::{Call, DamagedKeys, Parts, Settings, Vault};

use crate::people;

/// The score of every [`suspicion`].
pub(crate) const SUSPICION: f32 = 14.25;

/// A vault's surroundings, over one engine.
pub(crate) struct WorldOver<E> {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) settings: Settings,
    pub(crate) engine: E,
}

/// Over sled.
pub(crate) type World = WorldOver<Sled>;

/// What a world's vault keeps its records in.
pub(crate) trait Engine: Sized {
    fn new() -> Self;
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, StoreError>;
}

/// In the world's folder.
pub(crate) struct Sled;

impl Engine for Sled {
    fn new() -> Self {
        Self
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(SledStore::open(&folder.join("store"), 64 << 20, true)?))
    }
}

/// In a database of the world's own.
pub(crate) struct Postgres(pub(crate) PostgresConfig);

impl Engine for Postgres {
    fn new() -> Self {
        let spread = crate::postgres::citus::database();
        Self(PostgresConfig::at(spread.unwrap_or_else(|| crate::postgres::server::shared().database())))
    }

    fn open(&self, _: &Path) -> Result<Box<dyn Store>, StoreError> {
        // Each opening names its writer anew, where the world's own randomness is the same in every world.
        Ok(Box::new(PostgresStore::open(&self.0, &SystemRandomness)?))
    }
}

/// The same, shared with every other vault of the world that is open.
pub(crate) struct SharedPostgres(pub(crate) PostgresConfig);

impl Engine for SharedPostgres {
    fn new() -> Self {
        Self(PostgresConfig { shared: true, connections: 4, ..Postgres::new().0 })
    }

    fn open(&self, _: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(PostgresStore::open(&self.0, &SystemRandomness)?))
    }
}

impl Postgres {
    /// The store itself, without a vault.
    pub(crate) fn store(&self) -> Box<dyn Store> {
        self.open(Path::new("")).expect("opens")
    }
}

pub(crate) fn slug<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a slug")
}

pub(crate) fn peer(role: &str, device: &str) -> Peer {
    format!("spiffe://volar/acme/north/{role}/{device}").parse().expect("a peer's name")
}

pub(crate) fn kiosk() -> Peer {
    peer("kiosk", "kiosk-1")
}

pub(crate) fn matcher() -> Peer {
    peer("matcher", "matcher-1")
}

pub(crate) fn checkout() -> Peer {
    peer("checkout", "checkout-1")
}

pub(crate) fn operator() -> Peer {
    peer("operator", "ops-1")
}

/// A matcher's suspicion that a new subject is `of`.
pub(crate) fn suspicion(of: SubjectId) -> Suspicion {
    Suspicion { of, score: Some(SUSPICION) }
}

pub(crate) fn members() -> GalleryId {
    slug("members")
}

pub(crate) fn payment() -> Payment {
    Payment {
        provider: "test".to_owned(),
        customer: "cus_secret_anna_77".to_owned(),
        payment_method: "pm_secret_anna_88".to_owned(),
        label: "Test account anna".to_owned(),
    }
}

/// What a vault's server does beside serving, where others share its store.
pub(crate) fn look_around_until(vault: &Vault, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        assert!(!vault.look_around().expect("readable"), "nobody has sealed it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl<E> WorldOver<E> {
    /// The same world, its records elsewhere.
    pub(crate) fn with<F>(self, engine: F) -> WorldOver<F> {
        let Self { folder, clock, randomness, settings, .. } = self;
        WorldOver { folder, clock, randomness, settings, engine }
    }
}

impl<E: Engine> WorldOver<E> {
    pub(crate) fn new() -> Self {
        Self::over(E::new())
    }

    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    pub(crate) fn over(engine: E) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let randomness: Arc<dyn Randomness> = Arc::new(SeededRandomness::new(1));
        KeyFile::create(&folder.path().join("vault.key"), &*randomness).expect("writable");
        let gallery = |id| GalleryConfig { id, model: slug("palm-lines-3"), sites: Default::default() };
        let settings = Settings {
            tenants: vec![
                (slug("acme"), vec![gallery(members())]),
                (slug("bolt"), vec![gallery(members()), gallery(slug("staff"))]),
            ],
            verdicts_required: 1,
            payment_deadline: Duration::from_secs(900),
            ticket_lifetime: Duration::from_secs(900),
            answer_lifetime: Duration::from_secs(72 * 3_600),
            erasure_wait: Duration::from_millis(50),
            heartbeat: Duration::from_millis(100),
            retention: Default::default(),
            damaged_keys: DamagedKeys::Refuse,
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(1_790_000_000_000)));
        Self { folder, clock, randomness, settings, engine }
    }

    /// The store itself, without a vault.
    pub(crate) fn store(&self) -> Box<dyn Store> {
        for _ in 0..100 {
            match self.engine.open(self.folder.path()) {
                Err(StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(20)),
                opened => return opened.expect("a store that opens"),
            }
        }
        panic!("the store stays in use");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open(&self) -> Arc<Vault> {
        self.open_with(None)
    }

    pub(crate) fn open_with(&self, backup: Option<BackupConfig>) -> Arc<Vault> {
        for _ in 0..100 {
            match self.try_open_with(backup.clone()) {
                // A process that another test starts at this moment holds every open file until it runs its program.
                Err(
                    VaultError::Store(StoreError::InUse { .. }) | VaultError::KeyTable(KeyTableError::InUse { .. }),
                ) => std::thread::sleep(Duration::from_millis(20)),
                opened => return Arc::new(opened.expect("a vault that opens")),
            }
        }
        panic!("the store stays in use");
    }

    pub(crate) fn try_open(&self) -> Result<Vault, VaultError> {
        self.try_open_with(None)
    }

    pub(crate) fn try_open_with(&self, backup: Option<BackupConfig>) -> Result<Vault, VaultError> {
        let store = self.engine.open(self.folder.path())?;
        let holder = Arc::new(KeyFile::open(&self.path("vault.key"))?);
        let parts = Parts {
            store,
            key_table: &self.path("keys"),
            holder,
            clock: self.clock.clone(),
            randomness: self.randomness.clone(),
        };
        Vault::open_with(parts, self.settings.clone(), backup)
    }

    /// A new call; bodies that differ get different `body`.
    pub(crate) fn call(&self, body: u8) -> Call {
        Call { id: IdempotencyId::random(&*self.randomness), body_sha256: [body; 32] }
    }

    pub(crate) fn consent(&self) -> Consent {
        Consent {
            policy_version: "2026-11".to_owned(),
            language: "de".to_owned(),
            text_sha256: [3; 32],
            given_at: self.clock.now(),
            method: "touch-screen".to_owned(),
        }
    }

    pub(crate) fn request(&self, payment_follows: bool) -> Enroll {
        let usual = people::enrollment(&*self.randomness, self.clock.now(), 2, 3);
        Enroll { consent: Some(self.consent()), payment_follows, ..usual }
    }

    /// Everything in the feed.
    pub(crate) fn feed(&self, vault: &Vault) -> Vec<FeedItem> {
        vault.events(&matcher(), &members(), Shard::WHOLE, 1, 100_000).expect("readable").0
    }

    /// Enrols somebody and returns their enrollment, subject and sequence number.
    pub(crate) fn enroll(&self, vault: &Vault) -> (volar_core::id::EnrollmentId, SubjectId, u64) {
        let enrollment = vault.enroll(&kiosk(), &self.call(0), &self.request(true)).expect("enrolled");
        let item = self.feed(vault).pop().expect("an event");
        (enrollment, item.subject, item.sequence)
    }

    /// Enrols somebody, active and with a payment reference.
    pub(crate) fn member(&self, vault: &Vault) -> SubjectId {
        let (enrollment, subject, sequence) = self.enroll(vault);
        let clear = vault.report_verdict(&matcher(), &self.call(0), &members(), sequence, Shard::WHOLE, None);
        assert_eq!(clear.expect("reported"), Some(State::Active));
        vault.bind_payment(&kiosk(), &self.call(0), enrollment, &payment()).expect("bound");
        subject
    }

    /// A ticket as a matcher makes it.
    pub(crate) fn ticket(&self, subject: SubjectId, purpose: Purpose) -> Ticket {
        let now = self.clock.now();
        Ticket {
            id: TicketId::random(&*self.randomness),
            purpose,
            tenant: slug("acme"),
            gallery: members(),
            subject,
            site: slug("north"),
            device: slug(if purpose == Purpose::Admission { "gate-1" } else { "kiosk-1" }),
            lane: slug("lane-1"),
            decided_at: now,
            expires_at: now.after(self.settings.ticket_lifetime),
        }
    }

    /// The same, sealed under the tenant's key of now.
    pub(crate) fn sealed(&self, vault: &Vault, subject: SubjectId, purpose: Purpose) -> Vec<u8> {
        self.ticket(subject, purpose).seal(&vault.ticket_key(&matcher()).expect("a key"), &*self.randomness)
    }
}
