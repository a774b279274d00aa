//! Rows cut into pieces, so that what has not changed since the last backup is the same piece again.
//!
//! Where a piece ends is told by the key of its last row alone, so that a row more or less changes the piece that it is
//! in and no other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use ring::digest;
use serde::{Deserialize, Serialize};
use volar_core::randomness::Randomness;

use super::BackupError;
use super::folder::{BackupKeys, Folder, PieceId};
use crate::parameters::{PIECE_BYTES, PIECE_BYTES_MAX};
use crate::store::{Row, Table};

/// A piece of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) id: PieceId,
    pub(crate) rows: u32,
}

/// A table's pieces, by their first rows' keys.
pub(crate) type Pieces = BTreeMap<(u8, Vec<u8>), Piece>;

/// Writes pieces of a new backup.
pub(crate) struct Writer<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) keys: &'a BackupKeys,
    pub(crate) randomness: &'a dyn Randomness,
    /// Pieces that older backups have, or that this one has written.
    pub(crate) there: HashSet<PieceId>,
    pub(crate) pieces: Pieces,
    /// How large each piece is.
    pub(crate) bytes: HashMap<PieceId, u64>,
}

/// Rows that are not yet a piece.
#[derive(Default)]
pub(crate) struct Cutter {
    rows: Vec<Row>,
    bytes: usize,
}

impl Cutter {
    /// Takes a row; gives a piece's rows if it is their last.
    fn push(&mut self, row: Row) -> Option<Vec<Row>> {
        let length = row.0.len() + row.1.len() + 8;
        let ends = ends_piece(&row.0, length);
        self.bytes += length;
        self.rows.push(row);
        (ends || self.bytes >= PIECE_BYTES_MAX).then(|| self.rest())
    }

    fn rest(&mut self) -> Vec<Row> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

/// One row in so many ends a piece that pieces have [`PIECE_BYTES`] on average.
fn ends_piece(key: &[u8], length: usize) -> bool {
    let hash = digest::digest(&digest::SHA256, key);
    let drawn = u32::from_be_bytes(hash.as_ref()[..4].try_into().expect("four bytes"));
    u64::from(drawn) < ((length as u64) << 32) / PIECE_BYTES as u64
}

impl Writer<'_> {
    /// Takes a table's next row.
    pub(crate) fn push(&mut self, table: Table, cutter: &mut Cutter, row: Row) -> Result<(), BackupError> {
        match cutter.push(row) {
            Some(rows) => self.put(table, &rows),
            None => Ok(()),
        }
    }

    /// The table's last rows.
    pub(crate) fn end(&mut self, table: Table, cutter: &mut Cutter) -> Result<(), BackupError> {
        let rows = cutter.rest();
        if rows.is_empty() { Ok(()) } else { self.put(table, &rows) }
    }

    fn put(&mut self, table: Table, rows: &[Row]) -> Result<(), BackupError> {
        let id = self.write(&encode(table, rows))?;
        let first = rows.first().expect("a piece has rows").0.clone();
        self.pieces.insert((table as u8, first), Piece { id, rows: rows.len() as u32 });
        Ok(())
    }

    /// Writes a piece of any kind.
    pub(crate) fn write(&mut self, plain: &[u8]) -> Result<PieceId, BackupError> {
        let (id, bytes) = self.folder.put(self.keys, plain, &mut self.there, self.randomness)?;
        self.bytes.insert(id, bytes);
        Ok(id)
    }

    /// Puts changed rows in the place of what was read before; `None` for a row that is gone.
    pub(crate) fn patch(
        &mut self,
        table: Table,
        mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<(), BackupError> {
        while let Some(first) = changes.keys().next().cloned() {
            let number = table as u8;
            let mut rows = BTreeMap::new();
            let mut next = self.holding(number, &first);
            loop {
                if let Some(place) = next.take() {
                    let piece = self.pieces.remove(&place).expect("found just now");
                    rows.extend(decode(table, &self.folder.piece(self.keys, &piece.id)?, self.folder, &piece.id)?);
                    next = self.after(number, &place.1);
                } else {
                    next = self.after(number, &first);
                }
                let later = next.as_ref().map(|(_, key)| changes.split_off(key)).unwrap_or_default();
                for (key, value) in std::mem::replace(&mut changes, later) {
                    match value {
                        Some(value) => drop(rows.insert(key, value)),
                        None => drop(rows.remove(&key)),
                    }
                }
                let mut cutter = Cutter::default();
                for row in std::mem::take(&mut rows) {
                    self.push(table, &mut cutter, row)?;
                }
                // Rows that end no piece belong to the next.
                rows.extend(cutter.rest());
                if next.is_none() || rows.is_empty() {
                    break;
                }
            }
            if !rows.is_empty() {
                self.put(table, &rows.into_iter().collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    /// The piece that a row is in or would be.
    fn holding(&self, table: u8, key: &[u8]) -> Option<(u8, Vec<u8>)> {
        let before = self.pieces.range((table, Vec::new())..=(table, key.to_vec())).next_back();
        before.map(|(place, _)| place.clone()).or_else(|| self.after(table, key))
    }

    fn after(&self, table: u8, key: &[u8]) -> Option<(u8, Vec<u8>)> {
        let from = Bound::Excluded((table, key.to_vec()));
        self.pieces.range((from, Bound::Excluded((table + 1, Vec::new())))).next().map(|(place, _)| place.clone())
    }
}

/// `table 1 | (length of key 4 | key | length of value 4 | value)…`
fn encode(table: Table, rows: &[Row]) -> Vec<u8> {
    let mut bytes = vec![table as u8];
    for part in rows.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The rows of a piece of `table`.
pub(crate) fn decode(table: Table, plain: &[u8], folder: &Folder, id: &PieceId) -> Result<Vec<Row>, BackupError> {
    let damaged = || BackupError::Damaged { path: folder.piece_path(id), reason: "it holds no rows".to_owned() };
    let (found, mut rest) = plain.split_first().ok_or_else(damaged)?;
    let mut part = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(part.to_vec())
    };
    let mut rows = Vec::new();
    while let Some(key) = part() {
        rows.push((key, part().ok_or_else(damaged)?));
    }
    if *found == table as u8 && rest.is_empty() { Ok(rows) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use volar_core::randomness::SeededRandomness;
    use volar_core::secret::Key;

    use super::*;

    fn all(writer: &Writer<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let read = writer.pieces.iter().flat_map(|((_, first), piece)| {
            let plain = writer.folder.piece(writer.keys, &piece.id).expect("whole");
            let rows = decode(Table::Subjects, &plain, writer.folder, &piece.id).expect("rows");
            assert_eq!((&rows[0].0, rows.len() as u32), (first, piece.rows));
            rows
        });
        read.collect()
    }

    fn row(number: u16) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn patched_pieces_are_those_that_a_new_cut_makes(
            before in proptest::collection::btree_map(0_u16..900, 0_usize..6_000, 0..400),
            after in proptest::collection::btree_map(0_u16..900, proptest::option::of(0_usize..6_000), 0..90),
        ) {
            let home = tempfile::tempdir().expect("a temporary folder");
            let folder = Folder::make(home.path()).expect("writable");
            let (keys, randomness) = (BackupKeys::from_root(&Key::new([7; 32])), SeededRandomness::new(1));
            let writer = || Writer {
                folder: &folder,
                keys: &keys,
                randomness: &randomness,
                there: HashSet::new(),
                pieces: Pieces::new(),
                bytes: HashMap::new(),
            };
            let cut = |rows: &BTreeMap<Vec<u8>, Vec<u8>>| {
                let (mut writer, mut cutter) = (writer(), Cutter::default());
                for (key, value) in rows {
                    writer.push(Table::Subjects, &mut cutter, (key.clone(), value.clone())).expect("written");
                }
                writer.end(Table::Subjects, &mut cutter).expect("written");
                writer
            };
            let mut rows: BTreeMap<_, _> = before.iter().map(|(key, length)| (row(*key), vec![1; *length])).collect();
            let mut patched = cut(&rows);
            prop_assert_eq!(&all(&patched), &rows);
            let changes: BTreeMap<_, _> =
                after.iter().map(|(key, length)| (row(*key), length.map(|length| vec![2; length]))).collect();
            patched.patch(Table::Subjects, changes.clone()).expect("patched");
            for (key, value) in changes {
                match value {
                    Some(value) => drop(rows.insert(key, value)),
                    None => drop(rows.remove(&key)),
                }
            }
            prop_assert_eq!(&all(&patched), &rows);
            prop_assert_eq!(&patched.pieces, &cut(&rows).pieces);
        }
    }
}
