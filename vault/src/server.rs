//! The process: opens the vault its configuration describes, serves it, and closes it in order.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::server::Server;
use volar_service::system::{SystemClock, SystemRandomness};

use crate::config::Config;
use crate::error::VaultError;
use crate::keys::{Hsm, HsmError, KeyFile, KeyHolder, Secret};
use crate::parameters::SWEEP_INTERVAL;
use crate::service::{self, ACCESS};
use crate::store::SledStore;
use crate::vault::{DamagedKeys, Parts, Settings, Vault, blocking};

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
    let server = Server::bind(&config.server, &config.tls, ACCESS).await.map_err(Exit::unavailable)?;
    let opened = tokio::task::spawn_blocking(move || open(&config, settings)).await.map_err(Exit::internal)?;
    let vault = Arc::new(opened.map_err(Exit::unavailable)?);
    let health = server.health();
    for name in service::NAMES.into_iter().chain([""]) {
        health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    context.announce(server.address()).map_err(Exit::unavailable)?;
    let sweeper = tokio::spawn(sweep(vault.clone(), context.shutdown.clone()));
    let routes = service::routes(&vault, &context.shutdown);
    let served = server.serve(routes, context.shutdown.clone()).await;
    context.shutdown.cancel();
    // A panic in the sweeper was reported when it happened.
    let _ = sweeper.await;
    let settled = blocking(&vault, Vault::settle).await;
    served.map_err(Exit::internal)?;
    settled.map_err(Exit::internal)
}

/// Opens the vault that `config` describes.
pub fn open(config: &Config, settings: Settings) -> Result<Vault, VaultError> {
    open_with(config, settings, holder(config, None)?)
}

fn open_with(config: &Config, settings: Settings, holder: Arc<dyn KeyHolder>) -> Result<Vault, VaultError> {
    let cache = u64::from(config.store.cache_mib) << 20;
    let store = SledStore::open(&config.store.folder, cache, config.store.verify_at_start)?;
    let parts = Parts {
        store: Box::new(store),
        key_table: &config.store.key_table,
        holder,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    let vault = Vault::open(parts, settings)?;
    tracing::info!(store_bytes = vault.store_bytes(), "vault opened");
    Ok(vault)
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
    let settings = Settings { damaged_keys: DamagedKeys::Erase, ..config.settings().map_err(Exit::usage)? };
    let vault = open(config, settings).map_err(Exit::unavailable)?;
    vault.settle().map_err(Exit::unavailable)
}

async fn sweep(vault: Arc<Vault>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = blocking(&vault, Vault::measure).await {
            tracing::error!(%error, "gauges cannot be read now");
        }
        match blocking(&vault, Vault::sweep).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "abandoned enrollments erased"),
            Err(error) => tracing::error!(%error, "abandoned enrollments cannot be erased now"),
        }
        match blocking(&vault, Vault::forget_old).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!(forgotten, "answers and claims whose time was over are forgotten"),
            Err(error) => tracing::error!(%error, "records whose time is over cannot be removed now"),
        }
    }
}
