//! The keys that admission tickets are sealed under: from the feed, in memory only.

use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockReadGuard};
use std::time::Duration;

use volar_core::clock::Timestamp;
use volar_core::ticket::TicketKey;

use crate::parameters::TICKET_EPOCHS_KEPT;

/// A tenant's ticket keys of the last epochs.
#[derive(Default)]
pub struct TicketKeys(RwLock<BTreeMap<u32, SealingKey>>);

/// A key and how long what it seals stays valid.
#[derive(Clone)]
pub struct SealingKey {
    /// The key.
    pub key: TicketKey,
    /// A ticket's time.
    pub lifetime: Duration,
}

impl TicketKeys {
    /// Takes a key in; a later word on the same epoch replaces an earlier one.
    pub fn learn(&self, key: SealingKey) {
        let mut keys = self.0.write().expect("keeping keys does not panic");
        keys.insert(key.key.epoch, key);
        while keys.len() > TICKET_EPOCHS_KEPT {
            keys.pop_first();
        }
    }

    /// Whether any key is known.
    pub fn known(&self) -> bool {
        !self.read().is_empty()
    }

    /// The key to seal with at `now`: the present epoch's, or the nearest earlier one while the vault is away and has
    /// not given the present one (it opens tickets of the epoch before), or else the earliest later one.
    pub fn at(&self, now: Timestamp) -> Option<SealingKey> {
        let keys = self.read();
        let present = keys.range(..=TicketKey::epoch_at(now)).next_back();
        present.or_else(|| keys.iter().next()).map(|(_, key)| key.clone())
    }

    /// The key of one epoch, if it is known.
    pub fn of(&self, epoch: u32) -> Option<SealingKey> {
        self.read().get(&epoch).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u32, SealingKey>> {
        self.0.read().expect("keeping keys does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::secret::Key;

    #[test]
    fn the_present_epoch_seals() {
        let keys = TicketKeys::default();
        let day = TicketKey::EPOCH.as_millis() as u64;
        let at = |epoch: u64| keys.at(Timestamp::from_unix_milliseconds(epoch * day)).map(|key| key.key.epoch);
        assert_eq!(at(5), None);
        let learn = |epoch| {
            let key = TicketKey { epoch, key: Key::new([1; 32]) };
            keys.learn(SealingKey { key, lifetime: Duration::from_secs(1) });
        };
        learn(6);
        assert_eq!(at(5), Some(6));
        learn(5);
        assert_eq!((at(5), at(6), at(9)), (Some(5), Some(6), Some(6)));
        learn(7);
        learn(8);
        assert_eq!((at(5), at(8)), (Some(6), Some(8)), "the oldest is forgotten");
    }
}
