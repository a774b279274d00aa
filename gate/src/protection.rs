//! The key that protects templates before they leave this device: fetched from the vault, kept in memory only.

use std::time::Duration;

use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use volar_core::galleries::Galleries;
use volar_core::id::{GalleryId, ModelId};
use volar_core::protection::GalleryProtection;
use volar_proto::v1::GetProtectionRequest;
use volar_proto::v1::protection_service_client::ProtectionServiceClient;

use crate::convert::{self, AnswerError};
use crate::parameters::{KEY_PAUSE, KEY_PAUSE_MAX, KEY_TIME_MAX};

/// A gallery's protection.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The gallery.
    pub gallery: GalleryId,
    /// The secret transform.
    pub transform: GalleryProtection,
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// The model that the gallery's references come from.
    pub model: ModelId,
}

/// Why there is no protection key.
#[derive(Debug, thiserror::Error)]
pub enum ProtectionError {
    /// The vault does not answer, or refuses.
    #[error("the vault gives no protection key: {message}")]
    NoKey {
        /// The reason on the wire, or what kind of failure it is.
        reason: String,
        /// What is wrong, for a person.
        message: String,
    },
    /// The vault's answer makes no sense.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The gallery's references come from another model than this gate's templates.
    #[error(
        "gallery {gallery} holds templates of model {theirs}, this gate makes {ours}: they do not compare; update this \
         gate, or give it a gallery of its model"
    )]
    OtherModel {
        /// The gallery.
        gallery: GalleryId,
        /// The gallery's model.
        theirs: ModelId,
        /// This gate's model.
        ours: ModelId,
    },
}

/// Fetches the protection of a lane's galleries.
#[derive(Clone, Debug)]
pub struct KeySource {
    vault: ProtectionServiceClient<Channel>,
    galleries: Galleries,
    model: ModelId,
}

impl KeySource {
    /// Asks `vault` for `galleries`, for templates of `model`.
    pub fn new(vault: Channel, galleries: Galleries, model: ModelId) -> Self {
        Self { vault: ProtectionServiceClient::new(vault), galleries, model }
    }

    /// Asks once for every gallery, for at most `time_max`: all of them, in their order, or none.
    pub async fn fetch(&self, time_max: Duration) -> Result<Vec<Protection>, ProtectionError> {
        try_join_all(self.galleries.iter().map(|gallery| self.fetch_one(gallery, time_max))).await
    }

    async fn fetch_one(&self, gallery: &GalleryId, time_max: Duration) -> Result<Protection, ProtectionError> {
        let request = GetProtectionRequest { gallery: gallery.to_string() };
        let mut vault = self.vault.clone();
        let answered = tokio::time::timeout(time_max.min(KEY_TIME_MAX), vault.get_protection(request)).await;
        let response = match answered {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(no_key(&status)),
            Err(_) => {
                let message = "it did not answer in time".to_owned();
                return Err(ProtectionError::NoKey { reason: "NO_ANSWER".to_owned(), message });
            }
        };
        let protection = convert::protection(gallery, response)?;
        if protection.model != self.model {
            let (theirs, ours) = (protection.model, self.model.clone());
            return Err(ProtectionError::OtherModel { gallery: gallery.clone(), theirs, ours });
        }
        tracing::info!(%gallery, generation = protection.generation, "protection key fetched");
        Ok(protection)
    }

    /// Asks until there is an answer, ever more slowly, telling `failed` why there is none. `None` at `shutdown`.
    pub async fn fetch_at_last(
        &self,
        shutdown: &CancellationToken,
        mut failed: impl FnMut(&ProtectionError),
    ) -> Option<Vec<Protection>> {
        let mut pause = KEY_PAUSE;
        loop {
            let fetched = tokio::select! {
                fetched = self.fetch(KEY_TIME_MAX) => fetched,
                () = shutdown.cancelled() => return None,
            };
            match fetched {
                Ok(protections) => return Some(protections),
                Err(error) => failed(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => return None,
            }
            pause = (pause * 2).min(KEY_PAUSE_MAX);
        }
    }
}

fn no_key(status: &tonic::Status) -> ProtectionError {
    ProtectionError::NoKey { reason: convert::reason(status), message: convert::message(status) }
}
