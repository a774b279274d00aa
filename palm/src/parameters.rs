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
/// Least difference between skin and background in grey levels: below it there is nothing to see. A hand with less
/// than [`CONTRAST_MIN`] is seen, but too dark.
pub(crate) const SEGMENT_CONTRAST_MIN: f32 = 3.0;
/// Window of the local means of skin and background, as a share of the working picture's longest side.
pub(crate) const LOCAL_WINDOW: f32 = 0.25;
/// Where between the local means of background and skin the hand's edge lies. Half is where a blurred edge stands.
pub(crate) const EDGE_SHARE: f32 = 0.5;
/// Widest gap between close fingers that is looked for as a dark line, as a share of the working picture's longest
/// side.
pub(crate) const GAP_WINDOW: f32 = 0.024;
/// How dark such a line is at least, as a share of the contrast between skin and background. Creases and veins, which
/// reach .15, do not matter: what does not lead to the outside is filled in again.
pub(crate) const GAP_SHARE: f32 = 0.22;
/// Pixels this many times as bright as skin are lamps, windows and reflections.
pub(crate) const GLARE_RATIO: f32 = 1.9;

// What is bright, where no hand is found and a person must be told why.

/// Least inscribed radius of a hand, as a share of the picture's shortest side.
pub(crate) const BLOB_RADIUS_MIN: f32 = 0.05;
// Digits: what an opening by a disc removes. Fingers are .2 to .3 of the palm's radius in half-width, wrists .6.

/// Radius of the disc.
pub(crate) const OPENING_RADIUS: f32 = 0.42;
/// Shortest digit, from the middle of its base to its tip.
pub(crate) const DIGIT_LENGTH_MIN: f32 = 0.5;
/// Least length of a digit in widths.
pub(crate) const DIGIT_SLENDERNESS_MIN: f32 = 1.1;
/// Smoothing of contours, standard deviation in contour points.
pub(crate) const CONTOUR_SIGMA: f32 = 2.0;

// The palm square, as the field defines it since Zhang et al. (TPAMI 2003): on the tangent of both valleys.

/// Side of the palm square in palm units, which is what its corners are trained on (`training/landmarks/hands.py`): the
/// largest that stays on most hands.
pub(crate) const SQUARE_SIDE: f32 = 1.5;
/// Distance of the palm square's upper side from the valley line in palm units.
pub(crate) const SQUARE_GAP: f32 = 0.2;
/// How much the direction from the middle-ring valley to the palm's centre turns the square away from the valley
/// line, which tilts when the little finger is spread.
pub(crate) const CENTRE_WEIGHT: f32 = 0.25;
/// How much the middle-ring valley, beside the middle of the other two, says where the square's middle is.
pub(crate) const MIDDLE_VALLEY_WEIGHT: f32 = 0.5;
// Hands, found by networks (`models/`). The limits come from made-up frames: see training/RESULTS.md.

/// A place where a palm is less likely is not looked at closely. Low: the second network decides.
pub(crate) const CANDIDATE_MIN: f32 = 0.12;
/// Most places that are.
pub(crate) const CANDIDATES_MAX: usize = 3;
/// A place where a second palm is less likely is not looked at.
pub(crate) const SECOND_CHANCE_MIN: f32 = 0.3;
/// Least chance of a palm at the first look, which may be askew.
pub(crate) const FIRST_CHANCE_MIN: f32 = 0.2;
/// A first look that says less may have been from the wrong side.
pub(crate) const ASKEW_CHANCE: f32 = 0.5;
/// Looks at a palm: a second one at least, because the first is wherever the finder said; one more if it needs it.
pub(crate) const LOOKS_MIN: u32 = 2;
/// See [`LOOKS_MIN`].
pub(crate) const LOOKS_MAX: u32 = 3;
/// Least chance of a palm at the last look.
pub(crate) const PALM_CHANCE_MIN: f32 = 0.94;
/// Greatest error that the network expects of its worst landmark, in sides of the palm square.
pub(crate) const LANDMARK_ERROR_MAX: f32 = 0.15;
/// Greatest mean distance between the seen corners of the palm square and the placed ones, in sides.
pub(crate) const AGREEMENT_MAX: f32 = 0.12;
/// Finger tips from the palm square's corner at the fingers on the little finger's side, in sides towards the thumb
/// and towards the wrist: index, middle, ring, little. Nine tenths of the mean of `volar-synth`'s hands' lengths.
pub(crate) const TIPS: [(f32, f32); 4] = [(1.0, -0.84), (0.67, -1.08), (0.33, -0.99), (-0.03, -0.72)];

// Quality. `volar-synth` renders what must be refused; the limits lie between it and good presentations.

/// Grey level from which on a pixel is as bright as the sensor can tell.
pub(crate) const CLIPPED: u8 = 250;
/// More of the palm than this clipped is too bright.
pub(crate) const BRIGHT_CLIPPED: f32 = 0.3;
/// A palm darker than this is too dark.
pub(crate) const PALM_GREY_MIN: f32 = 27.0;
/// Skin less than this many grey levels above the background is too dark to tell whether it is a hand.
pub(crate) const CONTRAST_MIN: f32 = 14.0;
/// Palm squares smaller than this share of the frame's shorter side are too far.
pub(crate) const SIDE_SHARE_MIN: f32 = 0.165;
/// Larger ones are too close: a hand is three squares long, and the frame's longer side must hold it.
pub(crate) const SIDE_SHARE_MAX: f32 = 0.42;
/// Palm squares of fewer pixels have lost the creases: 2.5 pixels of the region of interest from each.
pub(crate) const SIDE_PIXELS_MIN: f32 = 51.0;
/// Palm squares that reach further out of the frame, in sides, are off centre: an edge's blur, and no crease lost.
pub(crate) const SQUARE_OUTSIDE_MAX: f32 = 0.02;
/// The same where nobody can be told: a recorded picture may lack a strip of palm.
pub(crate) const SQUARE_OUTSIDE_ANYHOW: f32 = 0.1;
/// More finger tips than this outside the frame are too close; two are lost when a large hand is a little askew.
pub(crate) const TIPS_CUT_MAX: usize = 2;
/// Distance from the contour at which grey is that of skin and background, in working pixels.
pub(crate) const EDGE_REACH: f32 = 5.0;
/// Directions of edges that are told apart, over half a turn.
pub(crate) const EDGE_DIRECTIONS: usize = 6;
/// Fewest edge points that judge a direction.
pub(crate) const EDGES_MIN: usize = 12;
/// Hands with edges less sudden move.
pub(crate) const SHARPNESS_MIN: f32 = 0.3;
/// The valley line of a palm that faces the sensor with its fingers apart, in distances from there to the palm's centre.
pub(crate) const OPEN_RATIO: f32 = 0.84;
/// Valley lines shorter than this, in usual ones, are those of palms turned by 35 degrees or more about their length. Of
/// 40 people's good presentations all reach .86; of turned palms and closed fingers four in five stay below .82.
pub(crate) const OPENNESS_MIN: f32 = 0.82;
/// Shorter than this they are those of closed fingers, where fewer than five digits are to be seen one by one.
pub(crate) const OPENNESS_TOUCHING: f32 = 0.88;
/// Longer ones are those of palms turned about their breadth.
pub(crate) const OPENNESS_MAX: f32 = 1.3;
/// Digits of a hand whose fingers are apart.
pub(crate) const DIGITS: usize = 5;
/// Least share of the palm square's edge on a bright region, for that region to be the hand.
pub(crate) const ON_HAND_MIN: f32 = 0.6;
/// Greatest change of light across the palm.
pub(crate) const GRADIENT_MAX: f32 = 1.2;

/// A property's value that is useless and one that could not be better.
pub(crate) struct Mark {
    useless: f32,
    best: f32,
}

impl Mark {
    /// 0 at useless or worse to 1 at best or better.
    pub(crate) fn of(&self, value: f32) -> f32 {
        ((value - self.useless) / (self.best - self.useless)).clamp(0.0, 1.0)
    }
}

/// How each property is marked.
pub(crate) struct Marks {
    pub(crate) side_pixels: Mark,
    pub(crate) light: Mark,
    pub(crate) clipped: Mark,
    pub(crate) gradient: Mark,
    pub(crate) sharpness: Mark,
    pub(crate) openness: Mark,
    pub(crate) certainty: Mark,
}

pub(crate) const MARKS: Marks = Marks {
    side_pixels: Mark { useless: 30.0, best: 140.0 },
    light: Mark { useless: 12.0, best: 60.0 },
    clipped: Mark { useless: 0.5, best: 0.0 },
    gradient: Mark { useless: 1.6, best: 0.2 },
    sharpness: Mark { useless: 0.15, best: 0.6 },
    openness: Mark { useless: 0.5, best: 0.88 },
    certainty: Mark { useless: 0.2, best: 0.07 },
};

// What is there when no open hand is.

/// Length of the frame's edge that a hand's wrist takes, in inscribed radii; more of the hand there is off centre.
pub(crate) const WRIST_AT_EDGE: f32 = 2.2;
/// Inscribed radius of a hand that is too close to see, as a share of the frame's shorter side.
pub(crate) const CLOSE_RADIUS: f32 = 0.27;
/// Inscribed radius of one too far to tell.
pub(crate) const FAR_RADIUS: f32 = 0.09;
/// Something that reaches this far from its middle, in inscribed radii, without leaving the frame, is longish: closed
/// fingers. A face reaches 1.4.
pub(crate) const LONG_REACH: f32 = 1.9;

// From frame to frame.

/// A palm that moves by more of its square's side between two frames is not held still. A hovering hand trembles by a
/// millimetre or so, 1.5 % of the square; one that is waved covers 10 %.
pub(crate) const STILL_SHIFT: f32 = 0.035;
/// A palm whose square's side changes by more is not held still.
pub(crate) const STILL_GROWTH: f32 = 0.035;
/// A palm whose blocks change by more on average, in shares of their mean, is not held still.
pub(crate) const STILL_CHANGE: f32 = 0.06;
/// Side of the blocks in which two regions are compared.
pub(crate) const STILL_BLOCK: usize = 8;
/// Longest side of the thumbnail that wakes the pipeline.
pub(crate) const WAKE_SIDE: u32 = 40;
/// A pixel of the thumbnail that changes by more grey levels is a change; sensor noise averages to below one.
pub(crate) const WAKE_GREY: u8 = 4;
/// Share of the thumbnail that must change to wake the pipeline: a fingertip.
pub(crate) const WAKE_SHARE: f32 = 0.005;
/// An unchanged empty scene is examined again after this long, in milliseconds, whatever the thumbnail says.
pub(crate) const WAKE_AFTER_MS: u64 = 1000;
