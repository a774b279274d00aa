//! Moves a stopped vault's records from one store to another: `volar-vault migrate`.
//!
//! Both stores are open here and nowhere else, so nothing changes while it runs. The key table stays where it is. A copy
//! that is interrupted is marked as such, opens as no vault, and is begun anew; once every record has been read back from
//! the new store, the old one is marked as moved and opens no more: a vault that went on with it would destroy the keys of
//! everybody enrolled since.

use crate::error::VaultError;
use crate::parameters::SCAN_ROWS;
use crate::store::{Row, Store, Table};
use crate::vault::{META_FORMAT, META_MOVED, META_UNFINISHED};

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

/// Moves everything. `progress` hears of each step how many records of how many are done.
pub fn migrate(
    from: &dyn Store,
    to: &dyn Store,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> Result<Moved, MigrationError> {
    prepare(from, to)?;
    let blobs = from.blobs()?;
    let moved = Moved { rows: count(from, progress)?, blobs: blobs.len() as u64 };
    let total = moved.rows + moved.blobs;

    let mut done = 0;
    for table in Table::ALL {
        pages(from, table, |rows| {
            to.write(|transaction| rows.iter().try_for_each(|(key, value)| Ok(transaction.put(table, key, value)?)))?;
            done += rows.len() as u64;
            progress(Step::Copy, done, total);
            Ok(())
        })?;
    }
    for name in &blobs {
        if let Some(bytes) = from.blob(name)? {
            to.put_blob(name, &bytes)?;
        }
        done += 1;
        progress(Step::Copy, done, total);
    }

    verify(from, to, &blobs, total, progress)?;
    from.write(|transaction| Ok(transaction.put(Table::Meta, META_MOVED, &[])?))?;
    let format = from.read(Table::Meta, META_FORMAT)?.ok_or(MigrationError::Nothing)?;
    to.write(|transaction| {
        transaction.remove(Table::Meta, META_UNFINISHED)?;
        Ok(transaction.put(Table::Meta, META_FORMAT, &format)?)
    })?;
    Ok(moved)
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

fn count(from: &dyn Store, progress: &mut dyn FnMut(Step, u64, u64)) -> Result<u64, MigrationError> {
    let mut rows = 0;
    for table in Table::ALL {
        pages(from, table, |page| {
            rows += page.len() as u64;
            progress(Step::Count, rows, rows);
            Ok(())
        })?;
    }
    Ok(rows)
}

fn verify(
    from: &dyn Store,
    to: &dyn Store,
    blobs: &[String],
    total: u64,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> Result<(), MigrationError> {
    let mut done = 0;
    for table in Table::ALL {
        let differs = || MigrationError::Differs { table: format!("{table:?}") };
        let mut next = Vec::new();
        pages(from, table, |rows| {
            let copies = page(to, table, &next, rows.len())?;
            if rows != copies {
                return Err(differs());
            }
            next = copies.last().map(|(key, _)| above(key)).unwrap_or_default();
            done += rows.len() as u64;
            progress(Step::Verify, done, total);
            Ok(())
        })?;
        // Nothing that the old store does not have.
        if !page(to, table, &next, 1)?.is_empty() {
            return Err(differs());
        }
    }
    let differs = || MigrationError::Differs { table: "the blobs".to_owned() };
    for name in blobs {
        if from.blob(name)? != to.blob(name)? {
            return Err(differs());
        }
        done += 1;
        progress(Step::Verify, done, total);
    }
    if to.blobs()?.len() != blobs.len() { Err(differs()) } else { Ok(()) }
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

/// Up to `limit` rows from `from` on, those that are not copied left out.
fn page(store: &dyn Store, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, MigrationError> {
    let marks = [META_FORMAT, META_MOVED, META_UNFINISHED];
    let is_mark = |key: &[u8]| table == Table::Meta && marks.contains(&key);
    // Room for every mark among them.
    let mut rows = store.scan(table, &[], from, limit + marks.len())?;
    rows.retain(|(key, _)| !is_mark(key));
    rows.truncate(limit);
    Ok(rows)
}

/// The least key above `key`.
fn above(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
