//! What one tenant's key is used for, each use with a key of its own.

use ring::hmac;
use volar_core::id::{DeviceId, SiteId, SubjectId, TenantId};
use volar_core::secret::Key;
use volar_core::ticket::TicketKey;

use super::KeyHolder;

/// One tenant's keys, by purpose.
#[derive(Debug)]
pub struct TenantKeys {
    /// Version of the key that all of these come from.
    pub version: u32,
    /// Wraps subject keys.
    pub(crate) wrapping: Key,
    /// Seals records that belong to no one person.
    pub(crate) records: Key,
    tickets: Key,
    pseudonyms: Key,
    bodies: Key,
}

impl TenantKeys {
    /// Derives a tenant's keys.
    pub fn derive(holder: &dyn KeyHolder, tenant: &TenantId) -> Self {
        let key = holder.derive("volar.v1 tenant", &[tenant.as_str().as_bytes()]);
        Self {
            version: holder.version(),
            wrapping: key.derive("volar.v1 subject key wrapping", &[]),
            records: key.derive("volar.v1 tenant records", &[]),
            tickets: key.derive("volar.v1 tickets", &[]),
            pseudonyms: key.derive("volar.v1 pseudonyms", &[]),
            bodies: key.derive("volar.v1 request bodies", &[]),
        }
    }

    /// The key of the tenant's tickets in `epoch`.
    pub fn ticket_key(&self, epoch: u32) -> TicketKey {
        TicketKey { epoch, key: self.tickets.derive("volar.v1 ticket epoch", &[&epoch.to_be_bytes()]) }
    }

    /// One person's name at one checkout: 32 hexadecimal digits of an HMAC-SHA-256, stable there and unrelated to the
    /// same person's name at any other.
    pub fn pseudonym(&self, site: &SiteId, device: &DeviceId, subject: SubjectId) -> String {
        let parts = [site.as_str().as_bytes(), device.as_str().as_bytes(), subject.as_bytes()];
        hex::encode(&mac(&self.pseudonyms, &parts)[..16])
    }

    /// What is kept of a request's body to know it again: not a plain hash, which would be a fingerprint of a palm.
    pub(crate) fn body_mark(&self, sha256: &[u8; 32]) -> [u8; 32] {
        mac(&self.bodies, &[sha256])
    }
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}
