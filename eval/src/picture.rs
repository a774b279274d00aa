//! Pictures of any size, depth and number of channels, as what the recognition takes: a grey frame, or a region of
//! interest.

use std::path::Path;

use opencv::core::{self, Mat, Size, Vector};
use opencv::prelude::*;
use opencv::{imgcodecs, imgproc};
use volar_core::clock::Timestamp;
use volar_palm::frame::{FRAME_MAX, FRAME_MIN, Frame};
use volar_palm::roi::{PALM_SIDE, ROI_MARGIN, ROI_SIDE, RegionOfInterest};

/// Shortest side of a palm square that is taken, in pixels: below it there is nothing to magnify.
pub const SQUARE_SIDE_MIN: i32 = 32;
/// A palm square may be so many times as wide as high, or the other way round.
const ASPECT_MAX: f64 = 1.25;

/// Why a file is no picture to measure.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Gone, or forbidden.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] std::io::Error),
    /// No format that is known, or damaged.
    #[error("not a readable picture (PNG, JPEG, BMP, TIFF, PGM or WebP), {bytes} bytes")]
    Undecodable {
        /// Length of the file.
        bytes: usize,
    },
    /// A palm square that is hardly one.
    #[error(
        "{width}x{height} pixels; a palm square must be at least {SQUARE_SIDE_MIN}x{SQUARE_SIDE_MIN} and about square"
    )]
    Square {
        /// Pixels across.
        width: i32,
        /// Pixels down.
        height: i32,
    },
    /// A frame so small or narrow that no hand is in it.
    #[error("{width}x{height} pixels; a frame must be at least 80x60, and at most 20 times as long as it is wide")]
    Frame {
        /// Pixels across.
        width: i32,
        /// Pixels down.
        height: i32,
    },
    /// OpenCV ran out of memory or worse.
    #[error("OpenCV cannot convert it: {0}")]
    OpenCv(#[from] opencv::Error),
}

/// Reads a picture as 8-bit grey. Deeper ones are scaled so that their brightest pixel keeps its place in its number
/// of bits: 10-bit pictures in 16-bit files are common.
pub fn read(path: &Path) -> Result<Mat, PictureError> {
    let bytes = std::fs::read(path)?;
    let undecodable = || PictureError::Undecodable { bytes: bytes.len() };
    if bytes.is_empty() {
        return Err(undecodable());
    }
    let flags = imgcodecs::IMREAD_GRAYSCALE | imgcodecs::IMREAD_ANYDEPTH;
    let picture = imgcodecs::imdecode(&Vector::from_slice(&bytes), flags).map_err(|_| undecodable())?;
    if picture.empty() {
        return Err(undecodable());
    }
    if picture.depth() == core::CV_8U {
        return Ok(picture);
    }
    let mut brightest = 0.0;
    core::min_max_loc(&picture, None, Some(&mut brightest), None, None, &core::no_array())?;
    let full = if picture.depth() == core::CV_16U {
        (brightest.max(1.0).log2().floor() as i32 + 1).max(8)
    } else {
        // Floating-point pictures have no number of bits.
        8
    };
    let scale = match picture.depth() {
        core::CV_16U => 1.0 / f64::from(1 << (full - 8)),
        _ => 255.0 / brightest.max(f64::MIN_POSITIVE),
    };
    let mut grey = Mat::default();
    picture.convert_to(&mut grey, core::CV_8U, scale, 0.0)?;
    Ok(grey)
}

/// A palm square that somebody cut already: brought to the region's size, its margins filled by reflection, since
/// there is no palm beyond it to fill them with.
pub fn region(picture: &Mat) -> Result<RegionOfInterest, PictureError> {
    let (width, height) = (picture.cols(), picture.rows());
    let aspect = f64::from(width) / f64::from(height.max(1));
    if width.min(height) < SQUARE_SIDE_MIN || !(1.0 / ASPECT_MAX..=ASPECT_MAX).contains(&aspect) {
        return Err(PictureError::Square { width, height });
    }
    let square = resized(picture, PALM_SIDE as i32, PALM_SIDE as i32)?;
    Ok(with_margins(square.data_bytes()?).expect("a palm square"))
}

/// A region of a palm square of [`PALM_SIDE`] x [`PALM_SIDE`] grey pixels, its margins filled by reflection about its
/// edge pixels; none for another number of pixels.
pub fn with_margins(square: &[u8]) -> Option<RegionOfInterest> {
    if square.len() != PALM_SIDE * PALM_SIDE {
        return None;
    }
    let last = PALM_SIDE - 1;
    let inner = |at: usize| match at.checked_sub(ROI_MARGIN) {
        None => ROI_MARGIN - at,
        Some(at) if at > last => 2 * last - at,
        Some(at) => at,
    };
    let pixel = |at: usize| square[inner(at / ROI_SIDE) * PALM_SIDE + inner(at % ROI_SIDE)];
    RegionOfInterest::new((0..ROI_SIDE * ROI_SIDE).map(pixel).collect())
}

/// A frame as a sensor would have delivered it: pictures beyond the sizes that sensors have are scaled to fit.
pub fn frame(picture: &Mat) -> Result<Frame, PictureError> {
    let (width, height) = (picture.cols(), picture.rows());
    let unfit = || PictureError::Frame { width, height };
    if width < FRAME_MIN.0 as i32 / 2 || height < FRAME_MIN.1 as i32 / 2 || width.max(height) / width.min(height) >= 20
    {
        return Err(unfit());
    }
    let (wide, high) = (f64::from(width), f64::from(height));
    let grow = (f64::from(FRAME_MIN.0) / wide).max(f64::from(FRAME_MIN.1) / high);
    let shrink = (f64::from(FRAME_MAX.0) / wide).min(f64::from(FRAME_MAX.1) / high);
    let scale = 1.0_f64.max(grow).min(shrink);
    let side = |length: f64, least: u32, most: u32| ((length * scale).round() as u32).clamp(least, most);
    let (across, down) = (side(wide, FRAME_MIN.0, FRAME_MAX.0), side(high, FRAME_MIN.1, FRAME_MAX.1));
    let fitting = resized(picture, across as i32, down as i32)?;
    let never = Timestamp::from_unix_milliseconds(0);
    Frame::new(across, down, fitting.data_bytes()?.to_vec(), never, 0).map_err(|_| unfit())
}

/// Smaller by means over areas, which does not alias; larger by cubic interpolation.
fn resized(picture: &Mat, width: i32, height: i32) -> Result<Mat, opencv::Error> {
    if (picture.cols(), picture.rows()) == (width, height) {
        return if picture.is_continuous() { Ok(picture.clone()) } else { picture.try_clone() };
    }
    let smaller = width < picture.cols() || height < picture.rows();
    let how = if smaller { imgproc::INTER_AREA } else { imgproc::INTER_CUBIC };
    let mut to = Mat::default();
    imgproc::resize(picture, &mut to, Size::new(width, height), 0.0, 0.0, how)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose grey tells its column, as wide as high times `wide / high`.
    fn ramp(width: i32, height: i32, kind: i32, most: f64) -> Mat {
        let mut picture =
            Mat::new_rows_cols_with_default(height, width, kind, core::Scalar::default()).expect("memory");
        for column in 0..width {
            let grey = core::Scalar::all(most * f64::from(column) / f64::from(width - 1));
            picture.col_mut(column).expect("a column").set_to(&grey, &core::no_array()).expect("set");
        }
        picture
    }

    fn written(picture: &Mat, name: &str) -> Result<Mat, PictureError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        let text = path.to_str().expect("a plain name");
        assert!(imgcodecs::imwrite(text, picture, &Vector::new()).expect("writable"));
        read(&path)
    }

    #[test]
    fn palm_squares_of_any_size_and_channels_become_regions() {
        for (width, height, kind) in [(128, 128, core::CV_8UC1), (300, 280, core::CV_8UC3), (64, 64, core::CV_8UC4)] {
            let region = region(&written(&ramp(width, height, kind, 255.0), "a.png").expect("read")).expect("square");
            let at = |column: usize| f64::from(region.pixel(76, column + ROI_MARGIN));
            assert!(at(0) < 4.0 && (at(64) - 128.0).abs() < 4.0 && at(127) > 251.0, "{width}x{height}");
            // Reflected, the edge pixel not repeated.
            assert_eq!(region.pixel(76, ROI_MARGIN - 5), region.pixel(76, ROI_MARGIN + 5));
            assert_eq!(region.pixels().len(), ROI_SIDE * ROI_SIDE);
        }
        for (width, height) in [(31, 31), (128, 90), (90, 128)] {
            assert!(matches!(region(&ramp(width, height, core::CV_8UC1, 255.0)), Err(PictureError::Square { .. })));
        }
    }

    #[test]
    fn deep_pictures_keep_their_light() {
        let ten_bits = written(&ramp(200, 160, core::CV_16UC1, 1000.0), "a.png").expect("read");
        assert_eq!(ten_bits.typ(), core::CV_8UC1);
        assert_eq!(*ten_bits.at_2d::<u8>(3, 199).expect("a pixel"), 250);
        let dark = written(&ramp(200, 160, core::CV_16UC1, 100.0), "a.png").expect("read");
        assert_eq!(*dark.at_2d::<u8>(3, 199).expect("a pixel"), 100);
    }

    #[test]
    fn frames_beyond_what_sensors_deliver_are_scaled() {
        for ((width, height), fits) in
            [((640, 480), (640, 480)), ((100, 120), (160, 192)), ((5000, 2500), (4096, 2048)), ((120, 90), (160, 120))]
        {
            let frame = frame(&ramp(width, height, core::CV_8UC1, 255.0)).expect("a frame");
            assert_eq!((frame.width(), frame.height()), fits);
        }
        assert!(matches!(frame(&ramp(70, 400, core::CV_8UC1, 255.0)), Err(PictureError::Frame { .. })));
    }

    #[test]
    fn what_is_no_picture_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.png");
        assert!(matches!(read(&path), Err(PictureError::Unreadable(_))));
        for bytes in [&b""[..], b"no picture at all", &[0x89, b'P', b'N', b'G']] {
            std::fs::write(&path, bytes).expect("writable");
            assert!(matches!(read(&path), Err(PictureError::Undecodable { .. })), "{bytes:?}");
        }
    }
}
