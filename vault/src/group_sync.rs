//! Group commit: writers that wait for the disk at the same time share one synchronization.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Counts writes and knows up to which they are durable.
#[derive(Debug, Default)]
pub(crate) struct GroupSync {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    durable: u64,
    syncing: bool,
    failed: bool,
}

/// The disk refused to synchronize, now or earlier. What was written since is neither surely there nor surely not, so
/// nothing more may be acknowledged (after a failed fsync a second one can succeed without having written anything).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncFailed;

impl GroupSync {
    /// Counts one write that has been made; returns its number.
    pub(crate) fn wrote(&self) -> u64 {
        let mut state = self.lock();
        state.written += 1;
        state.written
    }

    /// The number of the last write.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Returns once write `number` and everything before it is durable. One of the waiting callers runs `sync` for
    /// all.
    pub(crate) fn wait(&self, number: u64, sync: impl Fn() -> std::io::Result<()>) -> Result<(), SyncFailed> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return Err(SyncFailed);
            }
            if state.durable >= number {
                return Ok(());
            }
            if state.syncing {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let covered = state.written;
            drop(state);
            let outcome = sync();
            state = self.lock();
            state.syncing = false;
            match outcome {
                Ok(()) => state.durable = state.durable.max(covered),
                Err(error) => {
                    tracing::error!(%error, "the disk refused to synchronize; no write is acknowledged any more");
                    state.failed = true;
                }
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is numbers that are right at every moment, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn waiting_writers_share_synchronizations() {
        let group = GroupSync::default();
        let (written, synced, syncs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let value = written.fetch_add(1, Ordering::SeqCst) + 1;
                        let number = group.wrote();
                        group
                            .wait(number, || {
                                let seen = written.load(Ordering::SeqCst);
                                std::thread::sleep(Duration::from_millis(1));
                                synced.fetch_max(seen, Ordering::SeqCst);
                                syncs.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            })
                            .expect("the disk works");
                        assert!(synced.load(Ordering::SeqCst) >= value, "acknowledged before durable");
                    }
                });
            }
        });
        assert!(syncs.load(Ordering::SeqCst) < 320, "no synchronization was shared");
    }

    #[test]
    fn after_a_failed_synchronization_nothing_is_acknowledged() {
        let group = GroupSync::default();
        let first = group.wrote();
        assert_eq!(group.wait(first, || Err(std::io::Error::other("gone"))), Err(SyncFailed));
        let second = group.wrote();
        assert_eq!(group.wait(second, || Ok(())), Err(SyncFailed));
    }
}
