//! The tree of RFC 6962, section 2.1: its hashes, which of them a proof takes, and proofs checked.
//!
//! Which nodes a proof takes and how one is checked is `ct-merkle`'s; this file translates between its numbering of
//! nodes and the ranges of leaves below them.

use std::ops::Range;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Most leaves of a tree: far more than are ever written, few enough that no number in a proof overflows.
pub const LEAVES_MAX: u64 = 1 << 48;

/// The hash of a leaf: SHA-256 of a zero byte and the leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into()
}

/// The hash of a node: SHA-256 of a one byte and the hashes of both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The right edge of a tree: what is needed to append to it, and no more. 32 bytes for each bit set in its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Leaves below it.
    pub size: u64,
    /// Hashes of the full subtrees that it consists of, the largest first.
    pub peaks: Vec<Hash>,
}

impl Edge {
    /// Appends a leaf. Returns the hash of every subtree that is full now, by level, the leaf's own first.
    pub fn push(&mut self, leaf: Hash) -> Vec<Hash> {
        let mut completed = vec![leaf];
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            hash = node_hash(&left, &hash);
            completed.push(hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        completed
    }

    /// The root: of an empty tree, the hash of nothing.
    pub fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The subtrees whose hashes prove that leaf `index` is in a tree of `size` leaves, as ranges of leaves, in a proof's
/// order. None if it is not.
pub fn inclusion_ranges(size: u64, index: u64) -> Option<Vec<Range<u64>>> {
    let exists = index < size && size <= LEAVES_MAX;
    exists.then(|| {
        ct_merkle::indices_for_inclusion_proof(size, index).into_iter().map(|node| below(node, size)).collect()
    })
}

/// The subtrees of the newer tree whose hashes prove that a tree of `old` leaves is its beginning, as ranges of leaves,
/// in a proof's order. None if it cannot be.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new || new > LEAVES_MAX {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    let nodes = ct_merkle::indices_for_consistency_proof(old, new - old);
    Some(nodes.into_iter().map(|node| below(node, new)).collect())
}

/// Whether `proof` proves that `leaf` is leaf number `index` of the tree with this root.
pub fn verify_inclusion(leaf: &[u8], index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size || size > LEAVES_MAX {
        return false;
    }
    let Ok(proof) = InclusionProof::<Sha256>::try_from_bytes(proof.concat()) else { return false };
    RootHash::<Sha256>::new((*root).into(), size).verify_inclusion(&leaf, index, &proof).is_ok()
}

/// Whether `proof` proves that the older tree is the beginning of the newer one.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size || new_size > LEAVES_MAX {
        return false;
    }
    if old_size == new_size {
        return old_root == new_root && proof.is_empty();
    }
    if old_size == 0 {
        return *old_root == Edge::default().root() && proof.is_empty();
    }
    let Ok(proof) = ConsistencyProof::<Sha256>::try_from_bytes(proof.concat()) else { return false };
    let old = RootHash::new((*old_root).into(), old_size);
    RootHash::<Sha256>::new((*new_root).into(), new_size).verify_consistency(&old, &proof).is_ok()
}

/// The leaves below node `number` of a tree of `size`. Nodes are numbered in order from left to right, as in RFC 9420,
/// appendix C: leaves have even numbers, and a node's level is how many ones its number ends in.
fn below(number: u64, size: u64) -> Range<u64> {
    let level = number.trailing_ones();
    let first = (number >> (level + 1)) << level;
    first..size.min(first + (1 << level))
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;

    use super::*;

    /// Hashes of RFC 6962 trees, as other implementations publish them (certificate-transparency's reference tests).
    #[test]
    fn roots_are_those_of_the_reference_tests() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        assert_eq!(super::super::leaf::hexadecimal(&edge.root()), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            edge.push(leaf_hash(leaf));
            assert_eq!(super::super::leaf::hexadecimal(&edge.root()), *root);
        }
    }

    fn leaf(number: u64) -> Vec<u8> {
        format!("leaf {number}").into_bytes()
    }

    fn range_hash(range: Range<u64>) -> Hash {
        let mut edge = Edge::default();
        range.for_each(|number| drop(edge.push(leaf_hash(&leaf(number)))));
        edge.root()
    }

    #[test]
    fn ranges_give_the_proofs_that_a_whole_tree_gives_and_they_verify() {
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for size in 1..=40_u64 {
            tree.push(leaf(size - 1));
            let root: Hash = (*tree.root().as_bytes()).into();
            assert_eq!(range_hash(0..size), root);
            for index in 0..size {
                let ranges = inclusion_ranges(size, index).expect("in the tree");
                let proof: Vec<Hash> = ranges.into_iter().map(range_hash).collect();
                assert_eq!(proof.concat(), tree.prove_inclusion(index as usize).as_bytes());
                assert!(verify_inclusion(&leaf(index), index, size, &root, &proof));
                assert!(!verify_inclusion(&leaf(index + 1), index, size, &root, &proof));
                if let Some((_, short)) = proof.split_last() {
                    assert!(!verify_inclusion(&leaf(index), index, size, &root, short));
                }
            }
            for old in 0..=size {
                let ranges = consistency_ranges(old, size).expect("not longer");
                let proof: Vec<Hash> = ranges.into_iter().map(range_hash).collect();
                let older = range_hash(0..old);
                assert!(verify_consistency((old, &older), (size, &root), &proof), "{old} of {size}");
                let mut other = older;
                other[0] ^= 1;
                assert!(!verify_consistency((old, &other), (size, &root), &proof), "{old} of {size}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(inclusion_ranges(5, 5), None);
        assert_eq!(inclusion_ranges(u64::MAX, 5), None);
        assert_eq!(consistency_ranges(6, 5), None);
        assert_eq!(consistency_ranges(1, u64::MAX), None);
        assert!(!verify_inclusion(b"", 0, u64::MAX, &[0; 32], &[]));
        assert!(!verify_consistency((2, &[0; 32]), (1, &[0; 32]), &[]));
    }
}
