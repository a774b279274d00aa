//! Nearest-neighbour search over protected embeddings: exact inner products by FAISS, in segments, beside our own
//! table of whose vector each row is.
//!
//! A removed vector is gone from memory when the call returns, and an index that is dropped leaves zeros behind.

mod segment;

use std::collections::{BTreeSet, HashMap, HashSet};

use volar_core::id::SubjectId;
use volar_core::template::{Position, ProtectedCode, ProtectedEmbedding, Quality, Reference};

use crate::parameters::{SEGMENT_ROWS, rows_for};
use segment::Segment;

/// Why the index failed. It must then be built anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// FAISS threw: out of memory is the only cause with rows checked beforehand.
    #[error("FAISS failed to {action}: {reason}; if memory is short, give the matcher more")]
    Faiss {
        /// What was being done.
        action: &'static str,
        /// FAISS's own words.
        reason: String,
    },
    /// A vector came back that is no embedding.
    #[error("the index gave back a damaged vector; restart the matcher and test its memory")]
    Damaged,
}

/// Whose vector a row holds, and what verification compares.
pub struct Row {
    /// The person.
    pub subject: SubjectId,
    /// Which of the person's palms.
    pub position: Position,
    /// Which of the palm's references, best first.
    pub number: usize,
    /// Its protected orientation code. Zeroed on drop.
    pub code: ProtectedCode,
    quality: Quality,
}

/// A row found, and how near it is.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    /// The row.
    pub row: &'a Row,
    /// Cosine between probe and reference, -1 to 1.
    pub cosine: f32,
}

/// A palm's references, as they go in and come out.
#[derive(Clone)]
pub struct IndexedPalm {
    /// Which hand.
    pub position: Position,
    /// 1 to 5 views, best first.
    pub references: Vec<Reference>,
}

/// References of many subjects.
#[derive(Default)]
pub struct Index {
    blocks: Vec<Block>,
    /// In which blocks a subject has rows.
    places: HashMap<SubjectId, BTreeSet<usize>>,
    palms: usize,
}

/// A segment of vectors and the table of its rows, always of one length.
struct Block {
    segment: Segment,
    rows: Vec<Row>,
}

impl Index {
    /// Palms held.
    pub fn palms(&self) -> usize {
        self.palms
    }

    /// Whether the subject has rows here.
    pub fn contains(&self, subject: SubjectId) -> bool {
        self.places.contains_key(&subject)
    }

    /// Adds a subject's palms. The subject must not be in the index yet.
    pub fn add(&mut self, subject: SubjectId, palms: &[IndexedPalm]) -> Result<(), IndexError> {
        debug_assert!(!self.contains(subject), "a subject is added once");
        for palm in palms {
            for (number, reference) in palm.references.iter().enumerate() {
                let place = self.block_with_room()?;
                let block = &mut self.blocks[place];
                block.segment.push(&reference.embedding)?;
                let (code, quality) = (reference.code.clone(), reference.quality);
                block.rows.push(Row { subject, position: palm.position, number, code, quality });
                self.places.entry(subject).or_default().insert(place);
            }
            self.palms += 1;
        }
        Ok(())
    }

    /// Removes a subject and gives its palms back; none if it was not there.
    pub fn remove(&mut self, subject: SubjectId) -> Result<Vec<IndexedPalm>, IndexError> {
        let mut taken = Vec::new();
        for place in self.places.remove(&subject).unwrap_or_default() {
            self.blocks[place].take(subject, &mut taken)?;
        }
        taken.sort_by_key(|(position, number, _)| (*position == Position::Right, *number));
        let mut palms: Vec<IndexedPalm> = Vec::new();
        for (position, _, reference) in taken {
            match palms.last_mut() {
                Some(palm) if palm.position == position => palm.references.push(reference),
                _ => palms.push(IndexedPalm { position, references: vec![reference] }),
            }
        }
        self.palms -= palms.len();
        Ok(palms)
    }

    /// The rows nearest to `probe` by inner product, nearest first, of the `palms` nearest palms: exact, nothing
    /// nearer is left out. Of a palm, the references among the first [`rows_for`]`(palms)` rows are there.
    pub fn nearest(&self, probe: &ProtectedEmbedding, palms: usize) -> Result<Vec<Hit<'_>>, IndexError> {
        let count = rows_for(palms);
        let mut hits = Vec::new();
        for block in self.blocks.iter().filter(|block| !block.rows.is_empty()) {
            let found = block.segment.nearest(probe, count)?;
            hits.extend(found.map(|(row, cosine)| Hit { row: &block.rows[row], cosine }));
        }
        // Equal cosines in a fixed order, so that a repeat and a restarted matcher answer alike.
        let order = |hit: &Hit<'_>| (hit.row.subject, hit.row.position == Position::Right, hit.row.number);
        hits.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then_with(|| order(a).cmp(&order(b))));
        hits.truncate(count);
        let mut seen = HashSet::new();
        hits.retain(|hit| {
            let palm = (hit.row.subject, hit.row.position);
            seen.contains(&palm) || (seen.len() < palms && seen.insert(palm))
        });
        Ok(hits)
    }

    fn block_with_room(&mut self) -> Result<usize, IndexError> {
        if let Some(place) = self.blocks.iter().position(|block| block.rows.len() < SEGMENT_ROWS) {
            return Ok(place);
        }
        self.blocks.push(Block { segment: Segment::new()?, rows: Vec::with_capacity(SEGMENT_ROWS) });
        Ok(self.blocks.len() - 1)
    }
}

impl Block {
    fn take(&mut self, subject: SubjectId, taken: &mut Vec<(Position, usize, Reference)>) -> Result<(), IndexError> {
        let gone: Vec<usize> = (0..self.rows.len()).filter(|&row| self.rows[row].subject == subject).collect();
        for &row in &gone {
            let Row { position, number, code, quality, .. } = &self.rows[row];
            let (embedding, code) = (self.segment.vector(row)?, code.clone());
            taken.push((*position, *number, Reference { embedding, code, quality: *quality }));
        }
        self.segment.remove(&gone)?;
        self.rows.retain(|row| row.subject != subject);
        Ok(())
    }
}
