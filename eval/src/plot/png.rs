//! From SVG to PNG, with a font of our own, so that a picture is the same on every machine.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels for each SVG unit.
const SCALE: f32 = 2.0;

/// Why a plot cannot be written as PNG.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The SVG is not one.
    #[error("a plot cannot be drawn: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// The picture cannot be held or encoded.
    #[error("a plot cannot be encoded: {0}")]
    Encode(String),
}

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../../fonts/DejaVuSans-subset.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../../fonts/DejaVuSans-Bold-subset.ttf").to_vec());
    Arc::new(fonts)
});

/// The picture of an SVG at twice its size.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, PlotError> {
    let options = Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree.size();
    let (width, height) = ((size.width() * SCALE).ceil() as u32, (size.height() * SCALE).ceil() as u32);
    let mut picture =
        Pixmap::new(width, height).ok_or_else(|| PlotError::Encode(format!("{width}x{height} pixels")))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().map_err(|error| PlotError::Encode(error.to_string()))
}
