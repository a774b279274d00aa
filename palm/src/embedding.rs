//! From a region of interest to an embedding: 256 numbers whose inner product tells palms apart.

use volar_core::id::ModelId;
use volar_core::template::{EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, TemplateError};
use zeroize::Zeroizing;

use crate::orientation::{HalfPicture, LineResponses};
use crate::roi::RegionOfInterest;
use crate::roi_normalize::normalize;
use crate::template_parameters::MODEL;

/// Why a region of interest gives no template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbeddingError {
    /// Uniform: a wall, a blown-out palm, a covered lens.
    #[error("region of interest shows no lines: contrast {contrast:.2} grey levels, must be at least 0.3")]
    Featureless {
        /// Root-mean-square contrast in grey levels, light taken away.
        contrast: f32,
    },
    /// Mostly darkness behind the hand: the region lies beside the palm.
    #[error("region of interest is {:.0} % background, may be at most half", 100.0 * share)]
    Background {
        /// Share of pixels that are not skin.
        share: f32,
    },
    /// The numbers made of it are no embedding.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Makes embeddings. Two of them compare only when the same [`ModelId`] made both.
pub trait Embedder: Send + Sync {
    /// Which model this is.
    fn model(&self) -> ModelId;

    /// The embedding of `roi`: the same for the same pixels, always.
    fn embed(&self, roi: &RegionOfInterest) -> Result<Embedding, EmbeddingError>;
}

/// Hand-crafted embedder: how strongly, and which way, lines run in each part of the palm.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilterEmbedder;

impl Embedder for FilterEmbedder {
    fn model(&self) -> ModelId {
        MODEL.parse().expect("the model's name is a slug")
    }

    fn embed(&self, roi: &RegionOfInterest) -> Result<Embedding, EmbeddingError> {
        let responses = LineResponses::new(&HalfPicture::new(&normalize(roi)?));
        let mut pooled = Zeroizing::new([0.0; EMBEDDING_DIMENSIONS]);
        for (i, cell) in responses.cells().iter().enumerate() {
            let (row, column) = (i / FIELD_SIDE * 8 / FIELD_SIDE, i % FIELD_SIDE * 16 / FIELD_SIDE);
            let part = row * 16 + column;
            for (orientation, response) in cell.iter().enumerate() {
                let (sine, cosine) = (orientation as f32 * std::f32::consts::PI / 3.0).sin_cos();
                pooled[2 * part] += cosine * response;
                pooled[2 * part + 1] += sine * response;
            }
        }
        Ok(Embedding::normalized(&*pooled)?)
    }
}
