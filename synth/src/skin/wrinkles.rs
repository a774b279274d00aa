//! Wrinkles and fine creases: 20 to 120 of exponential length along the flow or across it, and 150 to 500 very short
//! ones. Without the short ones a palm looks drawn once its shading is removed.

use crate::dice::Dice;
use crate::math::Point;
use crate::raster::{Grid, Raster, Stroke};

use super::flow::Flow;
use super::principal::wobbled;

pub(crate) fn layers(grid: Grid, flow: &Flow, dice: &mut Dice) -> [Raster; 2] {
    let mut halves = [Raster::zero(grid), Raster::zero(grid)];
    let lined = dice.uniform(0.0, 1.0);
    let wrinkles = 20 + (100.0 * lined * lined) as u32;
    for i in 0..wrinkles {
        let length = (5.0 + dice.exponential(9.0)).min(45.0);
        let strength = dice.uniform(0.18, 0.62);
        crease(&mut halves[(i % 2) as usize], flow, dice, length, strength, 0.34);
    }
    for i in 0..dice.count(150, 500) {
        let length = dice.uniform(1.5, 5.5);
        let strength = dice.uniform(0.1, 0.34);
        crease(&mut halves[(i % 2) as usize], flow, dice, length, strength, 0.26);
    }
    halves
}

fn crease(raster: &mut Raster, flow: &Flow, dice: &mut Dice, length: f32, depth: f32, width: f32) {
    let middle = Point::new(dice.uniform(-42.0, 46.0), dice.uniform(-48.0, 62.0));
    let along = flow.direction(middle);
    // Two in five cross the ridges, mostly down the palm.
    let turn = if dice.chance(0.4) { 1.4 } else { 0.0 } + dice.normal(0.0, 0.3);
    let half = along.turned(turn) * (0.5 * length);
    let bow = half.quarter_turn() * dice.normal(0.0, 0.22);
    let controls = [middle - half, middle - half * 0.4 + bow, middle + half * 0.4 + bow, middle + half];
    let path = wobbled(&controls, 0.22, dice.bits());
    let width = width * dice.uniform(0.85, 1.25);
    raster.press(&Stroke { path: &path, profile: &|share| (depth * 4.0 * share * (1.0 - share), width) });
}
