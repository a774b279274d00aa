//! One thing that happened, as the tree holds it.

use std::fmt::Write;

use crate::clock::Timestamp;
use crate::id::TenantId;

use super::Hash;

const FIRST_LINE: &str = "volar audit leaf v1";
const NOTHING: &str = "-";
/// Longest value of a line, in bytes.
const VALUE_MAX: usize = 300;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Palms and a release were stored.
    Enrollment,
    /// A payment reference was bound, or the visit ended without one.
    Payment,
    /// A matcher spoke on a new enrollment.
    Verdict,
    /// A person decided a review.
    Review,
    /// A ticket was claimed.
    Claim,
    /// A person was erased.
    Erasure,
    /// A palm was searched for at a gate.
    Scan,
    /// A second factor was chosen, or typed at a gate.
    SecondFactor,
    /// A key was made, given out, rotated or destroyed.
    Key,
    /// What is kept of a person was given out.
    Export,
    /// The retention schedule was applied.
    Retention,
    /// Everything was backed up, or restored.
    Backup,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::Enrollment,
        Self::Payment,
        Self::Verdict,
        Self::Review,
        Self::Claim,
        Self::Erasure,
        Self::Scan,
        Self::SecondFactor,
        Self::Key,
        Self::Export,
        Self::Retention,
        Self::Backup,
    ];

    /// Its word in a leaf.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enrollment => "enrollment",
            Self::Payment => "payment",
            Self::Verdict => "verdict",
            Self::Review => "review",
            Self::Claim => "claim",
            Self::Erasure => "erasure",
            Self::Scan => "scan",
            Self::SecondFactor => "second-factor",
            Self::Key => "key",
            Self::Export => "export",
            Self::Retention => "retention",
            Self::Backup => "backup",
        }
    }
}

/// A leaf of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Whose log.
    pub tenant: TenantId,
    /// Which leaf, from 0.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `<role>/<site>/<device>`, or `vault` for what it does by itself.
    pub actor: String,
    /// What.
    pub action: Action,
    /// The commitment to whom it is about, if to anybody.
    pub subject: Option<Hash>,
    /// `done`, or the reason of a refusal.
    pub outcome: String,
    /// What else there is to say, without naming anybody; may be empty.
    pub detail: String,
}

impl Leaf {
    /// The text that is hashed: nine lines, each a name and a value.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        let subject = self.subject.map_or_else(|| NOTHING.to_owned(), |hash| hexadecimal(&hash));
        let lines = [
            ("tenant", self.tenant.as_str()),
            ("index", &self.index.to_string()),
            ("time", &self.at.unix_milliseconds().to_string()),
            ("actor", &self.actor),
            ("action", self.action.word()),
            ("subject", &subject),
            ("outcome", &self.outcome),
            ("detail", if self.detail.is_empty() { NOTHING } else { &self.detail }),
        ];
        for (name, value) in lines {
            writeln!(text, "{name} {value}").expect("a string takes all");
        }
        text
    }

    /// Reads a leaf's text. Whatever it accepts, [`Leaf::to_text`] gives back byte by byte.
    pub fn parse(text: &str) -> Result<Self, LeafError> {
        let mut lines = text.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(LeafError { line: FIRST_LINE });
        }
        let mut value = |name: &'static str| -> Result<&str, LeafError> {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.filter(|value| plain(value)).ok_or(LeafError { line: name })
        };
        let leaf = Self {
            tenant: value("tenant")?.parse().map_err(|_| LeafError { line: "tenant" })?,
            index: number(value("index")?, "index")?,
            at: Timestamp::from_unix_milliseconds(number(value("time")?, "time")?),
            actor: value("actor")?.to_owned(),
            action: action(value("action")?)?,
            subject: match value("subject")? {
                NOTHING => None,
                digits => Some(bytes(digits).ok_or(LeafError { line: "subject" })?),
            },
            outcome: value("outcome")?.to_owned(),
            detail: value("detail").map(|detail| if detail == NOTHING { "" } else { detail })?.to_owned(),
        };
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(LeafError { line: "end" });
        }
        Ok(leaf)
    }
}

/// Whether `value` may stand in a line of a leaf: 1 to 300 bytes, no control characters.
pub fn plain(value: &str) -> bool {
    !value.is_empty() && value.len() <= VALUE_MAX && !value.chars().any(char::is_control)
}

/// A text that is no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audit leaf: its line \"{line}\" is missing or malformed")]
pub struct LeafError {
    line: &'static str,
}

fn action(word: &str) -> Result<Action, LeafError> {
    Action::ALL.into_iter().find(|action| action.word() == word).ok_or(LeafError { line: "action" })
}

fn number(digits: &str, line: &'static str) -> Result<u64, LeafError> {
    let number: u64 = digits.parse().map_err(|_| LeafError { line })?;
    if number.to_string() == digits { Ok(number) } else { Err(LeafError { line }) }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Option<Hash> {
    let lower = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits.len() != 64 || !lower {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            tenant: "acme".parse().expect("a slug"),
            index: 17,
            at: Timestamp::from_unix_milliseconds(1_790_000_000_000),
            actor: "operator/north/ops-1".to_owned(),
            action: Action::Erasure,
            subject: Some([0xab; 32]),
            outcome: "done".to_owned(),
            detail: String::new(),
        }
    }

    #[test]
    fn a_leaf_is_the_text_that_it_is_read_from() {
        let text = leaf().to_text();
        assert!(text.starts_with("volar audit leaf v1\ntenant acme\nindex 17\ntime 1790000000000\n"), "{text}");
        assert!(text.ends_with("\noutcome done\ndetail -\n"), "{text}");
        assert_eq!(Leaf::parse(&text), Ok(leaf()));
        for action in Action::ALL {
            let other = Leaf { action, subject: None, detail: "members".to_owned(), ..leaf() };
            assert_eq!(Leaf::parse(&other.to_text()), Ok(other));
        }
    }

    #[test]
    fn texts_that_are_no_leaf_are_refused() {
        let good = leaf().to_text();
        for (from, to, line) in [
            ("leaf v1", "leaf v2", FIRST_LINE),
            ("tenant acme", "tenant Acme", "tenant"),
            ("index 17", "index 017", "index"),
            ("index 17", "index -1", "index"),
            ("time 1790000000000", "time ", "time"),
            ("actor operator", "actors operator", "actor"),
            ("action erasure", "action erase", "action"),
            ("subject ab", "subject Ab", "subject"),
            ("subject ab", "subject ", "subject"),
            ("outcome done", "outcome do\tne", "outcome"),
            ("detail -\n", "detail -", "end"),
            ("detail -\n", "detail -\n\n", "end"),
            ("detail -\n", "", "detail"),
        ] {
            let spoiled = good.replacen(from, to, 1);
            assert_ne!(spoiled, good, "{from} is in the leaf");
            assert_eq!(Leaf::parse(&spoiled), Err(LeafError { line }), "{from} -> {to}");
        }
    }
}
