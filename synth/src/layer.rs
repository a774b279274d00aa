//! A hand on nothing: what a training process lays over backgrounds of its own.

use crate::math::Point;
use crate::palm::Palm;
use crate::palm_measure::PalmMeasure;
use crate::pose::Pose;
use crate::presentation::Presentation;
use crate::sprite::Sprite;
use crate::surface::Warp;

/// Byte value of flat skin in usual light; three times as bright saturates.
pub const LAYER_SKIN: f32 = 85.0;

/// A palm in one presentation, laid out flat with fingers up and the thumb right, whichever hand it is. Tilt, turn,
/// size, place, exposure and noise are left to whoever looks at it.
pub struct HandLayer {
    /// Texels from left to right.
    pub width: usize,
    /// Texels from top to bottom; the forearm goes on below the last row.
    pub height: usize,
    /// Light times coverage, row by row: [`LAYER_SKIN`] for flat skin in usual light.
    pub light: Vec<u8>,
    /// How much of the texel the hand covers, 0 to 255.
    pub coverage: Vec<u8>,
    /// Where its parts are, in texels.
    pub landmarks: Landmarks,
}

/// Places and lengths on a [`HandLayer`], in texels; a texel's centre is at whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmarks {
    /// Finger tips: thumb, index, middle, ring, little.
    pub finger_tips: [Point; 5],
    /// Valleys: thumb-index, index-middle, middle-ring, ring-little.
    pub valleys: [Point; 4],
    /// Centre of the largest circle in the palm.
    pub palm_centre: Point,
    /// Radius of that circle, thumb held off.
    pub palm_radius: f32,
    /// Breadth of the palm below the fingers.
    pub palm_breadth: f32,
}

impl Landmarks {
    /// As a row of numbers in the order of the fields.
    pub fn numbers(&self) -> Vec<f32> {
        let points = self.finger_tips.iter().chain(&self.valleys).chain([&self.palm_centre]);
        points.flat_map(|point| [point.x, point.y]).chain([self.palm_radius, self.palm_breadth]).collect()
    }
}

impl HandLayer {
    /// `palm` in `presentation`, in texels of `texel_mm`.
    pub fn new(palm: &Palm, presentation: &Presentation, texel_mm: f32) -> Self {
        let sprite = Sprite::hand(palm, presentation, texel_mm, presentation.motion_mm);
        let byte = |value: f32, one: f32| (value * one + 0.5) as u8;
        let (width, height) = sprite.size();
        let pose = Pose::new(&palm.anatomy, presentation);
        let measure = PalmMeasure::of(&palm.anatomy);
        let warp = Warp::new(presentation);
        let seen = |skin: Point| sprite.in_texels(warp.seen(skin));
        let landmarks = Landmarks {
            finger_tips: pose.tips().map(seen),
            valleys: pose.valleys().map(seen),
            palm_centre: seen(measure.centre),
            palm_radius: measure.radius / texel_mm,
            palm_breadth: measure.breadth / texel_mm,
        };
        let texels = sprite.texels();
        Self {
            width,
            height,
            light: texels.iter().map(|&[light, _]| byte(light, LAYER_SKIN)).collect(),
            coverage: texels.iter().map(|&[_, covered]| byte(covered, 255.0)).collect(),
            landmarks,
        }
    }
}
