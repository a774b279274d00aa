//! Moves a vault's records from one store to another: `volarctl store migrate` while it serves, `volar-vault migrate` when
//! it is stopped. The key table stays where it is.
//!
//! Everything is copied and compared, row for row, while others write; what they wrote meanwhile, and what differs, is
//! copied again and read back, the last of it while they wait. A copy that is interrupted is marked as such, opens as no
//! vault, and is begun anew. Once every record has been read back from the new store, the old one is marked as moved and
//! opens no more: a vault that went on with it would destroy the keys of everybody enrolled since.

use std::collections::BTreeSet;
use std::sync::Arc;

use volar_core::audit::Action;
use volar_service::identity::Peer;

use crate::error::VaultError;
use crate::parameters::{COPY_REST, COPY_ROUNDS, SCAN_ROWS};
use crate::store::{Changed, Row, Store, Table, Watch, watched};
use crate::vault::{META_FORMAT, META_MOVED, META_UNFINISHED, Vault};

/// Why a store is not moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The new store has records.
    #[error("the new store is not empty; name an empty folder or database")]
    NotEmpty,
    /// The old store has none.
    #[error("the old store holds no vault")]
    Nothing,
    /// It was moved before.
    #[error("the old store was moved already; the new one is complete")]
    Moved,
    /// The copy itself is a copy that was never finished.
    #[error("the old store is an unfinished copy of another; finish that first")]
    Unfinished,
    /// A record reads back otherwise than it was written.
    #[error("a record of {table} reads back otherwise than it was written; the old store is as it was: start anew")]
    Differs {
        /// Where.
        table: String,
    },
    /// The vault is being closed.
    #[error("the vault is being closed; the old store is as it was: start anew")]
    Stopped,
    /// The old store is marked, the new one could not be.
    #[error(
        "the records are moved, but the new store could not be opened to the world ({0}); stop the vault and run `volar-vault migrate`"
    )]
    Incomplete(VaultError),
    /// Either store.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<crate::store::StoreError> for MigrationError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Counting what there is.
    Count,
    /// Writing to the new store.
    Copy,
    /// Reading back from it.
    Verify,
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows of every table.
    pub rows: u64,
    /// Blobs.
    pub blobs: u64,
}

/// Moves everything from the store of a stopped vault. `progress` hears of each step how many records of how many are done.
pub fn migrate(
    from: Arc<dyn Store>,
    to: &dyn Store,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> Result<Moved, MigrationError> {
    let (from, watch) = watched(from);
    Move { from: &*from, to, stop: &|| false, progress }.run(&watch)
}

impl Vault {
    /// Moves everything while others call. When this returns, this vault writes no more.
    pub fn move_records_to(
        &self,
        to: &dyn Store,
        peer: &Peer,
        progress: &mut dyn FnMut(Step, u64, u64),
    ) -> Result<Moved, MigrationError> {
        let what = "the records move to another store";
        self.store.write(|transaction| self.note_everywhere(transaction, peer, Action::Backup, what))?;
        Move { from: &*self.store, to, stop: &|| self.is_closing(), progress }.run(&self.watch)
    }
}

/// A move under way.
struct Move<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    stop: &'a dyn Fn() -> bool,
    progress: &'a mut dyn FnMut(Step, u64, u64),
}

impl Move<'_> {
    fn run(mut self, watch: &Watch) -> Result<Moved, MigrationError> {
        prepare(self.from, self.to)?;
        let copying = watch.begin();
        let blobs: BTreeSet<String> = self.from.blobs()?.into_iter().collect();
        let total = self.count()? + blobs.len() as u64;
        self.copy(&blobs, total)?;
        let (rows, mut again) = self.compare(blobs.len() as u64, total)?;
        for _ in 0..COPY_ROUNDS {
            again.append(&mut copying.take());
            let few = again.len() <= COPY_REST;
            self.bring_over(std::mem::take(&mut again))?;
            if few {
                break;
            }
        }
        let blobs = copying.hand_over(|last, old| {
            self.bring_over(last)?;
            let there = self.bring_over_blobs(blobs)?;
            self.to.settle()?;
            old.write(|transaction| Ok(transaction.put(Table::Meta, META_MOVED, &[])?))?;
            Ok::<_, MigrationError>(there)
        })?;
        self.complete().map_err(MigrationError::Incomplete)?;
        Ok(Moved { rows, blobs })
    }

    fn go_on(&self) -> Result<(), MigrationError> {
        if (self.stop)() { Err(MigrationError::Stopped) } else { Ok(()) }
    }

    fn count(&mut self) -> Result<u64, MigrationError> {
        let mut rows = 0;
        for table in Table::ALL {
            pages(self.from, table, |page| {
                rows += page.len() as u64;
                (self.progress)(Step::Count, rows, rows);
                Ok(())
            })?;
        }
        Ok(rows)
    }

    fn copy(&mut self, blobs: &BTreeSet<String>, total: u64) -> Result<(), MigrationError> {
        let mut done = 0;
        for table in Table::ALL {
            pages(self.from, table, |rows| {
                self.go_on()?;
                self.to.write(|transaction| {
                    rows.iter().try_for_each(|(key, value)| Ok(transaction.put(table, key, value)?))
                })?;
                done += rows.len() as u64;
                // More may have come since they were counted.
                (self.progress)(Step::Copy, done.min(total), total);
                Ok(())
            })?;
        }
        for name in blobs {
            self.go_on()?;
            self.bring_over_blob(name)?;
            done += 1;
            (self.progress)(Step::Copy, done.min(total), total);
        }
        Ok(())
    }

    /// Compares every row, and gives how many there are and which differ: all of them written meanwhile, or not well.
    fn compare(&mut self, blobs: u64, total: u64) -> Result<(u64, Changed), MigrationError> {
        let (mut rows, mut differ) = (0, Changed::new());
        for table in Table::ALL {
            let mut next = Vec::new();
            loop {
                self.go_on()?;
                let ours = page(self.from, table, &next, SCAN_ROWS)?;
                rows += ours.len() as u64;
                let end = ours.last().filter(|_| ours.len() == SCAN_ROWS).map(|(key, _)| above(key));
                let theirs = rows_until(self.to, table, next, end.as_deref())?;
                let (ours, theirs): (BTreeSet<Row>, BTreeSet<Row>) = (ours.into_iter().collect(), theirs);
                differ.extend(ours.symmetric_difference(&theirs).map(|(key, _)| (table, key.clone())));
                (self.progress)(Step::Verify, rows.min(total - blobs), total);
                match end {
                    Some(end) => next = end,
                    None => break,
                }
            }
        }
        // Blobs never change, and were read back when they were written.
        (self.progress)(Step::Verify, total, total);
        Ok((rows, differ))
    }

    /// Copies rows as they are now, and reads them back.
    fn bring_over(&self, changed: Changed) -> Result<(), MigrationError> {
        let places: Vec<_> = changed.into_iter().filter(|(table, key)| !is_mark(*table, key)).collect();
        for places in places.chunks(SCAN_ROWS) {
            let values = self.from.read_many(places)?;
            self.to.write(|transaction| {
                places.iter().zip(&values).try_for_each(|((table, key), value)| {
                    let written = match value {
                        Some(value) => transaction.put(*table, key, value),
                        None => transaction.remove(*table, key),
                    };
                    Ok(written?)
                })
            })?;
            let back = self.to.read_many(places)?;
            if let Some(place) = values.iter().zip(&back).position(|(ours, theirs)| ours != theirs) {
                return Err(MigrationError::Differs { table: format!("{:?}", places[place].0) });
            }
        }
        Ok(())
    }

    fn bring_over_blob(&self, name: &str) -> Result<(), MigrationError> {
        // Removed since it was listed: whose it was is not pending any more.
        let Some(bytes) = self.from.blob(name)? else { return Ok(()) };
        self.to.put_blob(name, &bytes)?;
        match self.to.blob(name)? {
            Some(back) if back == bytes => Ok(()),
            _ => Err(MigrationError::Differs { table: "the blobs".to_owned() }),
        }
    }

    /// Those that came or went since they were `listed`; returns how many there are.
    fn bring_over_blobs(&self, listed: BTreeSet<String>) -> Result<u64, MigrationError> {
        let there: BTreeSet<String> = self.from.blobs()?.into_iter().collect();
        there.difference(&listed).try_for_each(|name| self.bring_over_blob(name))?;
        listed.difference(&there).try_for_each(|name| self.to.remove_blob(name))?;
        Ok(there.len() as u64)
    }

    /// Makes the new store one that opens.
    fn complete(&self) -> Result<(), VaultError> {
        let format = self.from.read(Table::Meta, META_FORMAT)?;
        let format = format.ok_or(VaultError::RecordMissing { kind: "format" })?;
        self.to.write(|transaction| {
            transaction.remove(Table::Meta, META_UNFINISHED)?;
            Ok(transaction.put(Table::Meta, META_FORMAT, &format)?)
        })
    }
}

/// Refuses what must not be copied over, and clears what an interrupted copy has left.
fn prepare(from: &dyn Store, to: &dyn Store) -> Result<(), MigrationError> {
    let has = |store: &dyn Store, key| Ok::<_, MigrationError>(store.read(Table::Meta, key)?.is_some());
    if has(from, META_UNFINISHED)? {
        return Err(MigrationError::Unfinished);
    }
    if !has(from, META_FORMAT)? {
        return Err(MigrationError::Nothing);
    }
    if !has(to, META_UNFINISHED)? && has(from, META_MOVED)? {
        return Err(MigrationError::Moved);
    }
    begin_copy(to)
}

/// Marks an empty store as one that is being copied into, and clears what an interrupted copy has left.
pub(crate) fn begin_copy(to: &dyn Store) -> Result<(), MigrationError> {
    if to.read(Table::Meta, META_UNFINISHED)?.is_some() {
        return clear(to);
    }
    for table in Table::ALL {
        if !to.scan(table, &[], &[], 1)?.is_empty() {
            return Err(MigrationError::NotEmpty);
        }
    }
    if !to.blobs()?.is_empty() {
        return Err(MigrationError::NotEmpty);
    }
    Ok(to.write(|transaction| Ok(transaction.put(Table::Meta, META_UNFINISHED, &[])?))?)
}

/// Removes everything but the mark of an unfinished copy.
fn clear(store: &dyn Store) -> Result<(), MigrationError> {
    for table in Table::ALL {
        pages(store, table, |rows| {
            Ok(store.write(|transaction| rows.iter().try_for_each(|(key, _)| Ok(transaction.remove(table, key)?)))?)
        })?;
    }
    for name in store.blobs()? {
        store.remove_blob(&name)?;
    }
    Ok(())
}

/// Every row of a table but the marks of this module, some at a time.
fn pages(
    store: &dyn Store,
    table: Table,
    mut visit: impl FnMut(&[Row]) -> Result<(), MigrationError>,
) -> Result<(), MigrationError> {
    let mut next = Vec::new();
    loop {
        let rows = page(store, table, &next, SCAN_ROWS)?;
        let Some((key, _)) = rows.last() else { return Ok(()) };
        next = above(key);
        visit(&rows)?;
    }
}

/// Up to `limit` rows from `from` on, those that are not copied left out; fewer only at the end.
fn page(store: &dyn Store, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, MigrationError> {
    // Room for every mark among them.
    let mut rows = store.scan(table, &[], from, limit + MARKS.len())?;
    rows.retain(|(key, _)| !is_mark(table, key));
    rows.truncate(limit);
    Ok(rows)
}

/// Every row from `from` on that is below `end`.
fn rows_until(
    store: &dyn Store,
    table: Table,
    mut from: Vec<u8>,
    end: Option<&[u8]>,
) -> Result<BTreeSet<Row>, MigrationError> {
    let mut found = BTreeSet::new();
    loop {
        let rows = page(store, table, &from, SCAN_ROWS)?;
        let last = rows.len() < SCAN_ROWS;
        from = rows.last().map(|(key, _)| above(key)).unwrap_or_default();
        let mut inside = rows.into_iter().filter(|(key, _)| end.is_none_or(|end| key.as_slice() < end)).peekable();
        let beyond = inside.peek().is_none();
        found.extend(inside);
        if last || beyond || end.is_some_and(|end| from.as_slice() >= end) {
            return Ok(found);
        }
    }
}

const MARKS: [&[u8]; 3] = [META_FORMAT, META_MOVED, META_UNFINISHED];

/// Marks of copies are their own stores'.
fn is_mark(table: Table, key: &[u8]) -> bool {
    table == Table::Meta && MARKS.contains(&key)
}

/// The least key above `key`.
fn above(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
