//! The process: opens the vault its configuration describes, serves it, and closes it in order.

use std::io::IsTerminal;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::server::Server;
use volar_service::system::{SystemClock, SystemRandomness};

use crate::backup::restore::{self, Restore, Restored, Step};
use crate::config::{Config, Engine};
use crate::error::VaultError;
use crate::keys::{Hsm, HsmError, KeyFile, KeyHolder, KeyTable, KeyTableError, Secret};
use crate::parameters::STANDBY_INTERVAL;
use crate::sealing;
use crate::seat::{self, Opening, Seat};
use crate::service::{self, ACCESS};
use crate::store::{PostgresStore, SledStore, Store, StoreError};
use crate::vault::{DamagedKeys, Parts, Settings, Vault};

/// Serves until `context` says to stop.
pub async fn run(config: Config, context: Context) -> Result<(), Exit> {
    let settings = config.settings().map_err(Exit::usage)?;
    let name = config.tls.own_name().map_err(Exit::usage)?;
    if name.role != Role::Vault {
        return Err(Exit::usage(format!(
            "{} names a process of role {}; a vault needs a certificate of role vault",
            config.tls.certificate.display(),
            name.role
        )));
    }
    let typed = ask_at_terminal(&config).map_err(Exit::unavailable)?;
    let store = match config.store.standby {
        false => None,
        true => match stand_by(&config, &context.shutdown).await? {
            None => return Ok(()),
            store => store,
        },
    };
    let server = Server::bind(&config.server, &config.tls, ACCESS).await.map_err(Exit::unavailable)?;
    let seat = Arc::new(Seat::new(config, settings, server.health(), context.shutdown.clone()));
    seat::open_or_stay_sealed(&seat, typed, store).await?;
    context.announce(server.address()).map_err(Exit::unavailable)?;
    let served = server.serve(service::seated_routes(&seat), context.shutdown.clone()).await;
    context.shutdown.cancel();
    let stopped = seat.stop().await;
    served.map_err(Exit::internal)?;
    stopped.map_err(Exit::internal)
}

/// Waits until no other vault has the store and the key table open, and opens the store; `None` if told to end before.
async fn stand_by(config: &Config, shutdown: &CancellationToken) -> Result<Option<Box<dyn Store>>, Exit> {
    let mut told = String::new();
    loop {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || match KeyTable::is_in_use(&config.store.key_table)? {
            true => Err(KeyTableError::InUse { path: config.store.key_table }.into()),
            false => Ok(open_store(&config)?),
        });
        match opened.await.map_err(Exit::internal)? {
            Ok(store) => return Ok(Some(store)),
            Err(
                error @ (VaultError::KeyTable(KeyTableError::InUse { .. })
                | VaultError::Store(StoreError::InUse { .. } | StoreError::Unavailable { .. })),
            ) => {
                let reason = error.to_string();
                if told != reason {
                    tracing::info!(reason, "standing by");
                    told = reason;
                }
            }
            Err(error) => return Err(Exit::unavailable(error)),
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(STANDBY_INTERVAL)).await.is_none() {
            return Ok(None);
        }
    }
}

/// The passphrase or PIN, from whoever started the vault at a terminal, if the configuration names no file of it.
fn ask_at_terminal(config: &Config) -> Result<Option<Secret>, VaultError> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let question = match (&config.keys.hsm, &config.keys.file) {
        (Some(hsm), _) if hsm.pin_file.is_none() => "the token's user PIN: ",
        (None, Some(file)) if config.keys.passphrase_file.is_none() && KeyFile::is_protected(file).unwrap_or(false) => {
            "the passphrase of the vault's key file: "
        }
        _ => return Ok(None),
    };
    Secret::prompt(question).map(Some).map_err(VaultError::from)
}

/// Opens the vault that `config` describes.
pub fn open(config: &Config, settings: Settings) -> Result<Vault, VaultError> {
    open_as(config, settings, Opening { typed: None, holder: None, by: None, store: None })
}

/// The same as `opening` says.
pub(crate) fn open_as(config: &Config, settings: Settings, opening: Opening) -> Result<Vault, VaultError> {
    let Opening { typed, holder: held, by, store } = opening;
    let holder = match held {
        Some(holder) => holder,
        None => holder(config, typed)?,
    };
    let store = match store {
        Some(store) => store,
        None => open_store(config)?,
    };
    if by.is_none() && sealing::is_sealed(&*store)? {
        return Err(VaultError::SealedByOperator);
    }
    let parts = Parts {
        store,
        key_table: &config.store.key_table,
        holder,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    let vault = Vault::open_with(parts, settings, config.backup.clone())?;
    if let Some(operator) = by {
        vault.note_seal(&operator, false)?;
    }
    tracing::info!(store_bytes = vault.store_bytes(), "vault opened");
    Ok(vault)
}

/// Fills the empty store that `config` describes from a backup.
pub fn restore(
    config: &Config,
    what: &Restore<'_>,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> Result<Restored, Exit> {
    let config = &config.alone();
    let settings = config.settings().map_err(Exit::usage)?;
    let typed = ask_at_terminal(config).map_err(Exit::unavailable)?;
    let parts = Parts {
        holder: holder(config, typed).map_err(Exit::unavailable)?,
        store: open_store(config).map_err(Exit::unavailable)?,
        key_table: &config.store.key_table,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    restore::restore(parts, settings, what, progress).map_err(Exit::unavailable)
}

/// Opens the store that `config` describes.
pub fn open_store(config: &Config) -> Result<Box<dyn Store>, StoreError> {
    let store = &config.store;
    match (store.engine, &store.postgres) {
        (Engine::Postgres, Some(postgres)) => Ok(Box::new(PostgresStore::open(postgres, &SystemRandomness)?)),
        // Without a database there is a folder: the settings' rules demand it.
        _ => {
            let cache = u64::from(store.cache_mib) << 20;
            Ok(Box::new(SledStore::open(&store.folder, cache, store.verify_at_start)?))
        }
    }
}

/// Who holds the keys that `config` names, opened with `typed` or, without it, with the file that it names.
fn holder(config: &Config, typed: Option<Secret>) -> Result<Arc<dyn KeyHolder>, VaultError> {
    let secret = |file: &Option<std::path::PathBuf>| match (typed, file) {
        (Some(typed), _) => Ok(Some(typed)),
        (None, Some(path)) => Secret::read(path).map(Some),
        (None, None) => Ok(None),
    };
    if let Some(hsm) = &config.keys.hsm {
        let pin = secret(&hsm.pin_file)?.ok_or(HsmError::PinNeeded)?;
        return Ok(Arc::new(Hsm::open(hsm, &pin)?));
    }
    let path = key_file(config)?;
    let passphrase = if KeyFile::is_protected(path)? { secret(&config.keys.passphrase_file)? } else { None };
    Ok(Arc::new(KeyFile::open_with(path, passphrase.as_ref())?))
}

fn key_file(config: &Config) -> Result<&std::path::PathBuf, VaultError> {
    config.keys.file.as_ref().ok_or_else(|| VaultError::field("[keys]", "must have either file or [keys.hsm]"))
}

/// Makes the keys of a new vault: its key file, under a passphrase if `passphrase` says so or the configuration names a
/// file of one; or its keys in the token. Sound ones that are there already stay; returns whether any were made.
pub fn init(config: &Config, passphrase: bool) -> Result<bool, VaultError> {
    if let Some(hsm) = &config.keys.hsm {
        let pin = match &hsm.pin_file {
            Some(path) => Secret::read(path)?,
            None => Secret::prompt("the token's user PIN: ")?,
        };
        let tenants: Vec<_> = config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
        return Ok(Hsm::create(hsm, &pin, &tenants, &SystemRandomness)?);
    }
    let path = key_file(config)?;
    if path.exists() {
        // Read as far as it can be without its passphrase.
        return Ok(KeyFile::is_protected(path).map(|_| false)?);
    }
    match &config.keys.passphrase_file {
        Some(file) => KeyFile::create_protected(path, &Secret::read(file)?, &SystemRandomness)?,
        None if passphrase => {
            let typed = Secret::prompt_twice("a passphrase for the vault's key file: ")?;
            KeyFile::create_protected(path, &typed, &SystemRandomness)?
        }
        None => KeyFile::create(path, &SystemRandomness)?,
    };
    Ok(true)
}

/// Opens the vault once, erasing the persons whose keys are damaged for good.
pub fn erase_damaged(config: &Config) -> Result<(), Exit> {
    let config = &config.alone();
    let settings = Settings { damaged_keys: DamagedKeys::Erase, ..config.settings().map_err(Exit::usage)? };
    let typed = ask_at_terminal(config).map_err(Exit::unavailable)?;
    let opening = Opening { typed, holder: None, by: None, store: None };
    let vault = open_as(config, settings, opening).map_err(Exit::unavailable)?;
    vault.settle().map_err(Exit::unavailable)
}
