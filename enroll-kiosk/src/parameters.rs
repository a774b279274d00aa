//! Numbers of the kiosk that are no operator's choice, with what each rests on.

use std::time::Duration;

/// Live pictures a second. Guidance feels immediate from about 10 on; every further one costs a JPEG.
pub const LIVE_PICTURES_PER_SECOND: u32 = 12;
/// Width of a live picture in pixels: the panel is at most 960 CSS pixels wide, and the sensor's picture is soft.
pub const LIVE_WIDTH: u32 = 640;
/// Corners of the hand's outline that the page gets. A hand drawn with 120 looks like one drawn with 2,000.
pub const OUTLINE_POINTS_MAX: usize = 120;

/// Score from which two views of a capture are of one palm: 3 decades, so they are 1,000 times as likely to be of one
/// palm as of two, and a stranger's hand put in its place passes at most once in 1,000 times (a likelihood ratio is
/// that rare among strangers). Views of one hand moments apart lie far above; a genuine one that does not costs the
/// person a fresh start.
pub const SAME_PALM_SCORE: f32 = 3.0;

/// Most views that may be asked of a palm: at half a second and a capture each, nobody holds still for longer.
pub const VIEWS_MAX: usize = 12;

/// How often time is looked at: the countdown shows whole seconds.
pub const TICK: Duration = Duration::from_millis(250);
/// How long the sensor rests between looks while nobody needs it.
pub const SENSOR_REST: Duration = Duration::from_millis(250);
/// How long to wait before asking a sensor again that failed: replugging a camera takes seconds.
pub const SENSOR_RETRY: Duration = Duration::from_millis(500);

/// A call to vault or matcher that takes this long counts as unanswered. The longest honest one, a withdrawal that
/// waits for every matcher, is below 10 s.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(15);
/// How long one question for the duplicate verdict waits at the vault (which allows 10 s).
pub const VERDICT_WAIT: Duration = Duration::from_secs(4);
/// How long the person waits for the verdict before payment is linked meanwhile. It normally takes under a second.
pub const VERDICT_PATIENCE: Duration = Duration::from_secs(6);
/// How often the vault is asked for the gallery's protection while it answers.
pub const VAULT_CHECK: Duration = Duration::from_secs(5);
/// The same while it does not answer: the screen should recover at once.
pub const VAULT_CHECK_DOWN: Duration = Duration::from_secs(1);
/// First and longest pause between two attempts of a call.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// How long an abandoned enrollment whose answer got lost is pursued, so that it can be cancelled.
pub const UNRESOLVED_TIME_MAX: Duration = Duration::from_secs(60);

/// Palms shown for a removal before the kiosk points to a member of staff (NIST SP 800-63B-4: few tries in a row).
pub const REMOVAL_TRIES_MAX: u32 = 3;
/// Longest body of a request to the page's server: an answer to a payment form is far below.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Live connections at a time: the kiosk's browser needs one, a reload two for a moment, a technician some.
pub const LIVE_CONNECTIONS_MAX: usize = 8;

const _: () = assert!(VERDICT_WAIT.as_millis() < VERDICT_PATIENCE.as_millis());
const _: () = assert!(VERDICT_WAIT.as_millis() < CALL_TIME_MAX.as_millis());
