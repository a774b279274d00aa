//! The vault's fixed numbers, with where they come from.

use std::time::Duration;

/// A consent may be dated this far ahead of the vault's clock: kiosks keep time by NTP, and a few minutes cover one
/// that has lost its server.
pub const CONSENT_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// How far a matcher's clock may differ from the vault's when a ticket's key epoch is judged.
pub const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5 * 60);
/// Hours for which an answer may be kept for repeats of its call. More than the longest life of a ticket and
/// [`CLOCK_DIFFERENCE_MAX`] at least, so that a claim repeated after its answer is forgotten finds its ticket expired.
pub const ANSWER_HOURS: std::ops::RangeInclusive<u64> = 25..=720;
/// Longest that a ticket may be good, in seconds: a key's epoch outlasts it.
pub const TICKET_SECONDS_MAX: u64 = 86_400;
/// Longest text of a consent, a payment reference or a name.
pub const TEXT_BYTES_MAX: usize = 200;
/// ISO/IEC 7812-1: a card number has 12 to 19 digits, the last of them a Luhn checksum.
pub const CARD_DIGITS: std::ops::RangeInclusive<usize> = 12..=19;
/// Both hands.
pub const PALMS_MAX: usize = 2;
/// Longest wait of one `GetEnrollment`.
pub const ENROLLMENT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Events read at once for one follower: without probes an event is about 15 KiB.
pub const FEED_BATCH: usize = 128;
/// Of them with probes: such an event is about 200 KiB.
pub const FEED_BATCH_PROBES: usize = 16;
/// Events, and of them with probes, asked of the store in one request.
pub const FEED_READ: usize = 128;
/// See [`FEED_READ`].
pub const FEED_READ_PROBES: usize = 16;
/// Events on their way to one follower: enough to keep the wire busy, 3 MiB at most.
pub const FEED_QUEUE: usize = 16;
/// A follower not seen for this long is gone, not late: receipts stop naming it.
pub const FOLLOWER_FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Rows of a page that asks for no size, and the most that any page has.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// See [`PAGE_SIZE_DEFAULT`].
pub const PAGE_SIZE_MAX: usize = 1_000;
/// Rows that a scan takes into memory at once.
pub const SCAN_ROWS: usize = 256;
/// A vault that has just started expects the matchers that it knows for this long: they follow again within 4 s, and an
/// erasure waits for them as for connected ones.
pub const FOLLOWERS_EXPECTED_FOR: Duration = Duration::from_secs(10);
/// Erasures that destroy keys beside each other: each waits for the store a few times, and a store takes the waiting
/// together.
pub const ERASURES_AT_ONCE: usize = 32;
/// Records that a rotation of keys seals anew in one transaction, and subject keys that it wraps anew for one
/// synchronization: others wait a few milliseconds for it at most.
pub const ROTATION_BATCH: usize = 256;
/// Palms that are put under another generation of their gallery in one transaction: 10 kB each, some 0.3 ms of work.
pub const REPROTECTION_BATCH: usize = 64;
/// Palms that may be left under the old generation when a new one is taken up: a matcher that reads them has each turned, at
/// 0.1 ms. Kiosks enrol some while the last were put under the new one; more than this take another pass.
pub const REPROTECTION_REST: u64 = 1_024;
/// Sealing waits so long for calls under way. The operator's own call, which asks for it, is cut after 30 s.
pub const SEAL_TIME_MAX: Duration = Duration::from_secs(20);
/// The daily retention run erases so many people of a tenant in any case, and beyond them one of [`UNATTENDED_SHARE`] at
/// most; more is an operator's to begin. People enrol over months, so a day ends few terms unless the clock is wrong.
pub const UNATTENDED_ERASURES_MIN: u64 = 10;
/// See [`UNATTENDED_ERASURES_MIN`].
pub const UNATTENDED_SHARE: u64 = 10;
/// Argon2id's memory in KiB, passes and lanes for second factors. A person at a gate waits for two of them, some ten
/// milliseconds each on one core. Four digits are ten thousand guesses at any cost: what keeps them is the key that the
/// hash is sealed under, and the count of failures.
pub const FACTOR_COSTS: (u32, u32, u32) = (8 * 1024, 1, 1);
/// Second factors that are hashed at once.
pub const FACTOR_HASHES_AT_ONCE: usize = 4;
/// Second factors that may fail in a row, on a lane or of a subject (NIST SP 800-63B-4, section 3.2.2).
pub const FACTOR_FAILURES_MAX: u32 = 5;
/// The delay after that; each further failure doubles it.
pub const FACTOR_DELAY_FIRST: Duration = Duration::from_secs(30);
/// The longest delay: somebody's own digits must open again within a quarter of an hour of another's last guess.
pub const FACTOR_DELAY_LONGEST: Duration = Duration::from_secs(15 * 60);
/// Longest reason of a scan: with names of 63 bytes its leaf's line stays within 300.
pub const REASON_BYTES_MAX: usize = 40;
/// How often abandoned enrollments, and records whose time is over, are looked for.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Average bytes of a backup's piece: a new enrollment changes one in each of half a dozen tables, and a million people
/// are some hundred thousand files.
pub const PIECE_BYTES: usize = 128 << 10;
/// Most bytes of a piece, but for a row that is larger.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// Rows that a copy of the store, a backup or a compaction, reads again while writers wait, unless more are written than can
/// be caught up with.
pub const COPY_REST: usize = 256;
/// How often a copy catches up before it has writers wait.
pub const COPY_ROUNDS: usize = 8;
/// sled's files are compacted when they take so many times what they took when they were made. Fresh ones take 1.5 to 1.7
/// times what lives in them (rows of 600 bytes to 12 kB), so they stay below twice.
pub const COMPACT_RATIO: f64 = 1.2;
/// Smaller files are left alone.
pub const COMPACT_MIN_BYTES: u64 = 16 << 20;
/// Rows that a compaction writes at a time. Each lot reaches the disk before the next, so that sled uses again what it wrote
/// meanwhile; with 4 MiB fresh files take 1.7 to 2.5 times what lives in them.
pub const COMPACT_BATCH_BYTES: usize = 512 << 10;
/// How often it is looked whether compacting is worth while.
pub const COMPACT_CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How often a vault looks what others over the same store have done, and tells them of its followers. What one of them
/// told the feed another's followers hear so much later.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A vault that makes a new version of keys gives the others so long to learn it before any seals under it.
pub const KEYS_LEARNT_WITHIN: Duration = Duration::from_millis(500);
/// For so long a vault answers to others for a follower that follows it; it says so again when half of it is over.
pub const FOLLOWER_LEASE: Duration = Duration::from_secs(5);
/// A vault that shares a key table waits so long for another to open it or to give it up.
pub const JOIN_TIME_MAX: Duration = Duration::from_secs(60);
/// How often it tries.
pub const JOIN_RETRY: Duration = Duration::from_millis(50);
/// How often a standby looks whether the store is free.
pub const STANDBY_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked whether a backup is due.
pub const BACKUP_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How often whoever waits to work on the backups looks whether another vault has ended.
pub const BACKUP_TURN_RETRY: Duration = Duration::from_millis(50);

const _: () = assert!(*ANSWER_HOURS.start() * 3_600 > TICKET_SECONDS_MAX + CLOCK_DIFFERENCE_MAX.as_secs());
const _: () = assert!(PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX);
