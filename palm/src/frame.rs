//! One picture of a sensor: 8-bit grey, in memory only.

use std::fmt;

use imagesize::ImageType;
use opencv::core::{Mat, Vector};
use opencv::imgcodecs;
use opencv::prelude::*;
use volar_core::clock::Timestamp;
use zeroize::Zeroize;

use crate::raster::Raster;

/// Smallest frame: below this a palm has too few pixels for a template.
pub const FRAME_MIN: (u32, u32) = (160, 120);
/// Largest frame.
pub const FRAME_MAX: (u32, u32) = (4096, 4096);
/// JPEG quality of a live picture, 0 to 100.
const LIVE_JPEG_QUALITY: i32 = 80;

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Smaller than [`FRAME_MIN`] or larger than [`FRAME_MAX`].
    #[error("frame of {width}x{height} pixels; sensors must deliver 160x120 to 4096x4096")]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Another number of pixels than width times height.
    #[error("frame holds {found} pixels, {width}x{height} needs {expected}")]
    Length {
        /// Pixels received.
        found: usize,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pixels needed.
        expected: usize,
    },
    /// A depth that is not 9 to 16 bits.
    #[error("a 16-bit frame with {bits} significant bits; must be 9 to 16")]
    Depth {
        /// Significant bits announced.
        bits: u32,
    },
    /// No picture that can be read.
    #[error("not a readable JPEG, PNG or BMP picture ({bytes} bytes)")]
    Undecodable {
        /// Length of what was given.
        bytes: usize,
    },
    /// A live picture of no width was asked for.
    #[error("a live picture needs a width of at least one pixel")]
    NoWidth,
}

/// An 8-bit grey picture with its moment and number. Zeroed on drop; prints no pixel.
#[derive(Clone)]
pub struct Frame {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    captured_at: Timestamp,
    sequence: u64,
}

impl Frame {
    /// A frame of `width` x `height` grey `pixels`, row by row from the top left.
    pub fn new(
        width: u32,
        height: u32,
        pixels: Vec<u8>,
        captured_at: Timestamp,
        sequence: u64,
    ) -> Result<Self, FrameError> {
        let frame = Self { width, height, pixels, captured_at, sequence };
        check_size(width, height)?;
        check_length(width, height, frame.pixels.len())?;
        Ok(frame)
    }

    /// A frame of a sensor that delivers `bits` significant bits (9 to 16) in the low end of 16-bit words: the
    /// lowest bits are dropped, so that full scale stays full scale.
    pub fn from_16_bit(
        width: u32,
        height: u32,
        words: &[u16],
        bits: u32,
        captured_at: Timestamp,
        sequence: u64,
    ) -> Result<Self, FrameError> {
        if !(9..=16).contains(&bits) {
            return Err(FrameError::Depth { bits });
        }
        check_size(width, height)?;
        check_length(width, height, words.len())?;
        let pixels = words.iter().map(|word| (word >> (bits - 8)).min(255) as u8).collect();
        Self::new(width, height, pixels, captured_at, sequence)
    }

    /// A frame from a JPEG (a Motion-JPEG frame is one), PNG or BMP file's bytes. Colour becomes grey.
    pub fn decode(bytes: &[u8], captured_at: Timestamp, sequence: u64) -> Result<Self, FrameError> {
        let undecodable = || FrameError::Undecodable { bytes: bytes.len() };
        if bytes.is_empty() {
            return Err(undecodable());
        }
        let (width, height) = announced(bytes).ok_or_else(undecodable)?;
        if width > FRAME_MAX.0 || height > FRAME_MAX.1 {
            return Err(FrameError::Size { width, height });
        }
        let bytes_in = Mat::from_slice(bytes).map_err(|_| undecodable())?;
        let decoded = imgcodecs::imdecode(&bytes_in, imgcodecs::IMREAD_GRAYSCALE).map_err(|_| undecodable())?;
        if decoded.empty() {
            return Err(undecodable());
        }
        let decoded = Raster::new(decoded);
        Self::new(decoded.width(), decoded.height(), decoded.bytes().to_vec(), captured_at, sequence)
    }

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, row by row from the top left.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// When the sensor delivered it.
    pub fn captured_at(&self) -> Timestamp {
        self.captured_at
    }

    /// Its number in the sensor's stream, from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A grey JPEG of at most `width_max` pixels across for a live picture.
    pub fn to_jpeg(&self, width_max: u32) -> Result<Vec<u8>, FrameError> {
        if width_max == 0 {
            return Err(FrameError::NoWidth);
        }
        let width = self.width.min(width_max);
        let height = (u64::from(self.height) * u64::from(width) / u64::from(self.width)).max(1) as u32;
        let picture = Raster::of(self).resized(width, height);
        let mut jpeg = Vector::new();
        let parameters = Vector::from_slice(&[imgcodecs::IMWRITE_JPEG_QUALITY, LIVE_JPEG_QUALITY]);
        let written = imgcodecs::imencode(".jpg", picture.mat(), &mut jpeg, &parameters);
        assert!(written.expect("OpenCV has its own JPEG encoder"), "OpenCV encodes any 8-bit grey picture");
        Ok(jpeg.to_vec())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pixels.zeroize();
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Frame({}x{}, number {})", self.width, self.height, self.sequence)
    }
}

/// The size that a picture of a known kind says it has. OpenCV would decode any kind that it was built with, and take the
/// memory for any size, before either could be looked at.
fn announced(bytes: &[u8]) -> Option<(u32, u32)> {
    let size = imagesize::blob_size(bytes).ok()?;
    let side = |side: usize| u32::try_from(side).ok();
    let (width, height) = (side(size.width)?, side(size.height)?);
    match imagesize::image_type(bytes).ok()? {
        ImageType::Jpeg | ImageType::Png => Some((width, height)),
        // A negative height is one that counts from the top.
        ImageType::Bmp => Some((width, height.cast_signed().unsigned_abs())),
        _ => None,
    }
}

fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    let fits = width >= FRAME_MIN.0 && height >= FRAME_MIN.1 && width <= FRAME_MAX.0 && height <= FRAME_MAX.1;
    if fits { Ok(()) } else { Err(FrameError::Size { width, height }) }
}

fn check_length(width: u32, height: u32, found: usize) -> Result<(), FrameError> {
    let expected = width as usize * height as usize;
    if found == expected { Ok(()) } else { Err(FrameError::Length { found, width, height, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_unix_milliseconds(43_200_000);

    #[test]
    fn sizes_and_lengths() {
        let frame = |width, height, length| Frame::new(width, height, vec![0; length], NOON, 0);
        assert!(frame(160, 120, 160 * 120).is_ok());
        let error = frame(159, 120, 159 * 120).expect_err("too narrow");
        assert_eq!(error, FrameError::Size { width: 159, height: 120 });
        let error = frame(4097, 120, 0).expect_err("too wide");
        assert_eq!(error, FrameError::Size { width: 4097, height: 120 });
        let error = frame(160, 120, 7).expect_err("too short");
        assert_eq!(error, FrameError::Length { found: 7, width: 160, height: 120, expected: 19_200 });
    }

    #[test]
    fn deep_pixels_scale_and_saturate() {
        let mut words = vec![0_u16; 160 * 120];
        (words[0], words[1], words[2]) = (1023, 512, 2000);
        let frame = Frame::from_16_bit(160, 120, &words, 10, NOON, 3).expect("fits");
        assert_eq!(frame.pixels()[..4], [255, 128, 255, 0]);
        let error = Frame::from_16_bit(160, 120, &words, 8, NOON, 3).expect_err("8 bits need no scaling");
        assert_eq!(error, FrameError::Depth { bits: 8 });
    }

    #[test]
    fn jpeg_there_and_back() {
        let pixels: Vec<u8> = (0..320 * 240).map(|i| (i % 320 / 2) as u8).collect();
        let frame = Frame::new(320, 240, pixels, NOON, 0).expect("fits");
        let back = Frame::decode(&frame.to_jpeg(1000).expect("encodes"), NOON, 1).expect("decodes");
        assert_eq!((back.width(), back.height()), (320, 240));
        assert!(back.pixels().iter().zip(frame.pixels()).all(|(a, b)| a.abs_diff(*b) < 8));
        let small = Frame::decode(&frame.to_jpeg(160).expect("encodes"), NOON, 1).expect("decodes");
        assert_eq!((small.width(), small.height()), (160, 120));
        assert_eq!(frame.to_jpeg(0), Err(FrameError::NoWidth));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for bytes in [&b""[..], b"GIF89a", &[0xff, 0xd8, 0xff, 0xe0]] {
            let error = Frame::decode(bytes, NOON, 0).expect_err("no picture");
            assert_eq!(error, FrameError::Undecodable { bytes: bytes.len() });
        }
    }

    /// PNG, BMP from the bottom and from the top; too large a PNG and another kind, which are not decoded to find that out.
    #[test]
    fn a_picture_says_its_size_before_it_is_decoded() {
        let encode = |kind: &str, rows: i32| {
            let picture = Mat::new_rows_cols_with_default(rows, 200, opencv::core::CV_8UC1, 90.into()).expect("fits");
            let mut bytes = Vector::new();
            assert!(imgcodecs::imencode(kind, &picture, &mut bytes, &Vector::new()).expect("encodes"));
            bytes.to_vec()
        };
        let mut from_top = encode(".bmp", 150);
        let height = i32::from_le_bytes(from_top[0x16..0x1A].try_into().expect("four bytes"));
        from_top[0x16..0x1A].copy_from_slice(&(-height).to_le_bytes());
        for bytes in [encode(".png", 150), encode(".bmp", 150), from_top] {
            let frame = Frame::decode(&bytes, NOON, 0).expect("decodes");
            assert_eq!((frame.width(), frame.height(), frame.pixels()[0]), (200, 150, 90));
        }
        let mut vast = encode(".png", 150);
        vast[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let error = Frame::decode(&vast, NOON, 0).expect_err("four billion pixels");
        assert_eq!(error, FrameError::Size { width: 65_536, height: 65_536 });
        let tiff = encode(".tiff", 150);
        let error = Frame::decode(&tiff, NOON, 0).expect_err("no kind that sensors deliver");
        assert_eq!(error, FrameError::Undecodable { bytes: tiff.len() });
    }

    #[test]
    fn prints_no_pixel() {
        let frame = Frame::new(160, 120, vec![201; 160 * 120], NOON, 5).expect("fits");
        assert_eq!(format!("{frame:?}"), "Frame(160x120, number 5)");
    }
}
