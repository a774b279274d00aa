//! A recorded video as if a camera delivered it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use opencv::core::Mat;
use opencv::prelude::*;
use opencv::videoio::{self, VideoCapture};
use volar_core::clock::Clock;

use super::pacer::Pacer;
use super::{Sensor, SensorError};
use crate::frame::Frame;
use crate::raster::Raster;

/// Frames a second of a file that does not say.
const FRAME_RATE_UNKNOWN: f64 = 25.0;

pub(super) struct Video {
    path: PathBuf,
    capture: VideoCapture,
    pacer: Pacer,
    repeat: bool,
}

impl Video {
    pub(super) fn open(path: &Path, repeat: bool, clock: Arc<dyn Clock>) -> Result<Self, SensorError> {
        let capture = read(path)?;
        let told = capture.get(videoio::CAP_PROP_FPS).unwrap_or(0.0);
        let frame_rate = if (1.0..=120.0).contains(&told) { told } else { FRAME_RATE_UNKNOWN };
        Ok(Self { path: path.to_owned(), capture, pacer: Pacer::new(frame_rate, clock)?, repeat })
    }

    /// The next picture, or none at the end of the file.
    fn picture(&mut self) -> Result<Option<Raster>, SensorError> {
        let mut colour = Mat::default();
        let more = self
            .capture
            .read(&mut colour)
            .map_err(|error| SensorError::Driver { sensor: self.description(), reason: error.message })?;
        Ok((more && !colour.empty()).then(|| Raster::from_colour(colour)))
    }
}

impl Sensor for Video {
    fn next_frame(&mut self) -> Result<Frame, SensorError> {
        let (captured_at, sequence) = self.pacer.wait();
        let mut picture = self.picture()?;
        if picture.is_none() && self.repeat {
            self.capture = read(&self.path)?;
            picture = self.picture()?;
        }
        let picture = picture.ok_or_else(|| SensorError::Ended { path: self.path.clone() })?;
        let pixels = picture.bytes().to_vec();
        Frame::new(picture.width(), picture.height(), pixels, captured_at, sequence)
            .map_err(|source| SensorError::Frame { origin: self.description(), source })
    }

    fn description(&self) -> String {
        format!("video {}", self.path.display())
    }
}

fn read(path: &Path) -> Result<VideoCapture, SensorError> {
    let unreadable = |reason: String| SensorError::Unreadable { path: path.to_owned(), reason };
    // OpenCV says no more than "not opened"; the system says why.
    std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let text = path.to_str().ok_or_else(|| unreadable("its name is not UTF-8".to_owned()))?;
    let capture = VideoCapture::from_file(text, videoio::CAP_FFMPEG).map_err(|error| unreadable(error.message))?;
    if capture.is_opened().unwrap_or(false) { Ok(capture) } else { Err(unreadable("not a video".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opencv::core::{Scalar, Size};
    use opencv::videoio::VideoWriter;
    use volar_core::clock::{ManualClock, Timestamp};

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(Timestamp::from_unix_milliseconds(0)))
    }

    /// Two frames, dark then bright.
    fn write(path: &Path) {
        let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').expect("four letters");
        let text = path.to_str().expect("UTF-8");
        let mut writer = VideoWriter::new(text, fourcc, 100.0, Size::new(320, 240), true).expect("writable");
        for grey in [40.0, 200.0] {
            let picture = Mat::new_rows_cols_with_default(240, 320, opencv::core::CV_8UC3, Scalar::all(grey));
            writer.write(&picture.expect("fits in memory")).expect("writable");
        }
        writer.release().expect("closes");
    }

    #[test]
    fn plays_to_its_end_or_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("two.avi");
        write(&path);
        let mut once = Video::open(&path, false, clock()).expect("a video");
        let greys: Vec<u8> = (0..2).map(|_| once.next_frame().expect("a frame").pixels()[500]).collect();
        assert!(greys[0].abs_diff(40) < 6 && greys[1].abs_diff(200) < 6, "{greys:?}");
        assert_eq!(once.next_frame().expect_err("over"), SensorError::Ended { path: path.clone() });
        let mut again = Video::open(&path, true, clock()).expect("a video");
        let greys: Vec<u8> = (0..3).map(|_| again.next_frame().expect("a frame").pixels()[500]).collect();
        assert!(greys[2].abs_diff(40) < 6, "{greys:?}");
    }

    #[test]
    fn what_is_no_video_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("no.avi");
        assert!(matches!(Video::open(&path, true, clock()), Err(SensorError::Unreadable { .. })));
        std::fs::write(&path, "not a video").expect("writable");
        assert!(matches!(Video::open(&path, true, clock()), Err(SensorError::Unreadable { .. })));
    }
}
