//! Moving a vault's records to PostgreSQL while it serves. The vault that has moved them closes, and opens over the new
//! store with the keys that it had: its callers are refused for as long as a start takes.

use std::sync::{Arc, PoisonError};

use volar_service::identity::Peer;
use volar_service::server::CALL_TIME_MAX;
use volar_service::system::SystemRandomness;

use super::{Opening, Sealed, Seat, State};
use crate::config::Engine;
use crate::error::VaultError;
use crate::keys::{KeyHolder, KeyTableError};
use crate::migration::{MigrationError, Moved, Step};
use crate::parameters::STANDBY_INTERVAL;
use crate::store::{PostgresConfig, PostgresStore, Store};
use crate::vault::Vault;

/// How far a move is, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moving {
    /// Records done, of about how many.
    Under {
        /// What is done with them.
        step: Step,
        /// Done.
        done: u64,
        /// Of about.
        total: u64,
    },
    /// The new store is the vault's.
    Ended(Moved),
    /// Why the vault is where it was, or sealed.
    Failed(String),
}

/// What a vault that has moved its records goes on with.
type NewHome = (Box<dyn Store>, Arc<dyn KeyHolder>, Moved);

impl Seat {
    /// Where the records are.
    pub fn engine(&self) -> Engine {
        self.config().store.engine
    }

    /// How the last move goes or went; `None` if there was none since the start.
    pub fn moving(&self) -> Option<Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to move the records to the database of `[store.postgres]`. A move that is under way goes on, and it goes on
    /// when whoever asked is gone.
    pub fn begin_move(self: &Arc<Self>, peer: Peer) -> Result<Moving, VaultError> {
        let vault = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sealed(_) => return Err(VaultError::Closing),
            State::Open(opened) => opened.vault.clone(),
        };
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under @ Moving::Under { .. }) = &*moving {
            return Ok(under.clone());
        }
        let store = self.config().store;
        let database = match (store.engine, store.postgres) {
            (Engine::Postgres, _) => return Err(VaultError::NowhereToMove("the records are in PostgreSQL already")),
            (Engine::Sled, None) => {
                let what = "[store.postgres] names no database; add it to the vault's configuration, with engine as it \
                            is, and start the vault again";
                return Err(VaultError::NowhereToMove(what));
            }
            (Engine::Sled, Some(database)) => database,
        };
        let begun = Moving::Under { step: Step::Count, done: 0, total: 0 };
        *moving = Some(begun.clone());
        let seat = self.clone();
        tokio::spawn(async move {
            let ended = seat.move_records(vault, database, peer).await;
            match &ended {
                Moving::Failed(reason) => tracing::error!(reason, "the records were not moved"),
                _ => tracing::info!("the records were moved to PostgreSQL"),
            }
            seat.set_moving(ended);
        });
        Ok(begun)
    }

    async fn move_records(self: &Arc<Self>, vault: Arc<Vault>, database: PostgresConfig, peer: Peer) -> Moving {
        let seat = self.clone();
        let moved = tokio::task::spawn_blocking(move || {
            let new = PostgresStore::open(&database, &SystemRandomness).map_err(VaultError::from)?;
            let moved = vault.move_records_to(&new, &peer, &mut |step, done, total| {
                seat.set_moving(Moving::Under { step, done, total });
            })?;
            Ok::<NewHome, MigrationError>((Box::new(new), vault.holder.clone(), moved))
        });
        match moved.await {
            Ok(Ok(new)) => {
                let moved = new.2;
                match self.go_on_in(new).await {
                    Ok(()) => Moving::Ended(moved),
                    Err(error) => Moving::Failed(format!("the records are moved, but the vault is sealed: {error}")),
                }
            }
            Ok(Err(error)) => {
                let reason = error.to_string();
                if matches!(error, MigrationError::Incomplete(_)) {
                    // It may write no more, and whoever asks is to hear why.
                    let closed = self.close(Sealed { reason: reason.clone(), secret_wanted: false }).await;
                    closed.unwrap_or_else(|error| tracing::error!(%error, "the vault does not close"));
                }
                Moving::Failed(reason)
            }
            Err(_) => Moving::Failed("the move broke off; the vault's log says why".to_owned()),
        }
    }

    async fn go_on_in(self: &Arc<Self>, (store, holder, _): NewHome) -> Result<(), VaultError> {
        let _alone = self.changing.lock().await;
        self.config.write().unwrap_or_else(PoisonError::into_inner).store.engine = Engine::Postgres;
        if self.sealed().is_some() {
            // By an operator, a moment ago.
            return Err(VaultError::SealedByOperator);
        }
        let reason = "the vault opens over its new store; wait a moment".to_owned();
        match self.close_alone(Sealed { reason, secret_wanted: false }).await {
            // The last call under way takes the old vault with it, and the lock on its keys.
            Err(VaultError::StillBusy) => {}
            closed => closed?,
        }
        let (until, mut store) = (tokio::time::Instant::now() + CALL_TIME_MAX, Some(store));
        loop {
            let opening = Opening { typed: None, holder: Some(holder.clone()), by: None, store: store.take() };
            match self.open_alone(opening).await {
                Err(VaultError::KeyTable(KeyTableError::InUse { .. })) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(STANDBY_INTERVAL).await;
                }
                opened => return opened,
            }
        }
    }

    fn set_moving(&self, moving: Moving) {
        *self.moving.lock().unwrap_or_else(PoisonError::into_inner) = Some(moving);
    }
}
