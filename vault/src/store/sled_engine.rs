//! The embedded engine: sled for rows, one file each for blobs.
//!
//! What sled 0.34 leaves to its user, and how it is met here:
//! - A commit is in memory until flushed, and its flush on Linux (`sync_file_range`) does not reach the disk's own
//!   cache. Every commit waits for a flush and an fdatasync of its own, shared by the writers that wait.
//! - A damaged end of its log looks to it like a crash: the [`Witness`] notices what is missing.
//! - Damaged pages may panic inside it: every call is guarded, and after one panic nothing is answered any more.
//! - Who waits for a write that fails may never be told: the [`Waker`] tells them.
//! - Its files only grow and large values become files rewritten at will: probes, large and short-lived, are blobs.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sled::transaction::{
    ConflictableTransactionError, TransactionError, Transactional, TransactionalTree, UnabortableTransactionError,
};

use super::sled_waker::Waker;
use super::witness::Witness;
use super::{Body, Row, Rows, Store, StoreError, Table, Transaction};
use crate::group_sync::GroupSync;

/// Counts transactions, in a tree of its own.
const ENGINE: &str = "Engine";
const COMMITS: &[u8] = b"commits";

/// How long a store in use is waited for: a vault that is being replaced takes a moment to go, and a child that a process
/// is starting holds its locks until it runs a program of its own.
const PATIENCE: Duration = Duration::from_secs(3);

/// An open sled store.
pub struct SledStore {
    folder: PathBuf,
    blobs: PathBuf,
    /// Before the database, so that it is dropped first.
    _waker: Waker,
    database: sled::Db,
    /// In the order of [`Table::ALL`], then [`ENGINE`].
    trees: Vec<sled::Tree>,
    /// sled's log, to synchronize it.
    log: File,
    witness: Witness,
    commits: AtomicU64,
    /// Held while a transaction is applied, so that what a reader has seen is counted as written.
    applying: Mutex<()>,
    group: GroupSync,
    /// Shares synchronizations of the blobs' folder.
    names: GroupSync,
    panicked: AtomicBool,
}

impl SledStore {
    /// Opens or makes the store in `folder`. `cache_bytes` bounds what sled keeps in memory.
    ///
    /// With `verify`, every row is read once, so that damage is found now and not when somebody stands at a gate.
    pub fn open(folder: &Path, cache_bytes: u64, verify: bool) -> Result<Self, StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        let blobs = folder.join("blobs");
        make_private_folder(folder).map_err(io(folder))?;
        make_private_folder(&blobs).map_err(io(&blobs))?;
        let rows = folder.join("rows");
        let damaged = |reason: String| StoreError::Damaged { path: folder.to_owned(), reason };
        let config = sled::Config::new().path(&rows).cache_capacity(cache_bytes);
        let opened = guarded(|| {
            let database = open_unlocked(&config)?;
            let waker = Waker::start(config.clone(), database.clone()).map_err(sled::Error::Io)?;
            let names = Table::ALL.iter().map(|table| format!("{table:?}")).chain([ENGINE.to_owned()]);
            let trees = names.map(|name| database.open_tree(name)).collect::<sled::Result<Vec<_>>>()?;
            Ok((waker, database, trees))
        });
        let (waker, database, trees) = match opened {
            Err(Fault::Panic) => return Err(damaged("the engine could not read it".to_owned())),
            Err(Fault::Sled(error)) if is_locked(&error) => {
                return Err(StoreError::InUse { path: folder.to_owned() });
            }
            Err(Fault::Sled(error)) => return Err(describe(folder, error)),
            Ok(opened) => opened,
        };
        let log_path = rows.join("db");
        let log = File::open(&log_path).map_err(io(&log_path))?;
        let witness_path = folder.join("witness");
        let (witness, acknowledged) = Witness::open(&witness_path)
            .map_err(io(&witness_path))?
            .ok_or_else(|| damaged("its witness file is altered".to_owned()))?;
        let store = Self {
            folder: folder.to_owned(),
            blobs,
            _waker: waker,
            database,
            trees,
            log,
            witness,
            commits: AtomicU64::new(0),
            applying: Mutex::new(()),
            group: GroupSync::default(),
            names: GroupSync::default(),
            panicked: AtomicBool::new(false),
        };
        let found = store.counted()?;
        if found < acknowledged {
            return Err(StoreError::LostWrites { path: folder.to_owned(), found, acknowledged });
        }
        store.commits.store(found, Ordering::SeqCst);
        if verify {
            store.verify()?;
        }
        Ok(store)
    }

    fn counted(&self) -> Result<u64, StoreError> {
        let engine = &self.trees[Table::ALL.len()];
        let found = self.guard(|| Ok(engine.get(COMMITS)?))?;
        let bytes = found.map(|value| <[u8; 8]>::try_from(value.as_ref()));
        match bytes {
            None => Ok(0),
            Some(Ok(bytes)) => Ok(u64::from_be_bytes(bytes)),
            Some(Err(_)) => Err(self.damaged("its count of transactions is no number")),
        }
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.guard(|| {
            for tree in &self.trees {
                tree.iter().try_for_each(|row| row.map(drop))?;
            }
            Ok(())
        })
    }

    fn tree(&self, table: Table) -> &sled::Tree {
        &self.trees[table as usize]
    }

    /// Writes the log out, to the disk itself.
    fn flush(&self) -> std::io::Result<()> {
        let covered = self.commits.load(Ordering::SeqCst);
        guarded(|| Ok(self.database.flush()?)).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        self.log.sync_data()?;
        self.witness.note(covered)
    }

    fn wait(&self, write: u64) -> Result<(), StoreError> {
        self.group.wait(write, || self.flush()).map_err(|_| StoreError::SyncFailed { path: self.folder.clone() })
    }

    /// Runs an engine call; a panic inside it closes the store.
    fn guard<T>(&self, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        if self.panicked.load(Ordering::SeqCst) {
            return Err(self.damaged("the engine failed on it earlier"));
        }
        guarded(call).map_err(|fault| match fault {
            Fault::Sled(error) => describe(&self.folder, error),
            Fault::Panic => {
                self.panicked.store(true, Ordering::SeqCst);
                self.damaged("the engine failed on it")
            }
        })
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged { path: self.folder.clone(), reason: reason.to_owned() }
    }

    fn blob_path(&self, name: &str) -> PathBuf {
        // Names are made by the vault from random ids; anything else would be a fault here, not an input's.
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "a blob's name is an id");
        self.blobs.join(name)
    }

    fn io(&self, path: &Path, error: std::io::Error) -> StoreError {
        StoreError::Io { path: path.to_owned(), error }
    }
}

impl Rows for SledStore {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.guard(|| Ok(self.tree(table).get(key)?.map(|value| value.to_vec())))
    }
}

impl Store for SledStore {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let start = from.max(prefix);
        self.guard(|| {
            let mut rows = Vec::new();
            for row in self.tree(table).range(start..).take(limit) {
                let (key, value) = row?;
                if !key.starts_with(prefix) {
                    break;
                }
                rows.push((key.to_vec(), value.to_vec()));
            }
            Ok(rows)
        })
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<(), StoreError> {
        let (body, refused) = (RefCell::new(body), RefCell::new(None));
        let write = {
            let _alone = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            let count = self.commits.load(Ordering::SeqCst) + 1;
            let kept = self.guard(|| {
                let outcome = self.trees.as_slice().transaction(|trees| {
                    let view = View { store: self, trees, failure: RefCell::new(None) };
                    let keep = (*body.borrow_mut())(&view);
                    if let Some(failure) = view.failure.take() {
                        return Err(failure.into());
                    }
                    match keep {
                        Ok(true) => {
                            trees[Table::ALL.len()].insert(COMMITS, &count.to_be_bytes())?;
                            Ok(())
                        }
                        Ok(false) => Err(ConflictableTransactionError::Abort(())),
                        Err(error) => {
                            refused.replace(Some(error));
                            Err(ConflictableTransactionError::Abort(()))
                        }
                    }
                });
                match outcome {
                    Ok(()) => Ok(true),
                    Err(TransactionError::Abort(())) => Ok(false),
                    Err(TransactionError::Storage(error)) => Err(Fault::Sled(error)),
                }
            })?;
            if let Some(error) = refused.take() {
                return Err(error);
            }
            if kept {
                self.commits.store(count, Ordering::SeqCst);
                self.group.wrote()
            } else {
                self.group.written()
            }
        };
        self.wait(write)
    }

    /// Bodies run one after the other.
    fn barrier(&self) -> Result<(), StoreError> {
        drop(self.applying.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn settle(&self) -> Result<(), StoreError> {
        let written = {
            let _alone = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            self.group.written()
        };
        self.wait(written)
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob_path(name);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        write().map_err(|error| self.io(&path, error))?;
        let name = self.names.wrote();
        let sync = || File::open(&self.blobs)?.sync_all();
        self.names.wait(name, sync).map_err(|_| StoreError::SyncFailed { path: self.folder.clone() })
    }

    fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(&path, error)),
        }
    }

    fn remove_blob(&self, name: &str) -> Result<(), StoreError> {
        let path = self.blob_path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io(&path, error)),
            _ => Ok(()),
        }
    }

    fn blobs(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error| self.io(&self.blobs, error);
        let entries = std::fs::read_dir(&self.blobs).map_err(failed)?;
        entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).map_err(failed))
            .collect()
    }

    fn size_bytes(&self) -> u64 {
        self.guard(|| Ok(self.database.size_on_disk()?)).unwrap_or_default()
    }
}

struct View<'a> {
    store: &'a SledStore,
    trees: &'a [TransactionalTree],
    /// sled's word that the transaction must run again or cannot go on; it goes back to sled, past the body.
    failure: RefCell<Option<UnabortableTransactionError>>,
}

impl View<'_> {
    fn pass<T>(&self, result: Result<T, UnabortableTransactionError>) -> Result<T, StoreError> {
        result.map_err(|failure| {
            let error = match &failure {
                UnabortableTransactionError::Storage(error) => describe(&self.store.folder, error.clone()),
                UnabortableTransactionError::Conflict => self.store.damaged("a transaction met another"),
            };
            self.failure.replace(Some(failure));
            error
        })
    }
}

impl Rows for View<'_> {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.pass(self.trees[table as usize].get(key))?.map(|value| value.to_vec()))
    }
}

impl Transaction for View<'_> {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.pass(self.trees[table as usize].insert(key, value)).map(drop)
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.pass(self.trees[table as usize].remove(key)).map(drop)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("the engine panicked")]
    Panic,
}

pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Nothing of ours is left half-changed by a panic inside sled, and sled itself is not used again after one.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Fault::Panic))
}

/// Waits for a process that has it open and may be about to go.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let end = Instant::now() + PATIENCE;
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn describe(folder: &Path, error: sled::Error) -> StoreError {
    let path = folder.to_owned();
    match error {
        sled::Error::Io(error) => StoreError::Io { path, error },
        other => StoreError::Damaged { path, reason: other.to_string() },
    }
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
