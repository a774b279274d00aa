//! From a region of interest to an embedding: 256 numbers whose inner product tells palms apart.

use volar_core::id::ModelId;
use volar_core::template::{Embedding, TemplateError};

use crate::palm_lines::PalmLines;
use crate::roi::RegionOfInterest;

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
    fn embed(&self, roi: &RegionOfInterest) -> Result<Embedded, EmbeddingError>;
}

/// What a region of interest says.
pub struct Embedded {
    /// Whose palm it is.
    pub embedding: Embedding,
    /// How clearly it says so, 0 to 1: how far the region is from the mean of all palms, in the directions in which palms
    /// differ. Palms nearer to it are missed more often. It does not tell a palm from what is none.
    pub clarity: f32,
}

/// The embedder of this version: what kiosk, gate and evaluation make templates with.
pub fn shipped() -> Box<dyn Embedder> {
    Box::new(PalmLines::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::region;
    use crate::roi::ROI_SIDE;

    /// The shipped one, read once.
    fn embedder() -> &'static dyn Embedder {
        static SHIPPED: std::sync::LazyLock<Box<dyn Embedder>> = std::sync::LazyLock::new(shipped);
        &**SHIPPED
    }

    fn cosine(a: &RegionOfInterest, b: &RegionOfInterest) -> f32 {
        let [a, b] = [a, b].map(|roi| embedder().embed(roi).expect("a palm").embedding);
        a.expose().iter().zip(b.expose()).map(|(a, b)| a * b).sum()
    }

    /// The region with each pixel changed.
    fn changed(roi: &RegionOfInterest, change: impl Fn(f32) -> f32) -> RegionOfInterest {
        let pixels = roi.pixels().iter().map(|&pixel| change(f32::from(pixel)) as u8).collect();
        RegionOfInterest::new(pixels).expect("the right number of pixels")
    }

    #[test]
    fn brightness_and_contrast_do_not_matter() {
        let roi = region(1, 0, |_| {});
        assert!(cosine(&roi, &changed(&roi, |pixel| pixel + 30.0)) > 0.99);
        assert!(cosine(&roi, &changed(&roi, |pixel| pixel * 1.7)) > 0.98);
    }

    #[test]
    fn shifts_and_turns_of_a_hand_in_the_air_are_borne() {
        let roi = region(2, 0, |_| {});
        let stranger = region(3, 0, |_| {});
        let unlike = cosine(&roi, &stranger);
        let moved = |x: f32, y: f32, degrees: f32| {
            region(2, 1, |presentation| {
                presentation.misalignment.shift = volar_synth::math::Point::new(x, y);
                presentation.misalignment.degrees = degrees;
            })
        };
        for (x, y, degrees) in
            [(0.04, 0.0, 0.0), (0.0, -0.04, 0.0), (0.03, 0.03, 3.0), (0.0, 0.0, 6.0), (0.0, 0.0, -6.0)]
        {
            let like = cosine(&roi, &moved(x, y, degrees));
            assert!(like > 0.3 && like > unlike + 0.2, "{x} {y} {degrees}: {like} against {unlike}");
        }
    }

    #[test]
    fn strangers_come_near_zero_and_mates_do_not() {
        let palms: Vec<_> = (1..=8).map(|person| [region(person, 0, |_| {}), region(person, 1, |_| {})]).collect();
        let mut sum = 0.0;
        for (i, one) in palms.iter().enumerate() {
            assert!(cosine(&one[0], &one[1]) > 0.35, "{i}");
            for (j, other) in palms.iter().enumerate().filter(|&(j, _)| j != i) {
                let unlike = cosine(&one[0], &other[1]);
                assert!(unlike.abs() < 0.35, "{i} {j}: {unlike}");
                sum += unlike;
            }
        }
        assert!((sum / 56.0_f32).abs() < 0.06, "mean {}", sum / 56.0);
    }

    #[test]
    fn a_mirrored_palm_is_a_stranger() {
        let roi = region(4, 0, |_| {});
        let mirrored = roi.pixels().chunks_exact(ROI_SIDE).flat_map(|row| row.iter().rev().copied()).collect();
        let mirrored = RegionOfInterest::new(mirrored).expect("the right number of pixels");
        assert!(cosine(&roi, &mirrored) < 0.5);
    }

    #[test]
    fn the_same_pixels_give_the_same_embedding() {
        let roi = region(5, 0, |_| {});
        let once = embedder().embed(&roi).expect("a palm").embedding;
        let again = std::thread::spawn(move || embedder().embed(&roi)).join().expect("no panic");
        let again = again.expect("a palm").embedding;
        assert_eq!(once.expose(), again.expose());
        let length: f32 = once.expose().iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-4 && once.expose().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn palms_differ_in_clarity() {
        let clarity = |person: u64| embedder().embed(&region(person, 0, |_| {})).expect("a palm").clarity;
        let mut clear: Vec<f32> = (1..=12).map(clarity).collect();
        clear.sort_by(f32::total_cmp);
        assert!(clear[0] > 0.2 && clear[11] <= 1.0 && clear[11] > clear[0] + 0.1, "{clear:?}");
    }

    #[test]
    fn a_flat_region_is_an_error_that_says_so() {
        let flat = RegionOfInterest::new(vec![128; ROI_SIDE * ROI_SIDE]).expect("the right number of pixels");
        let error = embedder().embed(&flat).err().expect("must be refused");
        assert!(matches!(error, EmbeddingError::Featureless { contrast } if contrast < 0.01), "{error:?}");
        assert!(error.to_string().contains("shows no lines"));
    }

    #[test]
    fn core_has_a_calibration_for_this_model() {
        assert!(volar_core::score::ScoreModel::for_model(&embedder().model()).is_ok());
    }
}
