//! Everything as of one moment, while others write. An engine that shows one moment by itself is read as of that;
//! otherwise every row is read, then what was written meanwhile, then the little that is left while writers wait.

use std::collections::{BTreeMap, HashSet};

use volar_core::clock::Timestamp;

use super::manifest::{Body, Head};
use super::pieces::{Cutter, Writer};
use super::{BackupError, Backups, PieceId};
use crate::error::VaultError;
use crate::keys::Entry;
use crate::parameters::{COPY_REST, COPY_ROUNDS, SCAN_ROWS};
use crate::store::{Changed, Moment, Row, StoreError, Table};
use crate::vault::{META_MOVED, META_UNFINISHED, Vault};

/// What belongs to the moment beside rows.
struct Copied {
    blobs: BTreeMap<String, PieceId>,
    /// Tenant keys, and whether the store is from before versions.
    ring: (Vec<Entry>, bool),
    taken_at: Timestamp,
}

/// Reads rows of a table from a key on.
type Scan<'a> = dyn Fn(Table, &[u8]) -> Result<Vec<Row>, StoreError> + 'a;

type Change = ((Table, Vec<u8>), Option<Vec<u8>>);

impl Vault {
    /// Reads everything; `expected` rows, about.
    pub(super) fn copy(
        &self,
        backups: &Backups,
        writer: &mut Writer<'_>,
        expected: u64,
    ) -> Result<(Body, Head), VaultError> {
        // Of before the moment: what was answered until then is in the copy.
        let now = self.clock.now();
        let copied = match self.store.moment()? {
            Some(moment) => self.copy_moment(&*moment, now, backups, writer, expected)?,
            None => self.copy_watched(backups, writer, expected)?,
        };
        let pieces = std::mem::take(&mut writer.pieces);
        let body = Body { pieces, blobs: copied.blobs.into_iter().collect() };
        let people = body.pieces.iter().filter(|((table, _), _)| *table == Table::Placements as u8);
        let (ring, early) = copied.ring;
        let head = Head {
            format: Head::format(),
            number: 0,
            taken_at: copied.taken_at,
            store_id: self.store_id()?,
            holder: *self.holder.id().as_bytes(),
            tenant: backups.tenant.clone(),
            ring,
            early,
            rows: body.pieces.values().map(|piece| u64::from(piece.rows)).sum(),
            subjects: people.map(|(_, piece)| u64::from(piece.rows)).sum(),
            bytes: 0,
            new_bytes: 0,
        };
        Ok((body, head))
    }

    fn copy_moment(
        &self,
        moment: &dyn Moment,
        taken_at: Timestamp,
        backups: &Backups,
        writer: &mut Writer<'_>,
        expected: u64,
    ) -> Result<Copied, VaultError> {
        self.read_everything(backups, writer, expected, &|table, from| moment.scan(table, from, SCAN_ROWS))?;
        let mut blobs = BTreeMap::new();
        for name in moment.blobs()? {
            self.check_open()?;
            if let Some(bytes) = moment.blob(&name)? {
                blobs.insert(name, writer.write(&bytes)?);
            }
        }
        // Versions that rows of the moment are under are there still: one is destroyed only after a backup without it. Those
        // of a tenant that is new to another vault are there by now.
        drop(self.ring.hold()?);
        Ok(Copied { blobs, ring: self.ring.copy(), taken_at })
    }

    fn copy_watched(&self, backups: &Backups, writer: &mut Writer<'_>, expected: u64) -> Result<Copied, VaultError> {
        let copying = self.watch.begin();
        let store = &self.store;
        self.read_everything(backups, writer, expected, &|table, from| store.scan(table, &[], from, SCAN_ROWS))?;
        let mut blobs = BTreeMap::new();
        for name in store.blobs()? {
            // Removed since it was listed: its subject is not pending any more.
            if let Some(bytes) = store.blob(&name)? {
                blobs.insert(name, writer.write(&bytes)?);
            }
        }
        for _ in 0..COPY_ROUNDS {
            let changed = copying.take();
            let few = changed.len() <= COPY_REST;
            self.read_again(writer, changed)?;
            if few {
                break;
            }
        }
        let (rest, names, new, ring, taken_at) = copying.finish(|last| {
            let rest = self.read_rows(last)?;
            let names: HashSet<String> = store.blobs()?.into_iter().collect();
            let mut new = Vec::new();
            for name in names.iter().filter(|name| !blobs.contains_key(*name)) {
                new.extend(store.blob(name)?.map(|bytes| (name.clone(), bytes)));
            }
            Ok::<_, VaultError>((rest, names, new, self.ring.copy(), self.clock.now()))
        })?;
        patch(writer, rest)?;
        blobs.retain(|name, _| names.contains(name));
        for (name, bytes) in new {
            blobs.insert(name, writer.write(&bytes)?);
        }
        Ok(Copied { blobs, ring, taken_at })
    }

    fn read_everything(
        &self,
        backups: &Backups,
        writer: &mut Writer<'_>,
        expected: u64,
        scan: &Scan<'_>,
    ) -> Result<(), VaultError> {
        let mut done = 0;
        for table in Table::ALL {
            let (mut from, mut cutter) = (Vec::new(), Cutter::default());
            loop {
                self.check_open()?;
                let rows = scan(table, &from)?;
                let Some((last, _)) = rows.last() else { break };
                from = [last.as_slice(), &[0]].concat();
                done += rows.len() as u64;
                for row in rows.into_iter().filter(|(key, _)| is_copied(table, key)) {
                    writer.push(table, &mut cutter, row)?;
                }
                backups.progress(done, expected);
            }
            writer.end(table, &mut cutter)?;
        }
        Ok(())
    }

    fn read_again(&self, writer: &mut Writer<'_>, changed: Changed) -> Result<(), VaultError> {
        let mut left = changed.into_iter().peekable();
        while left.peek().is_some() {
            self.check_open()?;
            let rows = self.read_rows(left.by_ref().take(SCAN_ROWS))?;
            patch(writer, rows)?;
        }
        Ok(())
    }

    fn read_rows(&self, changed: impl IntoIterator<Item = (Table, Vec<u8>)>) -> Result<Vec<Change>, VaultError> {
        let places: Vec<_> = changed.into_iter().filter(|(table, key)| is_copied(*table, key)).collect();
        let values = self.store.read_many(&places)?;
        Ok(places.into_iter().zip(values).collect())
    }

    fn check_open(&self) -> Result<(), VaultError> {
        if self.is_closing() { Err(VaultError::Closing) } else { Ok(()) }
    }
}

fn patch(writer: &mut Writer<'_>, rows: Vec<Change>) -> Result<(), BackupError> {
    let mut tables: BTreeMap<Table, BTreeMap<Vec<u8>, Option<Vec<u8>>>> = BTreeMap::new();
    for ((table, key), value) in rows {
        tables.entry(table).or_default().insert(key, value);
    }
    tables.into_iter().try_for_each(|(table, changes)| writer.patch(table, changes))
}

/// Marks of copies are their own stores'.
fn is_copied(table: Table, key: &[u8]) -> bool {
    table != Table::Meta || ![META_MOVED, META_UNFINISHED].contains(&key)
}
