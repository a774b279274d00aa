//! Nearest-neighbour search over protected embeddings, beside whose each is and the code that verifies it.
//!
//! A search scans every row's sketch, scores the likeliest in whole numbers and keeps the nearest. It runs while rows
//! come, change their standing and go: it holds one block's lock for as long as it reads that block, and a change holds it
//! for a row. An erased row is zeros when the call returns.

mod block;
mod columns;
mod levels;
mod sketch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use volar_core::id::SubjectId;
use volar_core::nearness::CodeWords;
use volar_core::template::{Position, ProtectedEmbedding, Quality, Reference};
use zeroize::Zeroizing;

use crate::parameters::{BLOCK_ROWS, SKETCHED_ROWS, rows_for};
use block::{Block, Entry};
use levels::ProbeLevels;
use sketch::{Kept, Kernel, Table};

/// Whether a subject may be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It may. A search among active subjects finds nobody else.
    Active,
    /// It waits for a verdict or a review. A search among waiting subjects finds the active ones too.
    Waiting,
}

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The person.
    pub subject: SubjectId,
    /// Which of the person's palms.
    pub position: Position,
    /// Which of the palm's references, best first.
    pub number: u8,
    /// Its quality at capture.
    pub quality: Quality,
}

/// A row found, and how near it is.
#[derive(Clone)]
pub struct Hit {
    /// Whose it is.
    pub row: Row,
    /// Cosine between probe and reference, -1 to 1, to about 0.0005.
    pub cosine: f32,
    /// Its protected orientation code.
    pub code: Zeroizing<CodeWords>,
}

/// A palm's references, as they go in.
#[derive(Clone)]
pub struct IndexedPalm {
    /// Which hand.
    pub position: Position,
    /// 1 to 5 views, best first.
    pub references: Vec<Reference>,
}

/// References of many subjects.
pub struct Index {
    /// Rows of the block at place `p` are numbered from `p * block_rows`.
    blocks: RwLock<Arc<Blocks>>,
    block_rows: usize,
    kernel: Kernel,
    book: Mutex<Book>,
    /// Rows that have moved, and blocks that were emptied. A search during which one did may have looked for it at both
    /// places in the wrong order, or have another's row for it.
    moves: AtomicUsize,
    /// As the book has them, for readers that must not wait for a change.
    counts: [Counts; 2],
}

type Blocks = Vec<Arc<RwLock<Block>>>;

/// Who is where. Only changes read it; holding it makes one change follow the other.
#[derive(Default)]
struct Book {
    places: HashMap<SubjectId, Place>,
    /// The block that takes rows.
    tail: usize,
    /// Blocks without rows.
    vacant: Vec<usize>,
}

/// A subject's rows: one after the other, in one block.
#[derive(Clone, Copy)]
struct Place {
    first: u32,
    rows: u8,
    palms: u8,
    standing: Standing,
}

#[derive(Default)]
struct Counts {
    palms: AtomicUsize,
    references: AtomicUsize,
}

/// A row that may be near.
#[derive(Clone, Copy)]
struct Near {
    number: u32,
    cosine: f32,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_block_rows(BLOCK_ROWS)
    }
}

impl Index {
    fn with_block_rows(block_rows: usize) -> Self {
        let first = Arc::new(RwLock::new(Block::new(block_rows)));
        Self {
            blocks: RwLock::new(Arc::new(vec![first])),
            block_rows,
            kernel: Kernel::best(),
            book: Mutex::default(),
            moves: AtomicUsize::new(0),
            counts: Default::default(),
        }
    }

    /// Palms of that standing.
    pub fn palms(&self, standing: Standing) -> usize {
        self.counts(standing).palms.load(Ordering::Relaxed)
    }

    /// References of that standing.
    pub fn references(&self, standing: Standing) -> usize {
        self.counts(standing).references.load(Ordering::Relaxed)
    }

    /// Whether the subject has rows here, and what it may.
    pub fn standing(&self, subject: SubjectId) -> Option<Standing> {
        self.book().places.get(&subject).map(|place| place.standing)
    }

    /// Adds a subject's palms; `false`, and nothing is added, if it is here already.
    pub fn add(&self, subject: SubjectId, palms: &[IndexedPalm], standing: Standing) -> bool {
        let book = &mut *self.book();
        if book.places.contains_key(&subject) {
            return false;
        }
        let entries: Vec<Entry> = palms
            .iter()
            .flat_map(|palm| palm.references.iter().enumerate().map(move |reference| (palm.position, reference)))
            .map(|(position, (number, reference))| Entry::new(subject, position, number, reference))
            .collect();
        let first = self.append(book, &entries, standing);
        let place = Place { first, rows: entries.len() as u8, palms: palms.len() as u8, standing };
        self.count(place, 1);
        book.places.insert(subject, place);
        true
    }

    /// Changes what a subject may; `false` if it is not here.
    pub fn stand(&self, subject: SubjectId, standing: Standing) -> bool {
        let book = &mut *self.book();
        let Some(place) = book.places.get_mut(&subject) else { return false };
        if place.standing != standing {
            self.count(*place, -1);
            place.standing = standing;
            self.count(*place, 1);
            self.change(*place, |block, at| block.stand(at, standing));
        }
        true
    }

    /// Removes a subject; `false` if it was not here. No search that begins from now on finds it, and its rows are zeros.
    pub fn remove(&self, subject: SubjectId) -> bool {
        let book = &mut *self.book();
        let Some(place) = book.places.remove(&subject) else { return false };
        self.count(place, -1);
        self.change(place, Block::erase);
        self.compact(book, place.first as usize / self.block_rows);
        true
    }

    /// For each probe, the rows `among` those subjects of the `palms` nearest palms, nearest first. Of a palm, the
    /// references among the first [`rows_for`]`(palms)` rows are there.
    ///
    /// Several probes in one call read memory once.
    pub fn nearest(&self, probes: &[&ProtectedEmbedding], palms: usize, among: Standing) -> Vec<Vec<Hit>> {
        let before = self.moves.load(Ordering::SeqCst);
        let found = self.search(probes, palms, among);
        if self.moves.load(Ordering::SeqCst) == before {
            return found;
        }
        // Rows moved meanwhile, which they seldom do: again, while nothing changes.
        let _unchanging = self.book();
        self.search(probes, palms, among)
    }

    fn search(&self, probes: &[&ProtectedEmbedding], palms: usize, among: Standing) -> Vec<Vec<Hit>> {
        let blocks = self.blocks();
        let wanted = SKETCHED_ROWS.max(2 * rows_for(palms));
        let mut scans: Vec<(Table, Kept)> =
            probes.iter().map(|probe| (Table::new(probe.expose()), Kept::new(wanted))).collect();
        for (place, block) in blocks.iter().enumerate() {
            read(block).scan(self.kernel, &mut scans, among, (place * self.block_rows) as u32);
        }
        let nearest = |(probe, (_, kept)): (&&ProtectedEmbedding, (Table, Kept))| {
            let mut near = self.near(&blocks, &kept.finish(), probe, among);
            keep_nearest(&mut near, rows_for(palms));
            self.hits(&blocks, of_the_nearest(self.rows(&blocks, &near), palms), among)
        };
        probes.iter().zip(scans).map(nearest).collect()
    }

    /// Scores the rows of these numbers, which ascend, by their cosines.
    fn near(&self, blocks: &Blocks, numbers: &[u32], probe: &ProtectedEmbedding, among: Standing) -> Vec<Near> {
        let probe = ProbeLevels::new(probe.expose());
        let (mut near, mut places, mut cosines) = (Vec::with_capacity(numbers.len()), Vec::new(), Vec::new());
        for numbers in numbers.chunk_by(|a, b| self.block_of(*a) == self.block_of(*b)) {
            let (place, block) = (self.block_of(numbers[0]), read(&blocks[self.block_of(numbers[0])]));
            places.clear();
            places.extend(numbers.iter().map(|&number| self.within(number)).filter(|&at| block.has(at, among)));
            cosines.clear();
            block.cosines(&probe, &places, &mut cosines);
            let first = (place * self.block_rows) as u32;
            near.extend(places.iter().zip(&cosines).map(|(&at, &cosine)| Near { number: first + at as u32, cosine }));
        }
        near
    }

    /// Whose these rows are. Of a block that was emptied since, nothing is left.
    fn rows(&self, blocks: &Blocks, near: &[Near]) -> Vec<(Near, Row)> {
        let row = |number| read(&blocks[self.block_of(number)]).row(self.within(number));
        near.iter().filter_map(|&near| Some((near, row(near.number)?))).collect()
    }

    /// The same rows with their codes. One that went since is left out.
    fn hits(&self, blocks: &Blocks, rows: Vec<(Near, Row)>, among: Standing) -> Vec<Hit> {
        let hit = |(Near { number, cosine }, row)| {
            let (block, at) = (read(&blocks[self.block_of(number)]), self.within(number));
            let there = block.has(at, among) && block.row(at) == Some(row);
            there.then(|| Hit { row, cosine, code: Zeroizing::new(*block.code(at)) })
        };
        rows.into_iter().filter_map(hit).collect()
    }

    fn append(&self, book: &mut Book, entries: &[Entry], standing: Standing) -> u32 {
        assert!(entries.len() <= self.block_rows, "a subject fits into a block");
        if read(&self.blocks()[book.tail]).room() < entries.len() {
            book.tail = book.vacant.pop().unwrap_or_else(|| self.grow());
        }
        let blocks = self.blocks();
        let mut block = write(&blocks[book.tail]);
        let first = block.len();
        entries.iter().for_each(|entry| _ = block.push(entry, standing));
        (book.tail * self.block_rows + first) as u32
    }

    /// Takes memory for another block and says which it is.
    fn grow(&self) -> usize {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let mut more = Blocks::clone(&blocks);
        more.push(Arc::new(RwLock::new(Block::new(self.block_rows))));
        *blocks = Arc::new(more);
        blocks.len() - 1
    }

    /// Moves the rows of a block that is less than half somebody's to where rows are added, so that memory is never more
    /// than twice what is needed.
    fn compact(&self, book: &mut Book, place: usize) {
        let blocks = self.blocks();
        let sparse = {
            let block = read(&blocks[place]);
            place != book.tail && block.len() > 0 && 2 * block.live() < block.len()
        };
        if !sparse {
            return;
        }
        let mut subjects: Vec<SubjectId> = read(&blocks[place]).subjects().collect();
        subjects.dedup();
        for subject in subjects {
            let from = book.places[&subject];
            let entries: Vec<Entry> = {
                let block = read(&blocks[place]);
                (0..usize::from(from.rows)).map(|row| block.entry(self.within(from.first) + row)).collect()
            };
            let first = self.append(book, &entries, from.standing);
            // Between the two: whoever has not seen the new rows begins again before it can miss the old ones.
            self.moves.fetch_add(1, Ordering::SeqCst);
            self.change(from, Block::erase);
            book.places.insert(subject, Place { first, ..from });
        }
        // Whoever has scored its rows begins again before it can take others' that come there for them.
        self.moves.fetch_add(1, Ordering::SeqCst);
        write(&blocks[place]).clear();
        book.vacant.push(place);
    }

    fn change(&self, place: Place, change: impl Fn(&mut Block, usize)) {
        let blocks = self.blocks();
        let mut block = write(&blocks[self.block_of(place.first)]);
        (0..usize::from(place.rows)).for_each(|row| change(&mut block, self.within(place.first) + row));
    }

    fn count(&self, place: Place, sign: isize) {
        let Counts { palms, references } = self.counts(place.standing);
        palms.fetch_add(sign.wrapping_mul(place.palms.into()) as usize, Ordering::Relaxed);
        references.fetch_add(sign.wrapping_mul(place.rows.into()) as usize, Ordering::Relaxed);
    }

    fn counts(&self, standing: Standing) -> &Counts {
        &self.counts[usize::from(standing == Standing::Waiting)]
    }

    fn block_of(&self, number: u32) -> usize {
        number as usize / self.block_rows
    }

    fn within(&self, number: u32) -> usize {
        number as usize % self.block_rows
    }

    fn blocks(&self) -> Arc<Blocks> {
        Arc::clone(&self.blocks.read().expect("taking memory for a block does not panic"))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("an index whose change panicked must not change")
    }
}

/// Leaves the `count` nearest, and all that are as near as the last of them, in any order.
fn keep_nearest(near: &mut Vec<Near>, count: usize) {
    if near.len() > count {
        let (_, last, _) = near.select_nth_unstable_by(count - 1, |a, b| b.cosine.total_cmp(&a.cosine));
        let last = last.cosine;
        near.retain(|near| near.cosine >= last);
    }
}

/// Of the nearest rows those of the nearest `palms`, nearest first.
fn of_the_nearest(mut rows: Vec<(Near, Row)>, palms: usize) -> Vec<(Near, Row)> {
    // Equal cosines in a fixed order, so that a repeat and a restarted matcher answer alike.
    let order = |row: &Row| (row.subject, row.position == Position::Right, row.number);
    rows.sort_unstable_by(|(a, one), (b, other)| {
        b.cosine.total_cmp(&a.cosine).then_with(|| order(one).cmp(&order(other)))
    });
    rows.truncate(rows_for(palms));
    let mut seen = HashSet::new();
    rows.retain(|(_, row)| {
        let palm = (row.subject, row.position);
        seen.contains(&palm) || (seen.len() < palms && seen.insert(palm))
    });
    rows
}

impl Row {
    /// What an erased row says.
    const NOBODY: Self =
        Self { subject: SubjectId::from_bytes([0; 16]), position: Position::Left, number: 0, quality: Quality::LOWEST };
}

fn read(block: &RwLock<Block>) -> RwLockReadGuard<'_, Block> {
    block.read().expect("a block whose change panicked must not answer")
}

fn write(block: &RwLock<Block>) -> RwLockWriteGuard<'_, Block> {
    block.write().expect("a block whose change panicked must not change")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use faiss::Index as _;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Palms, subject};

    /// Rounding a reference to a byte a coordinate moves its cosine by less.
    const ROUNDING: f32 = 0.004;

    type Plain = BTreeMap<SubjectId, (Vec<IndexedPalm>, Standing)>;

    /// The definition that the index must meet: every reference, by inner product, nearest first.
    fn scan(plain: &Plain, probe: &ProtectedEmbedding, among: Standing) -> Vec<(SubjectId, Position, u8, f32)> {
        let mut rows = Vec::new();
        for (&subject, (palms, standing)) in plain {
            if among == Standing::Active && *standing != Standing::Active {
                continue;
            }
            for palm in palms {
                for (number, reference) in palm.references.iter().enumerate() {
                    let pairs = probe.expose().iter().zip(reference.embedding.expose());
                    let cosine = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
                    rows.push((subject, palm.position, number as u8, cosine));
                }
            }
        }
        rows.sort_by(|a, b| b.3.total_cmp(&a.3));
        rows
    }

    fn agree(index: &Index, plain: &Plain, probe: &ProtectedEmbedding, palms: usize, among: Standing) {
        let hits = index.nearest(&[probe], palms, among).remove(0);
        let expected = scan(plain, probe, among);
        let cosines: HashMap<_, _> = expected.iter().map(|&(s, p, n, cosine)| ((s, p, n), cosine)).collect();
        let mut seen = HashSet::new();
        for hit in &hits {
            let row = (hit.row.subject, hit.row.position, hit.row.number);
            assert!((hit.cosine - cosines[&row]).abs() < ROUNDING, "{} for {}", hit.cosine, cosines[&row]);
            assert!(seen.insert(row), "a row is found once");
            let of = plain[&row.0].0.iter().find(|palm| palm.position == row.1).expect("a palm");
            assert_eq!(*hit.code, *of.references[usize::from(row.2)].code.expose());
        }
        assert!(hits.windows(2).all(|pair| pair[0].cosine >= pair[1].cosine), "nearest first");
        // What is nearer than the last palm by more than rounding is there; all is, where no limit cuts it off.
        let mut bests = HashMap::new();
        hits.iter().for_each(|hit| _ = bests.entry((hit.row.subject, hit.row.position)).or_insert(hit.cosine));
        assert!(bests.len() <= palms);
        let last = bests.values().copied().fold(f32::MAX, f32::min);
        let of_all: HashSet<_> = expected.iter().map(|&(s, p, ..)| (s, p)).collect();
        let complete = expected.len() <= rows_for(palms) && of_all.len() <= palms;
        for (s, p, n, cosine) in expected.into_iter().take(if complete { usize::MAX } else { palms }) {
            assert!(seen.contains(&(s, p, n)) || (!complete && cosine < last + 2.0 * ROUNDING), "{cosine}, {last}");
        }
    }

    fn counted(index: &Index, plain: &Plain) {
        for standing in [Standing::Active, Standing::Waiting] {
            let palms = || plain.values().filter(|(_, s)| *s == standing).flat_map(|(palms, _)| palms);
            assert_eq!(index.palms(standing), palms().count());
            assert_eq!(index.references(standing), palms().map(|palm| palm.references.len()).sum::<usize>());
        }
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
            // Blocks so small that rows move often.
            let (mut palms, index, mut plain) = (Palms::new(seed), Index::with_block_rows(16), Plain::new());
            for (number, shape) in steps {
                let subject = subject(1 + number);
                let known = plain.get(&subject).map(|(_, standing)| *standing);
                prop_assert_eq!(index.standing(subject), known);
                match (known, shape % 3) {
                    (Some(_), 0) => {
                        plain.remove(&subject);
                        prop_assert!(index.remove(subject) && !index.remove(subject));
                    }
                    (Some(standing), _) => {
                        let other = if standing == Standing::Active { Standing::Waiting } else { Standing::Active };
                        plain.get_mut(&subject).expect("known").1 = other;
                        prop_assert!(index.stand(subject, other));
                    }
                    (None, _) => {
                        let person = person(&mut palms, shape);
                        let standing = if shape < 128 { Standing::Active } else { Standing::Waiting };
                        prop_assert!(!index.stand(subject, standing));
                        prop_assert!(index.add(subject, &person, standing));
                        prop_assert!(!index.add(subject, &person, standing), "a subject is added once");
                        plain.insert(subject, (person, standing));
                    }
                }
                counted(&index, &plain);
                let probe = palms.reference_of_new().embedding;
                for (nearest, among) in [(1, Standing::Active), (3, Standing::Waiting), (50, Standing::Active)] {
                    agree(&index, &plain, &probe, nearest, among);
                }
            }
        }
    }

    #[test]
    fn mates_are_found_among_many_as_by_faiss() {
        const PALMS: usize = 20_000;
        let (mut palms, index) = (Palms::new(5), Index::with_block_rows(4_096));
        let mut oracle = faiss::FlatIndex::new_ip(256).expect("memory");
        let mut mates = Vec::new();
        for number in 0..PALMS as u32 {
            let template = palms.template();
            let palm = palms.indexed(&template, 0);
            oracle.add(palm.references[0].embedding.expose()).expect("memory");
            assert!(index.add(subject(number), &[palm], Standing::Active));
            if number.is_multiple_of(100) {
                let mate = palms.mate(&template);
                mates.push((number, palms.reference(&mate).embedding));
            }
        }
        for batch in mates.chunks(8) {
            let probes: Vec<_> = batch.iter().map(|(_, probe)| probe).collect();
            for ((number, probe), hits) in batch.iter().zip(index.nearest(&probes, 50, Standing::Active)) {
                let found = oracle.search(probe.expose(), 50).expect("a search");
                assert_eq!(hits[0].row.subject, subject(*number));
                assert_eq!(found.labels[0].get(), Some(u64::from(*number)));
                assert!((hits[0].cosine - found.distances[0]).abs() < ROUNDING);
                // The others are strangers like any other; those that a sketch lost were nobody's mates.
                let nearest: Vec<_> =
                    found.labels.iter().filter_map(|id| id.get()).map(|id| subject(id as u32)).collect();
                let same = hits.iter().filter(|hit| nearest.contains(&hit.row.subject)).count();
                assert!(same >= 25, "{same} of 50");
            }
        }
    }

    /// A block's only person goes while a search has scored their rows and not yet asked whose they are; another takes the
    /// block.
    #[test]
    fn a_block_that_is_emptied_during_a_search_answers_for_nobody_else() {
        let (mut palms, index) = (Palms::new(11), Index::with_block_rows(16));
        // Two palms with five references each: one person a block.
        let mut add = |number: u32| assert!(index.add(subject(number), &person(&mut palms, 9), Standing::Active));
        (1..=2).for_each(&mut add);
        let (blocks, moves) = (index.blocks(), index.moves.load(Ordering::SeqCst));
        let scored: Vec<Near> = (0..10).map(|number| Near { number, cosine: 0.9 }).collect();
        assert!(index.rows(&blocks, &scored).iter().all(|(_, row)| row.subject == subject(1)));
        assert!(index.remove(subject(1)));
        assert!(index.rows(&blocks, &scored).is_empty(), "the block was emptied");
        add(3);
        assert!(index.rows(&blocks, &scored).iter().all(|(_, row)| row.subject == subject(3)));
        assert!(index.moves.load(Ordering::SeqCst) > moves, "the search would not begin again");
    }

    #[test]
    fn memory_follows_the_gallery() {
        let (mut palms, index) = (Palms::new(9), Index::with_block_rows(64));
        let palm = {
            let template = palms.template();
            palms.indexed(&template, 2)
        };
        for round in 0..20_u32 {
            for number in 0..200 {
                assert!(index.add(subject(1_000 * round + number), std::slice::from_ref(&palm), Standing::Active));
            }
            for number in 0..200 {
                if number % 7 != round % 7 || round % 2 == 0 {
                    assert!(index.remove(subject(1_000 * round + number)));
                }
            }
        }
        let needed = index.references(Standing::Active).div_ceil(64);
        assert!(index.blocks().len() <= 2 * (needed + 200 * 3 / 64) + 3, "{} blocks", index.blocks().len());
    }
}
