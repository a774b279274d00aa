//! Every tuned number of the capture pipeline, with its source. Lengths are in shares of the palm's inscribed radius
//! or of the valley line (index-middle to ring-little valley), so that they hold at any distance and resolution.
//!
//! Anatomy: ANSUR II (US Army, 2012) hand breadths and lengths, phalanx proportions after Buryanov & Kotiuk (2010).

/// Longest side of the picture in which the hand is looked for. A palm is then some 100 pixels wide; a contour
/// smoothed to a third of a pixel places the palm square to half a pixel of the region of interest.
pub(crate) const WORKING_SIDE: u32 = 384;

// Segmentation.

/// Added to grey levels before taking logarithms, so that sensor noise near black does not count as contrast.
pub(crate) const LOGARITHM_OFFSET: f32 = 8.0;
/// Least difference between skin and background in grey levels: below it there is nothing to see.
pub(crate) const SEGMENT_CONTRAST_MIN: f32 = 8.0;
/// Window of the local means of skin and background, as a share of the working picture's longest side.
pub(crate) const LOCAL_WINDOW: f32 = 0.25;
/// Where between the local means of background and skin the hand's edge lies. Half is where a blurred edge stands.
pub(crate) const EDGE_SHARE: f32 = 0.5;
/// Pixels this many times as bright as skin are lamps, windows and reflections.
pub(crate) const GLARE_RATIO: f32 = 1.9;

// Hands among what is bright.

/// Least inscribed radius of a hand, as a share of the picture's shortest side.
pub(crate) const BLOB_RADIUS_MIN: f32 = 0.05;
/// A second region of at least this share of the largest one's radius may be a second hand.
pub(crate) const SECOND_HAND_RADIUS: f32 = 0.55;
/// Digits that make a second region a hand.
pub(crate) const SECOND_HAND_DIGITS: usize = 3;

// Digits: what an opening by a disc removes. Fingers are .2 to .3 of the palm's radius in half-width, wrists .6.

/// Radius of the disc.
pub(crate) const OPENING_RADIUS: f32 = 0.42;
/// Shortest digit, from the middle of its base to its tip.
pub(crate) const DIGIT_LENGTH_MIN: f32 = 0.5;
/// Least length of a digit in widths.
pub(crate) const DIGIT_SLENDERNESS_MIN: f32 = 1.1;
/// Most digits that a hand and clutter at the wrist yield; more is no hand.
pub(crate) const DIGITS_MAX: usize = 9;
/// Smoothing of contours, standard deviation in contour points.
pub(crate) const CONTOUR_SIGMA: f32 = 2.0;

// The palm square, as the field defines it since Zhang et al. (TPAMI 2003): on the tangent of both valleys.

/// Side of the palm square in valley lines.
pub(crate) const SQUARE_SIDE: f32 = 1.5;
/// Distance of the palm square's upper side from the valley line in valley lines.
pub(crate) const SQUARE_GAP: f32 = 0.2;
/// Depth below the tangent at which a valley's two sides give its middle, in valley lines.
pub(crate) const VALLEY_DEPTH: f32 = 0.08;
/// Least share of the palm square's edge that must lie on the hand.
pub(crate) const SQUARE_ON_HAND_MIN: f32 = 0.95;

/// A proportion of hands, in valley lines from the index-middle valley: mean and standard deviation.
pub(crate) struct Proportion {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
}

const fn about(mean: f32, deviation: f32) -> Proportion {
    Proportion { mean, deviation }
}

/// What an open hand looks like in its own frame (x towards the little finger, y towards the wrist, in valley lines of
/// about 42 mm), from the anatomy above with fingers spread by 0 to 25 degrees; deviations are generous, because they
/// must hold for every hand, tilt and spread, and need only tell a hand from what is none.
pub(crate) const PROPORTIONS: [Proportion; 14] = [
    about(1.1, 0.2),   // valley line, in inscribed radii
    about(0.4, 0.25),  // palm centre, x
    about(0.95, 0.3),  // palm centre, y
    about(-0.5, 0.35), // thumb-index valley, x
    about(0.9, 0.35),  // thumb-index valley, y
    about(0.5, 0.12),  // middle-ring valley, x
    about(-0.05, 0.15), // middle-ring valley, y
    about(-1.4, 0.6),  // thumb's tip, x
    about(0.0, 0.7),   // thumb's tip, y
    about(-1.6, 0.4),  // index finger's tip, y
    about(-1.9, 0.4),  // middle finger's tip, y
    about(-1.7, 0.4),  // ring finger's tip, y
    about(1.7, 0.5),   // little finger's tip, x
    about(-1.1, 0.4),  // little finger's tip, y
];
/// Greatest mean square deviation of a hand from [`PROPORTIONS`].
pub(crate) const FIT_MAX: f32 = 3.0;
