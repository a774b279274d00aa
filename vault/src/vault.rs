//! The vault: keys, store and galleries, opened together and checked against each other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use volar_core::audit::Action;
use volar_core::clock::{Clock, Timestamp};
use volar_core::id::{DeviceId, GalleryId, IdempotencyId, ModelId, SubjectId, TenantId};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use volar_service::identity::Peer;

use crate::audit::About;
use crate::backup::Backups;
use crate::company::Seen;
use crate::config::GalleryConfig;
use crate::error::VaultError;
use crate::followers::Followers;
use crate::format::v1::{self, Answer};
use crate::format::{self, Binding, FormatError, Record, v2, v3};
use crate::keys::{Company, KeyHolder, KeyTable, Keyring, Ring};
use crate::parameters::ERASURES_AT_ONCE;
use crate::progress::Progress;
use crate::retention::Schedules;
use crate::rows::{self, Method};
use crate::second_factor::Hasher;
use crate::store::{Compacted, Rows, Store, Table, Transaction, Watch};

mod gallery;
mod opening;
mod subject_key;

pub(crate) use gallery::Gallery;
pub(crate) use opening::{META_FORMAT, META_MOVED, META_RESTORED, META_SEALED, META_STORE, META_UNFINISHED};
pub(crate) use subject_key::SubjectKey;

/// An open vault.
pub struct Vault {
    pub(crate) store: Box<dyn Store>,
    /// Notes the store's writers for whoever copies it.
    pub(crate) watch: Arc<Watch>,
    pub(crate) key_table: KeyTable,
    /// Who else may have store and key table open.
    pub(crate) company: Company,
    /// Names this opening to other vaults over the same store.
    pub(crate) id: [u8; 16],
    /// What was last seen of what others may change.
    pub(crate) seen: Mutex<Seen>,
    pub(crate) holder: Arc<dyn KeyHolder>,
    pub(crate) ring: Ring,
    pub(crate) tenants: BTreeMap<TenantId, Tenant>,
    pub(crate) followers: Followers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) settings: Settings,
    pub(crate) opened_at: Timestamp,
    /// One erasure of a person at a time destroys their key and gives its slot back: a slot given back twice would be two
    /// people's. Different people share a lock by chance.
    pub(crate) erasing: [Mutex<()>; ERASURES_AT_ONCE],
    /// One rotation at a time makes a version: two would make the same one.
    pub(crate) beginning_rotation: Mutex<()>,
    /// One look at what others have done with the keys at a time.
    pub(crate) changing_keys: Mutex<()>,
    /// One change of a gallery's record at a time: what is known of it follows in the same order.
    pub(crate) changing_gallery: Mutex<()>,
    /// One rewriting of somebody's pending probes at a time.
    pub(crate) renewing_probes: Mutex<()>,
    pub(crate) closing: AtomicBool,
    /// Where backups go, if anywhere.
    pub(crate) backups: Option<Backups>,
    /// When the store was last restored from a backup: what was claimed between the two is not known.
    pub(crate) restored_at: Option<Timestamp>,
    pub(crate) factor_hasher: Hasher,
}

/// What a vault is opened from.
pub struct Parts<'a> {
    /// Where records lie.
    pub store: Box<dyn Store>,
    /// Where subject keys lie.
    pub key_table: &'a Path,
    /// Who holds what tenant keys are wrapped under.
    pub holder: Arc<dyn KeyHolder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys, nonces and ids.
    pub randomness: Arc<dyn Randomness>,
}

/// What a vault serves and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Tenants and their galleries.
    pub tenants: Vec<(TenantId, Vec<GalleryConfig>)>,
    /// Matchers that must have searched for duplicates before a subject becomes active.
    pub verdicts_required: usize,
    /// An enrollment that announces a payment must have it within this time.
    pub payment_deadline: Duration,
    /// How long a ticket is good.
    pub ticket_lifetime: Duration,
    /// How long the answer to a call is kept for repeats.
    pub answer_lifetime: Duration,
    /// How long an erasure waits for connected followers.
    pub erasure_wait: Duration,
    /// How often a follower with nothing to do hears from the vault.
    pub heartbeat: Duration,
    /// How long people are kept.
    pub retention: Schedules,
    /// What to do with persons whose key slot is damaged.
    pub damaged_keys: DamagedKeys,
}

/// What to do about a key slot whose checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagedKeys {
    /// Do not start: the key table may be in a backup.
    Refuse,
    /// Erase the persons for good, as an operator has decided.
    Erase,
}

/// One tenant's keys and galleries.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) keys: Keyring,
    pub(crate) galleries: BTreeMap<GalleryId, Gallery>,
    pub(crate) rotation: Progress,
}

/// A writing call's id, and a hash of its body.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Made and kept by the caller.
    pub id: IdempotencyId,
    /// SHA-256 of the request.
    pub body_sha256: [u8; 32],
}

/// What `GetProtection` gives.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The gallery's key.
    pub key: Key,
    /// Its generation.
    pub generation: u32,
    /// The model of its references.
    pub model: ModelId,
}

impl Vault {
    /// The protection of a tenant's gallery.
    pub fn protection(&self, tenant: &TenantId, gallery: &GalleryId) -> Result<Protection, VaultError> {
        let gallery = self.tenant(tenant)?.gallery(gallery)?;
        let standing = gallery.standing();
        Ok(Protection { key: standing.key.clone(), generation: standing.generation, model: gallery.model.clone() })
    }

    /// The same for a capture device, which the audit log then names.
    pub fn give_protection(&self, peer: &Peer, gallery: &GalleryId) -> Result<Protection, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        tenant.gallery_for(peer, gallery)?;
        let protection = self.protection(&peer.tenant, gallery)?;
        let what =
            format!("the protection key of gallery {gallery}, generation {}, was given out", protection.generation);
        self.store.write(|transaction| {
            self.note(tenant, transaction, &peer.into(), Action::Key, About::Nobody, &what).map(drop)
        })?;
        Ok(protection)
    }

    /// Time since the vault was opened.
    pub fn uptime(&self) -> Duration {
        self.clock.now().since(self.opened_at)
    }

    /// Returns once everything written so far is durable.
    pub fn settle(&self) -> Result<(), VaultError> {
        Ok(self.store.settle()?)
    }

    /// Has work in the background end soon and whoever waits for news be answered, so that the vault can be closed.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for gallery in self.tenants.values().flat_map(|tenant| tenant.galleries.values()) {
            gallery.rouse();
        }
    }

    /// Whether other vaults serve over the same store and key table.
    pub(crate) fn is_shared(&self) -> bool {
        self.company != Company::None
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Bytes that the store's rows take up.
    pub fn store_bytes(&self) -> u64 {
        self.store.size_bytes()
    }

    /// Gives back the space of what was overwritten and removed, where the engine does not by itself; ends early, with
    /// `None`, when the vault closes.
    pub fn compact(&self) -> Result<Option<Compacted>, VaultError> {
        Ok(self.store.compact(&|| self.is_closing())?)
    }

    /// The same if there is much to give back.
    pub(crate) fn compact_if_wasteful(&self) -> Result<Option<Compacted>, VaultError> {
        if self.store.is_wasteful() { self.compact() } else { Ok(None) }
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> Result<&Tenant, VaultError> {
        self.tenants.get(tenant).ok_or_else(|| VaultError::TenantUnknown { tenant: tenant.clone() })
    }

    pub(crate) fn rows(&self) -> &dyn Rows {
        &*self.store
    }

    pub(crate) fn put<R: Record>(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        table: Table,
        key: &[u8],
        record: &R,
    ) -> Result<(), VaultError> {
        let keys = tenant.keys.current();
        let sealed = format::seal(record, &keys.records, tenant.binding(key, keys.version), &*self.randomness);
        Ok(transaction.put(table, key, &sealed)?)
    }

    /// What a repeated call was answered the first time; `None` for a new call.
    pub(crate) fn answered(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        device: &DeviceId,
        method: Method,
        call: &Call,
    ) -> Result<Option<Answer>, VaultError> {
        let key = rows::idempotency(&tenant.id, device, method, call.id);
        let Some(found) = tenant.record::<v1::Idempotency>(rows, Table::Idempotency, &key)? else { return Ok(None) };
        if found.body != tenant.keys.body_mark(&call.body_sha256) {
            return Err(VaultError::IdempotencyConflict);
        }
        Ok(Some(found.answer))
    }

    /// Remembers a call's answer, in the transaction that has its effect.
    pub(crate) fn remember(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        device: &DeviceId,
        method: Method,
        call: &Call,
        answer: Answer,
    ) -> Result<(), VaultError> {
        let key = rows::idempotency(&tenant.id, device, method, call.id);
        let body = tenant.keys.body_mark(&call.body_sha256);
        let now = self.clock.now();
        let record = v1::Idempotency { body, at: now, answer };
        self.put(tenant, transaction, Table::Idempotency, &key, &record)?;
        self.forget_at(transaction, Table::Idempotency, &key, now.after(self.settings.answer_lifetime))
    }

    /// The record of a subject that is not erased, and the key that opens it.
    pub(crate) fn living(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        subject: SubjectId,
    ) -> Result<(v3::Subject, SubjectKey), VaultError> {
        let key = rows::subject(&tenant.id, subject);
        if rows.read(Table::Tombstones, &key)?.is_some() {
            return Err(VaultError::SubjectErased);
        }
        let sealed = rows.read(Table::Subjects, &key)?.ok_or(VaultError::SubjectUnknown)?;
        let subject_key = self.subject_key(tenant, rows, subject)?.ok_or(VaultError::SubjectErased)?;
        Ok((subject_key.open(tenant, &key, &sealed)?, subject_key))
    }
}

/// Runs work that waits for the disk where it holds up nobody else.
pub(crate) async fn blocking<T: Send + 'static>(
    vault: &Arc<Vault>,
    work: impl FnOnce(&Vault) -> T + Send + 'static,
) -> T {
    let vault = vault.clone();
    match tokio::task::spawn_blocking(move || work(&vault)).await {
        Ok(value) => value,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is ending, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The blob that holds a pending subject's probes.
pub(crate) fn probes_name(subject: SubjectId) -> String {
    format!("probes-{}", hex::encode(subject.as_bytes()))
}

impl Tenant {
    pub(crate) fn gallery(&self, gallery: &GalleryId) -> Result<&Gallery, VaultError> {
        self.galleries
            .get(gallery)
            .ok_or_else(|| VaultError::GalleryUnknown { tenant: self.id.clone(), gallery: gallery.clone() })
    }

    /// The same for a device, whose site must be one that may use it.
    pub(crate) fn gallery_for(&self, peer: &Peer, gallery: &GalleryId) -> Result<&Gallery, VaultError> {
        let gallery = self.gallery(gallery)?;
        if gallery.sites.is_empty() || gallery.sites.contains(&peer.site) {
            return Ok(gallery);
        }
        Err(VaultError::GalleryNotForSite { gallery: gallery.id.clone(), site: peer.site.clone() })
    }

    /// Tells whoever waits on these galleries that their feeds reach these numbers.
    pub(crate) fn wake(&self, memberships: &[v2::Membership]) {
        for v2::Membership { gallery, sequence } in memberships {
            // One that is not configured any more has nobody waiting.
            if let Some(gallery) = self.galleries.get(gallery) {
                gallery.wake(*sequence);
            }
        }
    }

    /// A record that is about nobody, from its row.
    pub(crate) fn open<R: Record>(&self, key: &[u8], sealed: &[u8]) -> Result<R, FormatError> {
        let version = format::key_version(sealed).ok_or(FormatError::Short { kind: R::KIND, found: sealed.len() })?;
        let keys = self.keys.of(version).ok_or(FormatError::KeyUnknown { kind: R::KIND, version })?;
        format::open(sealed, &keys.records, self.binding(key, version))
    }

    /// A record that is about nobody; its id is its row's key.
    pub(crate) fn record<R: Record>(&self, rows: &dyn Rows, table: Table, key: &[u8]) -> Result<Option<R>, VaultError> {
        let Some(sealed) = rows.read(table, key)? else { return Ok(None) };
        if format::key_version(&sealed).is_some_and(|version| self.keys.of(version).is_none())
            && let Some(sealed) = rows.read(table, key)?
        {
            // A rotation sealed it anew since it was read, and then let go of the old version.
            return Ok(Some(self.open(key, &sealed)?));
        }
        Ok(Some(self.open(key, &sealed)?))
    }

    pub(crate) fn binding<'a>(&'a self, id: &'a [u8], key_version: u32) -> Binding<'a> {
        Binding { tenant: &self.id, subject: None, id, key_version }
    }
}
