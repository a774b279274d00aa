//! Every tuned number, with where it comes from.
//!
//! Lengths on the hand are in millimetres. Anthropometry: ANSUR II (US Army, 2012) and NASA-STD-3000 give hand
//! length 193 ± 10 mm (men) and 181 ± 10 mm (women), breadth across the knuckles 88 ± 5 and 79 ± 4 mm.

use crate::anatomy::FingerShape;
use crate::math::Point;

/// Least pixels along a frame's side.
pub const FRAME_SIDE_MIN: usize = 120;
/// Most pixels along a frame's side.
pub const FRAME_SIDE_MAX: usize = 4096;
/// Least pixels along a crop's side.
pub const CROP_SIDE_MIN: usize = 32;
/// Most pixels along a crop's side.
pub const CROP_SIDE_MAX: usize = 512;

/// Side of the palm square, in widths of the line from the index-middle to the ring-little valley.
pub const PALM_SQUARE_SIDE: f32 = 1.57;
/// Gap between that line and the palm square's upper side, in the same widths.
pub const PALM_SQUARE_GAP: f32 = 0.21;

/// Standard deviation of a hand's overall size about the average of 1 (both sexes together).
pub(crate) const SIZE_DEVIATION: f32 = 0.05;

/// The average fingers, thumb first: close to the phalanx proportions of Buryanov & Kotiuk (2010), and to breadths at
/// the joints in ANSUR II. Fingers narrow at their base, which keeps the webs open when fingers are held apart.
pub(crate) const FINGERS: [FingerShape; 5] = [
    FingerShape {
        joint: Point::new(26.0, 44.0),
        degrees: 37.0,
        spread_degrees: 12.0,
        length: 100.0,
        radii: [17.0, 14.5, 11.4, 10.7, 9.3],
        stations: [0.0, 26.0, 50.0, 74.0, 90.0],
        creases: [47.0, 51.0, 75.0],
    },
    FingerShape {
        joint: Point::new(28.4, -27.0),
        degrees: 4.0,
        spread_degrees: 10.0,
        length: 91.0,
        radii: [10.2, 8.7, 9.3, 8.5, 7.4],
        stations: [0.0, 20.0, 46.0, 69.0, 83.0],
        creases: [22.0, 45.0, 68.0],
    },
    FingerShape {
        joint: Point::new(9.4, -30.0),
        degrees: 0.0,
        spread_degrees: 2.5,
        length: 100.0,
        radii: [10.2, 8.8, 9.5, 8.6, 7.5],
        stations: [0.0, 20.0, 49.0, 75.0, 91.0],
        creases: [22.0, 48.0, 74.0],
    },
    FingerShape {
        joint: Point::new(-9.4, -26.0),
        degrees: -2.5,
        spread_degrees: -5.5,
        length: 93.0,
        radii: [10.0, 8.5, 9.0, 8.2, 7.1],
        stations: [0.0, 20.0, 46.0, 70.0, 85.0],
        creases: [22.0, 45.0, 69.0],
    },
    FingerShape {
        joint: Point::new(-27.2, -18.5),
        degrees: -7.0,
        spread_degrees: -12.0,
        length: 75.0,
        radii: [9.4, 7.6, 7.9, 7.2, 6.3],
        stations: [0.0, 18.0, 36.0, 55.0, 68.0],
        creases: [20.0, 35.0, 54.0],
    },
];

/// The average palm's outline, drawn in by [`PALM_ROUNDING`]: webs first, then clockwise.
pub(crate) const PALM_OUTLINE: [(f32, f32); 16] = [
    (-27.5, -30.5),
    (-20.0, -34.0),
    (0.0, -39.0),
    (20.0, -38.0),
    (33.0, -31.0),
    (36.5, -16.0),
    (39.5, 2.0),
    (40.0, 20.0),
    (38.5, 36.0),
    (27.0, 50.0),
    (14.0, 58.0),
    (-14.0, 58.0),
    (-28.0, 48.0),
    (-36.5, 30.0),
    (-37.5, 6.0),
    (-34.0, -15.0),
];
/// How far the palm reaches beyond [`PALM_OUTLINE`].
pub(crate) const PALM_ROUNDING: f32 = 9.0;

/// Texel of a person's skin: a third of a millimetre, finer than a pixel of any frame in use on a palm 66 mm wide.
pub(crate) const TEXEL_MM: f32 = 0.32;
/// Part of the hand that the palm's skin covers, upper left and lower right.
pub(crate) const PALM_SKIN: ((f32, f32), (f32, f32)) = ((-56.0, -66.0), (60.0, 84.0));

/// Rounding of the webs between fingers.
pub(crate) const WEB_ROUNDING_MM: f32 = 3.0;
/// Angle between two fingers at which the valley between them shows down to the web, in degrees.
pub(crate) const APART_DEGREES: f32 = 18.0;
/// Millimetres from its place between fingers apart up to which a valley counts as seen. Further off, fingers touch.
pub(crate) const WEB_MISS_MM: f32 = 1.0;
/// Millimetres above its deepest point at which the outline between two fingers counts for 1/e as their valley's floor.
pub(crate) const FLOOR_MM: f32 = 1.0;
/// Where the wrist begins.
pub(crate) const WRIST_Y: f32 = 60.0;
/// Middle of the hand's length, which the presentation's offset places.
pub(crate) const HAND_MIDDLE_Y: f32 = -36.0;
/// What the frame's shorter side shows at the right distance: a hand of 190 mm and room around it.
pub(crate) const FIELD_MM: f32 = 250.0;
/// Right distance from lens to palm; palm-vein sensors work at 50 to 300 mm.
pub(crate) const STANDOFF_MM: f32 = 260.0;

/// Usual contrast of principal lines, wrinkles, ridges, veins and tone, as shares of the skin's brightness. At 850 to
/// 940 nm light enters the skin and creases lose most of the contrast they have in visible light; veins gain it.
pub(crate) const CONTRAST: [f32; 5] = [0.13, 0.17, 0.045, 0.1, 0.05];
/// Converts a crease's slope (depth per texel) to brightness.
pub(crate) const SLOPES_GAIN: f32 = 1.6;
/// Fingers lie further from the lamp than the palm.
pub(crate) const FINGER_BRIGHTNESS: f32 = 0.94;
/// Distance from the outline over which the hand curves away from the sensor.
pub(crate) const EDGE_ROUNDING_MM: f32 = 7.0;
/// The palm's relief: middle x and y, width, height. Balls of the thumb and of the little finger, pads below the
/// fingers, and last the hollow.
pub(crate) const MOUNDS: [(f32, f32, f32, f32); 6] = [
    (31.0, 26.0, 16.0, 6.5),
    (-29.0, 24.0, 15.0, 5.0),
    (21.0, -33.0, 7.0, 1.6),
    (0.0, -34.0, 7.0, 1.6),
    (-20.0, -29.0, 7.0, 1.6),
    (-1.0, 4.0, 15.0, -3.0),
];

/// Part of the hand's plane that a laid-out hand covers; below it the forearm goes on.
pub(crate) const SPRITE_LOW: (f32, f32) = (-88.0, -148.0);
/// See [`SPRITE_LOW`].
pub(crate) const SPRITE_HIGH: (f32, f32) = (118.0, 205.0);
/// Sampling of outline and light on a laid-out hand.
pub(crate) const SURFACE_STEP_MM: f32 = 1.4;

/// Where a ring sits beyond the finger's web, half its breadth, and how it shines compared with skin.
pub(crate) const RING_FROM_WEB_MM: f32 = 9.0;
/// See [`RING_FROM_WEB_MM`].
pub(crate) const RING_HALF_MM: f32 = 2.2;
/// See [`RING_FROM_WEB_MM`].
pub(crate) const RING_BRIGHTNESS: f32 = 1.6;
/// Where below the valley line the palm's breadth is taken, in inscribed radii: what a capture pipeline does.
pub(crate) const BREADTH_LEVELS: [f32; 5] = [0.4, 0.45, 0.5, 0.55, 0.6];

/// Grey level of flat skin in usual light.
pub(crate) const SKIN_GREY: f32 = 112.0;
/// Share of the light that the lens loses at the corners.
pub(crate) const VIGNETTING: f32 = 0.12;
/// Variance of the noise that each grey level of light adds.
pub(crate) const SHOT_NOISE: f32 = 0.006;

/// How often a swinging hand goes there and back in a second.
pub(crate) const SWING_HERTZ: f32 = 1.5;
/// How far it swings from its middle.
pub(crate) const SWING_MM: f32 = 24.0;

/// Standard deviation of the noise of an empty view, in grey levels.
pub(crate) const READ_NOISE: f32 = 1.2;
/// Presented hands that a simulator keeps: a demo's people come back.
pub(crate) const KEPT_HANDS: usize = 6;
/// Movement during the exposure of a hand that comes or goes.
pub(crate) const TRAVEL_BLUR_MM: f32 = 4.0;
/// Two hands fit side by side at this apparent size, this share of the frame off the middle.
pub(crate) const TWO_HANDS_SCALE: f32 = 0.66;
/// See [`TWO_HANDS_SCALE`].
pub(crate) const TWO_HANDS_ASIDE: f32 = 0.25;
/// Apparent size of a face, which is larger than a hand and further away.
pub(crate) const FACE_SCALE: f32 = 0.85;

/// Margin of a crop on each of its sides, in shares of the palm square's side.
pub const CROP_MARGIN: f32 = 12.0 / 128.0;
/// The sensor that a crop is thought to be cut from.
pub(crate) const CROP_CAMERA: (usize, usize) = (640, 480);
/// Sampling of outline and light for a crop.
pub(crate) const CROP_SURFACE_STEP_MM: f32 = 3.2;
/// Blur in pixels that bilinear interpolation amounts to, averaged over places between pixels.
pub(crate) const RESAMPLING_BLUR: f32 = 0.41;

/// Side of the palm square in millimetres, for crops at training size: [`PALM_SQUARE_SIDE`] of a valley line of 40 mm.
pub(crate) const PALM_MM: f32 = 63.0;
/// Middle of that square on the palm's skin.
pub(crate) const TEXTURE_CENTRE: (f32, f32) = (0.0, 4.0);
/// Half the side of the skin that is kept: a square turned by 16 degrees, 16 % too large and shifted still fits.
pub(crate) const TEXTURE_HALF_MM: f32 = 52.0;
/// Its texel: 126 to the square's side, more than a network sees.
pub(crate) const TEXTURE_TEXEL_MM: f32 = 0.5;
