//! Memory for what is large about a block's rows: sketches, levels and codes, each a column, in one mapping.
//!
//! Huge pages where the system gives them (`madvise`): a search reads every sketch and hundreds of rows all over the rest, and
//! finding 4 KiB pages takes a tenth of its time. A page is resident once something in it was written, so a mapping
//! costs addresses alone until then.

use std::ops::Range;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use memmap2::{Advice, MmapMut, MmapOptions};
use volar_core::nearness::CodeWords;
use zeroize::Zeroize;

use super::levels::Levels;
use super::sketch::{GROUP_ROWS, Group};

/// On x86-64 and, with pages of 4 KiB, on ARM.
const HUGE_PAGE: usize = 2 << 20;

/// Columns for so many rows, zeros at first. They never move.
pub(super) struct Columns {
    memory: MmapMut,
    sketches: Range<usize>,
    levels: Range<usize>,
    codes: Range<usize>,
}

impl Columns {
    /// For `rows` rows, a multiple of [`GROUP_ROWS`].
    ///
    /// # Panics
    /// If there is no memory for them.
    pub(super) fn new(rows: usize) -> Self {
        let bytes = rows / GROUP_ROWS * size_of::<Group>() + rows * (size_of::<Levels>() + size_of::<CodeWords>());
        let memory = MmapOptions::new().len(bytes + HUGE_PAGE).map_anon();
        let memory = memory.unwrap_or_else(|error| panic!("no memory for {rows} more rows: {error}"));
        // A system without huge pages is a slower one.
        let _ = memory.advise(Advice::HugePage);
        let start = memory.as_ptr().align_offset(HUGE_PAGE);
        let sketches = start..start + rows / GROUP_ROWS * size_of::<Group>();
        let levels = sketches.end..sketches.end + rows * size_of::<Levels>();
        let codes = levels.end..levels.end + rows * size_of::<CodeWords>();
        Self { memory, sketches, levels, codes }
    }

    /// Sketches of sixteen rows each.
    pub(super) fn sketches(&self) -> &[Group] {
        self.column(&self.sketches)
    }

    pub(super) fn sketch_mut(&mut self, group: usize) -> &mut Group {
        self.entry_mut(self.sketches.start, group)
    }

    pub(super) fn levels(&self) -> &[Levels] {
        self.column(&self.levels)
    }

    pub(super) fn levels_mut(&mut self, row: usize) -> &mut Levels {
        self.entry_mut(self.levels.start, row)
    }

    pub(super) fn codes(&self) -> &[CodeWords] {
        self.column(&self.codes)
    }

    pub(super) fn code_mut(&mut self, row: usize) -> &mut CodeWords {
        self.entry_mut(self.codes.start, row)
    }

    /// Overwrites the first `rows` rows with zeros.
    pub(super) fn wipe(&mut self, rows: usize) {
        let lengths = [
            (self.sketches.start, rows.div_ceil(GROUP_ROWS) * size_of::<Group>()),
            (self.levels.start, rows * size_of::<Levels>()),
            (self.codes.start, rows * size_of::<CodeWords>()),
        ];
        for (start, length) in lengths {
            self.memory[start..start + length].zeroize();
        }
    }

    fn column<T: Pod>(&self, range: &Range<usize>) -> &[T] {
        cast_slice(&self.memory[range.clone()])
    }

    fn entry_mut<T: Pod>(&mut self, start: usize, at: usize) -> &mut T {
        let first = start + at * size_of::<T>();
        &mut cast_slice_mut(&mut self.memory[first..first + size_of::<T>()])[0]
    }
}

// Each column begins where its entries are aligned, whatever the number of groups before it.
const _: () = assert!((GROUP_ROWS * size_of::<Levels>()).is_multiple_of(align_of::<CodeWords>()));
