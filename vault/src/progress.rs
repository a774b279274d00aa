//! How far something is that the vault does in the background, by itself or because an operator asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::VaultError;

/// Work that one thread at a time does, and how far it is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Held by whoever does the work.
    working: Mutex<()>,
    done: AtomicU64,
    total: AtomicU64,
    stopped: Mutex<Option<String>>,
}

/// How far it is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressStatus {
    /// What is done.
    pub done: u64,
    /// Of about so much.
    pub total: u64,
    /// Why it stopped, if it did.
    pub stopped: Option<String>,
}

impl Progress {
    /// Does the work, alone, and remembers why it stopped.
    pub(crate) fn work(&self, work: impl FnOnce() -> Result<(), VaultError>) -> Result<(), VaultError> {
        let _alone = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_stop();
        let ended = work();
        if let Err(error) = &ended {
            *self.stopped() = Some(error.to_string());
        }
        ended
    }

    /// Whoever asks to go on must not read why it had stopped before.
    pub(crate) fn forget_stop(&self) {
        *self.stopped() = None;
    }

    /// Begins to count anew, up to `total`.
    pub(crate) fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> ProgressStatus {
        ProgressStatus {
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            stopped: self.stopped().clone(),
        }
    }

    fn stopped(&self) -> MutexGuard<'_, Option<String>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
