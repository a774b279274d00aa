//! What a palm is: creases, ridges, veins and tone on one coarse grid, a byte a texel.

use crate::dice::{Dice, noise};
use crate::math::Point;
use crate::parameters::{TEXTURE_CENTRE, TEXTURE_HALF_MM, TEXTURE_TEXEL_MM};
use crate::raster::{Grid, Raster, Stroke};
use crate::skin::{flow::Flow, principal, ridges, tone, veins, wrinkles};

/// A layer's byte for a depth of 1.
pub(super) const DEPTH: f32 = 200.0;
/// How far from 128 a layer's byte is for a swing of 1.
pub(super) const SWING: f32 = 80.0;

/// One layer. Depths are 0 to 255; ridges and tone swing about 128.
pub(super) type Layer = Vec<u8>;

/// All of them, on one grid.
pub(super) struct Layers {
    pub(super) grid: Grid,
    pub(super) principal: Layer,
    pub(super) wrinkles: [Layer; 2],
    pub(super) ridges: Layer,
    /// The dense mottle between lines that every palm shows once its shading is taken away.
    pub(super) grain: Layer,
    pub(super) veins: Layer,
    pub(super) tone: Layer,
}

impl Layers {
    pub(super) fn of(dice: &mut Dice) -> Self {
        let half = Point::new(TEXTURE_HALF_MM, TEXTURE_HALF_MM);
        let centre = Point::new(TEXTURE_CENTRE.0, TEXTURE_CENTRE.1);
        let grid = Grid::covering(centre - half, centre + half, TEXTURE_TEXEL_MM);
        let flow = Flow::new(grid, dice);
        let mut principal = principal::layer(grid, dice);
        strays(&mut principal, dice);
        let [first, second] = wrinkles::layers(grid, &flow, dice);
        Self {
            grid,
            principal: depths(&principal),
            wrinkles: [depths(&first), depths(&second)],
            ridges: swings(&ridges::layer(grid, &flow, dice)),
            grain: swings(&grain(grid, &flow, dice)),
            veins: depths(&veins::layer(grid, dice)),
            tone: swings(&tone(grid, dice)),
        }
    }
}

/// Long lines that follow no scheme: scars, folds and what published parametrisations leave out.
fn strays(raster: &mut Raster, dice: &mut Dice) {
    for _ in 0..dice.count(0, 5) {
        let middle = Point::new(dice.uniform(-36.0, 36.0), dice.uniform(-32.0, 42.0));
        let half = Point::new(dice.uniform(8.0, 30.0), 0.0).turned(dice.uniform(0.0, std::f32::consts::PI));
        let bow = half.quarter_turn() * dice.normal(0.0, 0.3);
        let controls = [middle - half, middle - half * 0.4 + bow, middle + half * 0.4 + bow, middle + half];
        let path = principal::wobbled(&controls, 0.6, dice.bits());
        let (depth, width, grain) = (dice.uniform(0.3, 0.9), dice.uniform(0.3, 0.7), dice.bits());
        raster.press(&Stroke {
            path: &path,
            profile: &|share| {
                let ends = (8.0 * share * (1.0 - share)).min(1.0);
                (depth * ends * (0.85 + 0.3 * noise(grain, share * 12.0, 0.5)), width)
            },
        });
    }
}

/// Patches of two to five millimetres, drawn out along the ridges on some palms and round on others.
fn grain(grid: Grid, flow: &Flow, dice: &mut Dice) -> Raster {
    let seeds = [dice.bits(), dice.bits(), dice.bits()];
    let (across, along, round) = (dice.uniform(0.9, 1.8), dice.uniform(2.0, 5.0), dice.uniform(0.0, 0.8));
    let (fine, coarse) = (dice.uniform(1.1, 1.7), dice.uniform(2.0, 3.2));
    let patches = |p: Point| {
        let drawn: f32 = flow
            .regions(p)
            .iter()
            .enumerate()
            .filter(|(_, region)| region.weight > 0.05)
            .map(|(i, region)| {
                region.weight * noise(seeds[0] ^ (i as u32 * 7919), region.along / along, region.across / across)
            })
            .sum();
        let spots = 0.6 * noise(seeds[1], p.x / fine, p.y / fine) + 0.8 * noise(seeds[2], p.x / coarse, p.y / coarse);
        drawn * (1.0 - round) + spots * (0.3 + round)
    };
    Raster::from_fn(grid, patches)
}

fn depths(raster: &Raster) -> Layer {
    raster.values.iter().map(|value| (value * DEPTH).clamp(0.0, 255.0) as u8).collect()
}

fn swings(raster: &Raster) -> Layer {
    raster.values.iter().map(|value| (128.5 + value * SWING).clamp(0.0, 255.0) as u8).collect()
}
