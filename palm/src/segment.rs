//! Which pixels are bright enough to be skin: near-infrared light falls on a near hand, not on what is behind it.

use crate::parameters::{
    EDGE_SHARE, GAP_SHARE, GAP_WINDOW, GLARE_RATIO, LOCAL_WINDOW, LOGARITHM_OFFSET, SEGMENT_CONTRAST_MIN,
};
use crate::raster::Raster;

/// A picture divided into skin and background.
pub(crate) struct Segmented {
    /// 255 where there may be skin, 0 elsewhere.
    pub(crate) mask: Raster,
    /// Median grey of the skin.
    pub(crate) skin: f32,
    /// Median grey of the background.
    pub(crate) background: f32,
}

/// Divides `picture`; `None` if it is as good as uniform.
///
/// First one threshold for all, by Otsu's method on logarithms, in which a hand half in shadow is still far from the
/// dark and a reflection not far from a hand. Then each pixel against the means of skin and background around it,
/// so that the edge stays in its place when the light is uneven or the exposure changes.
pub(crate) fn segment(picture: &Raster) -> Option<Segmented> {
    let smooth = picture.smoothed();
    let pixels = smooth.bytes();
    let counts = histogram(pixels);
    let threshold = otsu(&counts)?;
    let skin = median(&counts, threshold + 1, 255);
    let background = median(&counts, 0, threshold);
    if skin - background < SEGMENT_CONTRAST_MIN {
        return None;
    }

    let glare = skin * GLARE_RATIO;
    let capped = |pixel: u8| if f32::from(pixel) > glare { background as u8 } else { pixel };
    let is_skin = |pixel: u8| usize::from(pixel) > threshold && f32::from(pixel) <= glare;
    let side = (picture.width().max(picture.height()) as f32 * LOCAL_WINDOW) as i32 | 1;
    let share = smooth.mapped(|i| if is_skin(pixels[i]) { 255 } else { 0 }).local_means(side);
    let lit = smooth.mapped(|i| if is_skin(pixels[i]) { pixels[i] } else { 0 }).local_means(side);
    let all = smooth.mapped(|i| capped(pixels[i])).local_means(side);

    // Light that leaks into a gap between close fingers lifts it above the edge, but the gap is still a dark line.
    let bridged = picture.bridged((GAP_WINDOW * picture.width().max(picture.height()) as f32) as i32 | 1);
    let dents =
        bridged.bytes().iter().zip(picture.bytes()).map(|(&bridged, &sharp)| f32::from(bridged.saturating_sub(sharp)));
    let means = share.iter().zip(&lit).zip(&all);
    let mask = pixels.iter().zip(means).zip(dents).map(|((&pixel, ((share, lit), all)), dent)| {
        let pixel = f32::from(pixel);
        let share = share / 255.0;
        // Where hardly any skin or background is near, that of the whole picture stands in.
        let near_skin = (lit + 0.05 * skin) / (share + 0.05);
        let near_background = (all - lit + 0.05 * background) / (1.0 - share + 0.05);
        let contrast = near_skin - near_background;
        let is_lit = pixel > near_background + EDGE_SHARE * contrast;
        // Without a branch, so that several pixels are judged at once.
        if is_lit & (pixel <= glare) & (dent <= GAP_SHARE * contrast) { 255 } else { 0 }
    });
    let mask = Raster::from_pixels(picture.width(), picture.height(), &mask.collect::<Vec<u8>>());
    Some(Segmented { mask: mask.opened(), skin, background })
}

fn histogram(pixels: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    pixels.iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
    counts
}

/// The grey level up to which Otsu's method (1979) counts as background, on logarithms; `None` if all are the same.
fn otsu(counts: &[u32; 256]) -> Option<usize> {
    let level = |grey: usize| f64::from((grey as f32 + LOGARITHM_OFFSET).ln());
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let sum: f64 = counts.iter().enumerate().map(|(grey, &count)| f64::from(count) * level(grey)).sum();
    let (mut below, mut sum_below, mut best) = (0.0, 0.0, (0.0, None));
    for (grey, &count) in counts.iter().enumerate() {
        below += f64::from(count);
        sum_below += f64::from(count) * level(grey);
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let between = below * above * (sum_below / below - (sum - sum_below) / above).powi(2);
            if between > best.0 {
                best = (between, Some(grey));
            }
        }
    }
    best.1
}

/// Median of the grey levels `from` to `to`, both included.
fn median(counts: &[u32; 256], from: usize, to: usize) -> f32 {
    let half = counts[from..=to].iter().sum::<u32>() / 2;
    let mut seen = 0;
    let at = (from..=to).find(|&grey| {
        seen += counts[grey];
        seen > half
    });
    at.unwrap_or(to) as f32
}
