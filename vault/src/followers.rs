//! Which matchers follow which gallery, and how far each has taken the feed in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, GalleryId, TenantId};

use crate::error::VaultError;
use crate::format::v1::Told;
use crate::format::v2::Membership;
use crate::format::v5;
use crate::keys::Company;
use crate::parameters::{FOLLOWER_FORGOTTEN_AFTER, FOLLOWER_LEASE, FOLLOWERS_EXPECTED_FOR};
use crate::rows;
use crate::store::Table;
use crate::vault::{Tenant, Vault};

/// The registry of followers. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Followers(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    followers: Mutex<BTreeMap<Place, Follower>>,
    changed: watch::Sender<()>,
    connections: AtomicU64,
}

/// Whose follower of what, and which.
pub(crate) type Place = (TenantId, GalleryId, DeviceId);

#[derive(Clone, Copy, Debug)]
struct Follower {
    /// Number of the connection that it follows by; a later one of the same device takes over.
    connection: Option<u64>,
    acknowledged: u64,
    seen_at: Timestamp,
    /// Until then an erasure waits for it: it followed the vault before this start, and is about to again.
    expected_until: Timestamp,
    /// What the other vaults over the same store say of it.
    elsewhere: Option<Elsewhere>,
    /// What was last said of it to them.
    told: Option<Elsewhere>,
}

/// A follower as another vault knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// How far it has come.
    pub(crate) acknowledged: u64,
    /// Until when that vault answers for its following.
    pub(crate) until: Timestamp,
}

/// Of a follower that is not waited for before it comes.
pub(crate) const NOT_EXPECTED: Timestamp = Timestamp::from_unix_milliseconds(0);

impl Follower {
    fn new(connection: Option<u64>, acknowledged: u64, seen_at: Timestamp) -> Self {
        Self { connection, acknowledged, seen_at, expected_until: NOT_EXPECTED, elsewhere: None, told: None }
    }

    fn is_connected(&self, now: Timestamp) -> bool {
        self.connection.is_some() || self.elsewhere.is_some_and(|elsewhere| now < elsewhere.until)
    }

    fn is_here(&self, now: Timestamp) -> bool {
        self.is_connected(now) || now < self.expected_until
    }

    fn acknowledged(&self) -> u64 {
        match self.elsewhere {
            Some(elsewhere) if self.connection.is_none() => elsewhere.acknowledged,
            _ => self.acknowledged,
        }
    }

    /// What others are to be told of it; `None` if they know, or if it does not follow this vault and never did.
    fn news(&self, now: Timestamp) -> Option<Elsewhere> {
        let acknowledged = self.acknowledged;
        let (until, is_news) = match (self.connection, self.told) {
            (Some(_), told) => {
                let lasts = |told: Elsewhere| told.until.since(now) > FOLLOWER_LEASE / 2;
                let known = told.is_some_and(|told| told.acknowledged == acknowledged && lasts(told));
                (now.after(FOLLOWER_LEASE), !known)
            }
            (None, told) => (NOT_EXPECTED, told.is_some_and(|told| told.until != NOT_EXPECTED)),
        };
        is_news.then_some(Elsewhere { acknowledged, until })
    }
}

/// One follower as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The matcher.
    pub device: DeviceId,
    /// How far it has taken the feed in.
    pub acknowledged: u64,
    /// Whether it is following now.
    pub connected: bool,
    /// Whether an erasure waits for it: it is following, or about to after the vault's start.
    pub awaited: bool,
}

/// Held while a follower follows.
#[derive(Debug)]
pub struct Connection {
    followers: Followers,
    place: Place,
    number: u64,
}

impl Followers {
    /// Registers a follower that has everything up to `acknowledged`.
    pub fn connect(
        &self,
        tenant: &TenantId,
        gallery: &GalleryId,
        device: &DeviceId,
        acknowledged: u64,
        now: Timestamp,
    ) -> Connection {
        let place = (tenant.clone(), gallery.clone(), device.clone());
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let mut followers = self.lock();
        let told = followers.get(&place).and_then(|follower| follower.told);
        followers.insert(place.clone(), Follower { told, ..Follower::new(Some(number), acknowledged, now) });
        drop(followers);
        self.changed();
        Connection { followers: self.clone(), place, number }
    }

    /// A follower that was seen before this vault started; erasures wait for it until `expected_until`.
    pub(crate) fn remember(
        &self,
        tenant: &TenantId,
        gallery: &GalleryId,
        device: DeviceId,
        seen_at: Timestamp,
        expected_until: Timestamp,
    ) {
        let place = (tenant.clone(), gallery.clone(), device);
        self.lock().entry(place).or_insert(Follower { expected_until, ..Follower::new(None, 0, seen_at) });
    }

    /// Takes over what another vault says of a follower.
    pub(crate) fn hear(
        &self,
        tenant: &TenantId,
        gallery: &GalleryId,
        device: DeviceId,
        seen_at: Timestamp,
        said: Elsewhere,
    ) {
        let mut followers = self.lock();
        let new = Follower::new(None, 0, seen_at);
        let follower = followers.entry((tenant.clone(), gallery.clone(), device)).or_insert(new);
        if follower.elsewhere != Some(said) {
            follower.elsewhere = Some(said);
            follower.seen_at = follower.seen_at.max(seen_at);
            drop(followers);
            self.changed();
        }
    }

    /// Whether it follows through this vault.
    pub(crate) fn follows_here(&self, place: &Place) -> bool {
        self.lock().get(place).is_some_and(|follower| follower.connection.is_some())
    }

    /// Takes over what a follower of this vault has acknowledged to another.
    pub(crate) fn catch_up(&self, place: &Place, acknowledged: u64) {
        let mut followers = self.lock();
        let follower = followers.get_mut(place).filter(|follower| follower.connection.is_some());
        if let Some(follower) = follower.filter(|follower| follower.acknowledged < acknowledged) {
            follower.acknowledged = acknowledged;
            drop(followers);
            self.changed();
        }
    }

    /// What other vaults are to be told now, by gallery and device.
    pub(crate) fn news(&self, now: Timestamp) -> Vec<(Place, Elsewhere)> {
        let followers = self.lock();
        let news = followers.iter().filter_map(|(place, follower)| Some((place.clone(), follower.news(now)?)));
        news.collect()
    }

    /// They have been told.
    pub(crate) fn told(&self, place: &Place, what: Elsewhere) {
        if let Some(follower) = self.lock().get_mut(place) {
            follower.told = Some(what);
        }
    }

    /// Everything up to `sequence` has taken effect in the follower.
    pub(crate) fn acknowledge(
        &self,
        tenant: &TenantId,
        gallery: &GalleryId,
        device: &DeviceId,
        sequence: u64,
        now: Timestamp,
    ) {
        let place = (tenant.clone(), gallery.clone(), device.clone());
        let mut followers = self.lock();
        let follower = followers.entry(place).or_insert(Follower::new(None, 0, now));
        follower.acknowledged = follower.acknowledged.max(sequence);
        follower.seen_at = now;
        drop(followers);
        self.changed();
    }

    /// The followers of a gallery, by device, those seen within [`FOLLOWER_FORGOTTEN_AFTER`].
    pub fn of(&self, tenant: &TenantId, gallery: &GalleryId, now: Timestamp) -> Vec<FollowerStatus> {
        let followers = self.lock();
        let here = followers.iter().filter(|((of, at, _), follower)| {
            of == tenant
                && at == gallery
                && (follower.is_here(now) || now.since(follower.seen_at) < FOLLOWER_FORGOTTEN_AFTER)
        });
        here.map(|((_, _, device), follower)| FollowerStatus {
            device: device.clone(),
            acknowledged: follower.acknowledged(),
            connected: follower.is_connected(now),
            awaited: follower.is_here(now),
        })
        .collect()
    }

    /// Waits until every follower of these galleries that is connected, or about to be, has taken their events in, for
    /// `wait` at most; tells which have. Whoever is late in one gallery has not.
    pub(crate) async fn taken_in(
        &self,
        tenant: &TenantId,
        events: &[Membership],
        wait: Duration,
        now: Timestamp,
    ) -> Told {
        let mut changed = self.0.changed.subscribe();
        let standing = || -> Vec<(FollowerStatus, bool)> {
            let of = |event: &Membership| {
                let has = |follower: FollowerStatus| {
                    let taken = follower.acknowledged >= event.sequence;
                    (follower, taken)
                };
                self.of(tenant, &event.gallery, now).into_iter().map(has).collect::<Vec<_>>()
            };
            events.iter().flat_map(of).collect()
        };
        let all_have = async {
            loop {
                let late = standing().iter().any(|(follower, taken)| follower.awaited && !taken);
                if !late || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Running out of time is an answer too: the receipt names who was late.
        let _ = tokio::time::timeout(wait, all_have).await;
        let mut devices = BTreeMap::new();
        for (follower, taken) in standing() {
            *devices.entry(follower.device).or_insert(true) &= taken;
        }
        let (confirmed, pending): (Vec<_>, Vec<_>) = devices.into_iter().partition(|(_, taken)| *taken);
        let names = |devices: Vec<(DeviceId, bool)>| devices.into_iter().map(|(device, _)| device).collect();
        Told { confirmed: names(confirmed), pending: names(pending) }
    }

    fn changed(&self) {
        self.0.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Follower>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(follower) = self.followers.lock().get_mut(&self.place)
            && follower.connection == Some(self.number)
        {
            follower.connection = None;
        }
        self.followers.changed();
    }
}

impl Vault {
    pub(crate) fn remember_followers(&self, tenant: &Tenant, gallery: &GalleryId) -> Result<(), VaultError> {
        // Where others serve, they say who follows them.
        let expected_until = match self.company {
            Company::Others => NOT_EXPECTED,
            Company::None | Company::First => self.opened_at.after(FOLLOWERS_EXPECTED_FOR),
        };
        self.each_follower(tenant, gallery, |device, follower| {
            self.followers.remember(&tenant.id, gallery, device, follower.seen_at, expected_until);
        })
    }

    /// The rows of a gallery's followers.
    pub(crate) fn each_follower(
        &self,
        tenant: &Tenant,
        gallery: &GalleryId,
        mut visit: impl FnMut(DeviceId, v5::Follower),
    ) -> Result<(), VaultError> {
        let prefix = rows::gallery(&tenant.id, gallery);
        self.store.for_each(Table::Followers, &prefix, |key, sealed| {
            let device = key[prefix.len()..].strip_suffix(&[0]).and_then(|name| std::str::from_utf8(name).ok());
            if let Some(device) = device.and_then(|name| name.parse().ok()) {
                visit(device, tenant.open(key, sealed)?);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("a slug")
    }

    const NOW: Timestamp = Timestamp::from_unix_milliseconds(1_000);

    async fn told(followers: &Followers, sequence: u64, wait: u64) -> Told {
        followers
            .taken_in(&slug("t"), &[Membership { gallery: slug("g"), sequence }], Duration::from_millis(wait), NOW)
            .await
    }

    #[tokio::test]
    async fn an_erasure_waits_for_those_connected_and_names_the_rest() {
        let followers = Followers::default();
        let (tenant, gallery) = (slug("t"), slug("g"));
        let one = followers.connect(&tenant, &gallery, &slug("m-1"), 4, NOW);
        let two = followers.connect(&tenant, &gallery, &slug("m-2"), 5, NOW);
        let elsewhere = followers.connect(&tenant, &slug("other"), &slug("m-3"), 0, NOW);
        drop(followers.connect(&tenant, &gallery, &slug("m-4"), 2, NOW));
        let late = told(&followers, 5, 20).await;
        assert_eq!(late.confirmed, [slug("m-2")]);
        assert_eq!(late.pending, [slug("m-1"), slug("m-4")]);
        let waiting = tokio::spawn({
            let followers = followers.clone();
            async move { told(&followers, 6, 60_000).await }
        });
        tokio::task::yield_now().await;
        followers.acknowledge(&tenant, &gallery, &slug("m-1"), 6, NOW);
        drop(two);
        let told = waiting.await.expect("no panic");
        assert_eq!(told.confirmed, [slug("m-1")]);
        assert_eq!(told.pending, [slug("m-2"), slug("m-4")]);
        drop((one, elsewhere));
    }

    #[tokio::test]
    async fn after_a_start_an_erasure_waits_for_those_about_to_come_back() {
        let followers = Followers::default();
        let (tenant, gallery) = (slug("t"), slug("g"));
        let until = NOW.after(FOLLOWERS_EXPECTED_FOR);
        followers.remember(&tenant, &gallery, slug("m-1"), NOW, until);
        followers.remember(&tenant, &gallery, slug("m-2"), NOW, NOW);
        let waiting = tokio::spawn({
            let followers = followers.clone();
            async move { told(&followers, 6, 60_000).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "m-1 was not waited for");
        let back = followers.connect(&tenant, &gallery, &slug("m-1"), 5, NOW);
        followers.acknowledge(&tenant, &gallery, &slug("m-1"), 6, NOW);
        let told = waiting.await.expect("no panic");
        assert_eq!((told.confirmed, told.pending), (vec![slug("m-1")], vec![slug("m-2")]));
        drop(back);
        assert!(followers.of(&tenant, &gallery, until).iter().all(|follower| !follower.awaited));
    }

    #[test]
    fn a_new_connection_of_the_same_device_takes_over() {
        let followers = Followers::default();
        let (tenant, gallery, device) = (slug("t"), slug("g"), slug("m"));
        let old = followers.connect(&tenant, &gallery, &device, 3, NOW);
        let new = followers.connect(&tenant, &gallery, &device, 0, NOW);
        drop(old);
        let status = followers.of(&tenant, &gallery, NOW);
        assert_eq!(status, [FollowerStatus { device, acknowledged: 0, connected: true, awaited: true }]);
        drop(new);
        let after = NOW.after(FOLLOWER_FORGOTTEN_AFTER);
        assert!(followers.of(&tenant, &gallery, after).is_empty());
    }
}
