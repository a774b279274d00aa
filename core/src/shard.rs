//! Parts of a gallery: who is searched for where.

use std::fmt;
use std::str::FromStr;

use crate::id::SubjectId;

/// One of the equal parts that a gallery's subjects are spread over, by their ids alone: everyone who knows a subject and
/// the number of parts knows the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u16,
    count: u16,
}

/// The most parts.
pub const SHARDS_MAX: u16 = 4_096;

/// Why numbers or text are not a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a shard is \"i/n\", such as \"0/4\" to \"3/4\", with n at most {SHARDS_MAX}")]
pub struct ShardError;

impl Shard {
    /// The whole gallery: the only part of one.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index`, from 0 on, of `count`.
    pub fn new(index: u32, count: u32) -> Result<Self, ShardError> {
        if index >= count || count > u32::from(SHARDS_MAX) {
            return Err(ShardError);
        }
        let narrow = |number: u32| u16::try_from(number).map_err(|_| ShardError);
        Ok(Self { index: narrow(index)?, count: narrow(count)? })
    }

    /// Which part, from 0 on.
    pub fn index(self) -> u16 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> u16 {
        self.count
    }

    /// Whether `subject` belongs here: every subject belongs to exactly one part of each count.
    pub fn holds(self, subject: SubjectId) -> bool {
        let (high, low) = subject.as_bytes().split_at(8);
        let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of sixteen bytes"));
        // Ids are random but for the bits that mark a UUID; SplitMix64's last steps spread what is random over all bits.
        let mut mixed = word(high) ^ word(low).rotate_left(32);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (u128::from(mixed) * u128::from(self.count)) >> 64 == u128::from(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;
    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError)?;
        let number = |text: &str| text.parse().map_err(|_| ShardError);
        Self::new(number(index)?, number(count)?)
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;
    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::SeededRandomness;

    #[test]
    fn everyone_belongs_to_exactly_one_part_and_parts_are_even() {
        let randomness = SeededRandomness::new(1);
        let subjects: Vec<SubjectId> = (0..20_000).map(|_| SubjectId::random(&randomness)).collect();
        for count in [1, 2, 3, 4, 7, 64] {
            let shards: Vec<Shard> = (0..count).map(|index| Shard::new(index, count).expect("a part")).collect();
            let mut held = vec![0_u32; shards.len()];
            for subject in &subjects {
                let holders: Vec<usize> = (0..shards.len()).filter(|&at| shards[at].holds(*subject)).collect();
                assert_eq!(holders.len(), 1);
                held[holders[0]] += 1;
            }
            // Five standard deviations of a binomial distribution.
            let even = 20_000.0 / f64::from(count);
            assert!(held.iter().all(|&held| (f64::from(held) - even).abs() <= 5.0 * even.sqrt()), "{held:?}");
        }
    }

    #[test]
    fn text_and_back() {
        assert_eq!("3/4".parse(), Shard::new(3, 4));
        assert_eq!(Shard::new(3, 4).expect("a part").to_string(), "3/4");
        for wrong in ["", "4/4", "1", "-1/4", "0/0", "0/5000", "a/b"] {
            assert_eq!(wrong.parse::<Shard>(), Err(ShardError), "{wrong}");
        }
    }
}
