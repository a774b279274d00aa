//! Holds a driver that has no camera to a frame rate.

use std::sync::Arc;
use std::time::Duration;

use volar_core::clock::{Clock, Timestamp};

use super::SensorError;

/// Sleeps until the next frame is due by the clock.
pub(super) struct Pacer {
    clock: Arc<dyn Clock>,
    interval: Duration,
    due: Option<Timestamp>,
    sequence: u64,
}

impl Pacer {
    /// A pacer of `frame_rate` frames a second, 1 to 120.
    pub(super) fn new(frame_rate: f64, clock: Arc<dyn Clock>) -> Result<Self, SensorError> {
        if !(1.0..=120.0).contains(&frame_rate) {
            return Err(SensorError::FrameRate { found: frame_rate });
        }
        Ok(Self { clock, interval: Duration::from_secs_f64(1.0 / frame_rate), due: None, sequence: 0 })
    }

    /// Waits for the next frame's turn; its moment and number.
    pub(super) fn wait(&mut self) -> (Timestamp, u64) {
        let now = self.clock.now();
        let due = self.due.unwrap_or(now);
        // A clock that jumped back must not put the sensor to sleep for hours.
        std::thread::sleep(due.since(now).min(self.interval));
        // A slow reader gets fewer frames, not a burst of late ones.
        let captured_at = self.clock.now();
        let late = captured_at.since(due) > self.interval || due.since(captured_at) > self.interval;
        self.due = Some(if late { captured_at } else { due }.after(self.interval));
        let sequence = self.sequence;
        self.sequence += 1;
        (captured_at, sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::clock::ManualClock;

    #[test]
    fn frame_rates() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(0)));
        for refused in [0.0, 0.5, 121.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pacer::new(refused, clock.clone()).is_err(), "{refused}");
        }
        assert!(Pacer::new(25.0, clock).is_ok());
    }

    #[test]
    fn a_clock_that_jumps_back_costs_one_interval() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(86_400_000)));
        let mut pacer = Pacer::new(100.0, clock.clone()).expect("a fair rate");
        assert_eq!(pacer.wait(), (Timestamp::from_unix_milliseconds(86_400_000), 0));
        clock.set(Timestamp::from_unix_milliseconds(0));
        let before = std::time::Instant::now();
        assert_eq!(pacer.wait(), (Timestamp::from_unix_milliseconds(0), 1));
        assert_eq!(pacer.wait().1, 2);
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
