//! A hand (or a face) laid out flat in its pose and light, ready to be projected into frames cheaply.

use crate::math::{Point, exp, smoothstep};
use crate::palm::{Palm, look};
use crate::parameters::{
    FINGER_BRIGHTNESS, RING_BRIGHTNESS, RING_FROM_WEB_MM, RING_HALF_MM, SPRITE_HIGH, SPRITE_LOW, SURFACE_STEP_MM,
};
use crate::pose::Pose;
use crate::presentation::Presentation;
use crate::raster::{Grid, Raster, blur_gaussian};
use crate::sleeve::Sleeve;
use crate::surface::Surface;

/// Brightness times coverage, and coverage (0 to 1), for each texel.
pub(crate) struct Sprite {
    grid: Grid,
    values: Vec<[f32; 2]>,
    /// Whether the last row goes on for ever, as a forearm does.
    endless: bool,
}

impl Sprite {
    /// `palm` in `presentation`, in texels of `texel_mm`, blurred by defocus and by `motion_mm` of movement.
    pub(crate) fn hand(palm: &Palm, presentation: &Presentation, texel_mm: f32, motion_mm: Point) -> Self {
        let pose = Pose::new(&palm.anatomy, presentation);
        let (low, high) = (Point::new(SPRITE_LOW.0, SPRITE_LOW.1), Point::new(SPRITE_HIGH.0, SPRITE_HIGH.1));
        let surface = Surface::new(&pose, presentation, Grid::covering(low, high, SURFACE_STEP_MM));
        let look = look(presentation);
        let skin = palm.skin.palm.brightness(&look);
        let fingers = palm.skin.fingers.each_ref().map(|finger| finger.brightness(&look));
        let sleeve = presentation.sleeve.then(|| Sleeve::new(presentation.seed, palm.anatomy.arm));

        let grid = Grid::covering(low, high, texel_mm);
        let mut brightness = vec![0.0; grid.texels()];
        let mut coverage = vec![0.0; grid.texels()];
        for row in 0..grid.height {
            for column in 0..grid.width {
                let at = row * grid.width + column;
                let p = grid.point(column, row);
                let here = surface.at(p);
                let covered = (0.5 - here.distance / texel_mm).clamp(0.0, 1.0);
                if covered > 0.0 {
                    let bare = covered * here.light * skin_at(&pose, &skin, &fingers, here.skin);
                    let ring = rings(&pose, presentation, here.skin);
                    brightness[at] = ring.map_or(bare, |metal| covered * metal);
                    coverage[at] = covered;
                }
                if let Some(sleeve) = &sleeve {
                    let (cloth, share) = sleeve.at(p, texel_mm);
                    brightness[at] += (cloth - brightness[at]) * share;
                    coverage[at] += (1.0 - coverage[at]) * share;
                }
            }
        }
        Self::blurred(grid, brightness, coverage, presentation.blur_mm, motion_mm, true)
    }

    /// Any flat thing: `paint` gives brightness and coverage.
    pub(crate) fn painted(grid: Grid, paint: impl Fn(Point) -> (f32, f32), blur_mm: f32) -> Self {
        let (mut brightness, mut coverage) = (Vec::new(), Vec::new());
        for row in 0..grid.height {
            for column in 0..grid.width {
                let (light, covered) = paint(grid.point(column, row));
                brightness.push(light * covered);
                coverage.push(covered);
            }
        }
        Self::blurred(grid, brightness, coverage, blur_mm, Point::default(), false)
    }

    fn blurred(
        grid: Grid,
        brightness: Vec<f32>,
        coverage: Vec<f32>,
        blur_mm: f32,
        motion_mm: Point,
        endless: bool,
    ) -> Self {
        let [brightness, coverage] = [brightness, coverage].map(|values| {
            let sharp = blur_gaussian(&values, grid.width, grid.height, blur_mm / grid.texel);
            smeared(&sharp, grid, motion_mm)
        });
        let values = brightness.into_iter().zip(coverage).map(|(light, covered)| [light, covered]).collect();
        Self { grid, values, endless }
    }

    /// The same, smeared by more movement during the exposure.
    pub(crate) fn smeared(&self, motion_mm: Point) -> Self {
        let channel =
            |i: usize| smeared(&self.values.iter().map(|value| value[i]).collect::<Vec<_>>(), self.grid, motion_mm);
        let values = channel(0).into_iter().zip(channel(1)).map(|(light, covered)| [light, covered]).collect();
        Self { grid: self.grid, values, endless: self.endless }
    }

    /// Texels from left to right and from top to bottom.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.grid.width, self.grid.height)
    }

    /// Brightness times coverage, and coverage, of every texel, row by row.
    pub(crate) fn texels(&self) -> &[[f32; 2]] {
        &self.values
    }

    /// A place of the hand's plane in texels.
    pub(crate) fn in_texels(&self, p: Point) -> Point {
        (p - self.grid.origin) * (1.0 / self.grid.texel)
    }

    /// Brightness times coverage, and coverage, at `p`; `None` outside.
    #[inline]
    pub(crate) fn at(&self, p: Point) -> Option<[f32; 2]> {
        let grid = &self.grid;
        let x = (p.x - grid.origin.x) / grid.texel;
        let y = (p.y - grid.origin.y) / grid.texel;
        let (last_x, last_y) = (grid.width as f32 - 1.001, grid.height as f32 - 1.001);
        if !(x >= 0.0 && x <= last_x && y >= 0.0 && (self.endless || y <= last_y)) {
            return None;
        }
        let y = y.min(last_y);
        let (column, row) = (x as usize, y as usize);
        let (dx, dy) = (x - column as f32, y - row as f32);
        let at = row * grid.width + column;
        let (upper, lower) = (&self.values[at..at + 2], &self.values[at + grid.width..at + grid.width + 2]);
        Some(std::array::from_fn(|i| {
            let top = upper[0][i] + (upper[1][i] - upper[0][i]) * dx;
            let bottom = lower[0][i] + (lower[1][i] - lower[0][i]) * dx;
            top + (bottom - top) * dy
        }))
    }
}

/// Brightness of the skin that rests at `p`: the palm's, handed over to each finger beyond its web.
fn skin_at(pose: &Pose<'_>, palm: &Raster, fingers: &[Raster; 5], p: Point) -> f32 {
    let mut value = palm.sample(p);
    for (index, (finger, skin)) in pose.fingers().iter().zip(fingers).enumerate() {
        let place = pose.on_finger(index, p);
        let first = if index == 0 { finger.stations[1] } else { finger.stations[1] - 8.0 };
        if place.along > first && place.along < finger.length + 3.0 && place.across.abs() < finger.radii[1] + 4.0 {
            let radius = finger.radius(place.along);
            let along = smoothstep(first, first + 14.0, place.along);
            let share = along * (1.0 - smoothstep(radius - 0.5, radius + 2.5, place.across.abs()));
            // Seen between closed fingers, where the outline no longer darkens their sides.
            let aside = (place.across / (radius + 0.6)).clamp(-1.0, 1.0);
            let round = 0.75 + 0.25 * (1.0 - aside * aside * aside * aside).sqrt();
            let bright = skin.sample(Point::new(place.across, place.along)) * FINGER_BRIGHTNESS * round;
            value += (bright - value) * share;
        }
    }
    value
}

/// Brightness of a ring at `p`, if there is one: a band beyond the web, bright where it faces the lamp.
fn rings(pose: &Pose<'_>, presentation: &Presentation, p: Point) -> Option<f32> {
    let worn = (0..5).filter(|&index| presentation.rings[index]);
    worn.into_iter().find_map(|index| {
        let finger = &pose.fingers()[index];
        let place = pose.on_finger(index, p);
        let middle = finger.stations[1] + RING_FROM_WEB_MM;
        let radius = finger.radius(place.along) + 1.0;
        let here = (place.along - middle).abs() < RING_HALF_MM && place.across.abs() < radius;
        let aside = place.across / radius + 0.3;
        here.then(|| RING_BRIGHTNESS * (0.25 + exp(-4.0 * aside * aside)))
    })
}

/// Averaged along a movement during the exposure.
fn smeared(values: &[f32], grid: Grid, motion_mm: Point) -> Vec<f32> {
    let steps = (motion_mm.length() / grid.texel) as usize;
    if steps < 2 {
        return values.to_vec();
    }
    let mut sum = vec![0.0; values.len()];
    for step in 0..=steps {
        let shift = motion_mm * ((step as f32 / steps as f32 - 0.5) / grid.texel);
        let (right, down) = (shift.x.round() as i64, shift.y.round() as i64);
        for row in 0..grid.height {
            let source = (row as i64 + down).clamp(0, grid.height as i64 - 1) as usize;
            let from = &values[source * grid.width..(source + 1) * grid.width];
            let to = &mut sum[row * grid.width..(row + 1) * grid.width];
            let (start, skip) = (right.min(0).unsigned_abs() as usize, right.max(0) as usize);
            to.iter_mut().skip(start).zip(from.iter().skip(skip)).for_each(|(to, from)| *to += from);
        }
    }
    let share = 1.0 / (steps + 1) as f32;
    sum.iter_mut().for_each(|value| *value *= share);
    sum
}

#[cfg(test)]
mod tests {
    use volar_core::template::Position;

    use super::*;
    use crate::camera::{Camera, Placement};
    use crate::sensor::covered_area;

    fn coverage(position: Position) -> (Vec<bool>, u32) {
        let presentation = Presentation { sleeve: false, ..Presentation::sample(1) };
        let sprite = Sprite::hand(&Palm::of(3, position), &presentation, 1.0, Point::default());
        let placement = Placement {
            position,
            scale: 1.0,
            degrees: 0.0,
            tilt_degrees: Point::default(),
            middle: Point::new(159.5, 119.5),
        };
        let camera = Camera::new(320, 240, &placement);
        let covered = |at: usize| {
            let p = camera.to_hand.apply(Point::new((at % 320) as f32, (at / 320) as f32));
            sprite.at(p).is_some_and(|[_, covered]| covered > 0.5)
        };
        ((0..320 * 240).map(covered).collect(), covered_area(320, 240, &sprite, &camera))
    }

    #[test]
    fn a_left_hand_s_outline_is_the_right_one_s_mirrored() {
        let ((left, area), (right, _)) = (coverage(Position::Left), coverage(Position::Right));
        let mirrored = |at: usize| right[at / 320 * 320 + 319 - at % 320];
        let differing = (0..left.len()).filter(|&at| left[at] != mirrored(at)).count();
        assert!(area > 10_000 && differing <= 10, "{differing} of {area} pixels differ");
        assert!((0..left.len()).filter(|&at| left[at] != right[at]).count() > 1_000, "they are not the same");
    }
}
