//! One person's own key: made at enrollment, wrapped by the tenant's, destroyed at erasure.

use volar_core::id::{GalleryId, SubjectId};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use volar_core::template::Position;
use zeroize::Zeroizing;

use super::{Tenant, Vault};
use crate::error::VaultError;
use crate::format::{self, Binding, FormatError, Kind, Record, v1, v2, v3, v4};
use crate::keys::{Slot, TenantKeys, WRAPPED, WrappedKey};
use crate::rows;
use crate::store::{Rows, Table};

const NONCE: usize = 12;
/// A subject's key is never changed, only wrapped anew, so a subject's records keep one version for good: the key seals
/// a few dozen records in its life, far below NIST SP 800-38D's limit of 2^32, and is destroyed with the subject.
const VERSION: u32 = 1;

/// A person's key, unwrapped, and whose it is.
pub(crate) struct SubjectKey {
    pub(crate) subject: SubjectId,
    key: Key,
}

impl SubjectKey {
    /// A new key for a new subject.
    pub(crate) fn generate(subject: SubjectId, randomness: &dyn Randomness) -> Self {
        let bytes = Zeroizing::new(randomness.bytes::<{ Key::LENGTH }>());
        Self { subject, key: Key::new(*bytes) }
    }

    /// Wraps it under one version of its tenant's keys.
    pub(crate) fn wrap(&self, tenant: &Tenant, keys: &TenantKeys, randomness: &dyn Randomness) -> WrappedKey {
        let nonce: [u8; NONCE] = randomness.bytes();
        let aad = associated_data(tenant, self.subject, keys.version);
        let text = format::encrypt(&keys.wrapping, nonce, &aad, self.key.expose());
        let mut bytes = [0; WRAPPED];
        bytes[..NONCE].copy_from_slice(&nonce);
        bytes[NONCE..].copy_from_slice(&text);
        WrappedKey { version: keys.version, bytes }
    }

    pub(crate) fn unwrap(tenant: &Tenant, subject: SubjectId, wrapped: &WrappedKey) -> Option<Self> {
        let (nonce, text) = wrapped.bytes.split_at(NONCE);
        let nonce = nonce.try_into().expect("split at twelve bytes");
        let aad = associated_data(tenant, subject, wrapped.version);
        let plain = format::decrypt(&tenant.keys.of(wrapped.version)?.wrapping, nonce, &aad, text)?;
        Some(Self { subject, key: Key::from_slice(&plain)? })
    }

    pub(crate) fn seal<R: Record>(
        &self,
        tenant: &Tenant,
        id: &[u8],
        record: &R,
        randomness: &dyn Randomness,
    ) -> Vec<u8> {
        format::seal(record, &self.key, self.binding(tenant, id), randomness)
    }

    pub(crate) fn open<R: Record>(&self, tenant: &Tenant, id: &[u8], sealed: &[u8]) -> Result<R, FormatError> {
        format::open(sealed, &self.key, self.binding(tenant, id))
    }

    /// A palm of theirs as it is sealed: it opens as that hand, in that gallery, of that generation, and nowhere else.
    pub(crate) fn seal_palm(
        &self,
        tenant: &Tenant,
        gallery: &GalleryId,
        generation: u32,
        palm: &v1::Palm,
        by: &dyn Randomness,
    ) -> Vec<u8> {
        self.seal(tenant, &rows::palm_id(palm.position, gallery, generation), palm, by)
    }

    /// The same the other way: the palm, and which of these generations it is of.
    pub(crate) fn open_palm(
        &self,
        tenant: &Tenant,
        gallery: &GalleryId,
        generations: &[u32],
        position: Position,
        sealed: &[u8],
    ) -> Result<(u32, v1::Palm), FormatError> {
        if format::schema(sealed) == Some(1) {
            // Version 1 did not bind the gallery: each person had one, and none had been protected anew.
            return Ok((1, self.open(tenant, &rows::palm_hand(position), sealed)?));
        }
        let mut opened = Err(FormatError::Forged { kind: Kind::Palm });
        for &generation in generations {
            match self.open(tenant, &rows::palm_id(position, gallery, generation), sealed) {
                Err(error @ FormatError::Forged { .. }) => opened = Err(error),
                palm => return Ok((generation, palm?)),
            }
        }
        opened
    }

    /// Opens the commitment to this subject in leaf `index` of the audit log.
    pub(crate) fn audit_salt(&self, index: u64) -> [u8; 32] {
        *self.key.derive("volar.v1 audit salt", &[&index.to_be_bytes()]).expose()
    }

    fn binding<'a>(&self, tenant: &'a Tenant, id: &'a [u8]) -> Binding<'a> {
        Binding { tenant: &tenant.id, subject: Some(self.subject), id, key_version: VERSION }
    }
}

impl Vault {
    /// A pending subject's probes, and of which generation of each of their galleries they are.
    pub(crate) fn open_probes(
        &self,
        tenant: &Tenant,
        key: &SubjectKey,
        record: &v3::Subject,
        sealed: &[u8],
    ) -> Result<(Vec<u32>, v1::PendingProbes), VaultError> {
        let mut possible = vec![Vec::new()];
        for v2::Membership { gallery, .. } in &record.memberships {
            let generations = self.generations(tenant, gallery)?;
            let with = |before: &Vec<u32>, next: u32| before.iter().copied().chain([next]).collect();
            possible = generations.iter().flat_map(|&next| possible.iter().map(move |one| with(one, next))).collect();
        }
        for generations in possible {
            match key.open(tenant, &rows::probes_id(&generations), sealed) {
                Err(FormatError::Forged { .. }) => {}
                probes => return Ok((generations, probes?)),
            }
        }
        Err(FormatError::Forged { kind: Kind::PendingProbes }.into())
    }

    /// The generations that something of a gallery may be of, one that is not configured any more included.
    pub(crate) fn generations(&self, tenant: &Tenant, gallery: &GalleryId) -> Result<Vec<u32>, VaultError> {
        if let Some(gallery) = tenant.galleries.get(gallery) {
            return Ok(gallery.standing().generations());
        }
        let stored =
            tenant.record::<v4::Gallery>(self.rows(), Table::Galleries, &rows::gallery(&tenant.id, gallery))?;
        let stored = stored.ok_or(VaultError::RecordMissing { kind: "gallery" })?;
        Ok([Some(stored.generation), stored.other.map(|other| other.generation)].into_iter().flatten().collect())
    }

    /// A subject's key; `None` if it was destroyed.
    pub(crate) fn subject_key(
        &self,
        tenant: &Tenant,
        rows: &dyn Rows,
        subject: SubjectId,
    ) -> Result<Option<SubjectKey>, VaultError> {
        let row = rows::subject(&tenant.id, subject);
        let placement = tenant.record::<v2::Placement>(rows, Table::Placements, &row)?;
        let Some(placement) = placement else { return Ok(None) };
        let load = || self.key_table.load(Slot(placement.slot), subject);
        let Some(mut wrapped) = load()? else { return Ok(None) };
        if tenant.keys.of(wrapped.version).is_none() {
            // A rotation wrapped it anew since it was read, and then let go of the old version.
            let Some(again) = load()? else { return Ok(None) };
            wrapped = again;
        }
        let version = wrapped.version;
        if tenant.keys.of(version).is_none() {
            return Err(FormatError::KeyUnknown { kind: Kind::Subject, version }.into());
        }
        let key = SubjectKey::unwrap(tenant, subject, &wrapped).ok_or(FormatError::Forged { kind: Kind::Subject })?;
        Ok(Some(key))
    }
}

fn associated_data(tenant: &Tenant, subject: SubjectId, version: u32) -> Vec<u8> {
    let name = tenant.id.as_str().as_bytes();
    let parts: [&[u8]; 5] =
        [b"volar.v1 subject key", &version.to_be_bytes(), &(name.len() as u32).to_be_bytes(), name, subject.as_bytes()];
    parts.concat()
}
