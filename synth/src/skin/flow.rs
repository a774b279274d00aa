//! Which way the skin's ridges run: around the ball of the thumb, obliquely over the ball of the little finger, and
//! across below the fingers, joined smoothly (dermatoglyphic main-line patterns; Cummins & Midlo).

use crate::dice::{Dice, noise};
use crate::math::{Point, sin_cos, smoothstep};
use crate::raster::{Grid, Raster};

/// Coordinates along (x) and across (y) the ridges of one region, with its weight at a place.
pub(crate) struct Region {
    pub(crate) along: f32,
    pub(crate) across: f32,
    pub(crate) weight: f32,
}

/// A palm's ridge flow.
pub(crate) struct Flow {
    thumb_root: Point,
    /// Sine and cosine of the two straight regions' slants.
    slants: [[f32; 2]; 2],
    bends: [Raster; 3],
}

impl Flow {
    pub(crate) fn new(grid: Grid, dice: &mut Dice) -> Self {
        let bend = dice.uniform(5.0, 11.0);
        // Bends are wide: sampled coarsely, they are cheap to ask for at every texel.
        let bends = [dice.bits(), dice.bits(), dice.bits()]
            .map(|seed| Raster::from_fn(grid.coarser(8.0), |p| bend * noise(seed, p.x / 38.0, p.y / 38.0)));
        Self {
            thumb_root: Point::new(dice.normal(52.0, 4.0), dice.normal(36.0, 5.0)),
            slants: [(0.12, 0.14), (0.75, 0.16)].map(|(mean, spread)| sin_cos(dice.normal(mean, spread)).into()),
            bends,
        }
    }

    /// The three regions at `p`: thumb ball, little-finger ball, below the fingers. Weights sum to one.
    pub(crate) fn regions(&self, p: Point) -> [Region; 3] {
        let bent = |region: usize| self.bends[region].sample(p);
        let spoke = p - self.thumb_root;
        let thumb = Region {
            // Straightened around the root: exact enough for noise that only has to run along circles.
            along: spoke.y - 0.5 * spoke.x,
            across: spoke.length() + bent(0),
            weight: smoothstep(-8.0, 14.0, p.x) * smoothstep(-22.0, 2.0, p.y),
        };
        let slanted =
            |[sine, cosine]: [f32; 2], bend: usize| (p.x * cosine + p.y * sine, p.y * cosine - p.x * sine + bent(bend));
        let (along, across) = slanted(self.slants[1], 1);
        let low = smoothstep(-14.0, 16.0, p.y) * (1.0 - thumb.weight);
        let little = Region { along, across, weight: low };
        let (along, across) = slanted(self.slants[0], 2);
        let fingers = Region { along, across, weight: 1.0 - thumb.weight - low };
        [thumb, little, fingers]
    }

    /// Unit vector along the ridges at `p`, in the region that weighs most.
    pub(super) fn direction(&self, p: Point) -> Point {
        let step = 0.5;
        let [here, right, below] =
            [p, p + Point::new(step, 0.0), p + Point::new(0.0, step)].map(|at| self.regions(at).map(|r| r.across));
        let weights = self.regions(p).map(|region| region.weight);
        // Directions have no sign, so they are averaged at twice their angle.
        let mut doubled = Point::default();
        for (i, weight) in weights.into_iter().enumerate() {
            let steepest = Point::new(right[i] - here[i], below[i] - here[i]).unit();
            let along = steepest.quarter_turn();
            doubled = doubled + Point::new(along.x * along.x - along.y * along.y, 2.0 * along.x * along.y) * weight;
        }
        let doubled = doubled.unit();
        // Half the angle, without trigonometry.
        let half = Point::new(((1.0 + doubled.x) * 0.5).max(0.0).sqrt(), ((1.0 - doubled.x) * 0.5).max(0.0).sqrt());
        if doubled.y < 0.0 { Point::new(half.x, -half.y) } else { half }
    }
}
