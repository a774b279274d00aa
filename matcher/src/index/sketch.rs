//! Sketches: one bit of each coordinate of an embedding, and the scan that finds the rows a probe may be near.
//!
//! A sketch holds the signs of the protected coordinates, 32 bytes for 1,024. The gallery's secret transform mixes every
//! dimension into every other, so coordinates are alike and their signs say the most that one bit can: it is the random
//! rotation that RaBitQ (Gao & Long, SIGMOD 2024) puts before its signs. Only the reference is coarse. The probe stays
//! whole: its sum over four coordinates is looked up, for each of the sixteen ways that four signs can fall, as in the
//! fast scan of product quantisation (André et al., VLDB 2015). So nothing is trained and nothing is sealed: a new row is
//! searched at once, and an erased one is overwritten where it lies.

use bytemuck::{Pod, Zeroable};
use zeroize::{Zeroize, ZeroizeOnDrop};

use volar_core::template::EMBEDDING_DIMENSIONS;

/// Rows that are scanned together: one 32-bit sum for each fills a vector of 512 bits.
pub(super) const GROUP_ROWS: usize = 16;
/// Coordinates whose signs one look-up takes.
const QUAD: usize = 4;
const QUADS: usize = EMBEDDING_DIMENSIONS / QUAD;
/// Vectors of 64 bytes in a group. Each byte holds two quads of one row.
const VECTORS: usize = QUADS / 8;

/// The signs of an embedding's coordinates, four to a nibble: a set bit for each that is not negative.
pub(super) type Signs = [u8; QUADS];

pub(super) fn signs(embedding: &[f32; EMBEDDING_DIMENSIONS]) -> Signs {
    let nibble = |quad: &[f32]| quad.iter().rev().fold(0, |bits, &value| bits << 1 | u8::from(value >= 0.0));
    let mut signs = [0; QUADS];
    signs.iter_mut().zip(embedding.chunks_exact(QUAD)).for_each(|(to, quad)| *to = nibble(quad));
    signs
}

/// Sketches of sixteen rows. Of vector `v`, bytes `4 r` to `4 r + 3` belong to row `r`; byte `s` of those holds quad
/// `8 v + s` in its low half and quad `8 v + 4 + s` in its high half.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Group([[u8; 64]; VECTORS]);

impl Group {
    pub(super) fn set(&mut self, row: usize, signs: &Signs) {
        for (vector, eight) in self.0.iter_mut().zip(signs.chunks_exact(8)) {
            for s in 0..4 {
                vector[4 * row + s] = eight[s] | eight[4 + s] << 4;
            }
        }
    }

    pub(super) fn get(&self, row: usize) -> Signs {
        let mut signs = [0; QUADS];
        for (vector, eight) in self.0.iter().zip(signs.chunks_exact_mut(8)) {
            for s in 0..4 {
                eight[s] = vector[4 * row + s] & 0x0f;
                eight[4 + s] = vector[4 * row + s] >> 4;
            }
        }
        signs
    }
}

/// A probe's sums for every quad and every way that its signs can fall, as bytes: 64 for each half of each vector of a
/// [`Group`], sixteen for each of the four quads there.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(super) struct Table([[u8; 64]; 2 * VECTORS]);

impl Table {
    pub(super) fn new(probe: &[f32; EMBEDDING_DIMENSIONS]) -> Self {
        let reach = |quad: &[f32]| quad.iter().map(|value| value.abs()).sum::<f32>();
        let most = probe.chunks_exact(QUAD).map(reach).fold(f32::MIN_POSITIVE, f32::max);
        let mut table = Self([[0; 64]; 2 * VECTORS]);
        for (number, quad) in probe.chunks_exact(QUAD).enumerate() {
            let entries = &mut table.0[number / 4][number % 4 * 16..][..16];
            for (ways, entry) in entries.iter_mut().enumerate() {
                let signed = quad.iter().enumerate().map(|(i, &value)| if ways >> i & 1 == 1 { value } else { -value });
                // From 0 to 255 for the widest quad; all quads share one scale, so sums compare.
                *entry = ((signed.sum::<f32>() + reach(quad)) * (127.5 / most)).round() as u8;
            }
        }
        table
    }
}

/// The rows of greatest sums so far. What they are in the end does not depend on the order in which rows are seen.
pub(super) struct Kept {
    wanted: usize,
    /// Rows below it are not among the `wanted` best.
    threshold: u32,
    rows: Vec<(u32, u32)>,
    limit: usize,
}

impl Kept {
    /// Keeps the `wanted` best rows, and all that equal the last of them.
    pub(super) fn new(wanted: usize) -> Self {
        let limit = 4 * wanted;
        Self { wanted, threshold: 0, rows: Vec::with_capacity(limit + GROUP_ROWS), limit }
    }

    #[inline]
    fn take(&mut self, first: u32, sums: &[u32; GROUP_ROWS], mut which: u16) {
        while which != 0 {
            let row = which.trailing_zeros();
            self.rows.push((sums[row as usize], first + row));
            which &= which - 1;
        }
        if self.rows.len() >= self.limit {
            self.shed();
        }
    }

    #[cold]
    fn shed(&mut self) {
        if self.rows.len() > self.wanted {
            let (_, last, _) = self.rows.select_nth_unstable_by(self.wanted - 1, |a, b| b.0.cmp(&a.0));
            self.threshold = last.0;
            self.rows.retain(|row| row.0 >= self.threshold);
        }
        self.limit = (4 * self.wanted).max(2 * self.rows.len());
    }

    /// The rows' numbers, ascending.
    pub(super) fn finish(mut self) -> Vec<u32> {
        self.shed();
        let mut rows: Vec<u32> = self.rows.iter().map(|row| row.1).collect();
        rows.sort_unstable();
        rows
    }
}

/// Which instructions scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// AVX-512 with VBMI and VNNI: one instruction looks up sixteen rows' quads, another adds them up.
    Avx512,
    /// AVX2.
    Avx2,
    /// Any processor.
    Plain,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(super) fn best() -> Self {
        Self::available().next().expect("the plain one is always there")
    }

    /// All that this processor has, the fastest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let has = |kernel: &Self| match kernel {
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vnni")
            }
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Plain => true,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let has = |kernel: &Self| *kernel == Self::Plain;
        [Self::Avx512, Self::Avx2, Self::Plain].into_iter().filter(has)
    }

    /// Shows each probe's [`Kept`] every row of `groups` that its group's word in `searchable` has a bit for; the first is
    /// row `first`.
    #[allow(unsafe_code)]
    pub(super) fn scan(self, probes: &mut [(Table, Kept)], groups: &[Group], searchable: &[u16], first: u32) {
        assert_eq!(groups.len(), searchable.len(), "a word for each group");
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512 {
            let mut pairs = probes.chunks_exact_mut(2);
            for pair in &mut pairs {
                // SAFETY: `available` has asked the processor.
                unsafe { x86::scan_avx512::<2>(pair.try_into().expect("two"), groups, searchable, first) };
            }
            for one in pairs.into_remainder().chunks_exact_mut(1) {
                // SAFETY: as above.
                unsafe { x86::scan_avx512::<1>(one.try_into().expect("one"), groups, searchable, first) };
            }
            return;
        }
        for (table, kept) in probes {
            match self {
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => unsafe { x86::scan_avx2(table, groups, searchable, first, kept) },
                _ => scan_plain(table, groups, searchable, first, kept),
            }
        }
    }
}

fn scan_plain(table: &Table, groups: &[Group], searchable: &[u16], first: u32, kept: &mut Kept) {
    for (number, (group, &searchable)) in groups.iter().zip(searchable).enumerate() {
        let mut sums = [0_u32; GROUP_ROWS];
        for (vector, tables) in group.0.iter().zip(table.0.chunks_exact(2)) {
            for (at, &byte) in vector.iter().enumerate() {
                let quad = 16 * (at % 4);
                let (low, high) =
                    (tables[0][quad + usize::from(byte & 0x0f)], tables[1][quad + usize::from(byte >> 4)]);
                sums[at / 4] += u32::from(low) + u32::from(high);
            }
        }
        let reach = |which: u16, row: usize| which | u16::from(sums[row] >= kept.threshold) << row;
        let which = (0..GROUP_ROWS).fold(0, reach) & searchable;
        kept.take(first + (number * GROUP_ROWS) as u32, &sums, which);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use std::arch::x86_64::*;

    use super::{GROUP_ROWS, Group, Kept, Table, VECTORS};

    /// Groups between the one worked on and the one asked for: memory answers that much later.
    const AHEAD: usize = 16;

    /// For several probes at once, which share what it takes to read a row.
    ///
    /// # Safety
    /// The processor has these instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    pub(super) unsafe fn scan_avx512<const PROBES: usize>(
        probes: &mut [(Table, Kept); PROBES],
        groups: &[Group],
        searchable: &[u16],
        first: u32,
    ) {
        let low_half = _mm512_set1_epi8(0x0f);
        // Which of a vector's four quads a byte is, above its nibble: together the place in a table of 64.
        let quads = _mm512_set1_epi32(0x3020_1000);
        let ones = _mm512_set1_epi8(1);
        for (number, (group, &searchable)) in groups.iter().zip(searchable).enumerate() {
            let ahead: *const i8 = (&raw const *group).wrapping_add(AHEAD).cast();
            // Tables are read from the first cache each time: held in registers, they would be spilled to unaligned places.
            let probes = std::hint::black_box(&mut *probes);
            // Two sums side by side, so that neither waits for the one before it.
            let mut sums = [[_mm512_setzero_si512(); 2]; PROBES];
            for v in 0..VECTORS {
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(64 * v));
                // SAFETY: 64 bytes, aligned to 64.
                let bytes = unsafe { _mm512_load_si512(group.0[v].as_ptr().cast()) };
                // (bytes & low_half) | quads
                let low = _mm512_ternarylogic_epi32::<0xea>(bytes, low_half, quads);
                let high = _mm512_ternarylogic_epi32::<0xea>(_mm512_srli_epi16::<4>(bytes), low_half, quads);
                for p in 0..PROBES {
                    let tables = &probes[p].0.0[2 * v..2 * v + 2];
                    // SAFETY: 64 bytes each, aligned to 64.
                    let (low_table, high_table) = unsafe {
                        (_mm512_load_si512(tables[0].as_ptr().cast()), _mm512_load_si512(tables[1].as_ptr().cast()))
                    };
                    sums[p][0] = _mm512_dpbusd_epi32(sums[p][0], _mm512_permutexvar_epi8(low, low_table), ones);
                    sums[p][1] = _mm512_dpbusd_epi32(sums[p][1], _mm512_permutexvar_epi8(high, high_table), ones);
                }
            }
            for p in 0..PROBES {
                let (sums, kept) = (_mm512_add_epi32(sums[p][0], sums[p][1]), &mut probes[p].1);
                let reaching = _mm512_cmpge_epu32_mask(sums, _mm512_set1_epi32(kept.threshold as i32)) & searchable;
                if reaching != 0 {
                    let mut numbers = [0_u32; GROUP_ROWS];
                    // SAFETY: sixteen numbers of 32 bits.
                    unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), sums) };
                    kept.take(first + (number * GROUP_ROWS) as u32, &numbers, reaching);
                }
            }
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn scan_avx2(table: &Table, groups: &[Group], searchable: &[u16], first: u32, kept: &mut Kept) {
        let low_half = _mm256_set1_epi8(0x0f);
        let (ones, wide_ones) = (_mm256_set1_epi8(1), _mm256_set1_epi16(1));
        // A look-up yields zero where the index's highest bit is set: everywhere but in one quad's bytes.
        let others: [__m256i; 4] = [
            _mm256_set1_epi32(0x8080_8000_u32 as i32),
            _mm256_set1_epi32(0x8080_0080_u32 as i32),
            _mm256_set1_epi32(0x8000_8080_u32 as i32),
            _mm256_set1_epi32(0x0080_8080_u32 as i32),
        ];
        for (number, (group, &searchable)) in groups.iter().zip(searchable).enumerate() {
            let mut numbers = [0_u32; GROUP_ROWS];
            let mut sums = [_mm256_setzero_si256(); 2];
            for (vector, tables) in group.0.iter().zip(table.0.chunks_exact(2)) {
                for (half, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the half's 32 of 64 bytes.
                    let bytes = unsafe { _mm256_loadu_si256(vector.as_ptr().add(32 * half).cast()) };
                    let nibbles =
                        [_mm256_and_si256(bytes, low_half), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low_half)];
                    for (nibbles, table) in nibbles.into_iter().zip(tables) {
                        let mut found = _mm256_setzero_si256();
                        for (quad, &others) in others.iter().enumerate() {
                            // SAFETY: the quad's 16 of 64 bytes.
                            let entries = unsafe { _mm_loadu_si128(table.as_ptr().add(16 * quad).cast()) };
                            let entries = _mm256_broadcastsi128_si256(entries);
                            let places = _mm256_or_si256(nibbles, others);
                            found = _mm256_or_si256(found, _mm256_shuffle_epi8(entries, places));
                        }
                        // Sums of two quads, then of sixteen vectors: at most 16 x 2 x 255.
                        *sums = _mm256_add_epi16(*sums, _mm256_maddubs_epi16(found, ones));
                    }
                }
            }
            for (half, sums) in sums.into_iter().enumerate() {
                let sums = _mm256_madd_epi16(sums, wide_ones);
                // SAFETY: the half's eight of sixteen numbers.
                unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().add(8 * half).cast(), sums) };
            }
            let reach = |which: u16, row: usize| which | u16::from(numbers[row] >= kept.threshold) << row;
            let which = (0..GROUP_ROWS).fold(0, reach) & searchable;
            if which != 0 {
                kept.take(first + (number * GROUP_ROWS) as u32, &numbers, which);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Palms;

    fn embeddings(count: usize, seed: u64) -> Vec<[f32; EMBEDDING_DIMENSIONS]> {
        let mut palms = Palms::new(seed);
        (0..count).map(|_| *palms.reference_of_new().embedding.expose()).collect()
    }

    fn groups(embeddings: &[[f32; EMBEDDING_DIMENSIONS]]) -> Vec<Group> {
        let mut groups = vec![Group::zeroed(); embeddings.len().div_ceil(GROUP_ROWS)];
        for (row, embedding) in embeddings.iter().enumerate() {
            groups[row / GROUP_ROWS].set(row % GROUP_ROWS, &signs(embedding));
        }
        groups
    }

    #[test]
    fn a_row_comes_back_as_it_went_in_and_touches_no_other() {
        let rows = embeddings(GROUP_ROWS, 1);
        let mut group = groups(&rows).remove(0);
        for (row, embedding) in rows.iter().enumerate() {
            assert_eq!(group.get(row), signs(embedding));
        }
        group.set(5, &[0; QUADS]);
        assert_eq!(group.get(5), [0; QUADS]);
        assert_eq!(group.get(4), signs(&rows[4]));
        assert_eq!(group.get(6), signs(&rows[6]));
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        let (rows, probe) = (embeddings(200, 2), embeddings(1, 3)[0]);
        let table = Table::new(&probe);
        // Every row, with its sum.
        let mut probes = [(table, Kept::new(1_000))];
        Kernel::Plain.scan(&mut probes, &groups(&rows), &[u16::MAX; 13], 0);
        let [(_, kept)] = probes;
        let pairs: Vec<(f64, f64)> = kept
            .rows
            .iter()
            .filter(|row| (row.1 as usize) < rows.len())
            .map(|&(sum, row)| {
                let signed =
                    rows[row as usize].iter().zip(&probe).map(|(&x, &q)| f64::from(if x >= 0.0 { q } else { -q }));
                (f64::from(sum), signed.sum())
            })
            .collect();
        assert_eq!(pairs.len(), 200);
        // One linear scale for all: the sum of quads' reaches is 0, and the widest quad has 127.5 steps to a side.
        let reach = |quad: &[f32]| quad.iter().map(|value| f64::from(value.abs())).sum::<f64>();
        let scale = 127.5 / probe.chunks_exact(QUAD).map(reach).fold(0.0, f64::max);
        let zero: f64 = reach(&probe) * scale;
        for (sum, expected) in pairs {
            assert!((sum - zero - expected * scale).abs() <= 0.5 * QUADS as f64, "{sum}, {expected}");
        }
    }

    #[test]
    fn every_kernel_finds_the_same_rows() {
        let rows = embeddings(1_000, 4);
        let groups = groups(&rows);
        let searchable: Vec<u16> = (0..groups.len()).map(|i| (i as u16).wrapping_mul(40_503) | 1).collect();
        for wanted in [1, 7, 50, 2_000] {
            let mut found = Kernel::available().map(|kernel| {
                // An odd number, so that some are scanned together and one alone.
                let probes = embeddings(7, 5).into_iter().map(|probe| (Table::new(&probe), Kept::new(wanted)));
                let mut probes: Vec<_> = probes.collect();
                kernel.scan(&mut probes, &groups, &searchable, 64);
                probes.into_iter().map(|(_, kept)| kept.finish()).collect::<Vec<_>>()
            });
            let first = found.next().expect("a kernel");
            for rows in &first {
                assert!(rows.len() >= wanted.min(400) && rows.is_sorted());
                assert!(rows.iter().all(|row| searchable[(row - 64) as usize / 16] >> (row % 16) & 1 == 1));
            }
            found.for_each(|other| assert_eq!(other, first));
        }
    }

    #[test]
    fn what_is_kept_does_not_depend_on_the_order() {
        let rows = embeddings(640, 6);
        let find = |order: &[usize]| {
            let turned: Vec<_> = order.iter().map(|&at| rows[at]).collect();
            let mut probes = [(Table::new(&embeddings(1, 7)[0]), Kept::new(10))];
            Kernel::best().scan(&mut probes, &groups(&turned), &[u16::MAX; 40], 0);
            let [(_, kept)] = probes;
            let mut found: Vec<usize> = kept.finish().into_iter().map(|row| order[row as usize]).collect();
            found.sort_unstable();
            found
        };
        let forwards: Vec<usize> = (0..640).collect();
        let backwards: Vec<usize> = (0..640).rev().collect();
        assert_eq!(find(&forwards), find(&backwards));
    }
}
