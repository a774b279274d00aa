//! Veins, which near-infrared light shows as soft dark lines: a net of cells with missing edges, trunks that fan out
//! from the wrist towards the webs between the fingers, and a mottle of vessels too deep to be seen one by one.

use crate::dice::{Dice, noise};
use crate::math::{Point, exp};
use crate::raster::{Grid, Raster, Stroke};

use super::principal::wobbled;

/// Distance between the net's knots.
const CELL: f32 = 14.0;

pub(crate) fn layer(grid: Grid, dice: &mut Dice) -> Raster {
    // Nothing here is finer than a millimetre.
    let coarse = grid.coarser(2.0);
    let mut lines = Raster::zero(coarse);
    net(&mut lines, dice);
    trunks(&mut lines, dice);
    // Tissue scatters light over a millimetre or two, more above deeper vessels.
    let (near, deep) = (lines.blurred(0.5), lines.blurred(1.5));
    let (depth, patches) = (dice.bits(), dice.bits());
    let mottle = Mottle::new(dice);
    let mut at = 0;
    let veins = Raster::from_fn(coarse, |p| {
        let share = (0.5 + 0.9 * noise(depth, p.x / 16.0, p.y / 16.0)).clamp(0.0, 1.0);
        let strength = (0.75 + 0.6 * noise(patches, p.x / 12.0, p.y / 12.0)).clamp(0.1, 1.2);
        let line = near.values[at] + (1.3 * deep.values[at] - near.values[at]) * share;
        at += 1;
        line * strength + mottle.at(p)
    });
    veins.resampled(grid)
}

/// Vessel-like ridges of bent noise.
pub(super) struct Mottle {
    bend: u32,
    vessels: [u32; 2],
    gap: f32,
}

impl Mottle {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self { bend: dice.bits(), vessels: [dice.bits(), dice.bits()], gap: dice.uniform(8.0, 12.0) }
    }

    pub(super) fn at(&self, p: Point) -> f32 {
        let bent =
            p + Point::new(noise(self.bend, p.x / 9.0, p.y / 9.0), noise(self.bend ^ 1, p.x / 9.0, p.y / 9.0)) * 2.6;
        let ridge = |seed: u32, gap: f32, sharp: f32| {
            let level = noise(seed, bent.x / gap, bent.y / gap);
            exp(-sharp * level * level)
        };
        0.4 * ridge(self.vessels[0], self.gap, 45.0) + 0.22 * ridge(self.vessels[1], 0.55 * self.gap, 14.0)
    }
}

fn net(raster: &mut Raster, dice: &mut Dice) {
    let (columns, rows) = (9usize, 10usize);
    let knots: Vec<Point> = (0..columns * rows)
        .map(|i| {
            let (column, row) = ((i % columns) as f32, (i / columns) as f32);
            let shifted = column + if (i / columns) % 2 == 1 { 0.5 } else { 0.0 };
            Point::new(-60.0 + CELL * shifted + dice.normal(0.0, 4.2), -62.0 + CELL * row + dice.normal(0.0, 4.2))
        })
        .collect();
    for row in 0..rows {
        for column in 0..columns {
            let from = row * columns + column;
            let right = (column + 1 < columns).then_some(from + 1);
            let below = (row + 1 < rows).then_some(from + columns);
            let aslant = (row + 1 < rows && column + 1 < columns).then_some(from + columns + 1);
            for (to, probability) in [(right, 0.4), (below, 0.55), (aslant, 0.28)] {
                let kept = dice.chance(probability);
                if let (Some(to), true) = (to, kept) {
                    let (depth, width) = (dice.uniform(0.25, 0.95), dice.uniform(0.55, 1.0));
                    vein(raster, knots[from], knots[to], depth, width, dice);
                }
            }
        }
    }
}

fn trunks(raster: &mut Raster, dice: &mut Dice) {
    for web in [-21.0, 0.0, 20.0, 42.0] {
        if dice.chance(0.55) {
            // The trunk surfaces somewhere in the palm and dives again below a web.
            let start = Point::new(dice.normal(0.4 * web, 9.0), dice.uniform(10.0, 66.0));
            let reach = if web > 30.0 { -8.0 } else { dice.uniform(-46.0, -26.0) };
            let end = Point::new(web + dice.normal(0.0, 4.0), reach);
            let middle = start.mix(end, 0.5) + Point::new(dice.normal(0.0, 6.0), dice.normal(0.0, 4.0));
            let (depth, width) = (dice.uniform(0.5, 0.95), dice.uniform(0.85, 1.3));
            vein(raster, start, middle, depth, width, dice);
            vein(raster, middle, end, depth * 0.9, width * 0.85, dice);
        }
    }
}

fn vein(raster: &mut Raster, from: Point, to: Point, depth: f32, width: f32, dice: &mut Dice) {
    let along = to - from;
    let side = along.quarter_turn();
    let (first, second) = (side * dice.normal(0.0, 0.2), side * dice.normal(0.0, 0.2));
    let path = wobbled(&[from, from + along * 0.33 + first, from + along * 0.67 + second, to], 1.5, dice.bits());
    let (start, end) = (dice.uniform(0.5, 1.0), dice.uniform(0.4, 1.0));
    raster.press(&Stroke { path: &path, profile: &|share| (depth * (start + (end - start) * share), width) });
}
