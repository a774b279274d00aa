//! The folders of rows of a sled store: which one is in use, and what a crash has left of another.
//!
//! Rows lie in `rows`, and after the first compaction in `rows-2`, `rows-3` and so on; the file `current` names the one
//! that counts. It is replaced whole, so that a crash leaves one folder that counts and one that the next opening removes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::waker::Waker;
use super::{ENGINE, Fault, guarded, is_locked};
use crate::store::{StoreError, Table};

/// Names the folder in use and the bytes that it took when it was made. Without it the folder is [`FIRST`].
const CURRENT: &str = "current";
const FIRST: &str = "rows";

/// How long a store in use is waited for: a vault that is being replaced takes a moment to go, and a child that a process
/// is starting holds its locks until it runs a program of its own.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(50);

/// An open folder of rows.
pub(super) struct Files {
    /// Before the database, so that it is dropped first.
    _waker: Waker,
    pub(super) database: sled::Db,
    /// In the order of [`Table::ALL`], then [`ENGINE`].
    pub(super) trees: Vec<sled::Tree>,
    /// sled's log, to synchronize it.
    pub(super) log: File,
    pub(super) path: PathBuf,
}

impl Files {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes);
        let (waker, database, trees) = guarded(|| {
            let database = open_unlocked(&config)?;
            let waker = Waker::start(config.clone(), database.clone()).map_err(sled::Error::Io)?;
            let names = Table::ALL.iter().map(|table| format!("{table:?}")).chain([ENGINE.to_owned()]);
            let trees = names.map(|name| database.open_tree(name)).collect::<sled::Result<Vec<_>>>()?;
            Ok((waker, database, trees))
        })?;
        let log = File::open(path.join("db")).map_err(sled::Error::Io)?;
        Ok(Self { _waker: waker, database, trees, log, path: path.to_owned() })
    }

    /// Everything in them reaches the disk.
    pub(super) fn synchronize(&self) -> Result<(), Fault> {
        guarded(|| Ok(self.database.flush()?))?;
        self.log.sync_all().map_err(sled::Error::Io)?;
        // Values too large for a page are files of their own, which sled synchronizes itself; not their names.
        for folder in [self.path.clone(), self.path.join("blobs")] {
            match File::open(folder).and_then(|folder| folder.sync_all()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(sled::Error::Io(error).into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let end = Instant::now() + PATIENCE;
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && Instant::now() < end => std::thread::sleep(AGAIN),
            outcome => return outcome,
        }
    }
}

/// Takes the store in `folder` for this process; nobody else looks at its files while the lock lives.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let io = |error| StoreError::Io { path: path.clone(), error };
    let lock = File::create(&path).map_err(io)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(AGAIN),
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::InUse { path: folder.to_owned() }),
            Err(std::fs::TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}

/// The folder in use, and the bytes that it took when it was made, 0 if that is not known.
pub(super) fn current(folder: &Path) -> Result<(PathBuf, u64), StoreError> {
    let io = |path: PathBuf| move |error| StoreError::Io { path, error };
    let pointer = folder.join(CURRENT);
    let (name, bytes) = match std::fs::read_to_string(&pointer) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (FIRST.to_owned(), 0),
        read => {
            let text = read.map_err(io(pointer))?;
            let words = text.strip_suffix('\n').and_then(|line| line.split_once(' '));
            let words = words.and_then(|(name, bytes)| Some((name, bytes.parse().ok()?)));
            let (name, bytes) = words.filter(|(name, _)| is_rows(name)).ok_or_else(|| StoreError::Damaged {
                path: folder.to_owned(),
                reason: "the file `current` is altered".to_owned(),
            })?;
            (name.to_owned(), bytes)
        }
    };
    let path = folder.join(&name);
    // sled would make it anew, and empty.
    if !path.is_dir() && (name != FIRST || !others(folder, &path)?.is_empty()) {
        return Err(StoreError::Damaged {
            path: folder.to_owned(),
            reason: format!("its folder {name} is missing, or the file `current` that names another"),
        });
    }
    Ok((path, bytes))
}

/// Removes what an interrupted compaction has left, once the folder in use has proven to hold what was acknowledged.
pub(super) fn remove_others(folder: &Path, used: &Path) -> Result<(), StoreError> {
    for path in others(folder, used)? {
        std::fs::remove_dir_all(&path).map_err(|error| StoreError::Io { path, error })?;
    }
    Ok(())
}

/// Folders of rows besides the one in use.
fn others(folder: &Path, used: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let io = |error| StoreError::Io { path: folder.to_owned(), error };
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if is_rows(&entry.file_name().to_string_lossy()) && entry.path() != used {
            others.push(entry.path());
        }
    }
    Ok(others)
}

/// The folder after the one in use.
pub(super) fn next(folder: &Path, now: &Path) -> PathBuf {
    let number = now.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("rows-"));
    let number: u64 = number.and_then(|number| number.parse().ok()).unwrap_or(1);
    folder.join(format!("rows-{}", number + 1))
}

/// The word that the folder `path`, which takes `bytes`, is the one in use: written, and not yet in force.
pub(super) fn prepare(folder: &Path, path: &Path, bytes: u64) -> std::io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).expect("named by `next`");
    let mut file = File::create(folder.join("current.new"))?;
    file.write_all(format!("{name} {bytes}\n").as_bytes())?;
    file.sync_all()
}

/// Puts the prepared word in force. After a failure either folder may be the one that the next opening finds.
pub(super) fn put_in_force(folder: &Path) -> std::io::Result<()> {
    std::fs::rename(folder.join("current.new"), folder.join(CURRENT))?;
    File::open(folder)?.sync_all()
}

fn is_rows(name: &str) -> bool {
    let number = name.strip_prefix("rows-").map(|number| number.parse::<u64>().is_ok());
    name == FIRST || number.unwrap_or(false)
}
