//! Records of second factors, schema version 1.

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;
use volar_core::id::{IdempotencyId, SubjectId};
use volar_core::second_factor::Kind as FactorKind;

use super::v1::SecretBytes;
use super::{Kind, Record};

/// What is kept of a person's second factor, sealed under their key: destroyed with it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecondFactor {
    /// What the digits are.
    pub kind: FactorKind,
    /// When it was chosen.
    pub set_at: Timestamp,
    /// Argon2id's memory in KiB, passes and lanes.
    pub costs: (u32, u32, u32),
    /// Argon2id's salt.
    pub salt: [u8; 16],
    /// What Argon2id makes of the digits.
    pub hash: SecretBytes<32>,
}

/// Failures in a row, of a lane or of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorTries {
    /// How many.
    pub failures: u32,
    /// The last one.
    pub at: Timestamp,
}

impl Default for FactorTries {
    fn default() -> Self {
        Self { failures: 0, at: Timestamp::from_unix_milliseconds(0) }
    }
}

/// A challenge that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredChallenge {
    /// The call that answered it.
    pub idempotency: IdempotencyId,
    /// Whose the digits were; `None` for nobody's.
    pub matched: Option<SubjectId>,
}

macro_rules! records {
    ($($name:ident),*) => {
        $(impl Record for $name {
            const KIND: Kind = Kind::$name;
        })*
    };
}
records!(SecondFactor, FactorTries, AnsweredChallenge);

impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecondFactor(secret)")
    }
}
