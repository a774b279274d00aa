//! Wakes who waits inside sled for a write that has failed.
//!
//! Where the last writer of a full buffer gives it to sled's writing thread and that write fails, sled 0.34 keeps the
//! error and tells nobody (`Log::exit_reservation`): a flush that waits for this buffer waits for ever, and every call of
//! the vault behind it. A flush that begins after the error returns with it at once and wakes the others, so one is begun.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon a failed write is noticed.
const EVERY: Duration = Duration::from_millis(100);

/// Runs until dropped, which must come before the last handle of the database is.
#[derive(Debug)]
pub(super) struct Waker(Option<(Sender<()>, JoinHandle<()>)>);

impl Waker {
    /// `config` is the one that opened `database`.
    pub(super) fn start(config: sled::Config, database: sled::Db) -> std::io::Result<Self> {
        let (open, closed) = channel();
        let watch = move || {
            while closed.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if config.global_error().is_err() {
                    // Whoever comes later finds the error before waiting.
                    let _the_same_error = super::guarded(|| Ok(database.flush()?));
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sled-waker".to_owned()).spawn(watch)?;
        Ok(Self(Some((open, thread))))
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        if let Some((open, thread)) = self.0.take() {
            drop(open);
            let _panics_are_guarded = thread.join();
        }
    }
}
