//! Lanes that fail too often in a row are locked for a while (NIST SP 800-63B-4, section 3.2.3), so that nobody can
//! try palms, real or made, until one fits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use volar_core::clock::{Clock, Timestamp};
use volar_core::id::{DeviceId, LaneId, SiteId, TenantId};

use crate::parameters::{LANES_MAX, LOCKOUT_FAILURES, LOCKOUT_FIRST, LOCKOUT_LONGEST};

/// `[lockout]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LockoutPolicy {
    /// Failures in a row that lock a lane, 1 to 5.
    pub failures: u32,
    /// The first lock-out, at least 30 seconds; each further failure doubles it.
    pub first_seconds: u64,
    /// The longest lock-out.
    pub longest_seconds: u64,
}

impl Default for LockoutPolicy {
    fn default() -> Self {
        Self {
            failures: LOCKOUT_FAILURES,
            first_seconds: LOCKOUT_FIRST.as_secs(),
            longest_seconds: LOCKOUT_LONGEST.as_secs(),
        }
    }
}

/// Why settings fall short of the standard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockoutPolicyError {
    /// Not 1 to 5.
    #[error("lockout.failures is {found}, must be 1 to {LOCKOUT_FAILURES} (NIST SP 800-63B-4, section 3.2.3)")]
    Failures {
        /// Number configured.
        found: u32,
    },
    /// Below 30 seconds, or above the longest.
    #[error(
        "lockout.first_seconds is {first} and lockout.longest_seconds {longest}; the first must be at least 30 \
         (NIST SP 800-63B-4, section 3.2.3) and the longest no shorter than the first"
    )]
    Seconds {
        /// First lock-out configured.
        first: u64,
        /// Longest lock-out configured.
        longest: u64,
    },
}

impl LockoutPolicy {
    /// Checks the settings against the standard.
    pub fn check(&self) -> Result<(), LockoutPolicyError> {
        let (first, longest) = (self.first_seconds, self.longest_seconds);
        if !(1..=LOCKOUT_FAILURES).contains(&self.failures) {
            return Err(LockoutPolicyError::Failures { found: self.failures });
        }
        if first < LOCKOUT_FIRST.as_secs() || longest < first {
            return Err(LockoutPolicyError::Seconds { first, longest });
        }
        Ok(())
    }

    /// How long a lane is locked after that many failures in a row.
    fn lock_after(&self, failures: u32) -> Option<Duration> {
        let further = failures.checked_sub(self.failures)?;
        let factor = 1_u64.checked_shl(further.min(63)).unwrap_or(u64::MAX);
        Some(Duration::from_secs(self.first_seconds.saturating_mul(factor).min(self.longest_seconds)))
    }
}

/// One lane of one reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub site: SiteId,
    /// The reader, by its certificate: one reader cannot lock another's lane.
    pub device: DeviceId,
    /// The lane, as the reader names it.
    pub lane: LaneId,
}

/// Why a lane may not try now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Locked; a try is possible after this time.
    LockedOut(Duration),
    /// So many tries are under way that their failures would lock the lane.
    Busy,
}

/// Failures of every lane.
pub struct Lockout {
    policy: LockoutPolicy,
    clock: Arc<dyn Clock>,
    lanes: Mutex<HashMap<Lane, Tries>>,
}

#[derive(Clone, Copy)]
struct Tries {
    failures: u32,
    under_way: u32,
    /// When the last try ended.
    at: Timestamp,
}

impl Lockout {
    /// With no failures yet.
    pub fn new(policy: LockoutPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { policy, clock, lanes: Mutex::default() }
    }

    /// Begins a try. Tries under way count as if they were to fail, so that trying in parallel gains nothing.
    pub fn begin(self: &Arc<Self>, lane: Lane) -> Result<Try, Held> {
        let now = self.clock.now();
        let mut lanes = self.lanes();
        if !lanes.contains_key(&lane) {
            make_room(&mut lanes);
        }
        let tries = lanes.entry(lane.clone()).or_insert(Tries { failures: 0, under_way: 0, at: now });
        // A clock that was set back must not lock a lane until it has caught up.
        tries.at = tries.at.min(now);
        if let Some(lock) = self.policy.lock_after(tries.failures) {
            let left = lock.saturating_sub(now.since(tries.at));
            if !left.is_zero() {
                return Err(Held::LockedOut(left));
            }
        }
        // Past a lock-out the lane has one try.
        let allowed = self.policy.failures.saturating_sub(tries.failures).max(1);
        if tries.under_way >= allowed {
            return Err(Held::Busy);
        }
        tries.under_way += 1;
        drop(lanes);
        Ok(Try { lockout: self.clone(), lane })
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Tries>> {
        self.lanes.lock().expect("counting does not panic")
    }
}

/// A try under way. Ends without counting when dropped.
pub struct Try {
    lockout: Arc<Lockout>,
    lane: Lane,
}

impl Try {
    /// A palm was compared and was nobody's. Only this counts as a failure: a capture too poor to compare, a search
    /// that could not be made and a palm that needs a second factor are no guesses that failed.
    pub fn failed(self) {
        self.count(|tries, now| {
            tries.failures = tries.failures.saturating_add(1);
            tries.at = now;
        });
    }

    /// A person was admitted: the lane starts over.
    pub fn succeeded(self) {
        self.count(|tries, _| tries.failures = 0);
    }

    fn count(&self, change: impl FnOnce(&mut Tries, Timestamp)) {
        let now = self.lockout.clock.now();
        if let Some(tries) = self.lockout.lanes().get_mut(&self.lane) {
            change(tries, now);
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let mut lanes = self.lockout.lanes();
        if let Some(tries) = lanes.get_mut(&self.lane) {
            tries.under_way = tries.under_way.saturating_sub(1);
            if tries.under_way == 0 && tries.failures == 0 {
                lanes.remove(&self.lane);
            }
        }
    }
}

/// Keeps memory bounded against a reader that invents lanes: the lane that failed longest ago goes.
fn make_room(lanes: &mut HashMap<Lane, Tries>) {
    if lanes.len() < LANES_MAX {
        return;
    }
    let stalest = lanes.iter().filter(|(_, tries)| tries.under_way == 0).min_by_key(|(_, tries)| tries.at);
    if let Some(lane) = stalest.map(|(lane, _)| lane.clone()) {
        lanes.remove(&lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::clock::ManualClock;

    fn lane(name: &str) -> Lane {
        let slug = "one";
        Lane {
            tenant: slug.parse().expect("a slug"),
            site: slug.parse().expect("a slug"),
            device: slug.parse().expect("a slug"),
            lane: name.parse().expect("a slug"),
        }
    }

    fn lockout() -> (Arc<Lockout>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(1_000_000_000)));
        (Arc::new(Lockout::new(LockoutPolicy::default(), clock.clone())), clock)
    }

    /// One step of a story on one lane.
    enum Step {
        Fail,
        Succeed,
        Undecided,
        Wait(u64),
        Back(u64),
        Locked(u64),
    }
    use Step::{Back, Fail, Locked, Succeed, Undecided, Wait};

    fn tell(story: &[Step]) {
        let (lockout, clock) = lockout();
        for (number, step) in story.iter().enumerate() {
            let begin = || lockout.begin(lane("a"));
            let allowed = || begin().unwrap_or_else(|held| panic!("step {number}: {held:?}"));
            match step {
                Fail => allowed().failed(),
                Succeed => allowed().succeeded(),
                Undecided => drop(allowed()),
                Wait(seconds) => clock.advance(Duration::from_secs(*seconds)),
                Back(seconds) => {
                    let now = clock.now().unix_milliseconds();
                    clock.set(Timestamp::from_unix_milliseconds(now - seconds * 1_000));
                }
                Locked(seconds) => {
                    let left = Duration::from_secs(*seconds);
                    assert_eq!(begin().err(), Some(Held::LockedOut(left)), "step {number}");
                }
            }
        }
    }

    #[test]
    fn five_failures_lock_and_each_further_one_doubles() {
        tell(&[Fail, Fail, Fail, Fail, Fail, Locked(30), Wait(29), Locked(1), Wait(1), Fail, Locked(60)]);
        tell(&[Fail, Fail, Fail, Fail, Fail, Wait(30), Fail, Wait(60), Fail, Locked(120)]);
    }

    #[test]
    fn lock_outs_stop_growing_at_the_longest() {
        let mut story = vec![Fail, Fail, Fail, Fail];
        for seconds in [30, 60, 120, 240, 480, 900, 900, 900] {
            story.extend([Fail, Locked(seconds), Wait(seconds)]);
        }
        tell(&story);
        assert_eq!(LockoutPolicy::default().lock_after(u32::MAX), Some(LOCKOUT_LONGEST));
    }

    #[test]
    fn success_starts_over_and_time_does_not() {
        tell(&[Fail, Fail, Fail, Fail, Succeed, Fail, Fail, Fail, Fail, Fail, Locked(30)]);
        tell(&[Fail, Fail, Fail, Fail, Wait(86_400), Fail, Locked(30)]);
        tell(&[Fail, Fail, Fail, Fail, Fail, Wait(30), Succeed, Fail, Fail]);
    }

    #[test]
    fn what_is_no_failure_does_not_count() {
        tell(&[Fail, Fail, Fail, Fail, Undecided, Undecided, Undecided, Fail, Locked(30)]);
    }

    #[test]
    fn a_clock_set_back_does_not_lock_for_longer() {
        tell(&[Fail, Fail, Fail, Fail, Fail, Back(3_600), Locked(30), Wait(30), Fail]);
    }

    #[test]
    fn trying_in_parallel_gains_nothing() {
        let (lockout, _) = lockout();
        let tries: Vec<Try> = (0..5).map(|_| lockout.begin(lane("a")).unwrap_or_else(|_| panic!("allowed"))).collect();
        assert_eq!(lockout.begin(lane("a")).err(), Some(Held::Busy));
        assert!(lockout.begin(lane("b")).is_ok(), "another lane is not held up");
        tries.into_iter().for_each(Try::failed);
        assert_eq!(lockout.begin(lane("a")).err(), Some(Held::LockedOut(LOCKOUT_FIRST)));
    }

    #[test]
    fn invented_lanes_do_not_fill_memory() {
        let (lockout, clock) = lockout();
        for number in 0..LANES_MAX + 10 {
            clock.advance(Duration::from_millis(1));
            lockout.begin(lane(&number.to_string())).unwrap_or_else(|_| panic!("allowed")).failed();
        }
        assert_eq!(lockout.lanes().len(), LANES_MAX);
        assert!(lockout.lanes().contains_key(&lane(&(LANES_MAX + 9).to_string())));
        assert!(!lockout.lanes().contains_key(&lane("0")));
    }

    #[test]
    fn settings_below_the_standard_are_refused() {
        let policy = LockoutPolicy::default();
        assert_eq!(policy.check(), Ok(()));
        assert!(LockoutPolicy { failures: 6, ..policy }.check().is_err());
        assert!(LockoutPolicy { first_seconds: 29, ..policy }.check().is_err());
        assert!(LockoutPolicy { longest_seconds: 10, ..policy }.check().is_err());
    }
}
