//! What a stranger is handed to check: audit logs and proofs.

use volar_core::audit::{
    Hash, LEAVES_MAX, Leaf, PublicKey, SignedHead, SigningKey, TreeHead, consistency_ranges, inclusion_ranges,
    verify_consistency, verify_inclusion,
};
use volar_core::clock::Timestamp;
use volar_core::secret::Key;

use crate::split;

pub(crate) fn audit(bytes: &[u8]) {
    let (which, bytes) = split(bytes);
    let text = String::from_utf8_lossy(bytes);
    match which % 5 {
        0 => drop(volarctl::audit_file::check(bytes, None, &[])),
        1 => {
            if let Ok(leaf) = Leaf::parse(&text) {
                assert_eq!(leaf.to_text(), text, "a leaf has one text");
            }
        }
        2 => {
            if let Ok(key) = text.parse::<PublicKey>() {
                assert_eq!(key.to_string(), text, "a key has one text");
                assert!(SignedHead::open(&text, &key).is_err());
            }
        }
        3 => {
            let signer = signer();
            if let Ok(signed) = SignedHead::open(&text, signer.public()) {
                let again = signer.sign(signed.head().clone());
                assert_eq!(again.head(), signed.head(), "nobody else signs");
            }
        }
        _ => proofs(bytes),
    }
}

pub(crate) fn signer() -> SigningKey {
    SigningKey::new(&"acme".parse().expect("a slug"), &Key::new([1; 32]))
}

/// Two sizes, a root, another, and hashes.
fn proofs(bytes: &[u8]) {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let [sizes, old_root, new_root, proof @ ..] = hashes else { return };
    let number = |at: usize| u64::from_be_bytes(sizes[at..at + 8].try_into().expect("eight bytes"));
    let (index, size) = (number(0), number(8));
    let proof: &[Hash] = proof;
    drop((inclusion_ranges(size, index), consistency_ranges(index, size)));
    let included = verify_inclusion(rest, index, size, new_root, proof);
    assert!(!included || (index < size && size <= LEAVES_MAX));
    let continued = verify_consistency((index, old_root), (size, new_root), proof);
    assert!(!continued || index <= size);
    if size <= LEAVES_MAX {
        let head = TreeHead {
            tenant: "acme".parse().expect("a slug"),
            size,
            root: *new_root,
            at: Timestamp::from_unix_milliseconds(number(16)),
        };
        let signed = signer().sign(head);
        assert_eq!(SignedHead::open(signed.text(), signer().public()), Ok(signed));
    }
}
