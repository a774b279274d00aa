//! Tuned numbers, with where they come from.

use std::time::Duration;

/// One call's time before it is tried again under the same idempotency id. The slowest honest answer, a matcher's
/// search under load, is far below; a dead connection shows itself here.
pub(crate) const ATTEMPT_TIME_MAX: Duration = Duration::from_millis(1_000);
/// First pause before a call is tried again; doubled up to the longest. A matcher restarts in about a second.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause before a call is tried again.
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_millis(400);

/// First pause before the vault is asked again for the protection key at start; doubled up to the longest.
pub(crate) const KEY_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause before the vault is asked again at start.
pub(crate) const KEY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// One call's time to the vault.
pub(crate) const KEY_TIME_MAX: Duration = Duration::from_secs(3);

/// How often the matcher's health is asked while no person waits for it.
pub(crate) const HEALTH_PERIOD: Duration = Duration::from_secs(2);
/// How often while it does not answer: a person waits for the gate to work again.
pub(crate) const HEALTH_PERIOD_DOWN: Duration = Duration::from_millis(500);
/// Failures in a row before the screen says so: a restart of the matcher should pass unnoticed.
pub(crate) const HEALTH_FAILURES: u32 = 2;

/// A capture older than this when its turn comes is dropped and taken again: the gate must not open for somebody who
/// has gone.
pub(crate) const CAPTURE_AGE_MAX: Duration = Duration::from_millis(1_500);
/// Captures of one hand that the matcher may answer with RETRY before it must be taken away and shown again.
pub(crate) const TRIES_MAX: u32 = 3;
/// Time to read what to do differently before the next capture.
pub(crate) const RETRY_SHOWN: Duration = Duration::from_millis(1_200);
/// How long an admission stays on the screen unless somebody else shows a hand.
pub(crate) const ADMITTED_SHOWN: Duration = Duration::from_millis(3_000);
/// How long a refusal stays on the screen: time to read it and what else can be done.
pub(crate) const REFUSED_SHOWN: Duration = Duration::from_millis(6_000);
/// How long digits are waited for: to find the keys, type eight digits, and type them again. A lane must not stand still
/// for longer, and the matcher's challenge lasts a minute.
pub(crate) const KEYPAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Guidance that lasts shorter than this is not shown: text that flickers cannot be read.
pub(crate) const GUIDANCE_STEADY: Duration = Duration::from_millis(240);

/// Sightings that may wait for the agent: more than a camera's in the longest decision (60 a second for 10 seconds).
pub(crate) const SIGHTINGS_QUEUED: usize = 1_024;
/// Pause before a sensor that fails is asked again.
pub(crate) const SENSOR_PAUSE: Duration = Duration::from_millis(500);
/// Broken frames in a row that count as a lost sensor; one alone is passed over.
pub(crate) const BROKEN_FRAMES: u32 = 3;

/// Lines that may wait for whoever reads standard output; further ones are dropped and counted.
pub(crate) const LINES_QUEUED: usize = 1_024;
/// Pause before the hook is tried again.
pub(crate) const HOOK_PAUSE: Duration = Duration::from_millis(250);

/// Screens that look on at once: the gate's own, and a few of whoever looks after it.
pub(crate) const LIVE_CONNECTIONS_MAX: usize = 8;
