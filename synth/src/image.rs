//! Grey images.

/// An 8-bit grey image, row-major.
#[derive(Clone, PartialEq, Eq)]
pub struct GreyImage {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width * height` grey values, row by row.
    pub pixels: Vec<u8>,
}

impl std::fmt::Debug for GreyImage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "GreyImage({}x{})", self.width, self.height)
    }
}
