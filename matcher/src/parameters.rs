//! Numbers that were chosen or measured, each with its reason. What an operator may set has its default here too.

use std::time::Duration;

use volar_core::nearness::VERIFIED_PALMS;
use volar_core::template::REFERENCES_PER_PALM_MAX;

/// Rows of the index that share a lock. Their sketches are half a megabyte, which a core's second cache holds while
/// several probes go through them; and all their columns, 676 bytes a row, fill six huge pages.
pub const BLOCK_ROWS: usize = 18_608;
/// Rows whose cosine is worked out, of those whose sketches are nearest.
pub const SKETCHED_ROWS: usize = 512;
/// Probes that are searched together when several wait: each is answered when the last of them is.
pub const BATCH_MAX: usize = 16;

/// The most that may be configured: every code of every reference is compared, so time grows with it.
pub const VERIFIED_PALMS_MAX: usize = 1_000;

/// Share of strangers' searches that may admit somebody: 1 in 10,000, the false accept rate that the FIDO Alliance's
/// Biometric Component Certification asks of a sensor. Here it holds for the whole gallery, whatever its size.
pub const ADMIT_FPIR: f64 = 1e-4;
/// Share of strangers' searches that may be asked for a second factor. Such a stranger still fails at that factor,
/// so this one may be a hundred times the other; every mated search between the two is a customer not turned away.
pub const STEP_UP_FPIR: f64 = 1e-2;
/// Share of honest new enrolments that may go to a person's review for nothing. A review costs minutes, a missed
/// duplicate lets one palm pay from two accounts.
pub const DUPLICATE_FPIR: f64 = 1e-3;
/// A second subject this near to the best, in decades of likelihood ratio, makes the match ambiguous: the best would
/// be less than 100 times as likely as the second. About the distance between the two default operating points (2.3
/// decades at 10,000 palms), so at the admission threshold a second within it is one whom the step-up point would
/// nearly have recognised too.
pub const CLOSE_SECOND_DECADES: f32 = 2.0;
/// Captures of lower quality are not compared. The devices have a stricter limit of their own; this one holds against
/// a device that has none.
pub const QUALITY_MIN: u32 = 20;

/// Failures in a row that lock a lane (NIST SP 800-63B-4, section 3.2.3: no more than five).
pub const LOCKOUT_FAILURES: u32 = 5;
/// The first lock-out (same section: at least 30 seconds, growing with each further failure).
pub const LOCKOUT_FIRST: Duration = Duration::from_secs(30);
/// The longest lock-out: a lane must come back within a quarter of an hour of its last misuse.
pub const LOCKOUT_LONGEST: Duration = Duration::from_secs(15 * 60);
/// Lanes remembered; the one that failed longest ago is forgotten first.
pub const LANES_MAX: usize = 16_384;

/// How long a challenge can be answered: a person finds the keys, types, and types again; and gates give up sooner.
pub const CHALLENGE_TIME: Duration = Duration::from_secs(60);
/// The vault must say in this time whose digits were typed.
pub const FACTOR_CHECK_TIME_MAX: Duration = Duration::from_millis(2_500);

/// Candidates that a shard tells: the best, and those who make it ambiguous. A decision looks at two.
pub const SHARD_CANDIDATES: usize = 4;
/// How long a router waits for a replica's answer before it asks the next one too. Several times what a search of a million
/// palms takes, so that a replica is asked for nothing only when it is slow.
pub const HEDGE: Duration = Duration::from_millis(20);
/// The longest that a router waits for any replica of a shard: a person at a gate waits with it.
pub const SHARD_TIME_MAX: Duration = Duration::from_millis(400);
/// How often a router asks each replica how it is, and how long it waits for the answer.
pub const REPLICA_CHECK: Duration = Duration::from_millis(500);
/// How often the addresses behind a replica's name are looked up.
pub const REPLICA_LOOKUP: Duration = Duration::from_secs(5);

/// Strangers at the step-up point that a window of the tail watch waits for: enough to tell twice as many from chance.
pub const TAIL_EVENTS: f64 = 20.0;
/// Share of windows that may raise an alarm by chance.
pub const TAIL_FALSE_ALARMS: f64 = 1e-4;

/// How long a repeat gets the first answer (`matcher.proto`). A gate asks again within seconds; later nobody stands there.
pub const REPLAY_TIME: Duration = Duration::from_secs(2 * 60);
/// Answers kept for repeats, about half a kilobyte each: over 1,000 identifications a second for two minutes. Past that
/// the oldest goes first.
pub const REPLAYS_MAX: usize = 131_072;

/// How long the first search in the queue may have waited when another comes, unless configured: a person at a gate
/// waits as long, and a router asks another replica well before ([`HEDGE`]) and gives up soon after ([`SHARD_TIME_MAX`]).
pub const SEARCH_WAIT_MAX: Duration = Duration::from_millis(300);
/// Searches that may wait however short their time, for the memory's sake: a probe has 94 kilobytes at most, all of
/// them under a hundred megabytes.
pub const SEARCHES_WAITING_MAX: usize = 1_024;
/// What a caller that met a full queue is told to wait.
pub const BUSY_RETRY: Duration = Duration::from_millis(100);
/// What a caller that met a gallery still loading is told to wait.
pub const NOT_READY_RETRY: Duration = Duration::from_secs(1);

/// Shortest and longest wait before the feed is followed again, to which up to as much is added by chance. The vault
/// restarts in about a second, and until it is followed again an enrolment gets no verdict.
pub const FOLLOW_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A stream's first item must come in this time.
pub const FEED_START_TIME_MAX: Duration = Duration::from_secs(10);
/// An acknowledgement or a verdict must be answered in this time.
pub const REPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// Verdicts on their way to the vault at once: it makes those that meet durable together.
pub const VERDICTS_UNDER_WAY: usize = 32;
/// How long answers are collected before they are told for the audit log, unless a report is full before.
pub const SCANS_INTERVAL: Duration = Duration::from_secs(1);
/// Answers that wait for a vault that is away: an hour at 18 a second.
pub const SCANS_WAITING_MAX: usize = 65_536;
/// The last ones must be told in this time when a matcher ends.
pub const SCANS_LAST_TIME_MAX: Duration = Duration::from_secs(8);
/// Epochs of ticket keys kept: the present one, the next, and one that the vault may still be sealing with.
pub const TICKET_EPOCHS_KEPT: usize = 3;

/// Rows that are read so that `palms` distinct palms are certainly among them.
pub const fn rows_for(palms: usize) -> usize {
    palms * REFERENCES_PER_PALM_MAX
}

const _: () = assert!(ADMIT_FPIR < STEP_UP_FPIR, "admitting asks more than stepping up");
const _: () = assert!(VERIFIED_PALMS <= VERIFIED_PALMS_MAX);
const _: () = assert!(LOCKOUT_FIRST.as_secs() >= 30 && LOCKOUT_FIRST.as_secs() <= LOCKOUT_LONGEST.as_secs());
