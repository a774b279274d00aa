//! Veins, which near-infrared light shows as soft dark lines: a net of cells with missing edges, and trunks that fan
//! out from the wrist towards the webs between the fingers.

use crate::dice::Dice;
use crate::math::Point;
use crate::raster::{Grid, Raster, Stroke};

use super::principal::wobbled;

/// Distance between the net's knots.
const CELL: f32 = 15.0;

pub(super) fn layer(grid: Grid, dice: &mut Dice) -> Raster {
    let mut raster = Raster::zero(grid);
    net(&mut raster, dice);
    trunks(&mut raster, dice);
    // Tissue scatters light over a millimetre or two.
    raster.blurred(0.55)
}

fn net(raster: &mut Raster, dice: &mut Dice) {
    let (columns, rows) = (8usize, 9usize);
    let knots: Vec<Point> = (0..columns * rows)
        .map(|i| {
            let (column, row) = ((i % columns) as f32, (i / columns) as f32);
            let shifted = column + if (i / columns) % 2 == 1 { 0.5 } else { 0.0 };
            Point::new(-56.0 + CELL * shifted + dice.normal(0.0, 3.6), -58.0 + CELL * row + dice.normal(0.0, 3.6))
        })
        .collect();
    for row in 0..rows {
        for column in 0..columns {
            let from = row * columns + column;
            let right = (column + 1 < columns).then_some(from + 1);
            let below = (row + 1 < rows).then_some(from + columns);
            let aslant = (row + 1 < rows && column + 1 < columns).then_some(from + columns + 1);
            for (to, probability) in [(right, 0.38), (below, 0.6), (aslant, 0.3)] {
                let kept = dice.chance(probability);
                if let (Some(to), true) = (to, kept) {
                    let (depth, width) = (dice.uniform(0.25, 0.8), dice.uniform(0.7, 1.15));
                    vein(raster, knots[from], knots[to], depth, width, dice);
                }
            }
        }
    }
}

fn trunks(raster: &mut Raster, dice: &mut Dice) {
    for web in [-21.0, 0.0, 20.0, 42.0] {
        if dice.chance(0.75) {
            let wrist = Point::new(dice.normal(0.0, 11.0), 72.0);
            let reach = if web > 30.0 { -8.0 } else { dice.uniform(-46.0, -24.0) };
            let end = Point::new(web + dice.normal(0.0, 3.5), reach);
            let (depth, width) = (dice.uniform(0.6, 1.0), dice.uniform(0.95, 1.45));
            vein(raster, wrist, end, depth, width, dice);
        }
    }
}

fn vein(raster: &mut Raster, from: Point, to: Point, depth: f32, width: f32, dice: &mut Dice) {
    let along = to - from;
    let side = along.quarter_turn();
    let (first, second) = (side * dice.normal(0.0, 0.16), side * dice.normal(0.0, 0.16));
    let path = wobbled(&[from, from + along * 0.33 + first, from + along * 0.67 + second, to], 0.9, dice.bits());
    let (start, end) = (dice.uniform(0.6, 1.0), dice.uniform(0.5, 1.0));
    raster.press(&Stroke { path: &path, profile: &|share| (depth * (start + (end - start) * share), width) });
}
