//! A hand laid out for one presentation, and what is known of it.

use std::sync::Arc;

use crate::camera::{Camera, Placement, palm_square};
use crate::math::Point;
use crate::motion::Motion;
use crate::palm::Palm;
use crate::parameters::{FIELD_MM, TRAVEL_BLUR_MM};
use crate::pose::Pose;
use crate::presentation::Presentation;
use crate::shown::{Shown, placement};
use crate::sprite::Sprite;
use crate::surface::Warp;
use crate::truth::HandTruth;

/// A palm in one presentation: laid out sharp (as it hovers) and smeared (as it comes and goes).
pub(crate) struct PresentedHand {
    palm: Arc<Palm>,
    pub(crate) presentation: Presentation,
    hovering: Sprite,
    travelling: Sprite,
}

impl PresentedHand {
    pub(crate) fn new(shown: &Shown, known: Option<Arc<Palm>>, width: usize, height: usize) -> Self {
        let palm = known.unwrap_or_else(|| Arc::new(Palm::of(shown.person, shown.position)));
        let presentation = shown.presentation;
        let texel = texel_mm(width, height, presentation.scale * palm.anatomy.size);
        let hovering = Sprite::hand(&palm, &presentation, texel, presentation.motion_mm);
        let travelling = hovering.smeared(Point::new(0.0, TRAVEL_BLUR_MM));
        Self { palm, presentation, hovering, travelling }
    }

    pub(crate) fn is(&self, shown: &Shown) -> bool {
        self.has_palm_of(shown) && self.presentation == shown.presentation
    }

    pub(crate) fn has_palm_of(&self, shown: &Shown) -> bool {
        self.palm.person == shown.person && self.palm.position == shown.position
    }

    pub(crate) fn palm(&self) -> Arc<Palm> {
        Arc::clone(&self.palm)
    }

    pub(crate) fn sprite(&self, travelling: bool) -> &Sprite {
        if travelling { &self.travelling } else { &self.hovering }
    }

    pub(crate) fn placement(
        &self,
        shown: &Shown,
        size: (usize, usize),
        fingers_degrees: f32,
        motion: Motion,
        milliseconds: u64,
    ) -> Placement {
        placement(shown, self.palm.anatomy.size, size, fingers_degrees, motion, milliseconds)
    }

    pub(crate) fn truth(&self, camera: &Camera, visible_area: u32) -> HandTruth {
        let pose = Pose::new(&self.palm.anatomy, &self.presentation);
        let warp = Warp::new(&self.presentation);
        let seen = |skin: Point| camera.to_frame.apply(warp.seen(skin));
        let valleys = pose.valleys().map(seen);
        let palm_square = palm_square(valleys[1], valleys[3], seen(Point::default()));
        let fingers = seen(Point::new(0.0, -50.0)) - seen(Point::new(0.0, 40.0));
        HandTruth {
            position: self.palm.position,
            finger_tips: pose.tips().map(seen),
            valleys,
            palm_square,
            palm_centre: palm_square[0].mix(palm_square[2], 0.5),
            visible_area,
            fingers_degrees: crate::math::degrees_from_up(fingers),
        }
    }
}

/// Size of a sprite's texels: somewhat finer than the frame's pixels, never finer than skin has detail.
pub(crate) fn texel_mm(width: usize, height: usize, scale: f32) -> f32 {
    let pixel = FIELD_MM / (width.min(height) as f32 * scale);
    (0.85 * pixel).clamp(0.3, 1.0)
}
