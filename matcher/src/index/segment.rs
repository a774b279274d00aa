//! Up to [`SEGMENT_ROWS`] vectors in a FAISS flat index.
//!
//! FAISS keeps vectors in memory of its own and zeroes nothing. So a segment takes all its memory at once, never
//! grows past it (growing would free a full copy), and writes zeros over every row that a removal leaves behind.

use faiss::selector::IdSelector;
use faiss::{ConcurrentIndex, FlatIndex, Idx, Index as _};
use volar_core::template::{EMBEDDING_DIMENSIONS, ProtectedEmbedding};
use zeroize::Zeroizing;

use super::IndexError;
use crate::parameters::SEGMENT_ROWS;

/// What is written over removed rows. Never touched otherwise, so it costs address space only.
static ZEROS: [f32; SEGMENT_ROWS * EMBEDDING_DIMENSIONS] = [0.0; SEGMENT_ROWS * EMBEDDING_DIMENSIONS];

pub(super) struct Segment(FlatIndex);

impl Segment {
    /// An empty segment, with memory for [`SEGMENT_ROWS`] rows.
    pub(super) fn new() -> Result<Self, IndexError> {
        let reserve = || {
            let mut vectors = FlatIndex::new_ip(EMBEDDING_DIMENSIONS as u32)?;
            vectors.add(&ZEROS)?;
            // Forgets the rows and keeps their memory (`std::vector::clear`).
            vectors.reset()?;
            Ok(Self(vectors))
        };
        reserve().map_err(failed("reserve a segment"))
    }

    /// Rows held.
    fn len(&self) -> usize {
        self.0.ntotal() as usize
    }

    /// Appends a row.
    pub(super) fn push(&mut self, embedding: &ProtectedEmbedding) -> Result<(), IndexError> {
        assert!(self.len() < SEGMENT_ROWS, "a full segment takes no rows, or its memory would move");
        self.0.add(embedding.expose()).map_err(failed("add a vector"))
    }

    /// A copy of a row.
    pub(super) fn vector(&self, row: usize) -> Result<ProtectedEmbedding, IndexError> {
        let mut values = Zeroizing::new([0.0; EMBEDDING_DIMENSIONS]);
        self.0.reconstruct(Idx::new(row as u64), &mut *values).map_err(failed("read a vector"))?;
        ProtectedEmbedding::from_untrusted(&*values).map_err(|_| IndexError::Damaged)
    }

    /// Removes rows; later ones move up, in order.
    pub(super) fn remove(&mut self, rows: &[usize]) -> Result<(), IndexError> {
        let (before, count) = (self.len(), rows.len());
        if count == 0 {
            return Ok(());
        }
        let removed: Vec<Idx> = rows.iter().map(|&row| Idx::new(row as u64)).collect();
        let mut remove = || {
            self.0.remove_ids(&IdSelector::batch(&removed)?)?;
            // The rows that moved up are still at their old place behind the last: overwrite them there.
            self.0.add(&ZEROS[..count * EMBEDDING_DIMENSIONS])?;
            let behind = IdSelector::range(Idx::new((before - count) as u64), Idx::new(before as u64))?;
            self.0.remove_ids(&behind)
        };
        remove().map(|_| ()).map_err(failed("remove vectors"))
    }

    /// The `count` rows of greatest inner product with `probe`, or all if there are fewer.
    ///
    /// One query a call: FAISS then uses neither BLAS nor a second thread (`exhaustive_inner_product_seq` takes as
    /// many threads as there are queries), and its float sums do not depend on how queries are batched.
    pub(super) fn nearest(
        &self,
        probe: &ProtectedEmbedding,
        count: usize,
    ) -> Result<impl Iterator<Item = (usize, f32)> + use<>, IndexError> {
        let count = count.min(self.len());
        let found = ConcurrentIndex::search(&self.0, probe.expose(), count).map_err(failed("search"))?;
        let rows = found.labels.into_iter().map(Idx::get);
        Ok(rows.zip(found.distances).filter_map(|(row, cosine)| row.map(|row| (row as usize, cosine))))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // Within the memory reserved, so nothing is allocated and nothing can fail.
        let overwritten = self.0.reset().and_then(|()| self.0.add(&ZEROS));
        debug_assert!(overwritten.is_ok(), "overwriting takes no memory");
    }
}

fn failed(action: &'static str) -> impl FnOnce(faiss::error::Error) -> IndexError {
    move |error| IndexError::Faiss { action, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(at: usize) -> ProtectedEmbedding {
        let mut values = [0.0; EMBEDDING_DIMENSIONS];
        values[at] = 1.0;
        ProtectedEmbedding::from_untrusted(&values).expect("a unit vector")
    }

    /// All the memory that the segment reserved, the rows that it no longer counts included.
    #[allow(unsafe_code)]
    fn memory(segment: &Segment) -> &[f32] {
        assert!(segment.len() > 0, "an empty segment tells no address");
        // SAFETY: `new` made FAISS's vector this large, and nothing shrinks its capacity.
        unsafe { std::slice::from_raw_parts(segment.0.xb().as_ptr(), SEGMENT_ROWS * EMBEDDING_DIMENSIONS) }
    }

    fn traces(segment: &Segment) -> Vec<usize> {
        let rows = memory(segment).chunks_exact(EMBEDDING_DIMENSIONS);
        rows.filter_map(|row| row.iter().position(|&value| value != 0.0)).collect()
    }

    #[test]
    fn a_removed_vector_leaves_no_trace() {
        let mut segment = Segment::new().expect("memory");
        for at in 0..5 {
            segment.push(&unit(at)).expect("memory");
        }
        let address = memory(&segment).as_ptr();
        segment.remove(&[1, 3]).expect("removed");
        assert_eq!(traces(&segment), [0, 2, 4]);
        segment.remove(&[0]).expect("removed");
        assert_eq!(traces(&segment), [2, 4]);
        segment.push(&unit(9)).expect("memory");
        assert_eq!(traces(&segment), [2, 4, 9]);
        assert_eq!(segment.vector(2).expect("a row").expose(), unit(9).expose());
        assert_eq!(memory(&segment).as_ptr(), address, "its memory never moves");
    }

    #[test]
    fn a_full_segment_stays_where_it_is() {
        let mut segment = Segment::new().expect("memory");
        segment.push(&unit(0)).expect("memory");
        let address = segment.0.xb().as_ptr();
        for at in 1..SEGMENT_ROWS {
            segment.push(&unit(at % EMBEDDING_DIMENSIONS)).expect("memory");
        }
        assert_eq!(segment.0.xb().as_ptr(), address);
    }
}
