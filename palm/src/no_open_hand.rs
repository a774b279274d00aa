//! What to tell a person when something is in front of the sensor that does not read as an open hand.

use crate::blob::Blob;
use crate::contour::Contour;
use crate::guidance::Guidance;
use crate::parameters::{CLOSE_RADIUS, CONTRAST_MIN, FAR_RADIUS, LONG_REACH, SHARPNESS_MIN, WRIST_AT_EDGE};
use crate::quality::sharpness;
use crate::raster::Raster;
use crate::segment::Segmented;

/// The reason, or `None` if it is too dim to be anything.
pub(crate) fn no_open_hand(
    working: &Raster,
    segmented: &Segmented,
    blob: &Blob,
    contour: &Contour,
    digits: usize,
) -> Option<Guidance> {
    if segmented.skin - segmented.background < CONTRAST_MIN {
        // Uneven darkness has no fingers.
        return (digits >= 2).then_some(Guidance::TooDark);
    }
    let shorter = working.width().min(working.height()) as f32;
    let radius = blob.radius / shorter;
    let faults = [
        (radius > CLOSE_RADIUS, Guidance::Further),
        (blob.edge_length() > WRIST_AT_EDGE * blob.radius, Guidance::Centre),
        (radius < FAR_RADIUS, Guidance::Closer),
        (sharpness(working, contour) < SHARPNESS_MIN, Guidance::HoldStill),
        (digits > 0 || blob.inner_reach() > LONG_REACH * blob.radius, Guidance::FingersApart),
        (true, Guidance::NotAHand),
    ];
    faults.into_iter().find_map(|(is_so, reason)| is_so.then_some(reason))
}
