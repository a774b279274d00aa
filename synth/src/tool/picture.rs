//! PNG files.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use volar_synth::{GreyImage, SynthError};

/// Why the tool stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// A file or folder could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output is gone in another way than by its reader's closing it.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// A picture could not be encoded.
    #[error("cannot write {path} as PNG: {source}")]
    Png {
        /// Where.
        path: PathBuf,
        /// Why.
        source: png::EncodingError,
    },
    /// A size that cannot be rendered.
    #[error("{0}")]
    Render(#[from] SynthError),
    /// Crops are square.
    #[error("crops are square: give --size one number, such as 152, instead of {width}x{height}")]
    CropShape {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
    },
}

/// A bar on standard error that counts `things`.
pub(crate) fn progress(length: u64, things: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {things}, {{eta}} left");
    ProgressBar::new(length).with_style(ProgressStyle::with_template(&template).expect("a valid template"))
}

/// Writes `image` to `path` as 8-bit grey PNG.
pub(crate) fn write_png(path: &Path, image: &GreyImage) -> Result<(), ToolError> {
    let file = File::create(path).map_err(|source| ToolError::Write { path: path.into(), source })?;
    let pixels = |side: usize| u32::try_from(side).expect("sides are at most a few thousand");
    let mut encoder = png::Encoder::new(BufWriter::new(file), pixels(image.width), pixels(image.height));
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let encoded = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&image.pixels)?;
        writer.finish()
    });
    encoded.map_err(|source| ToolError::Png { path: path.into(), source })
}
