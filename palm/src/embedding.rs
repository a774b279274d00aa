//! From a region of interest to an embedding: 256 numbers whose inner product tells palms apart.

use volar_core::id::ModelId;
use volar_core::template::{EMBEDDING_DIMENSIONS, Embedding, TemplateError};
use zeroize::Zeroizing;

use crate::line_features::line_features;
use crate::projection;
use crate::roi::RegionOfInterest;
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

/// Hand-crafted embedder: which way dark and bright lines run in each part of the palm, projected onto the 256
/// directions that best tell made-up palms apart (linear discriminant analysis; no picture of a person went into it).
///
/// Bears the shifts (±6 % of the palm) and turns (±10 degrees) of a hand in the air; strangers come near a cosine of 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilterEmbedder;

impl Embedder for FilterEmbedder {
    fn model(&self) -> ModelId {
        MODEL.parse().expect("the model's name is a slug")
    }

    fn embed(&self, roi: &RegionOfInterest) -> Result<Embedding, EmbeddingError> {
        let features = line_features(roi)?;
        let mut projected = Zeroizing::new([0.0; EMBEDDING_DIMENSIONS]);
        for (dimension, value) in projected.iter_mut().enumerate() {
            *value = projection::onto(dimension, &features);
        }
        Ok(Embedding::normalized(&*projected)?)
    }
}
