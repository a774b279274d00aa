//! Challenges: what a matcher hands a gate whose palm was not sure enough, and gets back with what the person typed. The
//! gate cannot see whom it names. Sealed like a [ticket](crate::ticket), and no ticket opens as one, nor one as a ticket.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{DeviceId, GalleryId, LaneId, SiteId, SubjectId, TenantId, TicketId};
use crate::randomness::Randomness;
use crate::sealed::{self, OpenError, VERSION};
use crate::ticket::TicketKey;

/// Binds what is sealed to being a challenge.
const WHAT: &str = "volar.v1 second-factor challenge";

/// Most people that one challenge names: the best candidate and the close second.
pub const CANDIDATES_MAX: usize = 2;

/// Somebody whom digits may belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The person.
    pub subject: SubjectId,
    /// The gallery in which they were found.
    pub gallery: GalleryId,
}

/// Whom digits that are typed now may belong to, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Answered once. The ticket of the admission that comes of it has the same id, so that it too is claimed once.
    pub id: TicketId,
    /// Whose galleries the candidates come from.
    pub tenant: TenantId,
    /// The best candidate.
    pub best: Candidate,
    /// The second, if it was that one who made the best ambiguous.
    pub second: Option<Candidate>,
    /// Where.
    pub site: SiteId,
    /// The reader that asked, and the only one that may answer.
    pub device: DeviceId,
    /// The lane it stands at.
    pub lane: LaneId,
    /// From then on it is refused.
    pub expires_at: Timestamp,
}

/// Why bytes are not a usable challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Too short, too long, or of an unknown version.
    #[error("not a second-factor challenge of version {VERSION}")]
    Malformed,
    /// Sealed in an epoch whose key is gone or not yet known.
    #[error("challenge is sealed under key epoch {epoch}, which is not in use")]
    KeyUnknown {
        /// The epoch on the challenge.
        epoch: u32,
    },
    /// Changed, made by someone without the key, or for another tenant or reader.
    #[error("challenge does not authenticate: it was altered, or made for another reader; show the palm again")]
    Forged,
    /// Its time is over.
    #[error("challenge has expired; show the palm again")]
    Expired,
}

impl Challenge {
    /// Everybody whom it names: at most [`CANDIDATES_MAX`].
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        [Some(&self.best), self.second.as_ref()].into_iter().flatten()
    }

    /// Seals the challenge under `key`.
    pub fn seal(&self, key: &TicketKey, randomness: &dyn Randomness) -> Vec<u8> {
        sealed::seal(WHAT, self, key, randomness)
    }

    /// Opens a sealed challenge at time `now`; `key_of` knows the keys still accepted, by epoch.
    pub fn open(
        sealed: &[u8],
        now: Timestamp,
        key_of: impl FnOnce(u32) -> Option<TicketKey>,
    ) -> Result<Self, ChallengeError> {
        let challenge: Self = sealed::open(WHAT, sealed, key_of)?;
        if now >= challenge.expires_at {
            return Err(ChallengeError::Expired);
        }
        Ok(challenge)
    }
}

impl From<OpenError> for ChallengeError {
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
    use crate::secret::Key;
    use crate::ticket::{Purpose, Ticket, TicketError};

    fn slug<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("a valid slug")
    }

    fn key() -> TicketKey {
        TicketKey { epoch: 7, key: Key::new([1; 32]) }
    }

    fn challenge(randomness: &SeededRandomness) -> Challenge {
        let candidate = |gallery| Candidate { subject: SubjectId::random(randomness), gallery: slug(gallery) };
        Challenge {
            id: TicketId::random(randomness),
            tenant: slug("acme"),
            best: candidate("members"),
            second: Some(candidate("staff")),
            site: slug("north"),
            device: slug("gate-1"),
            lane: slug("lane-1"),
            expires_at: Timestamp::from_unix_milliseconds(2_000),
        }
    }

    #[test]
    fn a_challenge_opens_until_it_expires_and_shows_nobody() {
        let randomness = SeededRandomness::new(1);
        let challenge = challenge(&randomness);
        let sealed = challenge.seal(&key(), &randomness);
        let open = |at| Challenge::open(&sealed, Timestamp::from_unix_milliseconds(at), |_| Some(key()));
        assert_eq!(open(1_999).as_ref(), Ok(&challenge));
        assert_eq!(open(2_000), Err(ChallengeError::Expired));
        assert_eq!(challenge.candidates().count(), 2);
        for candidate in challenge.candidates() {
            assert!(!sealed.windows(16).any(|window| window == candidate.subject.as_bytes()));
        }
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        let randomness = SeededRandomness::new(2);
        let sealed = challenge(&randomness).seal(&key(), &randomness);
        let now = Timestamp::from_unix_milliseconds(1_500);
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Challenge::open(&altered, now, |_| Some(key())).is_err(), "bit {bit}");
        }
        assert_eq!(Challenge::open(&sealed, now, |_| None), Err(ChallengeError::KeyUnknown { epoch: 7 }));
        assert_eq!(Challenge::open(&sealed[..9], now, |_| Some(key())), Err(ChallengeError::Malformed));
    }

    #[test]
    fn neither_a_ticket_nor_a_challenge_passes_for_the_other() {
        let randomness = SeededRandomness::new(3);
        let now = Timestamp::from_unix_milliseconds(1_500);
        let challenge = challenge(&randomness);
        let ticket = Ticket {
            id: challenge.id,
            purpose: Purpose::Admission,
            tenant: challenge.tenant.clone(),
            gallery: challenge.best.gallery.clone(),
            subject: challenge.best.subject,
            site: challenge.site.clone(),
            device: challenge.device.clone(),
            lane: challenge.lane.clone(),
            decided_at: now,
            expires_at: challenge.expires_at,
        };
        let (ticket, challenge) = (ticket.seal(&key(), &randomness), challenge.seal(&key(), &randomness));
        assert_eq!(Ticket::open(&challenge, now, |_| Some(key())), Err(TicketError::Forged));
        assert_eq!(Challenge::open(&ticket, now, |_| Some(key())), Err(ChallengeError::Forged));
    }
}
