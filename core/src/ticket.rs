//! Admission tickets: what a matcher hands a gate, and a checkout backend hands the vault. Sealed with AES-256-GCM
//! under a key that the vault gives its matchers for a while, so a ticket can be neither read nor made elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{DeviceId, GalleryId, LaneId, SiteId, SubjectId, TenantId, TicketId};
use crate::randomness::Randomness;
use crate::sealed::{self, OpenError, VERSION};
use crate::secret::Key;

/// Binds what is sealed to being a ticket.
const WHAT: &str = "volar.v1 ticket";

/// What a ticket may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Entering and paying: a checkout backend may claim it once.
    Admission,
    /// Leaving: the kiosk may have the subject erased.
    Withdrawal,
}

/// The facts that a ticket carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The ticket's own id; claims are counted by it.
    pub id: TicketId,
    /// What it may be used for.
    pub purpose: Purpose,
    /// Whose gallery it comes from.
    pub tenant: TenantId,
    /// The gallery in which they were found.
    pub gallery: GalleryId,
    /// The person recognised.
    pub subject: SubjectId,
    /// Where.
    pub site: SiteId,
    /// The reader that asked.
    pub device: DeviceId,
    /// The lane it stands at.
    pub lane: LaneId,
    /// When the decision was made.
    pub decided_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

/// A tenant's ticket key for one epoch.
#[derive(Clone, Debug)]
pub struct TicketKey {
    /// Which of the tenant's successive keys.
    pub epoch: u32,
    /// The key.
    pub key: Key,
}

impl TicketKey {
    /// How long one key seals new tickets.
    pub const EPOCH: Duration = Duration::from_secs(24 * 60 * 60);

    /// The epoch that `moment` falls in.
    pub fn epoch_at(moment: Timestamp) -> u32 {
        u32::try_from(moment.unix_milliseconds() / Self::EPOCH.as_millis() as u64).unwrap_or(u32::MAX)
    }
}

/// Why bytes are not a usable ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Too short, too long, or of an unknown version.
    #[error("not an admission ticket of version {VERSION}")]
    Malformed,
    /// Sealed in an epoch whose key is gone or not yet known.
    #[error("ticket is sealed under key epoch {epoch}, which is not in use")]
    KeyUnknown {
        /// The epoch on the ticket.
        epoch: u32,
    },
    /// Changed, or made by someone without the key, or for another tenant.
    #[error("ticket does not authenticate: it was altered or made for another tenant")]
    Forged,
    /// Its time is over.
    #[error("ticket has expired")]
    Expired,
}

impl Ticket {
    /// Seals the ticket under `key`.
    pub fn seal(&self, key: &TicketKey, randomness: &dyn Randomness) -> Vec<u8> {
        sealed::seal(WHAT, self, key, randomness)
    }

    /// Opens a sealed ticket at time `now`; `key_of` knows the keys still accepted, by epoch.
    pub fn open(
        sealed: &[u8],
        now: Timestamp,
        key_of: impl FnOnce(u32) -> Option<TicketKey>,
    ) -> Result<Self, TicketError> {
        let ticket: Self = sealed::open(WHAT, sealed, key_of)?;
        if now >= ticket.expires_at {
            return Err(TicketError::Expired);
        }
        Ok(ticket)
    }
}

impl From<OpenError> for TicketError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed => Self::Malformed,
            OpenError::KeyUnknown { epoch } => Self::KeyUnknown { epoch },
            OpenError::Forged => Self::Forged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::SeededRandomness;

    fn slug<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("a valid slug")
    }

    fn ticket(randomness: &SeededRandomness) -> Ticket {
        Ticket {
            id: TicketId::random(randomness),
            purpose: Purpose::Admission,
            tenant: slug("acme"),
            gallery: slug("members"),
            subject: SubjectId::random(randomness),
            site: slug("north"),
            device: slug("gate-1"),
            lane: slug("lane-1"),
            decided_at: Timestamp::from_unix_milliseconds(1_000),
            expires_at: Timestamp::from_unix_milliseconds(2_000),
        }
    }

    fn key(byte: u8) -> TicketKey {
        TicketKey { epoch: 7, key: Key::new([byte; 32]) }
    }

    #[test]
    fn a_ticket_opens_until_it_expires() {
        let randomness = SeededRandomness::new(1);
        let ticket = ticket(&randomness);
        let sealed = ticket.seal(&key(1), &randomness);
        let open = |at| Ticket::open(&sealed, Timestamp::from_unix_milliseconds(at), |_| Some(key(1)));
        assert_eq!(open(1_999), Ok(ticket));
        assert_eq!(open(2_000), Err(TicketError::Expired));
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        let randomness = SeededRandomness::new(2);
        let sealed = ticket(&randomness).seal(&key(1), &randomness);
        let now = Timestamp::from_unix_milliseconds(1_500);
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Ticket::open(&altered, now, |_| Some(key(1))).is_err(), "bit {bit}");
        }
        assert_eq!(Ticket::open(&sealed, now, |_| Some(key(2))), Err(TicketError::Forged));
        assert_eq!(Ticket::open(&sealed, now, |_| None), Err(TicketError::KeyUnknown { epoch: 7 }));
        assert_eq!(Ticket::open(&sealed[..9], now, |_| Some(key(1))), Err(TicketError::Malformed));
        assert_eq!(Ticket::open(&[1; 4096], now, |_| Some(key(1))), Err(TicketError::Malformed));
    }
}
