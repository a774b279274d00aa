//! Keeps what a process holds in memory out of swap and core files, and ends it in order.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// `[process]` in a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// Whether memory must be locked against swapping.
    pub memory_lock: MemoryLock,
}

/// How much locking memory matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryLock {
    /// The process does not start without.
    Required,
    /// It starts without, and says so in its log.
    #[default]
    Preferred,
    /// Not tried.
    Off,
}

/// Why a process is not protected as its configuration demands.
#[derive(Debug, thiserror::Error)]
pub enum HardeningError {
    /// Core files could not be turned off.
    #[error("core files cannot be turned off: {0}")]
    CoreFiles(rustix::io::Errno),
    /// Memory could not be locked.
    #[error(
        "memory cannot be locked ({0}): give the service LimitMEMLOCK=infinity or CAP_IPC_LOCK, or set \
         process.memory_lock = \"preferred\""
    )]
    MemoryLock(rustix::io::Errno),
}

/// Turns core files off, refuses debuggers, and locks memory. Call first in `main`, before any secret is read.
pub fn harden(config: ProcessConfig) -> Result<(), HardeningError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(HardeningError::CoreFiles)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardeningError::CoreFiles)?;
    match config.memory_lock {
        MemoryLock::Off => Ok(()),
        MemoryLock::Required => lock_memory().map_err(HardeningError::MemoryLock),
        MemoryLock::Preferred => {
            if let Err(error) = lock_memory() {
                tracing::warn!(
                    %error,
                    "memory is not locked, so secrets could reach swap; give the service LimitMEMLOCK=infinity"
                );
            }
            Ok(())
        }
    }
}

fn lock_memory() -> Result<(), rustix::io::Errno> {
    // A limited lock would make later allocations fail in mid-work: all of memory, or nothing.
    let unlimited = getrlimit(Resource::Memlock).current.is_none() || rustix::process::geteuid().is_root();
    if !unlimited {
        return Err(rustix::io::Errno::PERM);
    }
    // On fault: a thread's untouched stack need not be made resident to be safe from swapping.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// A token that SIGINT or SIGTERM cancels. Must be called inside a Tokio runtime.
pub fn shutdown_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("shutting down");
        cancelled.cancel();
    });
    Ok(token)
}
