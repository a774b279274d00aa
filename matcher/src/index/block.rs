//! A block of rows: what is searched, what is compared, and whose it is, each in a column of its own. Columns have all
//! their memory from the start, so no row is ever copied by growing, and are zeroed on drop.

use volar_core::id::SubjectId;
use volar_core::nearness::CodeWords;
use volar_core::template::{CODE_BYTES, Position, Reference};
use zeroize::Zeroize;

use super::columns::Columns;
use super::levels::{Levels, ProbeLevels};
use super::sketch::{GROUP_ROWS, Kept, Kernel, Signs, Table, signs};
use super::{Row, Standing};

/// Everything about a row.
#[derive(Clone)]
pub(super) struct Entry {
    row: Row,
    signs: Signs,
    levels: Levels,
    code: CodeWords,
}

impl Entry {
    pub(super) fn new(subject: SubjectId, position: Position, number: usize, reference: &Reference) -> Self {
        let Reference { embedding, code, quality } = reference;
        Self {
            row: Row { subject, position, number: number as u8, quality: *quality },
            signs: signs(embedding.expose()),
            levels: Levels::new(embedding.expose()),
            code: *code.expose(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.signs.zeroize();
        self.levels.zeroize();
        self.code.zeroize();
    }
}

/// Rows in the order in which they came; erased ones leave zeros behind.
pub(super) struct Block {
    capacity: usize,
    columns: Columns,
    rows: Vec<Row>,
    /// A bit for each row that is somebody's.
    held: Vec<u16>,
    /// A bit for each row that may be admitted.
    active: Vec<u16>,
    live: usize,
}

impl Block {
    /// An empty block with memory for `capacity` rows, a multiple of [`GROUP_ROWS`].
    pub(super) fn new(capacity: usize) -> Self {
        let groups = capacity / GROUP_ROWS;
        Self {
            capacity,
            columns: Columns::new(capacity),
            rows: Vec::with_capacity(capacity),
            held: Vec::with_capacity(groups),
            active: Vec::with_capacity(groups),
            live: 0,
        }
    }

    /// Rows that may still be pushed.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.rows.len()
    }

    /// Rows that are somebody's.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Rows pushed so far, erased ones included.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Appends a row and says where it is.
    pub(super) fn push(&mut self, entry: &Entry, standing: Standing) -> usize {
        assert!(self.room() > 0, "a full block takes no rows, or its memory would move");
        let at = self.rows.len();
        if at.is_multiple_of(GROUP_ROWS) {
            self.held.push(0);
            self.active.push(0);
        }
        self.columns.sketch_mut(at / GROUP_ROWS).set(at % GROUP_ROWS, &entry.signs);
        *self.columns.levels_mut(at) = entry.levels;
        *self.columns.code_mut(at) = entry.code;
        self.rows.push(entry.row);
        set(&mut self.held, at, true);
        set(&mut self.active, at, standing == Standing::Active);
        self.live += 1;
        at
    }

    /// A copy of a row that is somebody's.
    pub(super) fn entry(&self, at: usize) -> Entry {
        Entry {
            row: self.rows[at],
            signs: self.columns.sketches()[at / GROUP_ROWS].get(at % GROUP_ROWS),
            levels: self.columns.levels()[at],
            code: self.columns.codes()[at],
        }
    }

    pub(super) fn stand(&mut self, at: usize, standing: Standing) {
        set(&mut self.active, at, standing == Standing::Active);
    }

    /// Overwrites a row with zeros. From now on no search finds it.
    pub(super) fn erase(&mut self, at: usize) {
        set(&mut self.held, at, false);
        set(&mut self.active, at, false);
        self.columns.sketch_mut(at / GROUP_ROWS).set(at % GROUP_ROWS, &[0; size_of::<Signs>()]);
        self.columns.levels_mut(at).zeroize();
        self.columns.code_mut(at).zeroize();
        self.rows[at] = Row::NOBODY;
        self.live -= 1;
    }

    /// Forgets erased rows, so that the block can be filled anew.
    pub(super) fn clear(&mut self) {
        assert_eq!(self.live, 0, "somebody's rows are erased first");
        self.rows.clear();
        self.held.clear();
        self.active.clear();
    }

    /// Shows each probe the sketches of the rows that are searched; the block's first row has the number `first`.
    pub(super) fn scan(&self, kernel: Kernel, probes: &mut [(Table, Kept)], among: Standing, first: u32) {
        kernel.scan(probes, &self.columns.sketches()[..self.held.len()], self.searchable(among), first);
    }

    /// Whether the row at a place is searched.
    pub(super) fn has(&self, at: usize, among: Standing) -> bool {
        self.searchable(among).get(at / GROUP_ROWS).is_some_and(|bits| bits >> (at % GROUP_ROWS) & 1 == 1)
    }

    /// Whose the row at a place is; nobody's where the block has been cleared since it was scanned.
    pub(super) fn row(&self, at: usize) -> Option<Row> {
        self.rows.get(at).copied()
    }

    /// The code of the row at a place.
    pub(super) fn code(&self, at: usize) -> &CodeWords {
        &self.columns.codes()[at]
    }

    /// Cosines of the rows at these places.
    pub(super) fn cosines(&self, probe: &ProbeLevels, at: &[usize], to: &mut Vec<f32>) {
        probe.cosines(self.columns.levels(), at, to);
    }

    /// The subject of every row that is somebody's.
    pub(super) fn subjects(&self) -> impl Iterator<Item = SubjectId> {
        (0..self.rows.len()).filter(|&at| self.has(at, Standing::Waiting)).map(|at| self.rows[at].subject)
    }

    fn searchable(&self, among: Standing) -> &[u16] {
        match among {
            Standing::Active => &self.active,
            Standing::Waiting => &self.held,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.columns.wipe(self.rows.len());
    }
}

fn set(bits: &mut [u16], at: usize, to: bool) {
    let (word, bit) = (&mut bits[at / GROUP_ROWS], 1 << (at % GROUP_ROWS));
    *word = if to { *word | bit } else { *word & !bit };
}

const _: () = assert!(size_of::<CodeWords>() == CODE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Palms, subject};

    fn block(count: usize) -> Block {
        let (mut palms, mut block) = (Palms::new(1), Block::new(32));
        for n in 0..count {
            let entry = Entry::new(subject(1 + n as u32), Position::Left, 0, &palms.reference_of_new());
            assert_eq!(block.push(&entry, Standing::Active), n);
        }
        block
    }

    /// Rows that hold anything but zeros.
    fn traces(block: &Block) -> Vec<usize> {
        let zero = ProbeLevels::new(&[1.0; 256]);
        let said = |at: usize| {
            let mut cosines = Vec::new();
            block.cosines(&zero, &[at], &mut cosines);
            let codes = block.code(at).iter().any(|&word| word != 0);
            cosines[0] != 0.0
                || codes
                || block.columns.sketches()[at / GROUP_ROWS].get(at % GROUP_ROWS).iter().any(|&s| s != 0)
        };
        (0..block.len()).filter(|&at| said(at)).collect()
    }

    #[test]
    fn an_erased_row_leaves_no_trace() {
        let mut block = block(20);
        for at in [3, 17] {
            block.erase(at);
        }
        assert_eq!(traces(&block), (0..20).filter(|at| ![3, 17].contains(at)).collect::<Vec<_>>());
        assert_eq!((block.len(), block.live(), block.room()), (20, 18, 12));
        assert!(!block.has(3, Standing::Waiting) && block.has(4, Standing::Active));
        assert_eq!(block.row(3), Some(Row::NOBODY));
        (0..20).filter(|at| ![3, 17].contains(at)).for_each(|at| block.erase(at));
        block.clear();
        assert_eq!((block.len(), block.room(), block.row(3)), (0, 32, None));
    }

    #[test]
    fn memory_never_moves() {
        let full = block(32);
        let one = block(1);
        let places = |block: &Block| {
            let columns = &block.columns;
            (columns.sketches().len(), columns.levels().len(), columns.codes().len())
        };
        assert_eq!((places(&full), places(&one)), ((2, 32, 32), (2, 32, 32)));
    }
}
