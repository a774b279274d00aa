//! Local normalisation: takes away the light and leaves creases, veins and ridges at one contrast everywhere.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::embedding::EmbeddingError;
use crate::roi::{PALM_SIDE, ROI_MARGIN, ROI_SIDE, RegionOfInterest};
use crate::template_parameters::{
    BACKGROUND_REACH, BACKGROUND_SHARE, CLIP, CONTRAST_FLOOR, CONTRAST_MIN, CONTRAST_SHARE, HALF_SIDE, MEAN_SHARE,
    SKIN_SHARE_MIN,
};

/// A region of interest of local mean 0 and local standard deviation about 1, clipped to ±3: row-major,
/// [`ROI_SIDE`] x [`ROI_SIDE`]. Creases and veins are negative; what is not skin is 0.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NormalizedRoi(Vec<f32>);

impl NormalizedRoi {
    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// Subtracts a Gaussian mean and divides by a Gaussian standard deviation, floored at a share of the whole region's;
/// both over skin only, so that the dark behind the hand's edge has no say.
///
/// The result hardly changes when the region's brightness or contrast does. A region without contrast, or mostly
/// without skin, is an error.
pub fn normalize(roi: &RegionOfInterest) -> Result<NormalizedRoi, EmbeddingError> {
    let skin = skin(roi)?;
    let mut detail = Zeroizing::new(roi.pixels().iter().map(|&pixel| f32::from(pixel)).collect::<Vec<f32>>());
    let mean = local_mean(&detail, &skin, MEAN_SHARE);
    for ((value, mean), skin) in detail.iter_mut().zip(mean.iter()).zip(skin.iter()) {
        *value = (*value - mean) * skin;
    }
    let square = Zeroizing::new(detail.iter().map(|value| value * value).collect::<Vec<f32>>());
    let contrast = (square.iter().sum::<f32>() / skin.iter().sum::<f32>()).sqrt();
    if contrast < CONTRAST_MIN {
        return Err(EmbeddingError::Featureless { contrast });
    }
    let variance = local_mean(&square, &skin, CONTRAST_SHARE);
    for (value, variance) in detail.iter_mut().zip(variance.iter()) {
        *value = (*value / variance.max(0.0).sqrt().max(CONTRAST_FLOOR * contrast)).clamp(-CLIP, CLIP);
    }
    Ok(NormalizedRoi(std::mem::take(&mut *detail)))
}

/// A square picture, row by row, zeroed on drop.
pub(crate) type Picture = Zeroizing<Vec<f32>>;

/// 1 where a pixel and its neighbours are skin, 0 elsewhere.
fn skin(roi: &RegionOfInterest) -> Result<Picture, EmbeddingError> {
    let dark = usize::from(median_of_palm(roi)) as f32 * BACKGROUND_SHARE;
    let mut skin = Zeroizing::new(vec![1.0; ROI_SIDE * ROI_SIDE]);
    for (at, _) in roi.pixels().iter().enumerate().filter(|&(_, &pixel)| f32::from(pixel) < dark) {
        let (row, column) = (at / ROI_SIDE, at % ROI_SIDE);
        for row in row.saturating_sub(BACKGROUND_REACH)..(row + BACKGROUND_REACH + 1).min(ROI_SIDE) {
            let start = row * ROI_SIDE;
            let columns = column.saturating_sub(BACKGROUND_REACH)..(column + BACKGROUND_REACH + 1).min(ROI_SIDE);
            skin[start + columns.start..start + columns.end].fill(0.0);
        }
    }
    let share = skin.iter().sum::<f32>() / skin.len() as f32;
    if share < SKIN_SHARE_MIN { Err(EmbeddingError::Background { share: 1.0 - share }) } else { Ok(skin) }
}

/// The palm square's median grey.
fn median_of_palm(roi: &RegionOfInterest) -> u8 {
    let mut counts = [0_usize; 256];
    for row in roi.pixels().chunks_exact(ROI_SIDE).skip(ROI_MARGIN).take(PALM_SIDE) {
        row[ROI_MARGIN..ROI_MARGIN + PALM_SIDE].iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
    }
    let mut below = 0;
    let median = counts.iter().position(|count| {
        below += count;
        2 * below >= PALM_SIDE * PALM_SIDE
    });
    counts.zeroize();
    median.expect("all pixels are counted") as u8
}

/// Gaussian mean of `picture` over skin, its deviation a `share` of the palm square. A mean varies slowly, so it is
/// worked out at half the size.
fn local_mean(picture: &[f32], skin: &[f32], share: f32) -> Picture {
    let sigma = share * PALM_SIDE as f32;
    let on_skin = Zeroizing::new(picture.iter().zip(skin).map(|(value, skin)| value * skin).collect::<Vec<f32>>());
    let sum = blurred(&halved(&on_skin), sigma / 2.0);
    let weight = blurred(&halved(skin), sigma / 2.0);
    let mean: Vec<f32> = sum.iter().zip(weight.iter()).map(|(sum, weight)| sum / weight.max(1e-3)).collect();
    doubled(&Zeroizing::new(mean))
}

/// Means of 2 x 2 pixels: [`ROI_SIDE`] to [`HALF_SIDE`].
pub(crate) fn halved(picture: &[f32]) -> Picture {
    let mut half = Zeroizing::new(Vec::with_capacity(HALF_SIDE * HALF_SIDE));
    for pair in picture.chunks_exact(2 * ROI_SIDE) {
        let (upper, lower) = pair.split_at(ROI_SIDE);
        half.extend(upper.chunks_exact(2).zip(lower.chunks_exact(2)).map(|(a, b)| (a[0] + a[1] + b[0] + b[1]) / 4.0));
    }
    half
}

/// Linear interpolation back to [`ROI_SIDE`]: each pixel lies a quarter of the way between two of the half's.
fn doubled(half: &[f32]) -> Picture {
    let neighbours = |i: usize| {
        let other = if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(HALF_SIDE - 1) };
        (i / 2, other)
    };
    let mut picture = Zeroizing::new(Vec::with_capacity(ROI_SIDE * ROI_SIDE));
    let mut line = Zeroizing::new([0.0; HALF_SIDE]);
    for row in 0..ROI_SIDE {
        let (near, far) = neighbours(row);
        for (column, value) in line.iter_mut().enumerate() {
            *value = 0.75 * half[near * HALF_SIDE + column] + 0.25 * half[far * HALF_SIDE + column];
        }
        picture.extend((0..ROI_SIDE).map(|column| {
            let (near, far) = neighbours(column);
            0.75 * line[near] + 0.25 * line[far]
        }));
    }
    picture
}

/// Gaussian blur of a half-size picture to three standard deviations, mirrored at the edges.
fn blurred(half: &[f32], sigma: f32) -> Picture {
    let reach = (3.0 * sigma).ceil() as usize;
    let mut weights: Vec<f32> =
        (0..=2 * reach).map(|i| (-0.5 * ((i as f32 - reach as f32) / sigma).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);

    let mut down = Zeroizing::new(vec![0.0; half.len()]);
    for (row, to) in down.chunks_exact_mut(HALF_SIDE).enumerate() {
        for (i, weight) in weights.iter().enumerate() {
            let from = mirrored(row as isize + i as isize - reach as isize, HALF_SIDE) * HALF_SIDE;
            add_scaled(to, &half[from..from + HALF_SIDE], *weight);
        }
    }
    let mut across = Zeroizing::new(vec![0.0; half.len()]);
    let mut wide = Zeroizing::new(vec![0.0; HALF_SIDE + 2 * reach]);
    for (from, to) in down.chunks_exact(HALF_SIDE).zip(across.chunks_exact_mut(HALF_SIDE)) {
        for (i, value) in wide.iter_mut().enumerate() {
            *value = from[mirrored(i as isize - reach as isize, HALF_SIDE)];
        }
        for (i, weight) in weights.iter().enumerate() {
            add_scaled(to, &wide[i..i + HALF_SIDE], *weight);
        }
    }
    across
}

/// Adds `weight` times each value of `from` to the one in its place.
pub(crate) fn add_scaled(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

/// A picture of `side` x `side` with `margin` mirrored pixels on each of its sides.
pub(crate) fn with_margin(picture: &[f32], side: usize, margin: usize) -> Picture {
    let wide = side + 2 * margin;
    let index = |i: usize| mirrored(i as isize - margin as isize, side);
    let mut widened = Zeroizing::new(Vec::with_capacity(wide * wide));
    for row in (0..wide).map(index) {
        let row = &picture[row * side..][..side];
        widened.extend((0..wide).map(|column| row[index(column)]));
    }
    widened
}

/// The index within 0..`side` that mirrors `at` at the edge pixels' centres; `at` within one `side` of them.
pub(crate) fn mirrored(at: isize, side: usize) -> usize {
    let last = side as isize - 1;
    let folded = if at < 0 { -at } else { at };
    (if folded > last { 2 * last - folded } else { folded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slanted dark lines under light that falls off to the right.
    fn striped(brightness: f32, contrast: f32) -> RegionOfInterest {
        let pixel = |i: usize| {
            let (x, y) = ((i % ROI_SIDE) as f32, (i / ROI_SIDE) as f32);
            let light = brightness * (1.0 - 0.3 * x / ROI_SIDE as f32);
            (light - contrast * ((0.35 * (x + 0.5 * y)).sin().powi(8))) as u8
        };
        RegionOfInterest::new((0..ROI_SIDE * ROI_SIDE).map(pixel).collect()).expect("the right number of pixels")
    }

    #[test]
    fn light_and_contrast_hardly_matter() {
        let (usual, other) = (normalize(&striped(150.0, 60.0)), normalize(&striped(220.0, 90.0)));
        let (usual, other) = (usual.expect("striped"), other.expect("striped"));
        let apart = usual.values().iter().zip(other.values()).map(|(a, b)| (a - b).abs()).sum::<f32>();
        assert!(apart / (usual.values().len() as f32) < 0.05, "{apart}");
    }

    #[test]
    fn lines_are_negative_and_values_bounded() {
        let roi = striped(150.0, 60.0);
        let normalized = normalize(&roi).expect("striped");
        assert!(normalized.values().iter().all(|value| value.abs() <= CLIP));
        let (mut dark, mut light) = (0.0, 0.0);
        for (value, &pixel) in normalized.values().iter().zip(roi.pixels()) {
            if pixel < 90 { dark += value } else { light += value }
        }
        assert!(dark < 0.0 && light > 0.0, "{dark} {light}");
    }

    #[test]
    fn flat_regions_of_every_grey_are_featureless() {
        for grey in [0, 1, 90, 255] {
            let flat = RegionOfInterest::new(vec![grey; ROI_SIDE * ROI_SIDE]).expect("the right number of pixels");
            let error = normalize(&flat).err();
            assert!(matches!(error, Some(EmbeddingError::Featureless { .. })), "{grey}: {error:?}");
        }
    }

    #[test]
    fn darkness_behind_the_hand_has_no_say() {
        let whole = striped(150.0, 40.0);
        let mut cut = whole.pixels().to_vec();
        cut.chunks_exact_mut(ROI_SIDE).for_each(|row| row[ROI_SIDE - 25..].fill(6));
        let cut = RegionOfInterest::new(cut).expect("the right number of pixels");
        let (whole, cut) = (normalize(&whole).expect("striped"), normalize(&cut).expect("striped"));
        for row in 0..ROI_SIDE {
            assert!(cut.values()[(row + 1) * ROI_SIDE - 25..(row + 1) * ROI_SIDE].iter().all(|&value| value == 0.0));
            // Well inside, the same as without the cut.
            for at in row * ROI_SIDE..(row + 1) * ROI_SIDE - 80 {
                assert!((whole.values()[at] - cut.values()[at]).abs() < 0.1, "{row}");
            }
        }
    }

    #[test]
    fn a_region_beside_the_palm_is_background() {
        let mut pixels = vec![3; ROI_SIDE * ROI_SIDE];
        for (i, pixel) in pixels.iter_mut().enumerate().filter(|(i, _)| (40..112).contains(&(i % ROI_SIDE))) {
            *pixel = 140 + (i % 7) as u8;
        }
        let beside = RegionOfInterest::new(pixels).expect("the right number of pixels");
        assert!(matches!(normalize(&beside), Err(EmbeddingError::Background { .. })));
    }

    #[test]
    fn mirroring_folds_at_edge_pixels() {
        assert_eq!([-2, -1, 0, 3, 4, 5].map(|at| mirrored(at, 4)), [2, 1, 0, 3, 2, 1]);
    }
}
