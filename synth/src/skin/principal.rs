//! The principal lines: heart, head and life, in the five topologies that the literature distinguishes, plus the
//! fate line many palms have. Endpoints vary as published parametrisations do (quadratic Bezier curves fitted to
//! labelled palms); each line is several strands with branches, as real ones are.

use crate::dice::{Dice, noise};
use crate::math::{Point, smoothstep};
use crate::raster::{Grid, Raster, Stroke};

/// How a palm's principal lines meet.
#[derive(Clone, Copy, PartialEq)]
enum Topology {
    /// Head and life start together, three lines in all.
    Normal,
    /// Head and life start apart, with a short line between.
    Bridge,
    /// The head line ends in two.
    Fork,
    /// A fourth line crosses between heart and head.
    Cross,
    /// The head line reaches the palm's far edge.
    Sydney,
}

/// A line from a cubic Bezier curve's four control points, and how deep it is.
struct Line {
    controls: [Point; 4],
    depth: f32,
    width: f32,
    /// Share of the length that can be seen.
    visible: (f32, f32),
}

pub(crate) fn layer(grid: Grid, dice: &mut Dice) -> Raster {
    let mut raster = Raster::zero(grid);
    for line in lines(dice) {
        draw(&mut raster, &line, dice);
    }
    raster
}

fn topology(dice: &mut Dice) -> Topology {
    match dice.uniform(0.0, 1.0) {
        share if share < 0.5 => Topology::Normal,
        share if share < 0.68 => Topology::Bridge,
        share if share < 0.82 => Topology::Fork,
        share if share < 0.93 => Topology::Cross,
        _ => Topology::Sydney,
    }
}

fn lines(dice: &mut Dice) -> Vec<Line> {
    let topology = topology(dice);
    let mut near = |x: f32, y: f32, spread: f32| Point::new(dice.normal(x, spread), dice.normal(y, spread));
    let start = near(40.0, -13.0, 3.2);
    let life = [start, near(20.0, -12.0, 4.0), near(3.0, 10.0, 5.5), near(6.0, 54.0, 7.0)];
    let apart = if topology == Topology::Bridge { near(0.0, -6.5, 1.5) } else { near(0.0, 0.0, 0.5) };
    let end = if topology == Topology::Sydney { near(-43.0, 8.0, 5.0) } else { near(-21.0, 12.0, 9.0) };
    let head = [start + apart, near(20.0, -14.0, 4.0), near(-2.0, -4.0, 5.5), end];
    let heart = [near(-43.0, -14.0, 4.5), near(-22.0, -12.0, 5.0), near(3.0, -17.0, 5.5), near(16.0, -35.0, 6.5)];
    let fork = [head[2].mix(head[3], 0.3), head[2].mix(head[3], 0.6), near(-14.0, 18.0, 3.0), near(-18.0, 30.0, 5.0)];
    let cross = [near(-14.0, 6.0, 4.0), near(-6.0, -4.0, 3.0), near(4.0, -14.0, 3.0), near(10.0, -22.0, 4.0)];
    let bridge = [start, start + apart * 0.3, start + apart * 0.7, start + apart];
    let fate = [near(-1.0, 52.0, 4.0), near(2.0, 25.0, 5.0), near(3.0, -5.0, 4.0), near(7.0, -30.0, 4.0)];

    let mut lines: Vec<Line> = [heart, head, life].into_iter().map(|controls| major(controls, dice)).collect();
    match topology {
        Topology::Normal | Topology::Sydney => {}
        Topology::Bridge => lines.push(minor(bridge, dice)),
        Topology::Fork => lines.push(minor(fork, dice)),
        Topology::Cross => lines.push(minor(cross, dice)),
    }
    if dice.chance(0.6) {
        lines.push(minor(fate, dice));
    }
    for y in [57.0, 62.5] {
        let wrist = [(-34.0, y), (-12.0, y + 2.5), (12.0, y + 2.5), (32.0, y - 1.0)];
        let controls = wrist.map(|(x, y)| Point::new(dice.normal(x, 3.0), dice.normal(y, 1.0)));
        lines.push(minor(controls, dice));
    }
    lines
}

fn major(controls: [Point; 4], dice: &mut Dice) -> Line {
    let visible = (dice.uniform(0.0, 0.08), dice.uniform(0.84, 1.0));
    Line { controls, depth: dice.uniform(0.75, 1.0), width: dice.uniform(0.42, 0.68), visible }
}

fn minor(controls: [Point; 4], dice: &mut Dice) -> Line {
    let visible = (dice.uniform(0.0, 0.25), dice.uniform(0.7, 1.0));
    Line { controls, depth: dice.uniform(0.35, 0.65), width: dice.uniform(0.3, 0.48), visible }
}

fn draw(raster: &mut Raster, line: &Line, dice: &mut Dice) {
    let path = wobbled(&line.controls, 0.55, dice.bits());
    let (first, last) = line.visible;
    let texture = dice.bits();
    raster.press(&Stroke {
        path: &path,
        profile: &|share| {
            let ends = smoothstep(first - 0.02, first + 0.1, share) * (1.0 - smoothstep(last - 0.14, last, share));
            let grain = 0.82 + 0.3 * noise(texture, share * 14.0, 0.5);
            (line.depth * ends * grain, line.width * (0.75 + 0.3 * ends + 0.15 * noise(texture, share * 9.0, 7.5)))
        },
    });
    for _ in 0..dice.count(2, 4) {
        strand(raster, &path, line, dice);
    }
    for _ in 0..dice.count(2, 7) {
        branch(raster, &path, line, dice);
    }
}

/// A thinner companion beside part of a line.
fn strand(raster: &mut Raster, path: &[Point], line: &Line, dice: &mut Dice) {
    let from = dice.uniform(line.visible.0, 0.75);
    let until = from + dice.uniform(0.12, 0.4);
    let (aside, seed) = (dice.uniform(0.6, 1.9) * if dice.chance(0.5) { 1.0 } else { -1.0 }, dice.bits());
    let depth = line.depth * dice.uniform(0.25, 0.6);
    let moved: Vec<Point> = (0..path.len())
        .map(|i| {
            let share = i as f32 / path.len() as f32;
            let along = path[(i + 1).min(path.len() - 1)] - path[i.saturating_sub(1)];
            // Companions leave the line and come back to it.
            let away = aside * smoothstep(from, from + 0.08, share) * (0.8 + 0.4 * noise(seed, share * 11.0, 0.0));
            path[i] + along.unit().quarter_turn() * away
        })
        .collect();
    raster.press(&Stroke {
        path: &moved,
        profile: &|share| {
            let ends = smoothstep(from, from + 0.05, share) * (1.0 - smoothstep(until - 0.08, until, share));
            (depth * ends, 0.3)
        },
    });
}

/// A short line that leaves at a sharp angle.
fn branch(raster: &mut Raster, path: &[Point], line: &Line, dice: &mut Dice) {
    let at = dice.uniform(0.1, 0.95) * (path.len() - 2) as f32;
    let root = path[at as usize];
    let along = (path[at as usize + 1] - root).unit();
    let turn = dice.uniform(0.25, 0.7) * if dice.chance(0.5) { 1.0 } else { -1.0 };
    let length = 4.0 + dice.exponential(7.0).min(18.0);
    let heading = along.turned(turn) * length;
    let bow = heading.quarter_turn() * dice.normal(0.0, 0.12);
    let twig =
        wobbled(&[root, root + heading * 0.3 + bow, root + heading * 0.7 + bow, root + heading], 0.25, dice.bits());
    let depth = line.depth * dice.uniform(0.25, 0.6);
    raster
        .press(&Stroke { path: &twig, profile: &|share| (depth * (1.0 - share * share), 0.26 + 0.1 * (1.0 - share)) });
}

/// A cubic Bezier curve in steps of about a millimetre, wavering by about `amount`.
pub(crate) fn wobbled(controls: &[Point; 4], amount: f32, seed: u32) -> Vec<Point> {
    let [a, b, c, d] = *controls;
    let length = (b - a).length() + (c - b).length() + (d - c).length();
    let steps = (length / 1.1).ceil().clamp(4.0, 400.0) as usize;
    let side = (d - a).unit().quarter_turn();
    (0..=steps)
        .map(|step| {
            let t = step as f32 / steps as f32;
            let u = 1.0 - t;
            let smooth = a * (u * u * u) + b * (3.0 * u * u * t) + c * (3.0 * u * t * t) + d * (t * t * t);
            let run = t * length;
            smooth + side * (amount * (noise(seed, run / 11.0, 0.3) + 0.35 * noise(seed, run / 3.7, 9.3)))
        })
        .collect()
}
