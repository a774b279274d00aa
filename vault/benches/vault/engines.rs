//! Where each engine's stores lie.

use std::path::{Path, PathBuf};

use volar_service::system::SystemRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, SledStore, Store};

use crate::load::Load;
use crate::server;

/// One of the engines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sled,
    Postgres,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Postgres => "postgres",
        }
    }
}

/// A folder for key tables and sled, and a database.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    folder: tempfile::TempDir,
    config: Option<PostgresConfig>,
}

impl Place {
    pub(crate) fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = (engine == Engine::Postgres).then(|| PostgresConfig::at(server::shared().database()));
        Self { engine, folder, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> Box<dyn Store> {
        match &self.config {
            Some(config) => Box::new(PostgresStore::open(config, &SystemRandomness).expect("opens")),
            None => Box::new(SledStore::open(&self.path("store"), 256 << 20, true).expect("opens")),
        }
    }

    /// Connections of the PostgreSQL store: those that read and the one that writes.
    pub(crate) fn connections(&self) -> usize {
        self.config.as_ref().map_or(0, |config| config.connections + 1)
    }

    /// Everything that the store keeps, the key table included; not PostgreSQL's write-ahead log, which it reuses.
    pub(crate) fn bytes_on_disk(&self, load: &Load) -> u64 {
        let keys = folder_bytes(&self.path("keys"));
        keys + match self.engine {
            Engine::Sled => folder_bytes(&self.path("store")),
            Engine::Postgres => load.vault.store_bytes(),
        }
    }
}

/// Bytes that a file, or everything in a folder, takes up.
fn folder_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let entries = std::fs::read_dir(path).expect("readable").flatten();
    entries.map(|entry| folder_bytes(&entry.path())).sum()
}
