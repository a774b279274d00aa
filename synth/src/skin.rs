//! What the skin of one palm shows, fixed by identity: creases of three kinds, ridges, veins and tone.

mod finger;
pub(crate) mod flow;
pub(crate) mod principal;
pub(crate) mod ridges;
pub(crate) mod veins;
pub(crate) mod wrinkles;

use std::ops::Range;

use crate::anatomy::{Anatomy, Finger};
use crate::dice::{Dice, Purpose, mixed, noise};
use crate::math::{Point, smoothstep};
use crate::parameters::{PALM_SKIN, SLOPES_GAIN, TEXEL_MM};
use crate::raster::{Grid, Raster};
use volar_core::template::Position;

/// Identity layers of a patch of skin. Depths are 0 to about 1; ridges and tone about -1 to 1.
pub(crate) struct Skin {
    pub(crate) principal: Raster,
    /// Wrinkles in two halves, so that a presentation can lose some.
    pub(crate) wrinkles: [Raster; 2],
    pub(crate) ridges: Raster,
    pub(crate) veins: Raster,
    pub(crate) tone: Raster,
}

/// How strongly a presentation shows each layer, as shares of the skin's brightness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) principal: f32,
    pub(crate) wrinkles: [f32; 2],
    pub(crate) ridges: f32,
    pub(crate) veins: f32,
    pub(crate) tone: f32,
    /// Towards the lamp: creases get a bright side and a dark side.
    pub(crate) light: Point,
    /// Share of crease contrast that comes from its slopes instead of its depth.
    pub(crate) slopes: f32,
    /// Fixes where skin is pressed or stretched so that creases fade.
    pub(crate) fading: u32,
}

/// All the skin of one palm and its fingers.
pub(crate) struct HandSkin {
    pub(crate) palm: Skin,
    /// Thumb first; each in its finger's own coordinates: x across, y from joint to tip.
    pub(crate) fingers: [Skin; 5],
}

impl HandSkin {
    pub(crate) fn of(person: u64, position: Position, anatomy: &Anatomy) -> Self {
        let mut dice = Self::dice(person, position);
        let palm = Skin::palm(&mut dice);
        let fingers = anatomy.fingers.each_ref().map(|finger| finger::skin(finger, &mut dice));
        Self { palm, fingers }
    }

    /// Draws that differ between a person's two hands: a left palm is no mirrored right one.
    fn dice(person: u64, position: Position) -> Dice {
        let side = match position {
            Position::Left => 1,
            Position::Right => 2,
        };
        Dice::new(mixed(person, side), Purpose::Skin)
    }
}

impl Skin {
    fn palm(dice: &mut Dice) -> Self {
        let (low, high) = PALM_SKIN;
        let grid = Grid::covering(Point::new(low.0, low.1), Point::new(high.0, high.1), TEXEL_MM);
        let flow = flow::Flow::new(grid, dice);
        let mut skin = Self {
            principal: principal::layer(grid, dice),
            wrinkles: wrinkles::layers(grid, &flow, dice),
            ridges: ridges::layer(grid, &flow, dice),
            veins: veins::layer(grid, dice),
            tone: tone(grid, dice),
        };
        skin.fade_towards_arm();
        skin
    }

    /// The forearm continues the last row, so nothing but tone may reach it.
    fn fade_towards_arm(&mut self) {
        let last = PALM_SKIN.1.1;
        let [first, second] = &mut self.wrinkles;
        for layer in [&mut self.principal, first, second, &mut self.ridges, &mut self.veins] {
            let grid = layer.grid;
            for (row, values) in layer.values.chunks_exact_mut(grid.width).enumerate() {
                let keep = 1.0 - smoothstep(last - 16.0, last - 2.0, grid.point(0, row).y);
                values.iter_mut().for_each(|value| *value *= keep);
            }
        }
    }

    /// The skin's brightness under `look`: 1 where nothing shows.
    pub(crate) fn brightness(&self, look: &Look) -> Raster {
        let grid = self.principal.grid;
        self.brightness_within(look, grid.origin, grid.point(grid.width, grid.height))
    }

    /// As [`Skin::brightness`], of the part between `low` and `high` only.
    pub(crate) fn brightness_within(&self, look: &Look, low: Point, high: Point) -> Raster {
        let whole = self.principal.grid;
        let [columns, rows] = whole.window(low, high);
        let (width, height) = (columns.len(), rows.len());
        let grid = Grid { origin: whole.point(columns.start, rows.start), width, height, ..whole };
        let depths = self.depths(look, &columns, &rows);
        let fading = fading(grid, look.fading);
        let toward_lamp = look.light * (look.slopes * SLOPES_GAIN);
        let mut values = Vec::with_capacity(grid.texels());
        for row in 0..height {
            let (above, below) = (row.saturating_sub(1) * width, (row + 1).min(height - 1) * width);
            let (here, source) = (row * width, (rows.start + row) * whole.width + columns.start);
            for column in 0..width {
                let (left, right) = (column.saturating_sub(1), (column + 1).min(width - 1));
                let slope = Point::new(
                    depths[here + right] - depths[here + left],
                    depths[below + column] - depths[above + column],
                );
                let creases = (1.0 - look.slopes) * depths[here + column] + slope.dot(toward_lamp);
                let (at, gain) = (source + column, fading.values[here + column]);
                values.push(
                    1.0 - gain * (creases - look.ridges * self.ridges.values[at]) - look.veins * self.veins.values[at]
                        + look.tone * self.tone.values[at],
                );
            }
        }
        Raster { grid, values }
    }

    /// All creases together, weighted, in a window of the skin.
    fn depths(&self, look: &Look, columns: &Range<usize>, rows: &Range<usize>) -> Vec<f32> {
        let width = self.principal.grid.width;
        let mut depths = Vec::with_capacity(columns.len() * rows.len());
        for row in rows.clone() {
            let window = row * width + columns.start..row * width + columns.end;
            let [first, second] = [0, 1].map(|half| &self.wrinkles[half].values[window.clone()]);
            let layers = self.principal.values[window.clone()].iter().zip(first).zip(second);
            depths.extend(layers.map(|((&principal, &first), &second)| {
                (look.principal * principal).max(look.wrinkles[0] * first).max(look.wrinkles[1] * second)
            }));
        }
        depths
    }
}

/// How strongly creases show from place to place: pressed or stretched skin loses them.
fn fading(grid: Grid, seed: u32) -> Raster {
    let strength = |p: Point| (1.0 + 0.5 * noise(seed, p.x / 34.0, p.y / 34.0)).clamp(0.35, 1.4);
    Raster::from_fn(grid.coarser(12.0), strength).resampled(grid)
}

/// Blotches of lighter and darker skin.
pub(crate) fn tone(grid: Grid, dice: &mut Dice) -> Raster {
    let (wide, narrow, fine) = (dice.bits(), dice.bits(), dice.bits());
    let blotches = |p: Point| {
        0.6 * noise(wide, p.x / 26.0, p.y / 26.0)
            + 0.35 * noise(narrow, p.x / 10.0, p.y / 10.0)
            + 0.2 * noise(fine, p.x / 3.6, p.y / 3.6)
    };
    Raster::from_fn(grid.coarser(2.5), blotches).resampled(grid)
}

/// Reach of a finger's skin across and beyond its tip.
fn finger_grid(finger: &Finger) -> Grid {
    let half = finger.radii.iter().fold(0.0f32, |widest, &radius| widest.max(radius)) + 1.0;
    Grid::covering(Point::new(-half, 0.0), Point::new(half, finger.length + 1.0), TEXEL_MM)
}
