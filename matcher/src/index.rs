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
    references: usize,
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

    /// References held: what a search compares with.
    pub fn references(&self) -> usize {
        self.references
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
            self.references += palm.references.len();
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
        self.references -= palms.iter().map(|palm| palm.references.len()).sum::<usize>();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Palms, subject};
    use proptest::prelude::*;

    type Plain = BTreeMap<SubjectId, Vec<IndexedPalm>>;

    /// The definition that the index must meet: every reference, by inner product, nearest first.
    fn scan(plain: &Plain, probe: &ProtectedEmbedding) -> Vec<(SubjectId, Position, usize, f32)> {
        let mut rows = Vec::new();
        for (&subject, palms) in plain {
            for palm in palms {
                for (number, reference) in palm.references.iter().enumerate() {
                    let pairs = probe.expose().iter().zip(reference.embedding.expose());
                    let cosine = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
                    rows.push((subject, palm.position, number, cosine));
                }
            }
        }
        rows.sort_by(|a, b| b.3.total_cmp(&a.3));
        rows
    }

    fn agree(index: &Index, plain: &Plain, probe: &ProtectedEmbedding, palms: usize) {
        let hits = index.nearest(probe, palms).expect("a search");
        let mut expected = scan(plain, probe);
        expected.truncate(rows_for(palms));
        let mut nearest = Vec::new();
        expected.retain(|&(subject, position, ..)| {
            let palm = (subject, position);
            if !nearest.contains(&palm) && nearest.len() < palms {
                nearest.push(palm);
            }
            nearest.contains(&palm)
        });
        assert_eq!(hits.len(), expected.len());
        for (hit, (subject, position, number, cosine)) in hits.iter().zip(expected) {
            assert_eq!((hit.row.subject, hit.row.position, hit.row.number), (subject, position, number));
            // Two orders of summing 256 products of a unit vector's elements.
            assert!((hit.cosine - cosine).abs() < 1e-5, "{} for {cosine}", hit.cosine);
        }
        assert_eq!(index.palms(), plain.values().map(Vec::len).sum::<usize>());
        assert_eq!(index.references(), plain.values().flatten().map(|palm| palm.references.len()).sum::<usize>());
    }

    /// One or two palms of 1 to 5 references.
    fn person(palms: &mut Palms, shape: u8) -> Vec<IndexedPalm> {
        let mut hands = Vec::new();
        for position in [Position::Left, Position::Right].into_iter().take(1 + usize::from(shape % 2)) {
            let mut template = palms.template();
            template.position = position;
            hands.push(palms.indexed(&template, usize::from(shape / 2 % 5)));
        }
        hands
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_index_is_a_plain_scan(steps in prop::collection::vec((0_u32..12, any::<u8>()), 1..60), seed: u64) {
            let (mut palms, mut index, mut plain) = (Palms::new(seed), Index::default(), Plain::new());
            for (number, shape) in steps {
                let subject = subject(number);
                match plain.remove(&subject) {
                    Some(known) => {
                        let taken = index.remove(subject).expect("removed");
                        prop_assert!(!index.contains(subject));
                        let shapes = |palms: &[IndexedPalm]| -> Vec<_> {
                            palms.iter().map(|palm| (palm.position, palm.references.len())).collect()
                        };
                        prop_assert_eq!(shapes(&taken), shapes(&known));
                        for (taken, known) in taken.iter().zip(&known) {
                            for (a, b) in taken.references.iter().zip(&known.references) {
                                prop_assert_eq!(a.embedding.expose(), b.embedding.expose());
                                prop_assert_eq!(a.code.expose(), b.code.expose());
                                prop_assert_eq!(a.quality, b.quality);
                            }
                        }
                    }
                    None => {
                        let person = person(&mut palms, shape);
                        index.add(subject, &person).expect("memory");
                        plain.insert(subject, person);
                    }
                }
                let probe = palms.reference_of_new().embedding;
                for nearest in [1, 3, 50] {
                    agree(&index, &plain, &probe, nearest);
                }
            }
        }
    }

    #[test]
    fn several_segments_are_one_index() {
        let (mut palms, mut index, mut plain) = (Palms::new(5), Index::default(), Plain::new());
        for number in 0..(2 * SEGMENT_ROWS / 5 + 200) as u32 {
            let template = palms.template();
            let person = vec![palms.indexed(&template, 4)];
            index.add(subject(number), &person).expect("memory");
            plain.insert(subject(number), person);
        }
        assert_eq!(index.blocks.len(), 3);
        for number in (0..1_800).step_by(3) {
            // Some of these lie across two segments.
            assert_eq!(index.remove(subject(number)).expect("removed")[0].references.len(), 5);
            plain.remove(&subject(number));
        }
        for _ in 0..20 {
            agree(&index, &plain, &palms.reference_of_new().embedding, 50);
        }
    }
}
