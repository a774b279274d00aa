//! A camera on a cable: opened again when it is back after it was unplugged.

use super::{Sensor, SensorError};
use crate::frame::{Frame, FrameError};

/// A camera that is open. Dropping it closes it.
pub trait Camera: Send {
    /// Waits for the next frame and numbers it `sequence`; `None` once the camera is gone.
    fn deliver(&mut self, sequence: u64) -> Option<Result<Frame, FrameError>>;
}

/// Opens the camera, or says why that cannot be now.
pub type Connect = Box<dyn FnMut() -> Result<Box<dyn Camera>, SensorError> + Send>;

/// A sensor over a camera that may be unplugged. It says so once, then at each call why the camera cannot be opened, and
/// delivers again once it can. Frames are numbered through.
pub struct Pluggable {
    description: String,
    connect: Connect,
    /// None while unplugged.
    camera: Option<Box<dyn Camera>>,
    sequence: u64,
}

impl Pluggable {
    /// Opens the camera for the first time.
    pub fn open(description: String, mut connect: Connect) -> Result<Self, SensorError> {
        let camera = Some(connect()?);
        Ok(Self { description, connect, camera, sequence: 0 })
    }
}

impl Sensor for Pluggable {
    fn next_frame(&mut self) -> Result<Frame, SensorError> {
        let camera = match &mut self.camera {
            Some(camera) => camera,
            none => none.insert((self.connect)()?),
        };
        let Some(delivered) = camera.deliver(self.sequence) else {
            // Closed before it is opened again: a device that is held cannot be had twice.
            self.camera = None;
            return Err(SensorError::Unplugged { sensor: self.description() });
        };
        self.sequence += 1;
        delivered.map_err(|source| SensorError::Frame { origin: self.description(), source })
    }

    fn description(&self) -> String {
        self.description.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use volar_core::clock::Timestamp;

    use super::*;

    /// What happens at the cable, one step a call.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        Frame,
        Broken,
        Pulled,
        Absent,
        Busy,
        Back,
    }
    use Step::{Absent, Back, Broken, Busy, Frame as Good, Pulled};

    #[derive(Clone)]
    struct Cable(Arc<Mutex<VecDeque<Step>>>, Arc<()>);

    impl Cable {
        fn next(&self) -> Step {
            self.0.lock().expect("nobody panics here").pop_front().expect("a step for each call")
        }
    }

    /// Holds a share of the device while it is open.
    struct OnCable(Cable);

    impl Camera for OnCable {
        fn deliver(&mut self, sequence: u64) -> Option<Result<Frame, FrameError>> {
            match self.0.next() {
                Good => Some(Frame::new(160, 120, vec![7; 160 * 120], Timestamp::from_unix_milliseconds(1), sequence)),
                Broken => Some(Err(FrameError::Undecodable { bytes: 3 })),
                Pulled => None,
                other => panic!("{other:?} is no delivery"),
            }
        }
    }

    fn plugged(steps: &[Step]) -> (Pluggable, Arc<()>) {
        let device = Arc::new(());
        let steps = [&[Back], steps].concat().into();
        let cable = Cable(Arc::new(Mutex::new(steps)), device.clone());
        // The connecting side itself holds two: this one and its own.
        let connect = move || {
            assert_eq!(Arc::strong_count(&cable.1), 2, "the camera is opened while it is still held");
            match cable.next() {
                Back => Ok(Box::new(OnCable(cable.clone())) as Box<dyn Camera>),
                Absent => Err(SensorError::Missing { device: "/dev/video0".into() }),
                Busy => Err(SensorError::Busy { device: "/dev/video0".into() }),
                other => panic!("{other:?} is no connecting"),
            }
        };
        (Pluggable::open("a camera".to_owned(), Box::new(connect)).expect("plugged in"), device)
    }

    #[test]
    fn a_camera_pulled_out_in_mid_stream_is_named_and_delivers_again_when_it_is_back() {
        // Busy: the system is still setting it up when it is first asked for.
        let steps = [Good, Good, Pulled, Absent, Absent, Busy, Back, Good, Good, Pulled, Back, Good];
        let (mut sensor, _device) = plugged(&steps);
        let mut said = Vec::new();
        // Connecting and the frame after it are one call.
        for _ in 0..steps.len() - 2 {
            said.push(match sensor.next_frame() {
                Ok(frame) => frame.sequence().to_string(),
                Err(SensorError::Unplugged { sensor }) => format!("{sensor} unplugged"),
                Err(SensorError::Missing { .. }) => "missing".to_owned(),
                Err(SensorError::Busy { .. }) => "busy".to_owned(),
                Err(other) => panic!("{other}"),
            });
        }
        let gone = "a camera unplugged";
        assert_eq!(said, ["0", "1", gone, "missing", "missing", "busy", "2", "3", gone, "4"]);
    }

    #[test]
    fn a_broken_frame_does_not_close_the_camera() {
        let (mut sensor, device) = plugged(&[Good, Broken, Good]);
        assert_eq!(sensor.next_frame().expect("a frame").sequence(), 0);
        assert!(matches!(sensor.next_frame(), Err(SensorError::Frame { .. })));
        assert_eq!(Arc::strong_count(&device), 3, "it was closed");
        assert_eq!(sensor.next_frame().expect("a frame").sequence(), 2, "a broken frame has its number");
    }

    #[test]
    fn one_that_was_never_there_is_not_opened() {
        let connect = || Err(SensorError::Missing { device: "/dev/video0".into() });
        assert!(matches!(Pluggable::open(String::new(), Box::new(connect)), Err(SensorError::Missing { .. })));
    }
}
