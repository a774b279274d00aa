//! Where a vault is or is to be: sealed without its keys, or open. Whoever calls while it is sealed is told so; an
//! operator opens and closes it without a restart.

mod moving;

use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use volar_service::cli::Exit;
use volar_service::identity::Peer;

use crate::backup;
use crate::config::{AuditConfig, Config};
use crate::error::VaultError;
use crate::keys::{HsmError, KeyFileError, KeyHolder, Secret};
use crate::parameters::{COMPACT_CHECK_INTERVAL, LOOK_INTERVAL, SEAL_TIME_MAX, SWEEP_INTERVAL};
use crate::server;
use crate::service;
use crate::store::{Compacted, Store};
use crate::vault::{Settings, Vault, blocking};

pub use moving::Moving;

/// A vault's place in its process.
pub struct Seat {
    /// As the process was started with, but for the engine once its records have moved.
    config: RwLock<Config>,
    settings: Settings,
    health: HealthReporter,
    shutdown: CancellationToken,
    state: RwLock<State>,
    /// One opening or closing at a time.
    changing: tokio::sync::Mutex<()>,
    moving: Mutex<Option<Moving>>,
}

enum State {
    Sealed(Sealed),
    Open(Box<Opened>),
}

/// Why a vault is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Why, and what to do.
    pub reason: String,
    /// Whether a passphrase or PIN must be given to open it.
    pub secret_wanted: bool,
}

/// How a vault is to be opened.
pub(crate) struct Opening {
    /// Passphrase or PIN.
    pub(crate) typed: Option<Secret>,
    /// Who holds the keys, if they are open already.
    pub(crate) holder: Option<Arc<dyn KeyHolder>>,
    /// The operator who says so; none at the process's start.
    pub(crate) by: Option<Peer>,
    /// The store, if it is open already.
    pub(crate) store: Option<Box<dyn Store>>,
}

struct Opened {
    vault: Arc<Vault>,
    routes: Routes,
    /// Ends feeds and the tasks.
    closing: CancellationToken,
    /// The sweeper, the publisher, the archivist, the compactor and who looks what other vaults do.
    tasks: [JoinHandle<()>; 5],
}

impl Seat {
    /// A vault that is still sealed.
    pub fn new(config: Config, settings: Settings, health: HealthReporter, shutdown: CancellationToken) -> Self {
        let reason = "the vault is starting; wait a moment".to_owned();
        let state = RwLock::new(State::Sealed(Sealed { reason, secret_wanted: false }));
        let (config, changing) = (RwLock::new(config), tokio::sync::Mutex::default());
        Self { config, settings, health, shutdown, state, changing, moving: Mutex::default() }
    }

    /// Why it is sealed; `None` if it is open.
    pub fn sealed(&self) -> Option<Sealed> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sealed(sealed) => Some(sealed.clone()),
            State::Open(_) => None,
        }
    }

    /// The services of an open vault.
    pub(crate) fn routes(&self) -> Result<Routes, Sealed> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sealed(sealed) => Err(sealed.clone()),
            State::Open(opened) => Ok(opened.routes.clone()),
        }
    }

    /// Opens the vault on an operator's word, with `typed` or with the passphrase or PIN in the file that the configuration
    /// names. An open one stays open. A wrong secret is tried once, and not again by itself.
    pub async fn unseal(self: &Arc<Self>, peer: Peer, typed: Option<Secret>) -> Result<(), VaultError> {
        self.open(Opening { typed, holder: None, by: Some(peer), store: None }).await
    }

    /// The same at the process's start, unless an operator has sealed the vault; with `store`, if it is open already.
    pub async fn start(
        self: &Arc<Self>,
        typed: Option<Secret>,
        store: Option<Box<dyn Store>>,
    ) -> Result<(), VaultError> {
        self.open(Opening { typed, holder: None, by: None, store }).await
    }

    async fn open(self: &Arc<Self>, opening: Opening) -> Result<(), VaultError> {
        let seat = self.clone();
        // Opening goes on if whoever asked is gone: a large store takes longer to read than a call may take.
        let opening = tokio::spawn(async move {
            let _alone = seat.changing.lock().await;
            seat.open_alone(opening).await
        });
        opening.await.unwrap_or(Err(VaultError::Closing))
    }

    async fn open_alone(self: &Arc<Self>, opening: Opening) -> Result<(), VaultError> {
        if self.sealed().is_none() {
            return Ok(());
        }
        let (config, settings) = (self.config(), self.settings.clone());
        let opened = tokio::task::spawn_blocking(move || server::open_as(&config, settings, opening)).await;
        match opened.map_err(|_| VaultError::Closing)? {
            Ok(vault) => self.take(Arc::new(vault)).await,
            Err(error) => {
                tracing::warn!(%error, "the vault stays sealed");
                self.set_sealed(Sealed { reason: error.to_string(), secret_wanted: self.wants_secret() });
                Err(error)
            }
        }
    }

    fn config(&self) -> Config {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn take(self: &Arc<Self>, vault: Arc<Vault>) -> Result<(), VaultError> {
        vault.resume_rotations()?;
        vault.resume_reprotections()?;
        let closing = self.shutdown.child_token();
        let routes = service::routes(&vault, &closing);
        let sweeper = tokio::spawn(sweep(vault.clone(), closing.clone()));
        let publisher = tokio::spawn(publish(vault.clone(), self.config().audit, closing.clone()));
        let archivist = tokio::spawn(backup::keep_up(vault.clone(), closing.clone()));
        let compactor = tokio::spawn(compact(vault.clone(), closing.clone()));
        let neighbour = tokio::spawn(look_around(Arc::downgrade(self), vault.clone(), closing.clone()));
        let tasks = [sweeper, publisher, archivist, compactor, neighbour];
        *self.write() = State::Open(Box::new(Opened { vault, routes, closing, tasks }));
        self.tell(ServingStatus::Serving).await;
        Ok(())
    }

    /// Closes the vault on an operator's word: refuses calls, ends feeds and rotations, waits for calls under way, and
    /// forgets every key. It stays so across restarts and standbys, unless an error says that this could not be noted.
    pub async fn seal(&self, peer: Peer) -> Result<(), VaultError> {
        let open = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sealed(_) => None,
            State::Open(opened) => Some(opened.vault.clone()),
        };
        let noted = match open {
            Some(vault) => blocking(&vault, move |vault| vault.note_seal(&peer, true)).await,
            None => Ok(()),
        };
        let reason = VaultError::SealedByOperator.to_string();
        self.close(Sealed { reason, secret_wanted: self.wants_secret() }).await?;
        noted
    }

    /// The same at the process's end; the vault's writes are durable when this returns.
    pub async fn stop(&self) -> Result<(), VaultError> {
        self.close(Sealed { reason: "the vault is stopping".to_owned(), secret_wanted: false }).await
    }

    async fn close(&self, sealed: Sealed) -> Result<(), VaultError> {
        let _alone = self.changing.lock().await;
        self.close_alone(sealed).await
    }

    async fn close_alone(&self, sealed: Sealed) -> Result<(), VaultError> {
        self.tell(ServingStatus::NotServing).await;
        let before = std::mem::replace(&mut *self.write(), State::Sealed(sealed));
        let State::Open(opened) = before else { return Ok(()) };
        let Opened { vault, routes, closing, tasks } = *opened;
        closing.cancel();
        vault.close();
        drop(routes);
        for task in tasks {
            // A panic in one was reported when it happened.
            let _ = task.await;
        }
        blocking(&vault, Vault::settle).await?;
        let end = tokio::time::Instant::now() + SEAL_TIME_MAX;
        while Arc::strong_count(&vault) > 1 {
            if tokio::time::Instant::now() > end {
                // The last of them takes the keys with it.
                return Err(VaultError::StillBusy);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Dropping zeroes the keys and closes the store, which takes the disk a moment.
        tokio::task::spawn_blocking(move || drop(vault)).await.map_err(|_| VaultError::Closing)?;
        tracing::info!("the vault is sealed");
        Ok(())
    }

    fn set_sealed(&self, sealed: Sealed) {
        *self.write() = State::Sealed(sealed);
    }

    fn wants_secret(&self) -> bool {
        let keys = self.config().keys;
        match (&keys.hsm, &keys.file) {
            (Some(hsm), _) => hsm.pin_file.is_none(),
            (None, Some(file)) => {
                keys.passphrase_file.is_none() && crate::keys::KeyFile::is_protected(file).unwrap_or(false)
            }
            (None, None) => false,
        }
    }

    async fn tell(&self, status: ServingStatus) {
        for name in service::NAMES.into_iter().chain([""]) {
            self.health.set_service_status(name, status).await;
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a vault that does not open for this reason may wait, sealed, for an operator: its keys are out of reach, and
/// nothing is wrong with what they open.
pub(crate) fn is_sealed_by(error: &VaultError) -> bool {
    match error {
        VaultError::Secret(_) | VaultError::Hsm(_) | VaultError::SealedByOperator => true,
        VaultError::Holder(crate::keys::HolderError::Hsm(error)) => !matches!(error, HsmError::KeyMissing { .. }),
        VaultError::KeyFile(KeyFileError::PassphraseNeeded { .. } | KeyFileError::PassphraseWrong { .. }) => true,
        VaultError::KeyFile(KeyFileError::Unreadable { error, .. }) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// As [`Seat::start`]: a vault that an operator has sealed, or whose keys are out of reach, stays sealed and says so;
/// anything else that is wrong ends the process.
pub(crate) async fn open_or_stay_sealed(
    seat: &Arc<Seat>,
    typed: Option<Secret>,
    store: Option<Box<dyn Store>>,
) -> Result<(), Exit> {
    match seat.start(typed, store).await {
        Err(error) if is_sealed_by(&error) => {
            seat.tell(ServingStatus::NotServing).await;
            tracing::warn!("the vault starts sealed; `volarctl vault unseal` opens it");
            Ok(())
        }
        ended => ended.map_err(Exit::unavailable),
    }
}

async fn sweep(vault: Arc<Vault>, closing: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    let mut retained_on = None;
    while closing.run_until_cancelled(tick.tick()).await.is_some() {
        // What another vault began, should it have died.
        if vault.is_shared()
            && let Err(error) = vault.resume_rotations().and_then(|()| vault.resume_reprotections())
        {
            tracing::error!(%error, "a change of keys cannot go on now");
        }
        if let Err(error) = blocking(&vault, Vault::measure).await {
            tracing::error!(%error, "gauges cannot be read now");
        }
        match blocking(&vault, Vault::sweep).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "abandoned enrollments erased"),
            Err(error) => tracing::error!(%error, "abandoned enrollments cannot be erased now"),
        }
        let today = vault.today();
        if retained_on != Some(today) {
            match blocking(&vault, Vault::run_retention_for_all).await {
                Ok(erased) => {
                    retained_on = Some(today);
                    tracing::info!(erased, "retention schedule applied");
                }
                Err(error) => tracing::error!(%error, "the retention schedule cannot be applied now"),
            }
        }
        match blocking(&vault, Vault::forget_old).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!(forgotten, "answers and claims whose time was over are forgotten"),
            Err(error) => tracing::error!(%error, "records whose time is over cannot be removed now"),
        }
    }
}

/// Looks what other vaults over the same store do, where there are any; closes this one when an operator has sealed one of
/// them.
async fn look_around(seat: Weak<Seat>, vault: Arc<Vault>, closing: CancellationToken) {
    if !vault.is_shared() {
        return;
    }
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    while closing.run_until_cancelled(tick.tick()).await.is_some() {
        let seen = match blocking(&vault, Vault::look_around).await {
            Ok(false) => None,
            Ok(true) => {
                // Closing waits for this task.
                tokio::spawn(async move {
                    let Some(seat) = seat.upgrade() else { return };
                    let reason = VaultError::SealedByOperator.to_string();
                    tracing::info!("an operator has sealed another vault over the same store");
                    if let Err(error) = seat.close(Sealed { reason, secret_wanted: seat.wants_secret() }).await {
                        tracing::error!(%error, "the vault is not sealed yet");
                    }
                });
                return;
            }
            Err(error) => Some(error.to_string()),
        };
        if seen != told {
            match &seen {
                Some(error) => tracing::warn!(error, "what other vaults do is not seen now"),
                None => tracing::info!("what other vaults do is seen again"),
            }
            told = seen;
        }
    }
}

/// Gives space back when there is much to give.
async fn compact(vault: Arc<Vault>, closing: CancellationToken) {
    let mut tick = tokio::time::interval(COMPACT_CHECK_INTERVAL);
    while closing.run_until_cancelled(tick.tick()).await.is_some() {
        match blocking(&vault, Vault::compact_if_wasteful).await {
            Ok(None) => {}
            Ok(Some(Compacted { before, after })) => tracing::info!(before, after, "the store is compacted"),
            Err(error) => tracing::error!(%error, "the store cannot be compacted now"),
        }
    }
}

/// Writes heads of the audit logs where outsiders can take them from, if configured.
async fn publish(vault: Arc<Vault>, config: AuditConfig, closing: CancellationToken) {
    let Some(folder) = config.heads else { return };
    let mut tick = tokio::time::interval(Duration::from_secs(config.heads_every_minutes * 60));
    while closing.run_until_cancelled(tick.tick()).await.is_some() {
        let folder = folder.clone();
        if let Err(error) = blocking(&vault, move |vault| vault.publish_heads(&folder)).await {
            tracing::error!(%error, "tree heads of the audit log cannot be written now");
        }
    }
}
