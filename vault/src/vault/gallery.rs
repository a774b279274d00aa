//! One gallery as it stands in memory: its protection, which may be renewed, and its feed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use volar_core::id::{GalleryId, ModelId, SiteId};
use volar_core::protection::Renewal;
use volar_core::secret::Key;
use volar_core::template::{CODE_BYTES, Position, ProtectedCode, ProtectedEmbedding, TemplateError};

use super::{SubjectKey, Tenant};
use crate::error::VaultError;
use crate::format::{FormatError, Kind, v1, v4};
use crate::progress::Progress;

/// One gallery.
pub(crate) struct Gallery {
    pub(crate) id: GalleryId,
    pub(crate) model: ModelId,
    /// The sites whose devices may use it; none for every site of the tenant.
    pub(crate) sites: BTreeSet<SiteId>,
    standing: Mutex<Arc<Standing>>,
    /// How far it is protected anew.
    pub(crate) renewal: Progress,
    /// The feed's last sequence number: a wake-up; what happened is read from the store.
    pub(crate) wake: watch::Sender<u64>,
}

/// A gallery's protection and the name of its feed, which change together.
pub(crate) struct Standing {
    /// What devices protect under, and followers hear.
    pub(crate) generation: u32,
    pub(crate) key: Key,
    pub(crate) feed_id: [u8; 16],
    /// While the gallery is protected anew: the next generation, or the one before.
    other: Option<Other>,
}

struct Other {
    generation: u32,
    to: Renewal,
    from: Renewal,
}

impl Gallery {
    pub(crate) fn new(id: GalleryId, sites: BTreeSet<SiteId>, stored: &v4::Gallery, last_sequence: u64) -> Self {
        Self {
            id,
            model: stored.model.clone(),
            sites,
            standing: Mutex::new(Arc::new(Standing::of(stored))),
            renewal: Progress::default(),
            wake: watch::Sender::new(last_sequence),
        }
    }

    /// As it is now.
    pub(crate) fn standing(&self) -> Arc<Standing> {
        self.lock().clone()
    }

    /// Takes over what the store says.
    pub(crate) fn stand(&self, stored: &v4::Gallery) {
        *self.lock() = Arc::new(Standing::of(stored));
    }

    /// Tells whoever waits on this gallery that its feed reaches `sequence`.
    pub(crate) fn wake(&self, sequence: u64) {
        self.wake.send_if_modified(|last| {
            let later = sequence > *last;
            *last = (*last).max(sequence);
            later
        });
    }

    /// Has whoever waits on this gallery look again.
    pub(crate) fn rouse(&self) {
        self.wake.send_modify(|_| {});
    }

    /// Somebody's palm, as `generation` protects it, whichever it is stored under.
    pub(crate) fn palm(
        &self,
        tenant: &Tenant,
        key: &SubjectKey,
        position: Position,
        sealed: &[u8],
        generation: u32,
    ) -> Result<v1::Palm, VaultError> {
        let standing = self.standing();
        let (found, palm) = key.open_palm(tenant, &self.id, &standing.generations(), position, sealed)?;
        standing.palm(palm, found, generation)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn of(stored: &v4::Gallery) -> Self {
        let key = Key::new(*stored.key.expose());
        let other = stored.other.as_ref().map(|other| {
            let theirs = Key::new(*other.key.expose());
            let (to, from) = (Renewal::between(&key, &theirs), Renewal::between(&theirs, &key));
            Other { generation: other.generation, to, from }
        });
        Self { generation: stored.generation, key, feed_id: stored.feed_id, other }
    }

    /// Every generation that something may be stored under, the current one first.
    pub(crate) fn generations(&self) -> Vec<u32> {
        std::iter::once(self.generation).chain(self.other_generation()).collect()
    }

    /// The generation that is being taken up or left, if one is.
    pub(crate) fn other_generation(&self) -> Option<u32> {
        self.other.as_ref().map(|other| other.generation)
    }

    /// A palm of generation `found` as `wanted` protects it.
    pub(crate) fn palm(&self, palm: v1::Palm, found: u32, wanted: u32) -> Result<v1::Palm, VaultError> {
        let Some(renewal) = self.renewal(found, wanted)? else { return Ok(palm) };
        let renewed = palm.references.iter().map(|reference| {
            let (embedding, code) = protect(renewal, &reference.embedding, &reference.code)?;
            Ok(v1::Reference { embedding, code, quality: reference.quality })
        });
        let references: Result<_, TemplateError> = renewed.collect();
        let references = references.map_err(|_| FormatError::Undecodable { kind: Kind::Palm })?;
        Ok(v1::Palm { position: palm.position, references })
    }

    /// A probe of generation `found` as `wanted` protects it.
    pub(crate) fn probe(&self, probe: v1::Probe, found: u32, wanted: u32) -> Result<v1::Probe, VaultError> {
        let Some(renewal) = self.renewal(found, wanted)? else { return Ok(probe) };
        let (embedding, codes) = protect(renewal, &probe.embedding, &probe.codes)
            .map_err(|_| FormatError::Undecodable { kind: Kind::PendingProbes })?;
        Ok(v1::Probe { embedding, codes, quality: probe.quality })
    }

    fn renewal(&self, found: u32, wanted: u32) -> Result<Option<&Renewal>, VaultError> {
        let gone = VaultError::GenerationMismatch { found: wanted, current: self.generation };
        match &self.other {
            _ if found == wanted => Ok(None),
            Some(other) if (found, wanted) == (self.generation, other.generation) => Ok(Some(&other.to)),
            Some(other) if (found, wanted) == (other.generation, self.generation) => Ok(Some(&other.from)),
            _ => Err(gone),
        }
    }
}

/// An embedding and any number of codes.
fn protect(renewal: &Renewal, embedding: &[f32], codes: &[u8]) -> Result<(Vec<f32>, Vec<u8>), TemplateError> {
    let embedding = renewal.embedding(&ProtectedEmbedding::from_untrusted(embedding)?).expose().to_vec();
    let mut renewed = Vec::with_capacity(codes.len());
    for code in codes.chunks(CODE_BYTES) {
        renewed.extend(renewal.code(&ProtectedCode::from_untrusted(code)?).to_bytes());
    }
    Ok((embedding, renewed))
}
