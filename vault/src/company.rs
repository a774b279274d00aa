//! Vaults that serve over one store and one key table at the same time. Nobody leads: what each does is a transaction, and
//! what it must know of the others it reads from the store, ten times a second: how far feeds reach, how galleries
//! stand, what versions keys have, and whether an operator has sealed the vault. In turn it says which followers it has and how far they
//! have come, so that an erasure through one vault waits for the matchers of all.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, GalleryId};

use crate::error::VaultError;
use crate::followers::{Elsewhere, NOT_EXPECTED as NEVER};
use crate::format::{v1, v4, v5};
use crate::keys::RingError;
use crate::parameters::FOLLOWER_LEASE;
use crate::rows;
use crate::sealing;
use crate::store::{META_KEY_CHANGES, StoreError, Table, Transaction, changes_of_keys};
use crate::turns::Turns;
use crate::vault::{Tenant, Vault};

/// Rows as they were last seen, sealed, by table and key.
pub(crate) type Seen = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

impl Vault {
    /// What a follower's row says when it begins to follow this vault, with everything up to `acknowledged`.
    pub(crate) fn follower_row(&self, now: Timestamp, acknowledged: u64) -> v5::Follower {
        let here_until = if self.is_shared() { now.after(FOLLOWER_LEASE) } else { NEVER };
        v5::Follower { seen_at: now, acknowledged, vault: self.id, here_until }
    }

    /// Takes over what other vaults over the same store have done, and tells them of this one's followers. Returns whether
    /// an operator has sealed the vault through one of them.
    pub fn look_around(&self) -> Result<bool, VaultError> {
        if sealing::is_sealed(&*self.store)? {
            return Ok(true);
        }
        self.take_up_changes()?;
        self.tell_of_followers()?;
        for tenant in self.tenants.values() {
            tenant.galleries.keys().try_for_each(|gallery| self.look_at_followers(tenant, gallery))?;
        }
        Ok(false)
    }

    /// Takes up what other vaults have done with keys: learns versions and protections as soon as they are made, so that
    /// what comes to be under them opens, and seals and protects under them once their maker has said so. From then on until
    /// here this vault writes nothing.
    pub(crate) fn take_up_changes(&self) -> Result<(), VaultError> {
        let _alone = self.changing_keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Before what has changed is read, which is then no older.
        let changes = changes_of_keys(self.rows())?;
        drop(self.ring.hold()?);
        for tenant in self.tenants.values() {
            let entries = self.ring.in_use(&tenant.id);
            tenant.keys.learn(&*self.holder, &entries)?;
            if changes != self.watch.changes() {
                tenant.keys.take_up_newest();
            }
            tenant.keys.forget_others(&entries);
        }
        if changes == self.watch.changes() {
            return self.look_at_galleries();
        }
        // Whoever has looked at how a gallery was protected writes before, or not at all.
        let _nobody: Vec<_> = self.tenants.values().map(|tenant| tenant.keys.nobody_enrolling()).collect();
        self.look_at_galleries()?;
        self.watch.keep_to(changes);
        Ok(())
    }

    /// Has every vault over the store take up what has changed before it writes anything more; for the transaction that
    /// changes it. What others must learn before lies where they look already.
    pub(crate) fn count_change(&self, transaction: &dyn Transaction) -> Result<(), VaultError> {
        if self.is_shared() {
            let changes = changes_of_keys(transaction)? + 1;
            transaction.put(Table::Meta, META_KEY_CHANGES, &changes.to_be_bytes())?;
        }
        Ok(())
    }

    /// Makes a change that [counts](Self::count_change) and takes it up here, after those that other vaults were first with.
    pub(crate) fn change_together<T>(&self, change: impl Fn() -> Result<T, VaultError>) -> Result<T, VaultError> {
        loop {
            let changed = change();
            if !self.is_shared() {
                return changed;
            }
            self.take_up_changes()?;
            match changed {
                Err(VaultError::Store(StoreError::Outdated)) => {}
                changed => return changed,
            }
        }
    }

    /// Does what one vault over the store is to do; nothing while another is at it. Should that one die, whoever comes here
    /// next goes on.
    pub(crate) fn in_one_vault(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        if !self.is_shared() {
            return work();
        }
        let io = |error| RingError::Io { path: self.ring.path().to_owned(), error };
        let turns = Turns::of(&self.ring.path().with_extension(what)).map_err(io)?;
        match turns.try_take().map_err(io)? {
            Some(_turn) => work(),
            None => Ok(()),
        }
    }

    fn look_at_galleries(&self) -> Result<(), VaultError> {
        // What this vault changes itself is not undone by what was read before.
        let _alone = self.changing_gallery.lock().unwrap_or_else(PoisonError::into_inner);
        let mut galleries = Vec::new();
        for tenant in self.tenants.values() {
            galleries.extend(tenant.galleries.values().map(|gallery| (tenant, gallery)));
        }
        let mut places = Vec::with_capacity(galleries.len() * 2);
        for (tenant, gallery) in &galleries {
            let key = rows::gallery(&tenant.id, &gallery.id);
            places.extend([(Table::Heads, key.clone()), (Table::Galleries, key)]);
        }
        let found = self.store.read_many(&places)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (((tenant, gallery), places), found) in galleries.iter().zip(places.chunks(2)).zip(found.chunks(2)) {
            for (place, found) in places.iter().zip(found) {
                let Some(sealed) = found.as_ref().filter(|sealed| seen.get(place) != Some(*sealed)) else { continue };
                if place.0 == Table::Heads {
                    gallery.wake(tenant.open::<v1::Head>(&place.1, sealed)?.last_sequence);
                } else {
                    gallery.stand(&tenant.open::<v4::Gallery>(&place.1, sealed)?);
                    gallery.rouse();
                }
                seen.insert(place.clone(), sealed.clone());
            }
        }
        Ok(())
    }

    fn tell_of_followers(&self) -> Result<(), VaultError> {
        let now = self.clock.now();
        let news = self.followers.news(now);
        if news.is_empty() {
            return Ok(());
        }
        self.store.write(|transaction| {
            for ((tenant, gallery, device), said) in &news {
                let tenant = self.tenant(tenant)?;
                let row = rows::follower(&tenant.id, gallery, device);
                let known = tenant.record::<v5::Follower>(transaction, Table::Followers, &row)?;
                // One that has left for another vault is that one's to tell of.
                let elsewhere = known.is_some_and(|known| known.vault != self.id && now < known.here_until);
                if elsewhere && said.until == NEVER {
                    continue;
                }
                let seen_at = if said.until == NEVER { known.map_or(now, |known| known.seen_at) } else { now };
                // It may have said more to another vault, which wrote that here.
                let heard = known.filter(|known| known.vault == self.id).map_or(0, |known| known.acknowledged);
                let acknowledged = said.acknowledged.max(heard);
                let told = v5::Follower { seen_at, acknowledged, vault: self.id, here_until: said.until };
                self.put(tenant, transaction, Table::Followers, &row, &told)?;
            }
            Ok(())
        })?;
        news.iter().for_each(|(place, said)| self.followers.told(place, *said));
        Ok(())
    }

    /// Passes on to the vault that a follower follows, if it is another, what it acknowledges to this one. Returns whether
    /// that has been done.
    pub(crate) fn pass_on(
        &self,
        tenant: &Tenant,
        gallery: &GalleryId,
        device: &DeviceId,
        acknowledged: u64,
    ) -> Result<bool, VaultError> {
        let place = (tenant.id.clone(), gallery.clone(), device.clone());
        if !self.is_shared() || self.followers.follows_here(&place) {
            return Ok(false);
        }
        let seen_at = self.clock.now();
        let row = rows::follower(&tenant.id, gallery, device);
        self.store.write(|transaction| {
            let known = tenant.record::<v5::Follower>(transaction, Table::Followers, &row)?;
            let Some(known) = known.filter(|known| known.vault != self.id) else { return Ok(false) };
            if known.acknowledged < acknowledged {
                let follower = v5::Follower { seen_at, acknowledged, ..known };
                self.put(tenant, transaction, Table::Followers, &row, &follower)?;
            }
            Ok(true)
        })
    }

    /// Hears what other vaults say of a gallery's followers, and what this one's have acknowledged to them.
    pub(crate) fn look_at_followers(&self, tenant: &Tenant, gallery: &GalleryId) -> Result<(), VaultError> {
        if !self.is_shared() {
            return Ok(());
        }
        self.each_follower(tenant, gallery, |device, row| {
            if row.vault == self.id {
                self.followers.catch_up(&(tenant.id.clone(), gallery.clone(), device), row.acknowledged);
                return;
            }
            let said = Elsewhere { acknowledged: row.acknowledged, until: row.here_until };
            self.followers.hear(&tenant.id, gallery, device, row.seen_at, said);
        })
    }
}
