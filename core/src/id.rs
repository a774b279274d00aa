//! Identifiers. Names given by people are [slugs](TenantId); identifiers made by machines are random 128-bit
//! numbers, so that they tell nothing and never collide.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::log_safe::LogSafe;
use crate::randomness::Randomness;

/// Why text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 1 to 63 characters of `a-z`, `0-9` and inner `-`.
    #[error("{kind} \"{text}\" must be 1 to 63 characters of a-z, 0-9 and -, and neither start nor end with -")]
    NotASlug {
        /// Which identifier.
        kind: &'static str,
        /// The offending text, cut to 80 characters.
        text: String,
    },
    /// Not a UUID in hyphenated form.
    #[error("{kind} must be a UUID such as 3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d")]
    NotAUuid {
        /// Which identifier.
        kind: &'static str,
    },
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
                let fits = (1..=63).contains(&text.len())
                    && text.bytes().all(inner)
                    && !text.starts_with('-')
                    && !text.ends_with('-');
                if fits {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::NotASlug { kind: $kind, text: text.chars().take(80).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl LogSafe for $name {}
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier from `randomness` (a version-4 UUID, RFC 9562).
            pub fn random(randomness: &dyn Randomness) -> Self {
                Self(uuid::Builder::from_random_bytes(randomness.bytes()).into_uuid())
            }

            /// From its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its 16 bytes, in network order.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError::NotAUuid { kind: $kind });
                }
                Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotAUuid { kind: $kind })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl LogSafe for $name {}
    };
}

slug!(
    /// An organisation whose people, keys and galleries are its own.
    TenantId, "tenant"
);
slug!(
    /// A shop or building of a tenant.
    SiteId, "site"
);
slug!(
    /// A set of references that a lane searches, with its own template protection.
    GalleryId, "gallery"
);
slug!(
    /// A lane through a gate.
    LaneId, "lane"
);
slug!(
    /// A device or process with a certificate of its own.
    DeviceId, "device"
);
slug!(
    /// The extractor and version that made a template, such as `palm-lines-3`: templates of two models do not
    /// compare.
    ModelId, "model"
);
random_id!(
    /// An enrolled person, without saying who. Known to vault and matcher only.
    SubjectId, "subject id"
);
random_id!(
    /// One visit to an enrolment kiosk. The kiosk holds it while the visit lasts.
    EnrollmentId, "enrollment id"
);
random_id!(
    /// One admission ticket.
    TicketId, "ticket id"
);
random_id!(
    /// Made and kept by the caller before it sends a writing call, so that a repeat has no second effect.
    IdempotencyId, "idempotency id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_accept_and_reject() {
        for good in ["a", "north-1", "0", &"x".repeat(63)] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn random_ids_round_trip() {
        let randomness = crate::randomness::SeededRandomness::new(1);
        let id = SubjectId::random(&randomness);
        assert_eq!(id.to_string().parse::<SubjectId>(), Ok(id));
        assert!("nonsense".parse::<SubjectId>().is_err());
    }
}
