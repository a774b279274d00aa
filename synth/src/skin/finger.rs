//! The skin of a finger: creases across its joints, fine lines, ridges and the veins that cross below the joints.

use crate::anatomy::Finger;
use crate::dice::{Dice, noise};
use crate::math::Point;
use crate::raster::{Raster, Stroke};

use super::principal::wobbled;
use super::{Skin, finger_grid, tone};

pub(super) fn skin(finger: &Finger, dice: &mut Dice) -> Skin {
    let grid = finger_grid(finger);
    let mut principal = Raster::zero(grid);
    for (i, &crease) in finger.creases.iter().enumerate() {
        // The middle joint's crease is double on most fingers.
        let lines = if i == 1 { 2 } else { dice.count(1, 2) };
        for line in 0..lines {
            let along = crease + 2.6 * line as f32;
            across(&mut principal, finger, along, dice);
        }
    }
    let mut wrinkles = [Raster::zero(grid), Raster::zero(grid)];
    for i in 0..dice.count(30, 70) {
        fine(&mut wrinkles[(i % 2) as usize], finger, dice);
    }
    let seed = dice.bits();
    let ridges = Raster::from_fn(grid, |p| {
        // Ridges run across a finger and arch over its tip.
        let arch = p.y + 0.05 * p.x * p.x;
        0.9 * noise(seed, p.x / 5.0, arch / 0.85) + 0.3 * noise(seed ^ 1, p.x / 7.0, arch / 1.7)
    });
    Skin { principal, wrinkles, ridges, veins: veins(finger, dice), tone: tone(grid, dice) }
}

fn across(raster: &mut Raster, finger: &Finger, along: f32, dice: &mut Dice) {
    let half = finger.radius(along) + 1.0;
    let (tilt, sag) = (dice.normal(0.0, 0.6), dice.normal(0.8, 0.5));
    let controls = [
        Point::new(-half, along - tilt),
        Point::new(-0.4 * half, along + sag),
        Point::new(0.4 * half, along + sag),
        Point::new(half, along + tilt),
    ];
    let path = wobbled(&controls, 0.3, dice.bits());
    let (depth, width) = (dice.uniform(0.4, 0.9), dice.uniform(0.35, 0.55));
    raster.press(&Stroke { path: &path, profile: &|_| (depth, width) });
}

fn fine(raster: &mut Raster, finger: &Finger, dice: &mut Dice) {
    let middle = Point::new(dice.uniform(-8.0, 8.0), dice.uniform(14.0, finger.length - 6.0));
    let half = Point::new(0.0, 0.5 * dice.uniform(2.0, 7.0)).turned(dice.normal(0.0, 0.5));
    let bow = Point::new(dice.normal(0.0, 0.3), 0.0);
    let path = wobbled(
        &[middle - half, middle - half * 0.4 + bow, middle + half * 0.4 + bow, middle + half],
        0.2,
        dice.bits(),
    );
    let depth = dice.uniform(0.1, 0.35);
    raster.press(&Stroke { path: &path, profile: &|share| (depth * 4.0 * share * (1.0 - share), 0.26) });
}

fn veins(finger: &Finger, dice: &mut Dice) -> Raster {
    let mut raster = Raster::zero(finger_grid(finger));
    for side in [-1.0, 1.0] {
        let x = side * dice.uniform(2.0, 5.5);
        let end = finger.length * dice.uniform(0.7, 0.95);
        let controls = [
            Point::new(x + dice.normal(0.0, 2.0), 5.0),
            Point::new(x + dice.normal(0.0, 3.0), end * 0.35),
            Point::new(x + dice.normal(0.0, 3.0), end * 0.7),
            Point::new(x * 0.5, end),
        ];
        let path = wobbled(&controls, 1.0, dice.bits());
        let (depth, width) = (dice.uniform(0.3, 0.8), dice.uniform(0.8, 1.2));
        raster.press(&Stroke { path: &path, profile: &|share| (depth * (1.0 - 0.6 * share), width) });
    }
    for &crease in &finger.creases[1..] {
        // The plexus at each joint: a dark patch across.
        let y = crease + dice.normal(2.0, 1.5);
        let path = wobbled(
            &[
                Point::new(-6.0, y + dice.normal(0.0, 2.0)),
                Point::new(-2.0, y),
                Point::new(2.0, y),
                Point::new(6.0, y + dice.normal(0.0, 2.0)),
            ],
            0.8,
            dice.bits(),
        );
        let depth = dice.uniform(0.5, 1.0);
        raster.press(&Stroke { path: &path, profile: &|share| (depth * 4.0 * share * (1.0 - share), 1.9) });
    }
    raster.blurred(0.7)
}
