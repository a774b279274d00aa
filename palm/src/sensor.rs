//! Where frames come from: one trait, four drivers.

mod folder;
mod pacer;
mod pluggable;
mod simulated;
mod stage;
mod v4l2;
mod video;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use volar_core::clock::Clock;

use crate::frame::{Frame, FrameError};
pub use pluggable::{Camera, Connect, Pluggable};
pub use stage::{Scene, Stage};

/// Delivers frames, one after another.
pub trait Sensor: Send {
    /// Waits for the next frame.
    ///
    /// After an error the sensor may be asked again: one that was unplugged delivers again once it is back.
    fn next_frame(&mut self) -> Result<Frame, SensorError>;

    /// What it is, for a person: driver, device or path, size.
    fn description(&self) -> String;
}

/// Which sensor to open, as configuration files say it (`kind = "v4l2"`, `"folder"`, `"video"` or `"simulated"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SensorConfig {
    /// An infrared camera through Video4Linux 2.
    #[serde(rename = "v4l2")]
    V4l2 {
        /// The device, such as `/dev/video0` or a stable name under `/dev/v4l/by-id/`.
        device: PathBuf,
        /// Its pixel format.
        #[serde(default)]
        format: PixelFormat,
        /// Pixels across to ask for.
        #[serde(default = "default_width")]
        width: u32,
        /// Pixels down to ask for.
        #[serde(default = "default_height")]
        height: u32,
        /// Frames a second to ask for.
        #[serde(default = "default_frame_rate")]
        frame_rate: f64,
    },
    /// The pictures (JPEG, PNG, BMP) of a folder, in the order of their names, again and again.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Frames a second.
        #[serde(default = "default_frame_rate")]
        frame_rate: f64,
        /// Whether it starts with playing every picture; otherwise it starts dark and waits for its stage.
        #[serde(default = "yes")]
        autoplay: bool,
    },
    /// A video file.
    Video {
        /// The file.
        path: PathBuf,
        /// Whether it starts again at its end; otherwise it then ends with [`SensorError::Ended`].
        #[serde(default = "yes")]
        repeat: bool,
    },
    /// Rendered hands, for demonstrations and tests.
    Simulated {
        /// Fixes every random choice of the renderer.
        #[serde(default)]
        seed: u64,
        /// Pixels across.
        #[serde(default = "default_width")]
        width: u32,
        /// Pixels down.
        #[serde(default = "default_height")]
        height: u32,
        /// Frames a second.
        #[serde(default = "default_frame_rate")]
        frame_rate: f64,
    },
}

impl SensorConfig {
    /// The folder or file that it plays, for who resolves relative paths. A device's path is the system's own.
    pub fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Folder { path, .. } | Self::Video { path, .. } => Some(path),
            Self::V4l2 { .. } | Self::Simulated { .. } => None,
        }
    }
}

/// How a camera delivers its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelFormat {
    /// 8-bit grey.
    #[default]
    #[serde(rename = "GREY")]
    Grey,
    /// 10-bit grey in 16-bit words.
    #[serde(rename = "Y10")]
    Y10,
    /// 16-bit grey.
    #[serde(rename = "Y16")]
    Y16,
    /// Motion-JPEG.
    #[serde(rename = "MJPG")]
    Mjpeg,
}

fn default_width() -> u32 {
    640
}

fn default_height() -> u32 {
    480
}

fn default_frame_rate() -> f64 {
    25.0
}

fn yes() -> bool {
    true
}

/// A sensor that is running, and the handle that says what is in front of it if that can be said.
pub struct Opened {
    /// The sensor.
    pub sensor: Box<dyn Sensor>,
    /// Present for folders and simulations.
    pub stage: Option<Stage>,
}

/// Opens the configured sensor. Frames carry `clock`'s time.
pub fn open(config: &SensorConfig, clock: Arc<dyn Clock>) -> Result<Opened, SensorError> {
    match config {
        SensorConfig::V4l2 { device, format, width, height, frame_rate } => {
            let wish = v4l2::Wish { format: *format, width: *width, height: *height, frame_rate: *frame_rate };
            let sensor = v4l2::open(device, wish, clock)?;
            Ok(Opened { sensor: Box::new(sensor), stage: None })
        }
        SensorConfig::Folder { path, frame_rate, autoplay } => {
            let sensor = folder::Folder::open(path, *frame_rate, *autoplay, clock)?;
            let stage = Some(sensor.stage());
            Ok(Opened { sensor: Box::new(sensor), stage })
        }
        SensorConfig::Video { path, repeat } => {
            let sensor = video::Video::open(path, *repeat, clock)?;
            Ok(Opened { sensor: Box::new(sensor), stage: None })
        }
        SensorConfig::Simulated { seed, width, height, frame_rate } => {
            let sensor = simulated::Simulated::open(*seed, *width, *height, *frame_rate, clock)?;
            let stage = Some(sensor.stage());
            Ok(Opened { sensor: Box::new(sensor), stage })
        }
    }
}

/// Why there is no frame, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SensorError {
    /// No such device.
    #[error("no camera at {}: plug it in, or set `device` to one that `v4l2-ctl --list-devices` names", .device.display())]
    Missing {
        /// The configured device.
        device: PathBuf,
    },
    /// The process may not open the device.
    #[error("no permission to use {}: add this service's user to the group `video`", .device.display())]
    Permission {
        /// The configured device.
        device: PathBuf,
    },
    /// Opening failed although the device is there.
    #[error("{} cannot be opened as a camera: close other programs that use it and check that `v4l2-ctl -d {} --all` says \"Video Capture\"", .device.display(), .device.display())]
    Busy {
        /// The configured device.
        device: PathBuf,
    },
    /// The camera delivers another pixel format.
    #[error("{} does not deliver {wanted:?}: choose a `format` that `v4l2-ctl -d {} --list-formats-ext` names", .device.display(), .device.display())]
    Format {
        /// The configured device.
        device: PathBuf,
        /// The configured format.
        wanted: PixelFormat,
    },
    /// It was there and is gone. The sensor tries again at each call.
    #[error("{sensor} has been unplugged: plug it in again")]
    Unplugged {
        /// The sensor's description.
        sensor: String,
    },
    /// A folder or file that cannot be read.
    #[error("{} cannot be read ({reason}): check the path and its permissions", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A folder without a single picture.
    #[error("{} holds no .jpg, .jpeg, .png or .bmp picture", .path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A staged picture outside the sensor's folder.
    #[error("{} is not inside the sensor's folder {}", .path.display(), .folder.display())]
    OutsideFolder {
        /// The picture.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// A scene of the other kind of stage: files for a simulation, rendered hands for a folder.
    #[error("a {sensor} sensor cannot show that scene")]
    WrongStage {
        /// `folder` or `simulated`.
        sensor: &'static str,
    },
    /// A video that does not repeat has come to its end.
    #[error("{} has ended", .path.display())]
    Ended {
        /// The file.
        path: PathBuf,
    },
    /// A frame rate that is not 1 to 120.
    #[error("a frame rate of {found} a second; must be 1 to 120")]
    FrameRate {
        /// Frames a second configured.
        found: f64,
    },
    /// What was delivered is no usable frame.
    #[error("{source} ({origin})")]
    Frame {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The simulator cannot render as configured.
    #[error("the simulated sensor cannot start: {reason}")]
    Simulation {
        /// What the simulator says.
        reason: String,
    },
    /// OpenCV reports a fault of its own.
    #[error("{sensor} failed in OpenCV: {reason}")]
    Driver {
        /// The sensor's description.
        sensor: String,
        /// OpenCV's words.
        reason: String,
    },
}
