//! A new version of a tenant's keys, while everything else goes on.
//!
//! 1. The new version is made, wrapped and kept. From then on everything new is sealed under it, and both versions open.
//! 2. Every subject's key is wrapped anew in its slot, and every record about nobody is sealed anew in its row, a batch
//!    at a time. A second pass must find nothing to do.
//! 3. The old version is destroyed: in the holder, where that keeps a key for each, and in the file of tenant keys.
//!
//! Where vaults share the store, one rotates. The others first learn the new version, then all take it up: a count in the
//! store ([`Vault::count_change`]) keeps everybody from writing who has not, so that nothing comes to lie under the old one.
//!
//! Nothing needs to be remembered for going on after a crash: what is under an old version says so itself, and a tenant
//! with two versions has one to leave. A subject's own key stays the same, so its palms, payment and consent are not
//! touched; pseudonyms, marks of requests and ticket keys are carried over.

use std::sync::{Arc, PoisonError};

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::TenantId;
use volar_service::identity::Peer;

use crate::audit::{About, Actor};
use crate::error::VaultError;
use crate::format::{self, FormatError, Kind, v2};
use crate::keys::{KeyName, Slot};
use crate::parameters::{KEYS_LEARNT_WITHIN, ROTATION_BATCH};
use crate::progress::ProgressStatus;
use crate::rows;
use crate::store::{Row, Table};
use crate::vault::{SubjectKey, Tenant, Vault};

/// A tenant's keys as an operator sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysStatus {
    /// Where the keys are that they are wrapped under.
    pub holder: String,
    /// The lowest first, the last is current.
    pub versions: Vec<VersionStatus>,
    /// While versions are being left.
    pub rotation: Option<ProgressStatus>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionStatus {
    /// From 1.
    pub version: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// What lies under it, if it was counted.
    pub used: Option<Use>,
}

/// What lies under a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Sealed records that are about nobody.
    pub records: u64,
    /// Subjects' keys.
    pub subject_keys: u64,
}

/// What is sealed in a table under its tenant's keys; its rows' keys begin with the tenant.
fn sealed_in(table: Table) -> Option<Kind> {
    match table {
        Table::Galleries => Some(Kind::Gallery),
        Table::Heads => Some(Kind::Head),
        Table::Placements => Some(Kind::Placement),
        Table::Enrollments => Some(Kind::Enrollment),
        Table::Tombstones => Some(Kind::Tombstone),
        Table::Idempotency => Some(Kind::Idempotency),
        Table::Claims => Some(Kind::Claim),
        Table::Feed => Some(Kind::Event),
        Table::Followers => Some(Kind::Follower),
        Table::AuditHeads => Some(Kind::AuditHead),
        Table::AuditKeys => Some(Kind::AuditKey),
        Table::AuditLeaves => Some(Kind::AuditLeaf),
        Table::AuditNodes => Some(Kind::AuditNode),
        Table::ErasureProofs => Some(Kind::ErasureProof),
        Table::FactorTries => Some(Kind::FactorTries),
        Table::AnsweredChallenges => Some(Kind::AnsweredChallenge),
        // Under subjects' own keys.
        Table::Subjects | Table::Palms | Table::Payments | Table::Trails | Table::SecondFactors => None,
        // Plain, or nothing but a key.
        Table::Meta | Table::States | Table::Deadlines | Table::Erasing | Table::Expiries => None,
    }
}

pub(crate) fn sealed_tables() -> impl Iterator<Item = (Table, Kind)> {
    Table::ALL.into_iter().filter_map(|table| Some((table, sealed_in(table)?)))
}

impl Vault {
    /// The versions of the peer's tenant's keys; `count` reads every record's head.
    pub fn keys(&self, peer: &Peer, count: bool) -> Result<KeysStatus, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let keys = tenant.keys.all();
        let mut versions: Vec<_> = keys
            .iter()
            .map(|keys| VersionStatus { version: keys.version, made_at: keys.made_at, used: count.then(Use::default) })
            .collect();
        if count {
            self.count_uses(tenant, |version, add| {
                if let Some(found) = versions.iter_mut().find(|status| status.version == version) {
                    add(found.used.get_or_insert_default());
                }
            })?;
        }
        let rotation = (keys.len() > 1).then(|| tenant.rotation.status());
        Ok(KeysStatus { holder: self.holder.place(), versions, rotation })
    }

    fn count_uses(&self, tenant: &Tenant, mut add: impl FnMut(u32, &dyn Fn(&mut Use))) -> Result<(), VaultError> {
        for (table, kind) in sealed_tables() {
            self.store.for_each(table, &rows::tenant(&tenant.id), |key, sealed| {
                add(version_of(sealed, kind)?, &|used| used.records += 1);
                if table == Table::Placements {
                    let (slot, subject) = placed(tenant, key, sealed)?;
                    if let Some(wrapped) = self.key_table.load(slot, subject)? {
                        add(wrapped.version, &|used| used.subject_keys += 1);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Begins to leave version `from`, unless that was begun or done before, and goes on in the background.
    pub fn rotate_keys(self: &Arc<Self>, peer: &Peer, from: u32) -> Result<KeysStatus, VaultError> {
        self.note_key(self.tenant(&peer.tenant)?, &peer.into(), &format!("leaving version {from} asked"))?;
        self.begin_rotation(&peer.tenant, from)?;
        self.go_on_rotating(&peer.tenant)?;
        self.keys(peer, false)
    }

    /// Goes on with every rotation that is under way, in the background.
    pub fn resume_rotations(self: &Arc<Self>) -> Result<(), VaultError> {
        self.tenants.keys().try_for_each(|tenant| self.go_on_rotating(tenant))
    }

    fn go_on_rotating(self: &Arc<Self>, tenant: &TenantId) -> Result<(), VaultError> {
        if self.tenant(tenant)?.keys.all().len() == 1 {
            return Ok(());
        }
        self.tenant(tenant)?.rotation.forget_stop();
        let (vault, tenant) = (self.clone(), tenant.clone());
        let work = move || {
            if let Err(error) = vault.finish_rotation(&tenant) {
                tracing::error!(%tenant, %error, "the rotation of keys stopped; `volarctl keys rotate` goes on");
            }
        };
        let spawned = std::thread::Builder::new().name("rotation".to_owned()).spawn(work);
        spawned.map(drop).map_err(|error| VaultError::NoThread { error })
    }

    /// Step 1. Nothing happens if `from` is no longer the current version.
    pub fn begin_rotation(&self, tenant: &TenantId, from: u32) -> Result<(), VaultError> {
        let tenant = self.tenant(tenant)?;
        let _alone = self.beginning_rotation.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.ring.hold()?;
        if turn.is_some() {
            // Another vault may have begun it.
            tenant.keys.learn(&*self.holder, &self.ring.in_use(&tenant.id))?;
        }
        let current = tenant.keys.current().version;
        if from > current || from == 0 {
            return Err(VaultError::field("from_version", format!("must be the current version, {current}")));
        }
        if tenant.keys.all().iter().any(|keys| from < keys.version) {
            return Ok(());
        }
        let (next, entry) = tenant.keys.next(&*self.holder, &tenant.id, self.clock.now(), &*self.randomness)?;
        let version = next.version;
        self.ring.put(entry)?;
        if turn.is_some() {
            drop(turn);
            std::thread::sleep(KEYS_LEARNT_WITHIN);
            self.change_keys()?;
        } else {
            tenant.keys.take_up(next);
        }
        self.note_key(tenant, &Actor::vault(), &format!("version {version} made"))?;
        tracing::info!(tenant = %tenant.id, version, "a new version of the tenant's keys is in use");
        Ok(())
    }

    /// Steps 2 and 3; returns at once where nothing is to be left.
    pub fn finish_rotation(&self, tenant: &TenantId) -> Result<(), VaultError> {
        let tenant = self.tenant(tenant)?;
        self.in_one_vault("rotation", || {
            tenant.rotation.work(|| {
                if self.is_shared() && tenant.keys.all().len() > 1 {
                    // Whoever began it may not have come to that.
                    self.change_keys()?;
                }
                self.leave_old_versions(tenant)
            })
        })
    }

    fn leave_old_versions(&self, tenant: &Tenant) -> Result<(), VaultError> {
        loop {
            let target = tenant.keys.current().version;
            let old: Vec<u32> = tenant.keys.all().iter().map(|keys| keys.version).filter(|&v| v < target).collect();
            if old.is_empty() {
                return Ok(());
            }
            // Whoever sealed under an old version before it was left has committed when this returns.
            self.store.barrier()?;
            let mut total = 0;
            self.count_uses(tenant, |_, _| total += 1)?;
            tenant.rotation.begin(2 * total);
            while self.pass(tenant, target)? > 0 {}
            for version in old {
                self.destroy_version(tenant, version)?;
            }
        }
    }

    /// Puts everything that is under a version below `target` under the current one; returns how much that was.
    fn pass(&self, tenant: &Tenant, target: u32) -> Result<u64, VaultError> {
        let mut moved = 0;
        for (table, kind) in sealed_tables() {
            let prefix = rows::tenant(&tenant.id);
            let mut from = prefix.clone();
            loop {
                if self.is_closing() {
                    return Err(VaultError::Closing);
                }
                let batch = self.store.scan(table, &prefix, &from, ROTATION_BATCH)?;
                let Some((last, _)) = batch.last() else { break };
                from = [last.as_slice(), &[0]].concat();
                if table == Table::Placements {
                    moved += self.rewrap(tenant, &batch, target)?;
                    tenant.rotation.advance(batch.len() as u64);
                }
                moved += self.reseal(tenant, table, kind, &batch, target)?;
                tenant.rotation.advance(batch.len() as u64);
            }
        }
        Ok(moved)
    }

    fn reseal(&self, tenant: &Tenant, table: Table, kind: Kind, batch: &[Row], target: u32) -> Result<u64, VaultError> {
        let mut old = Vec::new();
        for (key, sealed) in batch {
            if version_of(sealed, kind)? < target {
                old.push(key.as_slice());
            }
        }
        if old.is_empty() {
            return Ok(0);
        }
        let current = tenant.keys.current();
        self.store.write(|transaction| {
            let mut moved = 0;
            for key in &old {
                // It may have gone since it was read, or been written anew.
                let Some(sealed) = transaction.read(table, key)? else { continue };
                let version = version_of(&sealed, kind)?;
                if version >= target {
                    continue;
                }
                let keys = tenant.keys.of(version).ok_or(FormatError::Forged { kind })?;
                let before = (&keys.records, tenant.binding(key, version));
                let after = (&current.records, tenant.binding(key, current.version));
                transaction.put(table, key, &format::reseal(&sealed, kind, before, after, &*self.randomness)?)?;
                moved += 1;
            }
            Ok(moved)
        })
    }

    fn rewrap(&self, tenant: &Tenant, placements: &[Row], target: u32) -> Result<u64, VaultError> {
        let slots =
            placements.iter().map(|(key, sealed)| placed(tenant, key, sealed)).collect::<Result<Vec<_>, _>>()?;
        let current = tenant.keys.current();
        self.key_table.rewrap(&slots, |subject, wrapped| {
            if wrapped.version >= target {
                return Ok(None);
            }
            let key =
                SubjectKey::unwrap(tenant, subject, wrapped).ok_or(FormatError::Forged { kind: Kind::Subject })?;
            Ok(Some(key.wrap(tenant, &current, &*self.randomness)))
        })
    }

    /// Step 3.
    fn destroy_version(&self, tenant: &Tenant, version: u32) -> Result<(), VaultError> {
        let name = KeyName { tenant: &tenant.id, version };
        self.store.settle()?;
        // Backups from before may open no more once the version is gone: one must be there that does.
        self.back_up_without(name)?;
        self.ring.mark_emptied(name)?;
        self.holder.destroy(name)?;
        self.ring.destroy(name)?;
        tenant.keys.forget(version);
        self.change_keys()?;
        self.note_key(tenant, &Actor::vault(), &format!("version {version} destroyed"))?;
        tracing::info!(tenant = %tenant.id, version, "nothing is left under a version of the tenant's keys; it is destroyed");
        Ok(())
    }
}

impl Vault {
    /// Has vaults that share the keys take up the newest versions.
    fn change_keys(&self) -> Result<(), VaultError> {
        self.change_together(|| self.store.write(|transaction| self.count_change(transaction)))
    }

    fn note_key(&self, tenant: &Tenant, actor: &Actor, detail: &str) -> Result<(), VaultError> {
        self.store.write(|transaction| {
            self.note(tenant, transaction, actor, Action::Key, About::Nobody, detail)?;
            Ok(())
        })
    }
}

fn version_of(sealed: &[u8], kind: Kind) -> Result<u32, FormatError> {
    format::key_version(sealed).ok_or(FormatError::Short { kind, found: sealed.len() })
}

fn placed(tenant: &Tenant, key: &[u8], sealed: &[u8]) -> Result<(Slot, volar_core::id::SubjectId), VaultError> {
    let (_, subject) = rows::split_subject(key).ok_or(VaultError::RecordMissing { kind: "subject" })?;
    let placement: v2::Placement = tenant.open(key, sealed)?;
    Ok((Slot(placement.slot), subject))
}
