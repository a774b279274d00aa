//! The sensor's own thread: waits for frames, lets the guide see those that a session needs, and lets each go. A frame
//! lives as long as one turn of the loop; no pixel is written anywhere.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use volar_core::clock::{Clock, Timestamp};
use volar_palm::frame::Frame;
use volar_palm::guided::{Guide, Observation};
use volar_palm::sensor::Sensor;
use zeroize::Zeroizing;

use crate::kiosk::Kiosk;
use crate::parameters::{LIVE_PICTURES_PER_SECOND, LIVE_WIDTH, SENSOR_REST, SENSOR_RETRY};
use crate::session::Next;

/// Makes something of frames. The palm crate's [`Guide`] is one; tests script theirs.
pub trait Observer: Send {
    /// Takes in the next frame.
    fn observe(&mut self, frame: &Frame) -> Observation;
    /// Lets the hand that is there be captured again.
    fn rearm(&mut self);
    /// Forgets every frame.
    fn reset(&mut self);
}

impl Observer for Guide {
    fn observe(&mut self, frame: &Frame) -> Observation {
        Guide::observe(self, frame)
    }

    fn rearm(&mut self) {
        Guide::rearm(self);
    }

    fn reset(&mut self) {
        Guide::reset(self);
    }
}

/// Runs the loop until `shutdown`.
pub fn spawn(
    sensor: Box<dyn Sensor>,
    observer: Box<dyn Observer>,
    kiosk: Arc<Kiosk>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let mut turns = Loop { sensor, observer, kiosk, clock, capture: None, pictured_at: None };
    std::thread::Builder::new().name("sensor".to_owned()).spawn(move || {
        while !shutdown.is_cancelled() {
            turns.turn();
        }
    })
}

struct Loop {
    sensor: Box<dyn Sensor>,
    observer: Box<dyn Observer>,
    kiosk: Arc<Kiosk>,
    clock: Arc<dyn Clock>,
    /// The capture that the guide has been watching for.
    capture: Option<u64>,
    pictured_at: Option<Timestamp>,
}

impl Loop {
    fn turn(&mut self) {
        let frame = match self.sensor.next_frame() {
            Ok(frame) => frame,
            Err(error) => {
                self.kiosk.sensor_failed(&error);
                self.forget();
                std::thread::sleep(SENSOR_RETRY);
                return;
            }
        };
        self.kiosk.sensor_works();
        let (watching, looked_at) = (self.kiosk.watching(), self.kiosk.is_picture_wanted());
        if watching != self.capture {
            self.observer.reset();
            self.capture = watching;
        }
        if let Some(number) = watching {
            let seen = self.observer.observe(&frame);
            if self.kiosk.observe(number, seen, (frame.width(), frame.height())) == Next::Rearm {
                self.observer.rearm();
            }
        }
        if looked_at {
            self.show(&frame);
        } else {
            self.forget();
        }
        drop(frame);
        if watching.is_none() && !looked_at {
            std::thread::sleep(SENSOR_REST);
        }
    }

    fn show(&mut self, frame: &Frame) {
        let now = self.clock.now();
        let interval = Duration::from_secs(1) / LIVE_PICTURES_PER_SECOND;
        // A clock that jumped back must not stop the picture.
        let due = self.pictured_at.is_none_or(|last| now.since(last) >= interval || last > now);
        if !due {
            return;
        }
        self.pictured_at = Some(now);
        match frame.to_jpeg(LIVE_WIDTH) {
            Ok(jpeg) => self.kiosk.show(Some(Zeroizing::new(jpeg))),
            Err(error) => tracing::warn!(%error, "no live picture"),
        }
    }

    fn forget(&mut self) {
        if self.pictured_at.take().is_some() {
            self.kiosk.show(None);
        }
    }
}
