//! Infrared cameras through Video4Linux 2, read by OpenCV without converting: 16-bit cameras keep their depth.

use std::path::Path;
use std::sync::Arc;

use opencv::core::{self, Mat};
use opencv::prelude::*;
use opencv::videoio::{self, VideoCapture, VideoWriter};
use volar_core::clock::{Clock, Timestamp};

use super::{Camera, PixelFormat, Pluggable, SensorError};
use crate::frame::{Frame, FrameError};
use crate::raster::Raster;

/// What to ask a camera for. It may deliver the nearest size and rate it has, but no other format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) format: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: f64,
}

/// Opens the camera at `device`; unplugged, it is opened again when it is back.
pub(super) fn open(device: &Path, wish: Wish, clock: Arc<dyn Clock>) -> Result<Pluggable, SensorError> {
    let Wish { format, width, height, .. } = wish;
    let description = format!("camera {} ({format:?}, {width}x{height})", device.display());
    let device = device.to_owned();
    let connect = move || {
        let capture = connect(&device, wish)?;
        Ok(Box::new(V4l2 { capture, format, clock: clock.clone() }) as Box<dyn Camera>)
    };
    Pluggable::open(description, Box::new(connect))
}

struct V4l2 {
    capture: VideoCapture,
    format: PixelFormat,
    clock: Arc<dyn Clock>,
}

impl Camera for V4l2 {
    fn deliver(&mut self, sequence: u64) -> Option<Result<Frame, FrameError>> {
        let mut delivered = Mat::default();
        let read = self.capture.read(&mut delivered).unwrap_or(false) && !delivered.empty();
        read.then(|| frame(delivered, self.format, self.clock.now(), sequence))
    }
}

fn connect(device: &Path, wish: Wish) -> Result<VideoCapture, SensorError> {
    let device = device.to_owned();
    // OpenCV says no more than "not opened"; the system says why.
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(&device) {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => SensorError::Missing { device },
            std::io::ErrorKind::PermissionDenied => SensorError::Permission { device },
            _ => SensorError::Busy { device },
        });
    }
    let Some(text) = device.to_str() else { return Err(SensorError::Missing { device }) };
    let mut capture = match VideoCapture::from_file(text, videoio::CAP_V4L2) {
        Ok(capture) if capture.is_opened().unwrap_or(false) => capture,
        _ => return Err(SensorError::Busy { device }),
    };
    let fourcc = fourcc(wish.format);
    // The camera answers by what it delivers, so the answers here are of no use.
    for (property, value) in [
        (videoio::CAP_PROP_FOURCC, f64::from(fourcc)),
        (videoio::CAP_PROP_FRAME_WIDTH, f64::from(wish.width)),
        (videoio::CAP_PROP_FRAME_HEIGHT, f64::from(wish.height)),
        (videoio::CAP_PROP_FPS, wish.frame_rate),
        (videoio::CAP_PROP_CONVERT_RGB, 0.0),
        // One buffer: a guide must see the hand as it is now.
        (videoio::CAP_PROP_BUFFERSIZE, 1.0),
    ] {
        let _ = capture.set(property, value);
    }
    let delivers = capture.get(videoio::CAP_PROP_FOURCC).unwrap_or(0.0) as i32;
    if delivers == fourcc { Ok(capture) } else { Err(SensorError::Format { device, wanted: wish.format }) }
}

fn fourcc(format: PixelFormat) -> i32 {
    let [a, b, c, d] = match format {
        PixelFormat::Grey => ['G', 'R', 'E', 'Y'],
        PixelFormat::Y10 => ['Y', '1', '0', ' '],
        PixelFormat::Y16 => ['Y', '1', '6', ' '],
        PixelFormat::Mjpeg => ['M', 'J', 'P', 'G'],
    };
    VideoWriter::fourcc(a, b, c, d).expect("four letters are a code")
}

/// A frame of what OpenCV delivers for `format` when it does not convert.
fn frame(delivered: Mat, format: PixelFormat, captured_at: Timestamp, sequence: u64) -> Result<Frame, FrameError> {
    let (width, height) = (delivered.cols().max(0) as u32, delivered.rows().max(0) as u32);
    match (format, delivered.typ()) {
        (PixelFormat::Mjpeg, core::CV_8UC1) => Frame::decode(Raster::new(delivered).bytes(), captured_at, sequence),
        (PixelFormat::Grey, core::CV_8UC1) => {
            Frame::new(width, height, Raster::new(delivered).bytes().to_vec(), captured_at, sequence)
        }
        (PixelFormat::Y10 | PixelFormat::Y16, core::CV_16UC1) => {
            let bits = if format == PixelFormat::Y10 { 10 } else { 16 };
            let words = delivered.data_typed::<u16>().map_err(|_| FrameError::Depth { bits })?;
            Frame::from_16_bit(width, height, words, bits, captured_at, sequence)
        }
        // Some drivers convert whatever they are told; grey is in every channel of an infrared picture.
        (_, core::CV_8UC3) => {
            Frame::new(width, height, Raster::from_colour(delivered).bytes().to_vec(), captured_at, sequence)
        }
        (_, other) => Err(FrameError::Depth { bits: if other & 7 == core::CV_8U { 8 } else { 32 } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::clock::ManualClock;

    const NOON: Timestamp = Timestamp::from_unix_milliseconds(43_200_000);
    const WISH: Wish = Wish { format: PixelFormat::Grey, width: 640, height: 480, frame_rate: 30.0 };

    fn mat<T: opencv::core::DataType>(rows: i32, columns: i32, data: &[T]) -> Mat {
        Mat::new_rows_cols_with_data(rows, columns, data).expect("lengths agree").try_clone().expect("fits")
    }

    #[test]
    fn every_format_becomes_grey() {
        let grey = frame(mat(120, 160, &[77_u8; 160 * 120]), PixelFormat::Grey, NOON, 4).expect("grey");
        assert_eq!((grey.width(), grey.height(), grey.pixels()[0], grey.sequence()), (160, 120, 77, 4));
        let ten = frame(mat(120, 160, &[512_u16; 160 * 120]), PixelFormat::Y10, NOON, 0).expect("10 bits");
        assert_eq!(ten.pixels()[9], 128);
        let sixteen = frame(mat(120, 160, &[0x40ff_u16; 160 * 120]), PixelFormat::Y16, NOON, 0).expect("16 bits");
        assert_eq!(sixteen.pixels()[9], 0x40);
        let jpeg = grey.to_jpeg(160).expect("encodes");
        let motion = frame(mat(1, jpeg.len() as i32, &jpeg), PixelFormat::Mjpeg, NOON, 0).expect("a JPEG");
        assert!(motion.pixels()[9].abs_diff(77) < 3);
    }

    #[test]
    fn a_cut_or_foreign_delivery_is_refused() {
        assert!(frame(mat(1, 2, &[0xff_u8, 0xd8]), PixelFormat::Mjpeg, NOON, 0).is_err());
        assert!(frame(mat(120, 160, &[0_u16; 160 * 120]), PixelFormat::Grey, NOON, 0).is_err());
        assert!(frame(mat(2, 2, &[0_u8; 4]), PixelFormat::Grey, NOON, 0).is_err());
    }

    #[test]
    fn no_camera_says_what_to_do() {
        let clock = || Arc::new(ManualClock::new(NOON));
        let missing = open(Path::new("/dev/video-not-there"), WISH, clock()).err().expect("no such device");
        assert!(missing.to_string().contains("plug it in"), "{missing}");
        let other = open(Path::new("/dev/null"), WISH, clock()).err().expect("not a camera");
        assert!(other.to_string().contains("cannot be opened as a camera"), "{other}");
    }
}
