//! A log as a file: one JSON document a line. The first names the key, then every leaf in order, then the signed head.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use volar_core::audit::{Edge, Hash, HeadError, Leaf, LeafError, PublicKey, SignedHead, leaf_hash};

const FORMAT: &str = "volar audit export v1";

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    First { format: String, public_key: String },
    Leaf { leaf: String },
    Last { head: String },
}

/// What a sound file holds.
#[derive(Debug)]
pub struct Checked {
    /// Its leaves.
    pub leaves: u64,
    /// Its root.
    pub root: Hash,
    /// The key that its head is signed by.
    pub key: PublicKey,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Unreadable text.
    #[error("line {line} of the export is none: it was cut or altered")]
    Line {
        /// Counted from 1.
        line: u64,
    },
    /// Not a leaf's text.
    #[error("leaf {index}: {error}")]
    Leaf {
        /// Which.
        index: u64,
        /// Why.
        error: LeafError,
    },
    /// A leaf that belongs elsewhere.
    #[error("leaf {index} says that it is leaf {found} of {tenant}: leaves were removed, added or moved")]
    Misplaced {
        /// Its place.
        index: u64,
        /// What it says.
        found: u64,
        /// Whose it says it is.
        tenant: String,
    },
    /// A head or key that proves nothing.
    #[error(transparent)]
    Head(HeadError),
    /// Fewer leaves than the head says.
    #[error("the log has {found} leaves, its head says {size}")]
    Short {
        /// Leaves found.
        found: u64,
        /// Leaves signed.
        size: u64,
    },
    /// Leaves do not give the signed root.
    #[error("the leaves do not give the root that is signed for {size} leaves: at least one of them was altered")]
    Root {
        /// Leaves of the tree.
        size: u64,
    },
    /// A pinned head's tree is not this log's beginning.
    #[error("the log is no continuation of the head pinned at {size} leaves: it was cut or rewritten")]
    Rewritten {
        /// Leaves of the pinned head.
        size: u64,
    },
}

fn line(line: &Line) -> String {
    serde_json::to_string(line).expect("text always encodes")
}

pub(crate) fn first_line(key: &PublicKey) -> String {
    line(&Line::First { format: FORMAT.to_owned(), public_key: key.to_string() })
}

pub(crate) fn leaf_line(leaf: &str) -> String {
    line(&Line::Leaf { leaf: leaf.to_owned() })
}

pub(crate) fn last_line(head: &str) -> String {
    line(&Line::Last { head: head.to_owned() })
}

/// Checks a file: every leaf, the signature, and that each pinned head is the log's beginning. `key` is known from
/// elsewhere; without it the file's own is taken.
pub fn check(file: impl BufRead, key: Option<&PublicKey>, pinned: &[String]) -> Result<Checked, Broken> {
    let mut lines = file.lines().zip(1..).map(|(text, number)| {
        let parsed = text.ok().and_then(|text| serde_json::from_str::<Line>(&text).ok());
        parsed.ok_or(Broken::Line { line: number })
    });
    let named = match lines.next() {
        Some(Ok(Line::First { format, public_key })) if format == FORMAT => public_key.parse().map_err(Broken::Head)?,
        _ => return Err(Broken::Line { line: 1 }),
    };
    let key = key.cloned().unwrap_or(named);
    let mut expected = BTreeMap::new();
    for text in pinned {
        let head = SignedHead::open(text, &key).map_err(Broken::Head)?.head().clone();
        if expected.insert(head.size, head.root).is_some_and(|root| root != head.root) {
            return Err(Broken::Rewritten { size: head.size });
        }
    }
    let mut edge = Edge::default();
    let mut pinned_at = |edge: &Edge| match expected.remove(&edge.size) {
        Some(root) if root != edge.root() => Err(Broken::Rewritten { size: edge.size }),
        _ => Ok(()),
    };
    pinned_at(&edge)?;
    let mut tenants = Vec::new();
    let head = loop {
        match lines.next() {
            Some(Ok(Line::Leaf { leaf: text })) => {
                let index = edge.size;
                let leaf = Leaf::parse(&text).map_err(|error| Broken::Leaf { index, error })?;
                if leaf.index != index || tenants.first().is_some_and(|tenant| *tenant != leaf.tenant) {
                    return Err(Broken::Misplaced { index, found: leaf.index, tenant: leaf.tenant.to_string() });
                }
                if tenants.is_empty() {
                    tenants.push(leaf.tenant);
                }
                edge.push(leaf_hash(text.as_bytes()));
                pinned_at(&edge)?;
            }
            Some(Ok(Line::Last { head })) => break SignedHead::open(&head, &key).map_err(Broken::Head)?,
            Some(Ok(Line::First { .. })) | None => return Err(Broken::Line { line: edge.size + 2 }),
            Some(Err(broken)) => return Err(broken),
        }
    };
    if lines.next().is_some() {
        return Err(Broken::Line { line: edge.size + 3 });
    }
    let said = head.head();
    if said.size != edge.size {
        return Err(Broken::Short { found: edge.size, size: said.size });
    }
    if said.root != edge.root() {
        return Err(Broken::Root { size: said.size });
    }
    if let Some((&size, _)) = expected.first_key_value() {
        return Err(Broken::Rewritten { size });
    }
    Ok(Checked { leaves: edge.size, root: edge.root(), key })
}

#[cfg(test)]
mod tests {
    use volar_core::audit::{Action, SigningKey, TreeHead};
    use volar_core::clock::Timestamp;
    use volar_core::secret::Key;

    use super::*;

    fn leaf(index: u64, detail: &str) -> String {
        let leaf = Leaf {
            tenant: "acme".parse().expect("a slug"),
            index,
            at: Timestamp::from_unix_milliseconds(1_790_000_000_000 + index),
            actor: "vault".to_owned(),
            action: Action::Key,
            subject: None,
            outcome: "done".to_owned(),
            detail: detail.to_owned(),
        };
        leaf.to_text()
    }

    fn signer(seed: u8) -> SigningKey {
        SigningKey::new(&"acme".parse().expect("a slug"), &Key::new([seed; 32]))
    }

    fn head(leaves: &[String]) -> String {
        let mut edge = Edge::default();
        leaves.iter().for_each(|leaf| drop(edge.push(leaf_hash(leaf.as_bytes()))));
        let (size, root, at) = (edge.size, edge.root(), Timestamp::from_unix_milliseconds(1_790_000_000_000));
        signer(1).sign(TreeHead { tenant: "acme".parse().expect("a slug"), size, root, at }).text().to_owned()
    }

    fn leaves() -> Vec<String> {
        (0..11).map(|index| leaf(index, "made")).collect()
    }

    fn file(leaves: &[String], head: &str) -> String {
        let lines = leaves.iter().map(|leaf| leaf_line(leaf)).chain([last_line(head)]);
        let mut text = first_line(signer(1).public());
        lines.for_each(|line| text.extend(["\n", &line]));
        text
    }

    fn broken(file: &str, pinned: &[String]) -> Broken {
        check(file.as_bytes(), Some(signer(1).public()), pinned).expect_err("must be refused")
    }

    #[test]
    fn a_whole_log_continues_each_pinned_head() {
        let all = leaves();
        let pinned: Vec<String> = [0, 1, 4, 7, 11].map(|size| head(&all[..size])).into();
        let checked = check(file(&all, &head(&all)).as_bytes(), None, &pinned).expect("whole");
        assert_eq!((checked.leaves, &checked.key), (11, signer(1).public()));
    }

    #[test]
    fn what_is_wrong_is_said_exactly() {
        let all = leaves();
        let good = file(&all, &head(&all));
        let mut altered = all.clone();
        altered[3] = leaf(3, "unmade");
        assert!(matches!(broken(&file(&altered, &head(&all)), &[]), Broken::Root { size: 11 }));
        assert!(matches!(broken(&file(&altered, &head(&altered)), &[head(&all[..7])]), Broken::Rewritten { size: 7 }));
        let cut = file(&all[..9], &head(&all[..9]));
        assert!(matches!(broken(&cut, &[head(&all)]), Broken::Rewritten { size: 11 }));
        assert!(matches!(broken(&file(&all[..9], &head(&all)), &[]), Broken::Short { found: 9, size: 11 }));
        let mut without = all.clone();
        without.remove(5);
        let misplaced = broken(&file(&without, &head(&all)), &[]);
        assert!(matches!(misplaced, Broken::Misplaced { index: 5, found: 6, .. }), "{misplaced}");
        let other = check(good.as_bytes(), Some(signer(2).public()), &[]).expect_err("another's key");
        assert!(matches!(other, Broken::Head(HeadError::Signature)));
        assert!(matches!(broken(&good.replace("actor vault", "actor\\tvault"), &[]), Broken::Leaf { index: 0, .. }));
        let ended = good.rsplit_once('\n').expect("lines").0;
        assert!(matches!(broken(ended, &[]), Broken::Line { line: 13 }));
        assert!(matches!(broken(&format!("{good}\nx"), &[]), Broken::Line { line: 14 }));
        assert!(matches!(broken("", &[]), Broken::Line { line: 1 }));
    }
}
