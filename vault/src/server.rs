//! The process: opens the vault its configuration describes, serves it, and closes it in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use volar_service::cli::{Context, Exit};
use volar_service::identity::Role;
use volar_service::server::Server;
use volar_service::system::{SystemClock, SystemRandomness};

use crate::config::{AuditConfig, Config};
use crate::error::VaultError;
use crate::keys::{KeyFile, KeyFileError};
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
    let heads = config.audit.clone();
    let server = Server::bind(&config.server, &config.tls, ACCESS).await.map_err(Exit::unavailable)?;
    let opened = tokio::task::spawn_blocking(move || open(&config, settings)).await.map_err(Exit::internal)?;
    let vault = Arc::new(opened.map_err(Exit::unavailable)?);
    let health = server.health();
    for name in service::NAMES.into_iter().chain([""]) {
        health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    context.announce(server.address()).map_err(Exit::unavailable)?;
    let sweeper = tokio::spawn(sweep(vault.clone(), context.shutdown.clone()));
    let publisher = tokio::spawn(publish(vault.clone(), heads, context.shutdown.clone()));
    let routes = service::routes(&vault, &context.shutdown);
    let served = server.serve(routes, context.shutdown.clone()).await;
    context.shutdown.cancel();
    // A panic in the sweeper was reported when it happened.
    let _ = (sweeper.await, publisher.await);
    let settled = blocking(&vault, Vault::settle).await;
    served.map_err(Exit::internal)?;
    settled.map_err(Exit::internal)
}

/// Opens the vault that `config` describes.
pub fn open(config: &Config, settings: Settings) -> Result<Vault, VaultError> {
    let holder = KeyFile::open(&config.keys.file)?;
    let cache = u64::from(config.store.cache_mib) << 20;
    let store = SledStore::open(&config.store.folder, cache, config.store.verify_at_start)?;
    let parts = Parts {
        store: Box::new(store),
        key_table: &config.store.key_table,
        holder: &holder,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    };
    let vault = Vault::open(parts, settings)?;
    tracing::info!(store_bytes = vault.store_bytes(), "vault opened");
    Ok(vault)
}

/// Makes the key file of a new vault. A sound one that is there already stays as it is; returns whether one was made.
pub fn init(key_file: &Path) -> Result<bool, KeyFileError> {
    match KeyFile::create(key_file, &SystemRandomness) {
        Ok(_) => Ok(true),
        Err(KeyFileError::Exists { .. }) => KeyFile::open(key_file).map(|_| false),
        Err(error) => Err(error),
    }
}

/// Opens the vault once, erasing the persons whose keys are damaged for good.
pub fn erase_damaged(config: &Config) -> Result<(), Exit> {
    let settings = Settings { damaged_keys: DamagedKeys::Erase, ..config.settings().map_err(Exit::usage)? };
    let vault = open(config, settings).map_err(Exit::unavailable)?;
    vault.settle().map_err(Exit::unavailable)
}

async fn sweep(vault: Arc<Vault>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    let mut retained_on = None;
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = blocking(&vault, Vault::measure).await {
            tracing::error!(%error, "gauges cannot be read now");
        }
        match blocking(&vault, Vault::sweep).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "abandoned enrollments erased"),
            Err(error) => tracing::error!(%error, "abandoned enrollments cannot be erased now"),
        }
        let today = vault.today();
        if retained_on != Some(today) {
            match blocking(&vault, Vault::run_retention_for_all).await {
                Ok(erased) => {
                    retained_on = Some(today);
                    tracing::info!(erased, "retention schedule applied");
                }
                Err(error) => tracing::error!(%error, "the retention schedule cannot be applied now"),
            }
        }
        match blocking(&vault, Vault::forget_old).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!(forgotten, "answers and claims whose time was over are forgotten"),
            Err(error) => tracing::error!(%error, "records whose time is over cannot be removed now"),
        }
    }
}

/// Writes heads of the audit logs where outsiders can take them from, if configured.
async fn publish(vault: Arc<Vault>, config: AuditConfig, shutdown: CancellationToken) {
    let Some(folder) = config.heads else { return };
    let mut tick = tokio::time::interval(Duration::from_secs(config.heads_every_minutes * 60));
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let folder = folder.clone();
        if let Err(error) = blocking(&vault, move |vault| vault.publish_heads(&folder)).await {
            tracing::error!(%error, "tree heads of the audit log cannot be written now");
        }
    }
}
