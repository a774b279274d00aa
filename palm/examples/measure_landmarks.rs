//! How well hands are found over everything that a cooperative person and a sensor's mounting can do: made-up hands
//! whose valleys are known exactly. `cargo run --release -p volar-palm --example measure_landmarks -- FRAMES FIRST`: so many
//! frames from that one on.
#![expect(clippy::print_stdout, reason = "an example's figures are for whoever runs it")]

use volar_core::clock::Timestamp;
use volar_core::template::Position;
use volar_palm::embedding::shipped;
use volar_palm::frame::Frame;
use volar_palm::pipeline::{Outcome, Pipeline, PipelineConfig};
use volar_synth::{Point, Presentation, Simulator};

/// People that no training saw.
const FIRST_PERSON: u64 = 7_000_000;
const SIZES: [(usize, usize); 5] = [(320, 240), (384, 284), (640, 480), (1280, 720), (1920, 1080)];
/// The palm's breadth in palm squares: 85 mm to 63 mm.
const BREADTH: f32 = 1.35;

#[derive(Default)]
struct Tally {
    frames: usize,
    placed: usize,
    /// Failures that were reported, and wrong squares.
    reported: usize,
    wrong: usize,
    wrong_hand: usize,
    errors: Vec<f32>,
}

impl Tally {
    fn line(&mut self, name: &str) {
        self.errors.sort_by(f32::total_cmp);
        let quantile = |share: f32| self.errors.get((self.errors.len() as f32 * share) as usize).copied();
        println!(
            "{name:24} n {:5}  placed {:5} ({:.1} %)  reported {}  wrong {} (other hand {})  error median {:.4} 95 % {:.4}",
            self.frames,
            self.placed,
            100.0 * self.placed as f32 / self.frames.max(1) as f32,
            self.reported,
            self.wrong,
            self.wrong_hand,
            quantile(0.5).unwrap_or_default(),
            quantile(0.95).unwrap_or_default(),
        );
    }
}

/// Even numbers from 0 to below 1, the same for the same `seed`.
fn share(seed: u64, salt: u64) -> f32 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}

fn between(seed: u64, salt: u64, low: f32, high: f32) -> f32 {
    low + (high - low) * share(seed, salt)
}

fn main() {
    let argument = |at: usize| std::env::args().nth(at).and_then(|number| number.parse::<u64>().ok());
    let (frames, first) = (argument(1).unwrap_or(1_000), argument(2).unwrap_or(0));
    let unguided = PipelineConfig { mirrored: false, guided: false, quality_min: 0 };
    let pipeline = Pipeline::new(shipped(), unguided);
    let mut all = Tally::default();
    let mut parts: Vec<(&str, Tally)> = [
        "closed fingers",
        "spread fingers",
        "sleeve",
        "rings",
        "tilt over 15 degrees",
        "exposure under 60 %",
        "exposure over 150 %",
        "320x240",
    ]
    .map(|name| (name, Tally::default()))
    .into();
    for i in first..first + frames {
        let (width, height) = SIZES[i as usize % SIZES.len()];
        let tilt = Point::new(0.0, between(i, 2, 0.0, 20.0)).turned(between(i, 3, 0.0, std::f32::consts::TAU));
        let presentation = Presentation {
            rotation_degrees: between(i, 1, -45.0, 45.0),
            tilt_degrees: tilt,
            scale: between(i, 4, 0.75, 1.05),
            ..Presentation::any(FIRST_PERSON + i)
        };
        let position = if i % 2 == 0 { Position::Left } else { Position::Right };
        let towards = 90.0 * (i / 10 % 4) as f32;
        let mut simulator = Simulator::new(width, height, i).expect("a fair size").with_fingers_towards(towards);
        let (image, truth) = simulator.capture(FIRST_PERSON + i / 2, position, &presentation, 1_000);
        let exposure = between(i, 5, 0.4, 2.0);
        let exposed = |&pixel: &u8| (f32::from(pixel) * exposure).min(255.0) as u8;
        let pixels: Vec<u8> = image.pixels.iter().map(exposed).collect();
        let at = Timestamp::from_unix_milliseconds(0);
        let frame = Frame::new(width as u32, height as u32, pixels, at, i).expect("a fair size");

        let side = (truth.palm_square[0] - truth.palm_square[1]).length();
        let belongs = [
            presentation.spread < -0.2,
            presentation.spread > 0.9,
            presentation.sleeve,
            presentation.rings.contains(&true),
            tilt.length() > 15.0,
            exposure < 0.6,
            exposure > 1.5,
            width == 320,
        ];
        let outcome = pipeline.process(&frame);
        let tallies = std::iter::once(&mut all)
            .chain(parts.iter_mut().zip(belongs).filter(|(_, belongs)| *belongs).map(|((_, tally), _)| tally));
        for tally in tallies {
            tally.frames += 1;
            let Outcome::Captured(capture) = &outcome else {
                tally.reported += 1;
                continue;
            };
            let found = capture.outline.valleys.expect("a capture has valleys");
            let off = |found: volar_palm::outline::Point, truth: Point| {
                Point::new(found.x - truth.x, found.y - truth.y).length() / (side * BREADTH)
            };
            let error = off(found[0], truth.valleys[1]).max(off(found[1], truth.valleys[3]));
            tally.errors.push(error);
            let other_hand = capture.template.position != position;
            tally.wrong_hand += usize::from(other_hand);
            if error < 0.05 && !other_hand {
                tally.placed += 1;
            } else {
                tally.wrong += 1;
            }
        }
    }
    all.line("all");
    parts.iter_mut().for_each(|(name, tally)| tally.line(name));
}
