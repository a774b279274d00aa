//! Regions of interest without the frame around them, for calibrating scores on many palms quickly.

use volar_core::template::Position;

use crate::camera::{Camera, palm_square};
use crate::dice::{Dice, Purpose, mixed};
use crate::error::SynthError;
use crate::image::GreyImage;
use crate::math::Point;
use crate::motion::Motion;
use crate::palm::{Palm, look};
use crate::parameters::{
    CROP_CAMERA, CROP_MARGIN, CROP_SIDE_MAX, CROP_SIDE_MIN, CROP_SURFACE_STEP_MM, RESAMPLING_BLUR, SHOT_NOISE,
    SKIN_GREY,
};
use crate::pose::Pose;
use crate::presentation::Presentation;
use crate::raster::{Grid, blur_gaussian};
use crate::shown::{Shown, placement};
use crate::surface::{Surface, Warp};

/// The palm square of `person`'s hand at `position` with a margin of [`CROP_MARGIN`] of its side all around, in
/// `side` x `side` pixels ([`CROP_SIDE_MIN`] to [`CROP_SIDE_MAX`]): fingers up, thumb on the right, left hands
/// mirrored. The same skin, pose, tilt and light as in a frame, missed by the presentation's misalignment.
///
/// Makes the palm each time; for several presentations of one, keep a [`Palm`] and call [`Palm::crop`].
pub fn palm_crop(
    person: u64,
    position: Position,
    presentation: &Presentation,
    side: usize,
) -> Result<GreyImage, SynthError> {
    Palm::of(person, position).crop(presentation, side)
}

impl Palm {
    /// The region of interest of one presentation; see [`palm_crop`].
    pub fn crop(&self, presentation: &Presentation, side: usize) -> Result<GreyImage, SynthError> {
        if !(CROP_SIDE_MIN..=CROP_SIDE_MAX).contains(&side) {
            return Err(SynthError::CropSide { side });
        }
        let pose = Pose::new(&self.anatomy, presentation);
        let warp = Warp::new(presentation);
        let camera = self.crop_camera(presentation);
        let square = found_square(&pose, &warp, &camera, presentation);

        let (low, high) = bounds(square.map(|corner| camera.to_hand.apply(corner)));
        let surface = Surface::new(&pose, presentation, Grid::covering(low, high, CROP_SURFACE_STEP_MM));
        // Stretched skin comes from a little beyond.
        let beyond = Point::new(6.0, 6.0);
        let skin = self.skin.palm.brightness_within(&look(presentation), low - beyond, high + beyond);

        let [corner, right, _, below] = square;
        let (across, down) = ((right - corner) * (1.0 / side as f32), (below - corner) * (1.0 / side as f32));
        let (width, height) = CROP_CAMERA;
        let middle = Point::new(width as f32, height as f32) * 0.5;
        let loss = presentation.falloff / middle.dot(middle);
        let mut greys = Vec::with_capacity(side * side);
        for row in 0..side {
            for column in 0..side {
                let pixel = corner + across * (column as f32 + 0.5) + down * (row as f32 + 0.5);
                let here = surface.at(camera.to_hand.apply(pixel));
                let covered = (0.5 - here.distance * 2.0).clamp(0.0, 1.0);
                let off = pixel - middle;
                let lamp = presentation.exposure * (1.0 - loss * off.dot(off)).max(0.1);
                greys.push(SKIN_GREY * lamp * covered * here.light * skin.sample(here.skin));
            }
        }
        let pixels_per_mm = camera.pixels_per_mm / across.length();
        let sharp = blur_gaussian(&greys, side, side, crop_blur(presentation, camera.pixels_per_mm) * pixels_per_mm);
        Ok(self.developed(sharp, presentation, side))
    }

    fn crop_camera(&self, presentation: &Presentation) -> Camera {
        let (width, height) = CROP_CAMERA;
        let shown = Shown { person: self.person, position: self.position, presentation: *presentation };
        let there = Motion::already_there();
        Camera::new(width, height, &placement(&shown, self.anatomy.size, CROP_CAMERA, 0.0, there, 0))
    }

    fn developed(&self, greys: Vec<f32>, presentation: &Presentation, side: usize) -> GreyImage {
        let store = Dice::new(mixed(presentation.seed, self.person), Purpose::Noise).gaussians(997);
        let grains = store.iter().cycle();
        let noisy: Vec<f32> = greys
            .iter()
            .zip(grains)
            .map(|(&grey, grain)| grey + (presentation.noise * presentation.noise + SHOT_NOISE * grey).sqrt() * grain)
            .collect();
        // Cutting a turned square out of a frame interpolates, which softens the noise.
        let resampled = blur_gaussian(&noisy, side, side, RESAMPLING_BLUR);
        GreyImage { width: side, height: side, pixels: resampled.iter().map(|grey| (grey + 0.5) as u8).collect() }
    }
}

/// Corners of the square and its margins as a capture pipeline finds them: in the frame, with its errors. Left hands
/// need no mirroring here, because corners are named by the thumb.
fn found_square(pose: &Pose<'_>, warp: &Warp, camera: &Camera, presentation: &Presentation) -> [Point; 4] {
    let seen = |skin: Point| camera.to_frame.apply(warp.seen(skin));
    let square = palm_square(seen(pose.valley(1)), seen(pose.valley(3)), seen(Point::default()));
    let miss = presentation.misalignment;
    let middle = square[0].mix(square[2], 0.5);
    let (across, down) = (square[1] - square[0], square[3] - square[0]);
    let moved = middle + across * miss.shift.x + down * miss.shift.y;
    let grown = (1.0 + miss.growth) * (1.0 + 2.0 * CROP_MARGIN);
    square.map(|corner| moved + ((corner - middle) * grown).turned(miss.degrees.to_radians()))
}

/// Upper left and lower right of the box around `points`.
fn bounds(points: [Point; 4]) -> (Point, Point) {
    let least = |pick: fn(&Point) -> f32| points.iter().map(pick).fold(f32::MAX, f32::min);
    let greatest = |pick: fn(&Point) -> f32| points.iter().map(pick).fold(f32::MIN, f32::max);
    (Point::new(least(|p| p.x), least(|p| p.y)), Point::new(greatest(|p| p.x), greatest(|p| p.y)))
}

/// Defocus, movement and the camera's own pixels, as one blur in millimetres.
fn crop_blur(presentation: &Presentation, pixels_per_mm: f32) -> f32 {
    let pixel = 0.4 / pixels_per_mm;
    let motion = presentation.motion_mm.length() * 0.29;
    (presentation.blur_mm * presentation.blur_mm + pixel * pixel + motion * motion).sqrt()
}
