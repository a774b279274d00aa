//! Backups of a running vault and the way back: what returns, what must not, and what is refused.

mod damage;
mod erased;
mod kill;
mod moment;
mod returning;
mod together;

use std::path::PathBuf;
use std::sync::Arc;

use volar_core::id::SubjectId;
use volar_vault::backup::BackupConfig;
use volar_vault::backup::restore::{Restore, RestoreError, Restored, restore};
use volar_vault::keys::KeyFile;
use volar_vault::vault::{Parts, Vault};

use crate::world::{Engine, WorldOver};

/// Where a world's backups go, and the copy of its keys.
pub(super) fn config<E: Engine>(world: &WorldOver<E>) -> BackupConfig {
    BackupConfig { folder: world.path("backups"), keys: world.path("copy-of-keys"), every_hours: 0, keep: 14 }
}

/// The world's vault, with backups.
pub(super) fn open<E: Engine>(world: &WorldOver<E>) -> Arc<Vault> {
    world.open_with(Some(config(world)))
}

/// A subject's key as the key table has it.
pub(super) fn wrapped_key<E: Engine>(world: &WorldOver<E>, subject: SubjectId) -> Vec<u8> {
    let table = std::fs::read(world.path("keys")).expect("readable");
    let slot = table[4096..].chunks(128).find(|slot| slot[4..20] == *subject.as_bytes()).expect("enrolled");
    slot[20..80].to_vec()
}

/// The machine with store and key table is gone.
pub(super) fn lose<E: Engine>(world: &WorldOver<E>) {
    for name in ["keys", "keys.tenants"] {
        std::fs::remove_file(world.path(name)).expect("there");
    }
    // Not there with another engine.
    let _ = std::fs::remove_dir_all(world.path("store"));
}

pub(super) struct With<'a> {
    pub(super) at: Option<&'a str>,
    pub(super) keys: Option<PathBuf>,
    pub(super) erase_keyless: bool,
}

impl With<'_> {
    pub(super) fn newest<E: Engine>(world: &WorldOver<E>) -> Self {
        Self { at: None, keys: Some(config(world).keys), erase_keyless: false }
    }
}

/// Restores into the world's store.
pub(super) fn restore_with<E: Engine>(world: &WorldOver<E>, with: &With<'_>) -> Result<Restored, RestoreError> {
    let parts = Parts {
        store: world.store(),
        key_table: &world.path("keys"),
        holder: Arc::new(KeyFile::open(&world.path("vault.key")).expect("readable")),
        clock: world.clock.clone(),
        randomness: world.randomness.clone(),
    };
    let from = config(world).folder;
    let what = Restore { from: &from, at: with.at, keys: with.keys.as_deref(), erase_keyless: with.erase_keyless };
    restore(parts, world.settings.clone(), &what, &mut |_, _, _| {})
}

pub(super) fn restore_newest<E: Engine>(world: &WorldOver<E>) -> Restored {
    restore_with(world, &With::newest(world)).expect("restored")
}
