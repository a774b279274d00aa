//! Backups of a running vault, and their way back.
//!
//! - [`create`](self): the store as it was at one moment, as sealed pieces of which each is written once.
//! - The keys of people are in no backup: a file on another disk follows the key table ([`BackupConfig::keys`]), so that
//!   whoever is erased is erased there too, and every backup of their records is noise from then on.
//! - [`restore`]: fills an empty store from a backup, with the keys that are left, and erases whoever has none.

mod copy;
mod create;
mod folder;
mod journal;
mod manifest;
mod pieces;
pub mod restore;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use volar_core::clock::Timestamp;
use volar_core::id::{SubjectId, TenantId};
use volar_service::identity::Peer;

use crate::audit::Actor;
use crate::error::VaultError;
use crate::keys::Ring;
use crate::parameters::{BACKUP_CHECK_INTERVAL, BACKUP_TURN_RETRY};
use crate::rows;
use crate::store::Table;
use crate::turns::{Turn, Turns};
use crate::vault::{Vault, blocking};

use folder::{BackupKeys, Folder, PieceId};
use journal::Journal;
use manifest::{Head, Manifest};

pub use verify::Verified;

/// `[backup]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// Folder of the backups.
    pub folder: PathBuf,
    /// File that follows the key table.
    pub keys: PathBuf,
    /// How often one is made by itself; 0 for never.
    #[serde(default = "default_every")]
    pub every_hours: u64,
    /// How many are kept.
    #[serde(default = "default_keep")]
    pub keep: usize,
}

fn default_every() -> u64 {
    24
}

fn default_keep() -> usize {
    14
}

/// Why there is no backup, or no way back from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refuses.
    #[error("backup {}: {error}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Nothing says where.
    #[error("this vault writes no backups; add [backup] to its configuration")]
    NotConfigured,
    /// No folder of backups.
    #[error("{} holds no backups; name the folder that [backup] named", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// No such backup.
    #[error("{} holds no backup \"{id}\"; `volarctl backup list` names those that are there", path.display())]
    Unknown {
        /// What was asked for.
        id: String,
        /// The folder.
        path: PathBuf,
    },
    /// A file is not as it was written.
    #[error("{} is damaged ({reason}); use another backup (--at), or another copy of this folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// The folder is another vault's.
    #[error("{} holds backups of another store; name a folder of this vault's own", path.display())]
    OtherStore {
        /// The folder.
        path: PathBuf,
    },
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// Names it.
    pub id: String,
    /// The moment that it is of.
    pub taken_at: Timestamp,
    /// Rows of every table.
    pub rows: u64,
    /// People in it.
    pub subjects: u64,
    /// Bytes that it is made of.
    pub bytes: u64,
    /// Bytes of them that no older backup had.
    pub new_bytes: u64,
}

impl From<&Manifest> for BackupInfo {
    fn from(Manifest { id, head, .. }: &Manifest) -> Self {
        let &Head { taken_at, rows, subjects, bytes, new_bytes, .. } = head;
        Self { id: id.clone(), taken_at, rows, subjects, bytes, new_bytes }
    }
}

/// What a vault does with its backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// Those that are there, the oldest first.
    pub backups: Vec<BackupInfo>,
    /// What is under way or ended last.
    pub job: Option<JobStatus>,
}

/// How far a piece of work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// What it is, for people.
    pub what: &'static str,
    /// Rows or bytes done, of about so many.
    pub done: u64,
    /// See `done`; 0 if not known.
    pub total: u64,
    /// How it ended, once it has: what was done, or why not.
    pub ended: Option<Result<String, String>>,
}

/// Where a vault's backups go.
pub(crate) struct Backups {
    config: BackupConfig,
    folder: Folder,
    keys: BackupKeys,
    /// Whose keys `keys` come from.
    tenant: TenantId,
    journal: Journal,
    /// One at a time, of all vaults that write here.
    turns: Turns,
    job: Mutex<Option<JobStatus>>,
}

impl Backups {
    fn job(&self) -> MutexGuard<'_, Option<JobStatus>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self, done: u64, total: u64) {
        if let Some(job) = self.job().as_mut().filter(|job| job.ended.is_none()) {
            (job.done, job.total) = (done, total.max(done));
        }
    }
}

/// The file of tenant keys beside the file that follows the key table.
pub(crate) fn ring_beside(keys: &Path) -> PathBuf {
    Ring::path_beside(keys)
}

impl Vault {
    /// Has the vault write backups, and the copy of its keys follow, before anybody is served.
    pub(crate) fn with_backups(mut self, config: BackupConfig) -> Result<Self, VaultError> {
        self.key_table.follow(&config.keys, self.company)?;
        {
            let _turn = self.ring.hold()?;
            self.ring.follow(&ring_beside(&config.keys), self.company)?;
        }
        let folder = Folder::make(&config.folder)?;
        let mut erased = journal::Erased::new();
        self.store.for_each(Table::Tombstones, &[], |key, _| {
            erased.extend(rows::split_subject(key));
            Ok(())
        })?;
        let journal = Journal::open(folder.erasures(), &erased)?;
        let named = self.tenants.values().next().ok_or(BackupError::NotConfigured)?;
        let (tenant, keys) = (named.id.clone(), BackupKeys::from_root(&named.keys.backup_root()));
        let io = |error| BackupError::Io { path: folder.path().to_owned(), error };
        let turns = Turns::of(&folder.path().join("backups")).map_err(io)?;
        self.backups = Some(Backups { config, folder, keys, tenant, journal, turns, job: Mutex::default() });
        Ok(self)
    }

    /// Waits until nobody else works on the backups, this vault or another.
    fn turn_of<'a>(&self, backups: &'a Backups) -> Result<Turn<'a>, VaultError> {
        loop {
            let turn = backups.turns.try_take();
            if let Some(turn) =
                turn.map_err(|error| BackupError::Io { path: backups.folder.path().to_owned(), error })?
            {
                return Ok(turn);
            }
            if self.is_closing() {
                return Err(VaultError::Closing);
            }
            std::thread::sleep(BACKUP_TURN_RETRY);
        }
    }

    fn backups(&self) -> Result<&Backups, BackupError> {
        self.backups.as_ref().ok_or(BackupError::NotConfigured)
    }

    /// Notes an erasure with the backups.
    pub(crate) fn note_erased(&self, tenant: &TenantId, subject: SubjectId) {
        if let Some(backups) = &self.backups {
            backups.journal.note(tenant, subject);
        }
    }

    /// The backups that are there, and what is under way.
    pub fn backup_status(&self) -> Result<BackupStatus, VaultError> {
        let backups = self.backups()?;
        let manifests = self.manifests(backups)?;
        Ok(BackupStatus { backups: manifests.iter().map(BackupInfo::from).collect(), job: backups.job().clone() })
    }

    /// Begins a backup in the background, unless one is under way.
    pub fn start_backup(self: &Arc<Self>, peer: &Peer) -> Result<BackupStatus, VaultError> {
        self.tenant(&peer.tenant)?;
        let actor = Actor::from(peer);
        self.start("backing up", move |vault| {
            let made = vault.back_up_for(&actor, None)?;
            Ok(format!("backup {} made: {} rows, {} new bytes", made.id, made.rows, made.new_bytes))
        })
    }

    /// Begins to read every file of a backup in the background, the newest unless `id` names one.
    pub fn start_verifying(self: &Arc<Self>, peer: &Peer, id: Option<String>) -> Result<BackupStatus, VaultError> {
        self.tenant(&peer.tenant)?;
        self.start("verifying", move |vault| {
            let verified = vault.verify_backup(id.as_deref())?;
            Ok(format!("backup {} is whole: {} rows in {} pieces", verified.id, verified.rows, verified.pieces))
        })
    }

    fn start(
        self: &Arc<Self>,
        what: &'static str,
        work: impl FnOnce(&Self) -> Result<String, VaultError> + Send + 'static,
    ) -> Result<BackupStatus, VaultError> {
        {
            let mut job = self.backups()?.job();
            if job.as_ref().is_some_and(|job| job.ended.is_none()) {
                drop(job);
                return self.backup_status();
            }
            *job = Some(JobStatus { what, done: 0, total: 0, ended: None });
        }
        let vault = self.clone();
        let work = move || {
            let ended = work(&vault).map_err(|error| error.to_string());
            if let Err(error) = &ended {
                tracing::error!(%error, "a backup failed");
            }
            if let Ok(backups) = vault.backups()
                && let Some(job) = backups.job().as_mut()
            {
                job.ended = Some(ended);
            }
        };
        let spawned = std::thread::Builder::new().name("backup".to_owned()).spawn(work);
        spawned.map_err(|error| VaultError::NoThread { error })?;
        self.backup_status()
    }

    fn manifests(&self, backups: &Backups) -> Result<Vec<Manifest>, VaultError> {
        let ids = backups.folder.ids()?;
        Ok(ids.iter().map(|id| Manifest::read(&backups.folder, id)).collect::<Result<_, _>>()?)
    }

    /// Makes a backup if the last one, whoever made it, is older than the configuration wants.
    pub fn back_up_if_due(&self) -> Result<Option<BackupInfo>, VaultError> {
        let Some(backups) = &self.backups else { return Ok(None) };
        backups.journal.catch_up()?;
        if !self.backup_is_due(backups)? {
            return Ok(None);
        }
        let turn = self.turn_of(backups)?;
        // Another vault may have made it meanwhile.
        if !self.backup_is_due(backups)? {
            return Ok(None);
        }
        self.back_up_in(&turn, &Actor::vault(), None).map(Some)
    }

    fn backup_is_due(&self, backups: &Backups) -> Result<bool, VaultError> {
        let every = backups.config.every_hours;
        if every == 0 {
            return Ok(false);
        }
        let last = self.manifests(backups)?.iter().map(|manifest| manifest.head.taken_at).max();
        let age = last.map(|last| self.clock.now().since(last));
        Ok(age.is_none_or(|age| age >= std::time::Duration::from_secs(every * 3_600)))
    }
}

/// Makes backups when they are due.
pub(crate) async fn keep_up(vault: Arc<Vault>, closing: CancellationToken) {
    if vault.backups.is_none() {
        return;
    }
    let mut tick = tokio::time::interval(BACKUP_CHECK_INTERVAL);
    while closing.run_until_cancelled(tick.tick()).await.is_some() {
        match blocking(&vault, Vault::back_up_if_due).await {
            Ok(None) => {}
            Ok(Some(made)) => tracing::info!(backup = made.id, new_bytes = made.new_bytes, "backup made"),
            Err(VaultError::Closing) => {}
            Err(error) => {
                metrics::counter!("volar_vault_backup_failures_total").increment(1);
                tracing::error!(%error, "no backup can be made now");
            }
        }
    }
}
