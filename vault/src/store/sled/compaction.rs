//! Moving the rows into fresh files, because sled 0.34 never gives space back, while they are read and written.
//!
//! Everything is copied while others write; what they have written is copied again, a few times; the last of it while they
//! wait, a few milliseconds. Then the fresh files are the ones in use and the old ones go.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::files::{self, Files};
use super::{COMMITS, Fault, SledStore, guarded};
use crate::parameters::{COMPACT_BATCH_BYTES, COPY_REST, COPY_ROUNDS};
use crate::store::{Compacted, Store, StoreError, Table};

/// A row's tree and key.
pub(super) type Place = (usize, Vec<u8>);

impl SledStore {
    pub(super) fn move_to_fresh_files(&self, stop: &dyn Fn() -> bool) -> Result<Option<Compacted>, StoreError> {
        let _one = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_sound()?;
        let before = self.size_bytes();
        {
            // Whoever writes from now on is noted.
            let _alone = self.applying();
            *self.changed() = Some(BTreeSet::new());
        }
        let old = self.files();
        let path = files::next(&self.folder, &old.path);
        let moved =
            self.copy(&old, &path, stop).and_then(|fresh| fresh.map(|fresh| self.change(&old, fresh)).transpose());
        *self.changed() = None;
        match moved {
            Ok(Some(())) => {}
            Ok(None) => {
                self.remove(&path);
                return Ok(None);
            }
            Err(error) => {
                // Which of the two counts may not be known where the store is broken now: the next opening knows.
                if !self.is_broken() {
                    self.remove(&path);
                }
                return Err(error);
            }
        }
        let path = old.path.clone();
        // Readers end soon. sled closes its files when the last of them has.
        while Arc::strong_count(&old) > 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(old);
        self.remove(&path);
        Ok(Some(Compacted { before, after: self.size_bytes() }))
    }

    /// Fresh files with every row as it is or was a moment ago; none if told to stop.
    fn copy(&self, old: &Files, path: &Path, stop: &dyn Fn() -> bool) -> Result<Option<Files>, StoreError> {
        let fresh = self.described(Files::open(path, self.cache_bytes))?;
        if !self.described(fresh.copy_all(old, stop))? {
            return Ok(None);
        }
        for _ in 0..COPY_ROUNDS {
            let changed = self.changed().as_mut().map(std::mem::take).unwrap_or_default();
            let few = changed.len() <= COPY_REST;
            self.described(fresh.copy_again(old, changed))?;
            if few || stop() {
                break;
            }
        }
        // So that little is left to synchronize while writers wait.
        self.described(fresh.synchronize())?;
        Ok((!stop()).then_some(fresh))
    }

    /// Brings fresh files to this moment, while writers wait, and puts them in use.
    fn change(&self, old: &Files, fresh: Files) -> Result<(), StoreError> {
        let _alone = self.applying();
        self.check_sound()?;
        let rest = self.changed().take().unwrap_or_default();
        self.described(fresh.copy_again(old, rest))?;
        self.described(fresh.copy_again(old, [(Table::ALL.len(), COMMITS.to_vec())]))?;
        self.described(fresh.synchronize())?;
        let bytes = self.described(guarded(|| Ok(fresh.database.size_on_disk()?)))?;
        files::prepare(&self.folder, &fresh.path, bytes).map_err(|error| self.io(&self.folder, error))?;
        if let Err(error) = files::put_in_force(&self.folder) {
            self.break_off();
            return Err(self.io(&self.folder, error));
        }
        self.made_bytes.store(bytes, Ordering::SeqCst);
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }

    /// A restart ends in whole transactions; a copy of what is in memory after a failed write might not.
    fn check_sound(&self) -> Result<(), StoreError> {
        let doubtful = self.doubtful.load(Ordering::SeqCst);
        if doubtful { Err(StoreError::SyncFailed { path: self.folder.clone() }) } else { Ok(()) }
    }

    /// Files that do not count. Where they cannot be removed now, the next opening tries again.
    fn remove(&self, path: &Path) {
        if let Err(error) = std::fs::remove_dir_all(path) {
            tracing::warn!(%error, "files that a compaction has left cannot be removed now");
        }
    }
}

impl Files {
    /// Copies every row of `from`, as it is while others write; `false` if told to stop.
    fn copy_all(&self, from: &Self, stop: &dyn Fn() -> bool) -> Result<bool, Fault> {
        for (into, tree) in self.trees.iter().zip(&from.trees) {
            let (mut batch, mut bytes) = (sled::Batch::default(), 0);
            let mut iterator = tree.iter();
            while let Some((key, value)) = guarded(|| Ok(iterator.next().transpose()?))? {
                bytes += key.len() + value.len();
                batch.insert(key, value);
                if bytes >= COMPACT_BATCH_BYTES {
                    guarded(|| {
                        into.apply_batch(std::mem::take(&mut batch))?;
                        Ok(into.flush()?)
                    })?;
                    bytes = 0;
                    if stop() {
                        return Ok(false);
                    }
                }
            }
            guarded(|| Ok(into.apply_batch(batch)?))?;
        }
        Ok(true)
    }

    /// Copies rows again that were written since they were copied.
    fn copy_again(&self, from: &Self, places: impl IntoIterator<Item = Place>) -> Result<(), Fault> {
        for (tree, key) in places {
            guarded(|| {
                match from.trees[tree].get(&key)? {
                    Some(value) => self.trees[tree].insert(&key, value)?,
                    None => self.trees[tree].remove(&key)?,
                };
                Ok(())
            })?;
        }
        Ok(())
    }
}
