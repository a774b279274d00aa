//! The embedded engine: sled for rows, one file each for blobs.
//!
//! What sled 0.34 leaves to its user, and how it is met here:
//! - A commit is in memory until flushed, and its flush on Linux (`sync_file_range`) does not reach the disk's own
//!   cache. Every commit waits for a flush and an fdatasync of its own, shared by the writers that wait.
//! - A damaged end of its log looks to it like a crash: the [`Witness`] notices what is missing.
//! - Damaged pages may panic inside it: every call is guarded, and after one panic nothing is answered any more.
//! - Who waits for a write that fails may never be told: the [`Waker`](waker::Waker) tells them.
//! - Its files only grow: [`Store::compact`] moves to fresh ones.
//! - Large values become files rewritten at will: probes, large and short-lived, are blobs.

mod compaction;
mod files;
mod waker;
mod witness;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use sled::transaction::{
    ConflictableTransactionError, TransactionError, Transactional, TransactionalTree, UnabortableTransactionError,
};

use self::compaction::Place;
use self::files::Files;
use self::witness::Witness;
use super::{Body, Compacted, Row, Rows, Store, StoreError, Table, Transaction};
use crate::group_sync::GroupSync;
use crate::parameters::{COMPACT_MIN_BYTES, COMPACT_RATIO};

/// Counts transactions, in a tree of its own.
const ENGINE: &str = "Engine";
const COMMITS: &[u8] = b"commits";

/// An open sled store.
pub struct SledStore {
    folder: PathBuf,
    blobs: PathBuf,
    cache_bytes: u64,
    /// Those in use; a compaction puts others in their place.
    files: RwLock<Arc<Files>>,
    /// Bytes that they took when they were made, 0 if that is not known.
    made_bytes: AtomicU64,
    /// Rows written since a compaction began to copy.
    changed: Mutex<Option<BTreeSet<Place>>>,
    compacting: Mutex<()>,
    witness: Witness,
    commits: AtomicU64,
    /// Held while a transaction is applied, so that what a reader has seen is counted as written.
    applying: Mutex<()>,
    group: GroupSync,
    /// Shares synchronizations of the blobs' folder.
    names: GroupSync,
    broken: AtomicBool,
    /// A write has failed: in memory there may be half of it, which no other files must make whole.
    doubtful: AtomicBool,
    /// After the files, so that it is dropped last.
    _lock: File,
}

/// The extension of a blob's file until all of it is on the disk. Blobs' names have none.
const UNFINISHED: &str = "unfinished";

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == UNFINISHED)
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
        let lock = files::lock(folder)?;
        let (rows, made_bytes) = files::current(folder)?;
        let damaged = |reason: &str| StoreError::Damaged { path: folder.to_owned(), reason: reason.to_owned() };
        let files = match Files::open(&rows, cache_bytes) {
            Err(Fault::Panic) => return Err(damaged("the engine could not read it")),
            Err(Fault::Sled(error)) if is_locked(&error) => {
                return Err(StoreError::InUse { path: folder.to_owned() });
            }
            Err(Fault::Sled(error)) => return Err(describe(folder, error)),
            Ok(files) => files,
        };
        let witness_path = folder.join("witness");
        let (witness, acknowledged) = Witness::open(&witness_path)
            .map_err(io(&witness_path))?
            .ok_or_else(|| damaged("its witness file is altered"))?;
        let store = Self {
            folder: folder.to_owned(),
            blobs,
            cache_bytes,
            files: RwLock::new(Arc::new(files)),
            made_bytes: AtomicU64::new(made_bytes),
            changed: Mutex::default(),
            compacting: Mutex::default(),
            witness,
            commits: AtomicU64::new(0),
            applying: Mutex::new(()),
            group: GroupSync::default(),
            names: GroupSync::default(),
            broken: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            _lock: lock,
        };
        let found = store.counted()?;
        if found < acknowledged {
            return Err(StoreError::LostWrites { path: folder.to_owned(), found, acknowledged });
        }
        store.commits.store(found, Ordering::SeqCst);
        if verify {
            store.verify()?;
        }
        files::remove_others(folder, &rows)?;
        store.remove_unfinished_blobs().map_err(io(&store.blobs))?;
        Ok(store)
    }

    /// Blobs that a crash cut off in their making; nothing refers to them.
    fn remove_unfinished_blobs(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.blobs)? {
            let path = entry?.path();
            if is_unfinished(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn counted(&self) -> Result<u64, StoreError> {
        let files = self.files();
        let found = self.guard(|| Ok(files.trees[Table::ALL.len()].get(COMMITS)?))?;
        let bytes = found.map(|value| <[u8; 8]>::try_from(value.as_ref()));
        match bytes {
            None => Ok(0),
            Some(Ok(bytes)) => Ok(u64::from_be_bytes(bytes)),
            Some(Err(_)) => Err(self.damaged("its count of transactions is no number")),
        }
    }

    fn verify(&self) -> Result<(), StoreError> {
        self.guard(|| {
            for tree in &self.files().trees {
                tree.iter().try_for_each(|row| row.map(drop))?;
            }
            Ok(())
        })
    }

    fn files(&self) -> Arc<Files> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changed(&self) -> MutexGuard<'_, Option<BTreeSet<Place>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applying(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the log out, to the disk itself.
    fn flush(&self) -> std::io::Result<()> {
        let covered = self.commits.load(Ordering::SeqCst);
        let files = self.files();
        guarded(|| Ok(files.database.flush()?)).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        files.log.sync_data()?;
        self.witness.note(covered)
    }

    fn wait(&self, write: u64) -> Result<(), StoreError> {
        self.group.wait(write, || self.flush()).map_err(|_| {
            self.doubtful.store(true, Ordering::SeqCst);
            StoreError::SyncFailed { path: self.folder.clone() }
        })
    }

    /// Runs an engine call; a panic inside it closes the store.
    fn guard<T>(&self, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        if self.is_broken() {
            return Err(self.damaged("the engine failed on it earlier"));
        }
        let ended = guarded(call);
        if let Err(Fault::Panic) = ended {
            self.break_off();
        }
        self.described(ended)
    }

    /// Nothing is answered any more.
    fn break_off(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    fn described<T>(&self, ended: Result<T, Fault>) -> Result<T, StoreError> {
        ended.map_err(|fault| match fault {
            Fault::Sled(error) => describe(&self.folder, error),
            Fault::Panic => self.damaged("the engine failed on it"),
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
        let files = self.files();
        self.guard(|| Ok(files.trees[table as usize].get(key)?.map(|value| value.to_vec())))
    }
}

impl Store for SledStore {
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let (start, files) = (from.max(prefix), self.files());
        self.guard(|| {
            let mut rows = Vec::new();
            for row in files.trees[table as usize].range(start..).take(limit) {
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
            let _alone = self.applying();
            let files = self.files();
            let written = RefCell::new(self.changed().is_some().then(Vec::new));
            let count = self.commits.load(Ordering::SeqCst) + 1;
            let kept = self.guard(|| {
                let outcome = files.trees.as_slice().transaction(|trees| {
                    if let Some(written) = written.borrow_mut().as_mut() {
                        written.clear();
                    }
                    let view = View { store: self, trees, failure: RefCell::new(None), written: &written };
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
                    Err(TransactionError::Storage(error)) => {
                        self.doubtful.store(true, Ordering::SeqCst);
                        Err(Fault::Sled(error))
                    }
                }
            });
            // Also after a failure: how much of it was applied is not known.
            if let (Some(changed), Some(written)) = (self.changed().as_mut(), written.into_inner()) {
                changed.extend(written);
            }
            let kept = kept?;
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
        drop(self.applying());
        Ok(())
    }

    fn settle(&self) -> Result<(), StoreError> {
        let written = {
            let _alone = self.applying();
            self.group.written()
        };
        self.wait(written)
    }

    fn put_blob(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob_path(name);
        // Whoever lists and reads blobs finds it whole or not at all.
        let unfinished = path.with_extension(UNFINISHED);
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            std::fs::rename(&unfinished, &path)
        };
        write().map_err(|error| {
            // What is left of it is removed by the next start otherwise.
            let _ = std::fs::remove_file(&unfinished);
            self.io(&path, error)
        })?;
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
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.blobs).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !is_unfinished(Path::new(&name)) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn size_bytes(&self) -> u64 {
        let files = self.files();
        self.guard(|| Ok(files.database.size_on_disk()?)).unwrap_or_default()
    }

    fn is_wasteful(&self) -> bool {
        let (bytes, made) = (self.size_bytes(), self.made_bytes.load(Ordering::SeqCst));
        bytes >= COMPACT_MIN_BYTES && bytes as f64 >= COMPACT_RATIO * made as f64
    }

    fn compact(&self, stop: &dyn Fn() -> bool) -> Result<Option<Compacted>, StoreError> {
        self.move_to_fresh_files(stop)
    }
}

struct View<'a> {
    store: &'a SledStore,
    trees: &'a [TransactionalTree],
    /// sled's word that the transaction must run again or cannot go on; it goes back to sled, past the body.
    failure: RefCell<Option<UnabortableTransactionError>>,
    /// What it writes, if that is asked for.
    written: &'a RefCell<Option<Vec<Place>>>,
}

impl View<'_> {
    fn note(&self, table: Table, key: &[u8]) {
        if let Some(written) = self.written.borrow_mut().as_mut() {
            written.push((table as usize, key.to_vec()));
        }
    }

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
        self.note(table, key);
        self.pass(self.trees[table as usize].insert(key, value)).map(drop)
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.note(table, key);
        self.pass(self.trees[table as usize].remove(key)).map(drop)
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("the engine panicked")]
    Panic,
}

fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Nothing of ours is left half-changed by a panic inside sled, and sled itself is not used again after one.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Fault::Panic))
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
