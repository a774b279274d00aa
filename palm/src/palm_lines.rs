//! The embedding: where which lines run, seen in the directions in which made-up palms differ most. `training/recognition/`
//! finds those.

use opencv::core::{self, Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;
use volar_core::id::ModelId;
use volar_core::template::Embedding;
use zeroize::Zeroizing;

use crate::embedding::{Embedded, Embedder, EmbeddingError};
use crate::line_means::{INPUT_SIDE, LINE_MEANS, LineMeans};
use crate::network::{Idle, Network};
use crate::raster::Raster;
use crate::roi::{PALM_SIDE, ROI_SIDE, RegionOfInterest};
use crate::roi_normalize::with_margin;
use crate::template_parameters::{
    CLARITY, CLIP, CONTRAST_FLOOR, CONTRAST_MIN, CONTRAST_SHARE, MEAN_SHARE, MODEL, TURNS_DEGREES,
};
use crate::turned::turned;

static MODEL_FILE: &[u8] = include_bytes!("../models/palm-lines-3.onnx");
/// Side of the palm square that is looked at.
const SIDE: usize = 96;
/// Pixels around it, mirrored.
const MARGIN: usize = (INPUT_SIDE - SIDE) / 2;
/// Side of the region of interest, shrunk so that the palm square in it has [`SIDE`].
const SMALL_SIDE: usize = SIDE * ROI_SIDE / PALM_SIDE;
const _: () = assert!(SMALL_SIDE * PALM_SIDE == SIDE * ROI_SIDE, "the palm square shrinks to whole pixels");

/// The embedder of this version: the mean of what is seen of the palm turned a little either way. Bears shifts of 4 % of the
/// palm and turns of 6 degrees; strangers come near a cosine of 0. Serves any number of threads.
pub(crate) struct PalmLines {
    line_means: LineMeans,
    /// Of what differs most among palms, in the directions in which it does.
    directions: Idle<Network>,
}

impl PalmLines {
    /// One that has read its model.
    pub(crate) fn new() -> Self {
        let directions = || Network::new(MODEL_FILE, &[1, LINE_MEANS as i32]);
        Self { line_means: LineMeans::new(), directions: Idle::new(directions) }
    }
}

impl Embedder for PalmLines {
    fn model(&self) -> ModelId {
        MODEL.parse().expect("the model's name is a slug")
    }

    fn embed(&self, roi: &RegionOfInterest) -> Result<Embedded, EmbeddingError> {
        let side = ROI_SIDE as u32;
        let small = Raster::from_pixels(side, side, roi.pixels()).resized(SMALL_SIDE as u32, SMALL_SIDE as u32);
        let small = Zeroizing::new(small.bytes().iter().map(|&pixel| f32::from(pixel)).collect::<Vec<f32>>());
        let look = |degrees| normalized(&turned(&small, SMALL_SIDE, SIDE, degrees));
        let looks = TURNS_DEGREES.into_iter().map(look).collect::<Result<Vec<_>, _>>()?;
        // The directions are read once, of the mean of both looks, because that is the mean of what they say of each.
        let line_means = self.line_means.of(&looks);
        let mut outputs = self.directions.with(|network| network.run(&line_means));
        let numbers = outputs.remove(0);
        let length = numbers.iter().map(|value| value * value).sum::<f32>().sqrt();
        let (none, most) = CLARITY;
        let clarity = ((length - none) / (most - none)).clamp(0.0, 1.0);
        Ok(Embedded { embedding: Embedding::normalized(&numbers)?, clarity })
    }
}

/// The palm square as the directions were learnt from it, step by step what `training/recognition/stream.py` does: local mean
/// 0, local standard deviation about 1, clipped, mirrored beyond its edges.
fn normalized(square: &[f32]) -> Result<Zeroizing<Vec<f32>>, EmbeddingError> {
    let mut detail = Plane::of(square);
    let mean = detail.blurred(MEAN_SHARE);
    for (value, mean) in detail.values_mut().iter_mut().zip(mean.values()) {
        *value -= mean;
    }
    let mut square = detail.copied();
    square.values_mut().iter_mut().for_each(|value| *value *= *value);
    let contrast = (square.values().iter().sum::<f32>() / (SIDE * SIDE) as f32).sqrt();
    if contrast < CONTRAST_MIN {
        return Err(EmbeddingError::Featureless { contrast });
    }
    let variance = square.blurred(CONTRAST_SHARE);
    for (value, variance) in detail.values_mut().iter_mut().zip(variance.values()) {
        *value = (*value / variance.sqrt().max(CONTRAST_FLOOR * contrast)).clamp(-CLIP, CLIP);
    }
    Ok(with_margin(detail.values(), SIDE, MARGIN))
}

/// A picture of 32-bit floats, zeroed on drop.
struct Plane(Mat);

impl Plane {
    /// A square of grey values.
    fn of(greys: &[f32]) -> Self {
        let view = Mat::new_rows_cols_with_data(SIDE as i32, SIDE as i32, greys).expect("a square of them");
        Self(view.try_clone().expect("OpenCV copies any picture that fits in memory"))
    }

    fn copied(&self) -> Self {
        Self(self.0.try_clone().expect("OpenCV copies any picture that fits in memory"))
    }

    /// Gaussian mean; its deviation is `share` of the side.
    fn blurred(&self, share: f32) -> Self {
        let sigma = f64::from(share) * SIDE as f64;
        let window = 2 * (3.0 * sigma).round() as i32 + 1;
        let mut to = Mat::default();
        imgproc::gaussian_blur(&self.0, &mut to, Size::new(window, window), sigma, sigma, core::BORDER_REFLECT_101)
            .expect("OpenCV blurs floats with any odd window");
        Self(to)
    }

    fn values(&self) -> &[f32] {
        self.0.data_typed().expect("planes are continuous floats")
    }

    fn values_mut(&mut self) -> &mut [f32] {
        self.0.data_typed_mut().expect("planes are continuous floats")
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(self.values_mut());
    }
}

#[cfg(test)]
mod tests {
    use volar_core::template::Position;
    use volar_synth::{Condition, Palm, Presentation};

    use super::*;

    /// What `training/recognition/export.py` keeps beside the model.
    #[derive(serde::Deserialize)]
    struct Kept {
        embeddings: std::collections::BTreeMap<String, Vec<f32>>,
    }

    #[test]
    fn palms_have_the_embeddings_that_training_gave_them() {
        let kept: Kept = serde_json::from_str(include_str!("../models/palm-lines-3.json")).expect("kept by export.py");
        assert!(!kept.embeddings.is_empty());
        let embedder = PalmLines::new();
        for (name, expected) in &kept.embeddings {
            let mut words = name.split('_');
            let person = words.next().and_then(|word| word.parse().ok()).expect("a file's name starts with a person");
            let position = if words.next() == Some("l") { Position::Left } else { Position::Right };
            let presentation = Presentation::of_scene(person, position, 0, Condition::Good);
            let image = Palm::of(person, position).crop(&presentation, ROI_SIDE).expect("a usual side");
            let roi = RegionOfInterest::new(image.pixels).expect("the right number of pixels");
            let embedding = embedder.embed(&roi).expect("a palm").embedding;
            let apart = embedding.expose().iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{name}: {apart} apart");
        }
    }
}
