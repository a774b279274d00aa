//! A small audit log with real hashes and a real signature.

use volar_core::audit::{Action, Edge, Hash, Leaf, SigningKey, TreeHead, consistency_ranges, leaf_hash};
use volar_core::clock::Timestamp;
use volar_core::secret::Key;
use volar_proto::v1::GetAuditHeadResponse;

const LEAVES: u64 = 11;

pub(crate) fn leaves() -> Vec<String> {
    let leaf = |index| Leaf {
        tenant: "acme".parse().expect("a slug"),
        index,
        at: Timestamp::from_unix_milliseconds(1_790_000_000_000),
        actor: "kiosk/north/kiosk-1".to_owned(),
        action: Action::Enrollment,
        subject: Some([index as u8; 32]),
        outcome: "done".to_owned(),
        detail: "members".to_owned(),
    };
    (0..LEAVES).map(|index| leaf(index).to_text()).collect()
}

fn root(range: std::ops::Range<u64>) -> Hash {
    let mut edge = Edge::default();
    leaves()[range.start as usize..range.end as usize]
        .iter()
        .for_each(|leaf| drop(edge.push(leaf_hash(leaf.as_bytes()))));
    edge.root()
}

fn signer() -> SigningKey {
    SigningKey::new(&"acme".parse().expect("a slug"), &Key::new([7; 32]))
}

/// The head of the first `size` leaves.
pub(crate) fn head(size: u64) -> String {
    let (root, at) = (root(0..size), Timestamp::from_unix_milliseconds(1_790_000_000_000));
    signer().sign(TreeHead { tenant: "acme".parse().expect("a slug"), size, root, at }).text().to_owned()
}

pub(crate) fn answer(since: u64) -> GetAuditHeadResponse {
    let ranges = consistency_ranges(since, LEAVES).expect("not longer");
    GetAuditHeadResponse {
        head: head(LEAVES),
        public_key: signer().public().to_string(),
        consistency: ranges.into_iter().map(|range| root(range).to_vec()).collect(),
    }
}
