//! Taking turns with other processes, by a lock on an empty file (`.turn`) beside what is worked on. A shared file system
//! passes an advisory lock of a whole file on between machines, where one of its own would not do.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    file: File,
    /// A lock on one open file does not keep this process's own threads apart.
    threads: Mutex<()>,
}

/// Lasts until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    _threads: MutexGuard<'a, ()>,
}

impl Turns {
    /// Those of whoever works on the file or folder at `path`.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".turn");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        Ok(Self { file: options.open(path.with_file_name(name))?, threads: Mutex::default() })
    }

    /// Waits until nobody else has a turn.
    pub(crate) fn take(&self) -> std::io::Result<Turn<'_>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.lock()?;
        Ok(Turn { turns: self, _threads: threads })
    }

    /// `None` while somebody else has a turn.
    pub(crate) fn try_take(&self) -> std::io::Result<Option<Turn<'_>>> {
        let threads = match self.threads.try_lock() {
            Err(std::sync::TryLockError::WouldBlock) => return Ok(None),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(threads) => threads,
        };
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Turn { turns: self, _threads: threads })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It fails on no open file.
        let _ = self.turns.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_a_turn_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("work");
        let (one, other) = (Turns::of(&path).expect("writable"), Turns::of(&path).expect("writable"));
        let turn = one.take().expect("free");
        assert!(one.try_take().expect("readable").is_none(), "of one process");
        assert!(other.try_take().expect("readable").is_none(), "of several");
        drop(turn);
        drop(other.try_take().expect("readable").expect("free again"));
        drop(one.try_take().expect("readable").expect("free again"));
        assert!(!path.exists() && folder.path().join("work.turn").exists());
    }
}
