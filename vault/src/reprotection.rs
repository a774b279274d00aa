//! A gallery protected anew, while everything else goes on and nobody shows a hand again (ISO/IEC 24745, renewability).
//!
//! 1. The next generation's key is made and kept beside the current one. Every palm is put under it, a batch at a time,
//!    until next to nothing is left to do. Devices and matchers know nothing of it yet: what a matcher reads that is under
//!    the next generation already becomes what the current one would have made.
//! 2. The generations change places, in one transaction, and the feed gets a new id. Matchers start over at it and read
//!    palms that are as they want them; devices whose probes are refused fetch the new key.
//! 3. Whoever was enrolled meanwhile is put under the new generation too, until a pass finds nothing, and the old key goes.
//!    Probes and references of the old generation are noise from then on.
//!
//! Where vaults share the store, one does all of this. Each change is [counted](Vault::count_change), so that nobody writes
//! who has not taken it up.
//!
//! Nothing needs to be remembered for going on after a crash: a sealed palm opens as its gallery's, of its generation, and
//! as no other; a gallery with two generations has one to take up or to leave.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use volar_core::audit::Action;
use volar_core::id::{GalleryId, SubjectId, TenantId};
use volar_core::secret::Key;
use volar_service::identity::Peer;
use zeroize::Zeroizing;

use crate::audit::{About, Actor};
use crate::error::VaultError;
use crate::format::v1::{self, SecretBytes, State};
use crate::format::{v2, v4};
use crate::keys::Slot;
use crate::parameters::{KEYS_LEARNT_WITHIN, REPROTECTION_BATCH, REPROTECTION_REST};
use crate::rows;
use crate::store::{Row, Table};
use crate::vault::{Gallery, SubjectKey, Tenant, Vault, probes_name};

impl Vault {
    /// Begins to protect a gallery anew, unless that was begun or done before, and goes on in the background.
    /// `from_generation` is the current one as the caller knows it, so that asking twice is asking once.
    pub fn reprotect_gallery(
        self: &Arc<Self>,
        peer: &Peer,
        gallery: &GalleryId,
        from_generation: u32,
    ) -> Result<(), VaultError> {
        self.begin_reprotection(peer, gallery, from_generation)?;
        self.go_on_reprotecting(&peer.tenant, gallery)
    }

    /// Goes on with every gallery that is on its way, in the background.
    pub fn resume_reprotections(self: &Arc<Self>) -> Result<(), VaultError> {
        for tenant in self.tenants.values() {
            tenant.galleries.keys().try_for_each(|gallery| self.go_on_reprotecting(&tenant.id, gallery))?;
        }
        Ok(())
    }

    fn go_on_reprotecting(self: &Arc<Self>, tenant: &TenantId, gallery: &GalleryId) -> Result<(), VaultError> {
        let of = self.tenant(tenant)?.gallery(gallery)?;
        if of.standing().other_generation().is_none() {
            return Ok(());
        }
        of.renewal.forget_stop();
        let (vault, tenant, gallery) = (self.clone(), tenant.clone(), gallery.clone());
        let work = move || {
            if let Err(error) = vault.finish_reprotection(&tenant, &gallery) {
                tracing::error!(%tenant, %gallery, %error, "protecting the gallery anew stopped; \
                    `volarctl gallery re-protect` goes on");
            }
        };
        let spawned = std::thread::Builder::new().name("reprotection".to_owned()).spawn(work);
        spawned.map(drop).map_err(|error| VaultError::NoThread { error })
    }

    /// Makes the next generation's key. Nothing happens if `from` is no longer the current generation, or is being left.
    pub fn begin_reprotection(&self, peer: &Peer, gallery: &GalleryId, from: u32) -> Result<(), VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let gallery = tenant.gallery(gallery)?;
        self.change(tenant, gallery, |stored| {
            let current = stored.generation;
            if from == 0 || from > current {
                return Err(VaultError::field("from_generation", format!("must be the current one, {current}")));
            }
            if from < current || stored.other.is_some() {
                return Ok(None);
            }
            let key = Zeroizing::new(self.randomness.bytes::<{ Key::LENGTH }>());
            stored.other = Some(v4::Other { generation: current + 1, key: SecretBytes::new(*key) });
            Ok(Some((peer.into(), format!("the key of generation {} of gallery {} was made", current + 1, gallery.id))))
        })
    }

    /// Everything after that; returns at once where there is nothing to take up or to leave.
    pub fn finish_reprotection(&self, tenant: &TenantId, gallery: &GalleryId) -> Result<(), VaultError> {
        let tenant = self.tenant(tenant)?;
        let gallery = tenant.gallery(gallery)?;
        self.in_one_vault("renewal", || gallery.renewal.work(|| self.take_up_and_leave(tenant, gallery)))
    }

    fn take_up_and_leave(&self, tenant: &Tenant, gallery: &Gallery) -> Result<(), VaultError> {
        loop {
            let standing = gallery.standing();
            match standing.other_generation() {
                None => return Ok(()),
                Some(next) if next > standing.generation => {
                    if self.is_shared() {
                        // Others must know what they come to read.
                        std::thread::sleep(KEYS_LEARNT_WITHIN);
                    }
                    // Whoever enrols meanwhile is not waited for.
                    self.put_under(tenant, gallery, next, REPROTECTION_REST)?;
                    self.change_places(tenant, gallery)?;
                }
                Some(_) => {
                    // Whoever looked at the old generation has written, and what the store was too busy to answer for
                    // is committed before this empty transaction.
                    drop(tenant.keys.nobody_enrolling());
                    self.change_together(|| self.store.write(|_| Ok(())))?;
                    self.put_under(tenant, gallery, standing.generation, 0)?;
                    self.forget_other(tenant, gallery)?;
                }
            }
        }
    }

    fn change_places(&self, tenant: &Tenant, gallery: &Gallery) -> Result<(), VaultError> {
        self.change(tenant, gallery, |stored| {
            let Some(next) = stored.other.take() else { return Ok(None) };
            let (generation, key) = (stored.generation, stored.key.clone());
            stored.other = Some(v4::Other { generation, key });
            (stored.generation, stored.key) = (next.generation, next.key);
            stored.feed_id = self.randomness.bytes();
            let what = format!("gallery {} is protected under generation {}", gallery.id, stored.generation);
            Ok(Some((Actor::vault(), what)))
        })?;
        // Feeds under the old id end.
        gallery.rouse();
        let generation = gallery.standing().generation;
        tracing::info!(tenant = %tenant.id, gallery = %gallery.id, generation, "the gallery is protected anew");
        Ok(())
    }

    fn forget_other(&self, tenant: &Tenant, gallery: &Gallery) -> Result<(), VaultError> {
        self.change(tenant, gallery, |stored| {
            let Some(old) = stored.other.take() else { return Ok(None) };
            let what = format!("the key of generation {} of gallery {} was removed", old.generation, gallery.id);
            Ok(Some((Actor::vault(), what)))
        })?;
        tracing::info!(tenant = %tenant.id, gallery = %gallery.id, "nothing is left under the gallery's old key");
        Ok(())
    }

    /// Changes what is stored of a gallery, with the leaf that `how` words, and then what is known of it, here and in vaults
    /// that share the store; nothing if `how` words none.
    fn change(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        how: impl Fn(&mut v4::Gallery) -> Result<Option<(Actor, String)>, VaultError>,
    ) -> Result<(), VaultError> {
        let row = rows::gallery(&tenant.id, &gallery.id);
        self.change_together(|| {
            let _nobody = tenant.keys.nobody_enrolling();
            let _alone = self.changing_gallery.lock().unwrap_or_else(PoisonError::into_inner);
            let stored = self.store.write(|transaction| {
                let stored = tenant.record::<v4::Gallery>(transaction, Table::Galleries, &row)?;
                let mut stored = stored.ok_or(VaultError::RecordMissing { kind: "gallery" })?;
                if let Some((actor, what)) = how(&mut stored)? {
                    self.put(tenant, transaction, Table::Galleries, &row, &stored)?;
                    self.note(tenant, transaction, &actor, Action::Key, About::Nobody, &what)?;
                    self.count_change(transaction)?;
                }
                Ok(stored)
            })?;
            gallery.stand(&stored);
            Ok(())
        })
    }

    /// Puts every palm, and every probe that waits for verdicts, under generation `target`, until no more than `rest` are
    /// found under another.
    fn put_under(&self, tenant: &Tenant, gallery: &Gallery, target: u32, rest: u64) -> Result<(), VaultError> {
        loop {
            let head = crate::feed::head(tenant, self.rows(), &gallery.id)?;
            gallery.renewal.begin(head.pending + head.active + head.in_review);
            if self.renewing_pass(tenant, gallery, target)? <= rest {
                return Ok(());
            }
        }
    }

    /// Returns how much was not under `target`.
    fn renewing_pass(&self, tenant: &Tenant, gallery: &Gallery, target: u32) -> Result<u64, VaultError> {
        let mut moved = 0;
        let prefix = rows::gallery(&tenant.id, &gallery.id);
        self.batches(Table::Palms, &prefix, |batch| {
            moved += self.put_palms_under(tenant, gallery, batch, target)?;
            let people = batch.iter().filter_map(|(key, _)| rows::split_palm(&prefix, key)).map(|(number, _)| number);
            gallery.renewal.advance(people.collect::<BTreeSet<_>>().len() as u64);
            Ok(())
        })?;
        let prefix = rows::states(&tenant.id, &gallery.id, State::Pending);
        self.batches(Table::States, &prefix, |batch| {
            for (key, _) in batch {
                let subject =
                    key[prefix.len()..].try_into().map_err(|_| VaultError::RecordMissing { kind: "subject" })?;
                moved += self.put_probes_under(tenant, gallery, SubjectId::from_bytes(subject), target)?;
            }
            Ok(())
        })?;
        Ok(moved)
    }

    fn batches(
        &self,
        table: Table,
        prefix: &[u8],
        mut each: impl FnMut(&[Row]) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut from = prefix.to_vec();
        loop {
            if self.is_closing() {
                return Err(VaultError::Closing);
            }
            let batch = self.store.scan(table, prefix, &from, REPROTECTION_BATCH)?;
            let Some((last, _)) = batch.last() else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
            each(&batch)?;
        }
    }

    fn put_palms_under(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        batch: &[Row],
        target: u32,
    ) -> Result<u64, VaultError> {
        let owners = self.owners_of(tenant, gallery, batch)?;
        let standing = gallery.standing();
        let mut renewed = Vec::new();
        for (row, sealed) in batch {
            let place = rows::split_palm(&rows::gallery(&tenant.id, &gallery.id), row);
            let (number, position) = place.ok_or(VaultError::RecordMissing { kind: "palm" })?;
            // Whoever has no key is being erased.
            let Some(key) = owners.get(&number) else { continue };
            let (found, palm) = key.open_palm(tenant, &gallery.id, &standing.generations(), position, sealed)?;
            if found != target {
                let palm = standing.palm(palm, found, target)?;
                renewed.push((row, sealed, key.seal_palm(tenant, &gallery.id, target, &palm, &*self.randomness)));
            }
        }
        if renewed.is_empty() {
            return Ok(0);
        }
        self.store.write(|transaction| {
            for (row, before, after) in &renewed {
                // It may have gone with its person since it was read.
                if transaction.read(Table::Palms, row)?.as_ref() == Some(*before) {
                    transaction.put(Table::Palms, row, after)?;
                }
            }
            Ok(())
        })?;
        Ok(renewed.len() as u64)
    }

    /// The keys of those whose palms these are, by the numbers of their first events.
    fn owners_of(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        palms: &[Row],
    ) -> Result<HashMap<u64, SubjectKey>, VaultError> {
        let prefix = rows::gallery(&tenant.id, &gallery.id);
        let mut numbers: Vec<u64> =
            palms.iter().filter_map(|(row, _)| rows::split_palm(&prefix, row)).map(|(number, _)| number).collect();
        numbers.dedup();
        let events: Vec<_> =
            numbers.iter().map(|number| (Table::Feed, rows::event(&tenant.id, &gallery.id, *number))).collect();
        let mut subjects = Vec::with_capacity(numbers.len());
        for ((_, row), sealed) in events.iter().zip(self.store.read_many(&events)?) {
            let sealed = sealed.ok_or(VaultError::RecordMissing { kind: "feed event" })?;
            // A rotation of keys may have sealed it anew since.
            let event = match tenant.open::<v1::Event>(row, &sealed) {
                Ok(event) => event,
                Err(_) => tenant
                    .record(self.rows(), Table::Feed, row)?
                    .ok_or(VaultError::RecordMissing { kind: "feed event" })?,
            };
            subjects.push(event.subject);
        }
        let places: Vec<_> =
            subjects.iter().map(|subject| (Table::Placements, rows::subject(&tenant.id, *subject))).collect();
        let mut owners = HashMap::with_capacity(numbers.len());
        for (((number, subject), (_, row)), sealed) in
            numbers.into_iter().zip(subjects).zip(&places).zip(self.store.read_many(&places)?)
        {
            let opened = sealed.and_then(|sealed| tenant.open::<v2::Placement>(row, &sealed).ok());
            let wrapped = match opened {
                Some(placement) => self.key_table.load(Slot(placement.slot), subject).ok().flatten(),
                None => None,
            };
            let key = match wrapped.and_then(|wrapped| SubjectKey::unwrap(tenant, subject, &wrapped)) {
                Some(key) => Some(key),
                // Erased, or changing: by itself it says which.
                None => self.subject_key(tenant, self.rows(), subject)?,
            };
            owners.extend(key.map(|key| (number, key)));
        }
        Ok(owners)
    }

    /// Returns 1 if they were not under `target`.
    fn put_probes_under(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        subject: SubjectId,
        target: u32,
    ) -> Result<u64, VaultError> {
        // Two galleries of one person may be protected anew at once; their probes lie together.
        let _alone = self.renewing_probes.lock().unwrap_or_else(PoisonError::into_inner);
        let (record, key) = match self.living(tenant, self.rows(), subject) {
            Err(VaultError::SubjectErased | VaultError::SubjectUnknown) => return Ok(0),
            living => living?,
        };
        let Some(sealed) = self.store.blob(&probes_name(subject))? else { return Ok(0) };
        let (mut generations, mut all) = self.open_probes(tenant, &key, &record, &sealed)?;
        let (at, hands) = record.place_in(&gallery.id).ok_or(VaultError::RecordMissing { kind: "membership" })?;
        if generations[at] == target {
            return Ok(0);
        }
        let found = std::mem::replace(&mut generations[at], target);
        let standing = gallery.standing();
        for probe in &mut all.probes[hands] {
            *probe = standing.probe(probe.clone(), found, target)?;
        }
        let sealed = key.seal(tenant, &rows::probes_id(&generations), &all, &*self.randomness);
        self.store.put_blob(&probes_name(subject), &sealed)?;
        // The last verdict may have come meanwhile, and removed what was just written again.
        match self.living(tenant, self.rows(), subject) {
            Ok((record, _)) if record.state == State::Pending => {}
            _ => self.store.remove_blob(&probes_name(subject))?,
        }
        Ok(1)
    }
}
