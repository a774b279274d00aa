//! What one tenant's key is used for, each use with a key of its own.
//!
//! A version's root wraps subject keys and seals records. What must outlive versions is carried from one to the next,
//! wrapped anew: pseudonyms stay what checkouts know people by, requests are known again, and tickets sealed before a
//! rotation are claimed after it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ring::hmac;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, SiteId, SubjectId, TenantId};
use volar_core::randomness::Randomness;
use volar_core::secret::Key;
use volar_core::ticket::TicketKey;
use zeroize::Zeroizing;

use super::ring::Entry;
use super::{HolderError, KeyHolder, KeyName};

/// Root, tickets, pseudonyms, request bodies.
const PLAIN: usize = 4 * Key::LENGTH;
/// Longest that a holder may make of it: nonce and tag, and room for modules that add to that.
pub(super) const WRAPPED_MAX: usize = PLAIN + 96;

/// One version of a tenant's keys.
#[derive(Debug)]
pub struct TenantKeys {
    /// Which version, from 1.
    pub version: u32,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// Wraps subject keys.
    pub(crate) wrapping: Key,
    /// Seals records that belong to no one person.
    pub(crate) records: Key,
}

/// What versions hand on.
#[derive(Clone, Debug)]
struct Carried {
    tickets: Key,
    pseudonyms: Key,
    bodies: Key,
}

/// One tenant's keys: the current version, and those that records are still under.
#[derive(Debug)]
pub(crate) struct Keyring {
    carried: Carried,
    versions: RwLock<Versions>,
    /// Held while a subject key is wrapped and not yet referred to: a rotation waits for those.
    enrolling: RwLock<()>,
}

/// Those that open, and the one that seals.
#[derive(Debug)]
struct Versions {
    /// The lowest first.
    known: Vec<Arc<TenantKeys>>,
    current: Arc<TenantKeys>,
}

/// A version's keys as a holder wraps them.
struct Bundle {
    root: Key,
    carried: Carried,
}

impl Bundle {
    fn random(randomness: &dyn Randomness) -> Self {
        let key = || Key::new(*Zeroizing::new(randomness.bytes::<{ Key::LENGTH }>()));
        Self { root: key(), carried: Carried { tickets: key(), pseudonyms: key(), bodies: key() } }
    }

    /// As stores had it before keys had versions: everything from one root.
    fn early(root: Key) -> Self {
        let carried = Carried {
            tickets: root.derive("volar.v1 tickets", &[]),
            pseudonyms: root.derive("volar.v1 pseudonyms", &[]),
            bodies: root.derive("volar.v1 request bodies", &[]),
        };
        Self { root, carried }
    }

    fn wrap(
        &self,
        holder: &dyn KeyHolder,
        name: KeyName<'_>,
        made_at: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<Entry, HolderError> {
        let Carried { tickets, pseudonyms, bodies } = &self.carried;
        let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN));
        for key in [&self.root, tickets, pseudonyms, bodies] {
            plain.extend_from_slice(key.expose());
        }
        holder.make(name)?;
        let wrapped = holder.wrap(name, &bound_to(name), &plain, randomness)?;
        Ok(Entry { tenant: name.tenant.clone(), version: name.version, made_at, emptied: false, wrapped })
    }

    fn unwrap(holder: &dyn KeyHolder, entry: &Entry) -> Result<Self, HolderError> {
        let name = entry.name();
        let plain = holder.unwrap(name, &bound_to(name), &entry.wrapped)?;
        let (keys, rest) = plain.as_chunks::<{ Key::LENGTH }>();
        match keys {
            [root, tickets, pseudonyms, bodies] if rest.is_empty() => {
                let [root, tickets, pseudonyms, bodies] = [root, tickets, pseudonyms, bodies].map(|key| Key::new(*key));
                Ok(Self { root, carried: Carried { tickets, pseudonyms, bodies } })
            }
            _ => Err(HolderError::forged(name)),
        }
    }

    fn keys(&self, version: u32, made_at: Timestamp) -> Arc<TenantKeys> {
        Arc::new(TenantKeys {
            version,
            made_at,
            wrapping: self.root.derive("volar.v1 subject key wrapping", &[]),
            records: self.root.derive("volar.v1 tenant records", &[]),
        })
    }
}

impl Keyring {
    /// A new tenant's first version, to be kept before anything is sealed under it. `early` as for [`Keyring::early`].
    pub(crate) fn first(
        holder: &dyn KeyHolder,
        tenant: &TenantId,
        early: bool,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<(Self, Entry), HolderError> {
        let root = if early { holder.early(tenant) } else { None };
        let bundle = root.map_or_else(|| Bundle::random(randomness), Bundle::early);
        let name = KeyName { tenant, version: 1 };
        let entry = bundle.wrap(holder, name, now, randomness)?;
        Ok((Self::over(&bundle, vec![bundle.keys(1, now)]), entry))
    }

    /// The keys of a tenant that has no slot in a store from before versions.
    pub(crate) fn early(holder: &dyn KeyHolder, tenant: &TenantId) -> Option<Self> {
        let bundle = Bundle::early(holder.early(tenant)?);
        let keys = bundle.keys(1, Timestamp::from_unix_milliseconds(0));
        Some(Self::over(&bundle, vec![keys]))
    }

    /// Unwraps every version, the lowest first; `None` where there is none.
    pub(crate) fn open(holder: &dyn KeyHolder, entries: &[Entry]) -> Result<Option<Self>, HolderError> {
        let bundles = entries.iter().map(|entry| Bundle::unwrap(holder, entry)).collect::<Result<Vec<_>, _>>()?;
        let pairs = bundles.iter().zip(entries);
        let keys = pairs.map(|(bundle, entry)| bundle.keys(entry.version, entry.made_at)).collect();
        Ok(bundles.last().map(|newest| Self::over(newest, keys)))
    }

    fn over(bundle: &Bundle, known: Vec<Arc<TenantKeys>>) -> Self {
        let current = known.last().expect("a tenant has a version").clone();
        let versions = RwLock::new(Versions { known, current });
        Self { carried: bundle.carried.clone(), versions, enrolling: RwLock::default() }
    }

    /// Learns versions that `entries` have more. What is sealed stays under the same one.
    pub(crate) fn learn(&self, holder: &dyn KeyHolder, entries: &[Entry]) -> Result<(), HolderError> {
        for entry in entries.iter().filter(|entry| self.of(entry.version).is_none()) {
            let keys = Bundle::unwrap(holder, entry)?.keys(entry.version, entry.made_at);
            let mut versions = self.versions_mut();
            let at = versions.known.partition_point(|known| known.version < keys.version);
            versions.known.insert(at, keys);
        }
        Ok(())
    }

    /// Forgets versions that `entries` have no more.
    pub(crate) fn forget_others(&self, entries: &[Entry]) {
        let left = |version: u32| entries.iter().all(|entry| entry.version != version);
        self.all().iter().filter(|keys| left(keys.version)).for_each(|keys| self.forget(keys.version));
    }

    /// Makes the highest version known the current one, as [`Self::take_up`].
    pub(crate) fn take_up_newest(&self) {
        let newest = self.versions().known.last().expect("a tenant has a version").clone();
        if newest.version > self.current().version {
            self.take_up(newest);
        }
    }

    /// The next version, wrapped, to be kept before it is [taken up](Self::take_up).
    pub(crate) fn next(
        &self,
        holder: &dyn KeyHolder,
        tenant: &TenantId,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<(Arc<TenantKeys>, Entry), HolderError> {
        let bundle = Bundle { carried: self.carried.clone(), ..Bundle::random(randomness) };
        let version = self.current().version + 1;
        let entry = bundle.wrap(holder, KeyName { tenant, version }, now, randomness)?;
        Ok((bundle.keys(version, now), entry))
    }

    /// Makes `next` the current version, once no subject key that was wrapped under the old one is without a referrer.
    pub(crate) fn take_up(&self, next: Arc<TenantKeys>) {
        let _nobody = self.nobody_enrolling();
        let mut versions = self.versions_mut();
        if versions.known.iter().all(|known| known.version != next.version) {
            versions.known.push(next.clone());
        }
        versions.current = next;
    }

    /// Forgets a version that nothing is left under.
    pub(crate) fn forget(&self, version: u32) {
        let mut versions = self.versions_mut();
        // What is sealed until the next one is taken up must open.
        let current = versions.current.version;
        versions.known.retain(|keys| keys.version != version || version == current);
    }

    /// To be held from wrapping a new subject's key, and looking at what galleries their palms must be for, until the store
    /// refers to it.
    pub(crate) fn enrolling(&self) -> RwLockReadGuard<'_, ()> {
        self.enrolling.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held while something changes that whoever enrols has looked at.
    pub(crate) fn nobody_enrolling(&self) -> RwLockWriteGuard<'_, ()> {
        self.enrolling.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What new records are sealed under.
    pub(crate) fn current(&self) -> Arc<TenantKeys> {
        self.versions().current.clone()
    }

    /// A version that is still in use.
    pub(crate) fn of(&self, version: u32) -> Option<Arc<TenantKeys>> {
        self.versions().known.iter().find(|keys| keys.version == version).cloned()
    }

    /// Every version in use, the lowest first.
    pub(crate) fn all(&self) -> Vec<Arc<TenantKeys>> {
        self.versions().known.clone()
    }

    /// The key of the tenant's tickets in `epoch`.
    pub(crate) fn ticket_key(&self, epoch: u32) -> TicketKey {
        TicketKey { epoch, key: self.carried.tickets.derive("volar.v1 ticket epoch", &[&epoch.to_be_bytes()]) }
    }

    /// One person's name at one checkout: 32 hexadecimal digits of an HMAC-SHA-256, stable there and unrelated to the
    /// same person's name at any other.
    pub(crate) fn pseudonym(&self, site: &SiteId, device: &DeviceId, subject: SubjectId) -> String {
        let parts = [site.as_str().as_bytes(), device.as_str().as_bytes(), subject.as_bytes()];
        hex::encode(&mac(&self.carried.pseudonyms, &parts)[..16])
    }

    /// What backups are sealed under and named by; it outlives versions, so that what is the same stays the same piece.
    pub(crate) fn backup_root(&self) -> Key {
        self.carried.pseudonyms.derive("volar.v1 backups", &[])
    }

    /// What is kept of a request's body to know it again: not a plain hash, which would be a fingerprint of a palm.
    pub(crate) fn body_mark(&self, sha256: &[u8; 32]) -> [u8; 32] {
        mac(&self.carried.bodies, &[sha256])
    }

    fn versions(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn versions_mut(&self) -> RwLockWriteGuard<'_, Versions> {
        self.versions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each part with its length before it.
fn bound_to(name: KeyName<'_>) -> Vec<u8> {
    let tenant = name.tenant.as_str().as_bytes();
    let parts: [&[u8]; 4] =
        [b"volar.v1 tenant key", &name.version.to_be_bytes(), &(tenant.len() as u32).to_be_bytes(), tenant];
    parts.concat()
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}
