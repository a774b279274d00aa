//! A system of real processes in a temporary folder.

use std::path::Path;

use tempfile::TempDir;
use xtask::configuration::{GALLERY, Ports, Sensors, Settings};
use xtask::deployment::Deployment;

use crate::client::Clients;

/// Frames a second of the simulated sensors: half of a real one's, because several tests share the machine.
const FRAME_RATE: u32 = 12;

/// A running system; dropping it stops every process and removes the folder.
pub struct System {
    /// The processes.
    pub deployment: Deployment,
    // After the deployment, whose processes write into it until they have stopped.
    folder: TempDir,
}

impl System {
    /// Vault only.
    pub fn vault() -> Self {
        Self::vault_in(&[GALLERY])
    }

    /// Vault only, with these galleries in place of the usual one.
    pub fn vault_in(galleries: &'static [&'static str]) -> Self {
        let mut system = Self::with(in_galleries(galleries));
        system.deployment.start_vault().expect("the vault starts");
        system
    }

    /// Vault and matcher.
    pub fn servers() -> Self {
        Self::servers_with(Vec::new())
    }

    /// Vault and matcher, the vault's records in the database that `database`, its `[store.postgres]`, names.
    pub fn servers_on(database: String) -> Self {
        let mut settings = Settings::new(Sensors::simulated(FRAME_RATE), Ports::Free);
        settings.database = Some(database);
        let mut system = Self::with(settings);
        system.deployment.start_vault().expect("the vault starts");
        system.deployment.start_matcher().expect("the matcher starts");
        system
    }

    /// Vault and matcher, with more lines for their configurations.
    pub fn servers_with(extra: Vec<(&'static str, String)>) -> Self {
        let mut system = Self::prepared(extra);
        system.deployment.start_vault().expect("the vault starts");
        system.deployment.start_matcher().expect("the matcher starts");
        system
    }

    /// Vault, matcher, kiosk and gate, with simulated hands before the sensors.
    pub fn whole() -> Self {
        Self::whole_with(Vec::new())
    }

    /// The same, with more lines for their configurations.
    pub fn whole_with(extra: Vec<(&'static str, String)>) -> Self {
        let mut system = Self::prepared(extra);
        system.deployment.start_all().expect("the system starts");
        system
    }

    /// The same, with these galleries in place of the usual one.
    pub fn whole_in(galleries: &'static [&'static str]) -> Self {
        let mut system = Self::with(in_galleries(galleries));
        system.deployment.start_all().expect("the system starts");
        system
    }

    /// Has the gate start again at another lane, which searches `galleries`.
    pub fn restart_gate_in(&mut self, galleries: &'static [&'static str]) {
        self.deployment.configure(in_galleries(galleries));
        self.deployment.next_lane().expect("the gate starts");
    }

    /// Kills the vault with SIGKILL and starts it on the same port, so that its callers' channels find it again. `kill`
    /// counts from 0, for the message.
    ///
    /// # Panics
    /// If it had ended by itself or does not come back.
    pub fn kill_vault(&mut self, kill: usize) {
        let died = tokio::task::block_in_place(|| {
            let vault = self.deployment.vault_process()?;
            vault.check()?;
            vault.kill();
            self.deployment.start_vault()
        });
        died.unwrap_or_else(|error| panic!("after kill {}: {error:#}", kill + 1));
    }

    /// Nothing runs yet.
    pub fn prepared(extra: Vec<(&'static str, String)>) -> Self {
        let mut settings = Settings::new(Sensors::simulated(FRAME_RATE), Ports::Free);
        settings.extra = extra;
        Self::with(settings)
    }

    fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let deployment = Deployment::prepare(folder.path(), settings).expect("certificates, keys and configurations");
        Self { deployment, folder }
    }

    /// The folder of certificates, keys, store and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Clients with the certificates of this system's peers.
    pub fn clients(&self) -> Clients {
        Clients::new(self.folder(), self.deployment.addresses())
    }
}

fn in_galleries(galleries: &'static [&'static str]) -> Settings {
    Settings { galleries, ..Settings::new(Sensors::simulated(FRAME_RATE), Ports::Free) }
}
