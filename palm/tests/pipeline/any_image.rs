//! Whatever a sensor delivers, nothing panics, and noise is never a palm.

use crate::common::{frame, pipeline, word};
use proptest::prelude::*;
use volar_palm::frame::Frame;
use volar_palm::guided::{Guide, GuideConfig};
use volar_palm::pipeline::Outcome;

/// Bright discs and bars on a dark ground: what a segmentation finds worth looking at.
fn shapes(width: usize, height: usize, shapes: &[(f32, f32, f32, f32, u8)], noise: u8, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f32 / width as f32, (i / width) as f32 / height as f32);
            let inside = |&&(cx, cy, rx, ry, _): &&(f32, f32, f32, f32, u8)| {
                ((x - cx) / (rx + 0.01)).powi(2) + ((y - cy) / (ry + 0.01)).powi(2) < 1.0
            };
            let grey = shapes.iter().filter(inside).map(|shape| shape.4).max().unwrap_or(8);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            grey.saturating_add((state % (u64::from(noise) + 1)) as u8)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_shapes_never_panic(
        (width, height) in (160_usize..400, 120_usize..400),
        ellipses in prop::collection::vec((0.0..1.0_f32, 0.0..1.0_f32, 0.0..0.5_f32, 0.0..0.5_f32, any::<u8>()), 0..14),
        noise in 0_u8..80,
        seed in any::<u64>(),
    ) {
        let frame = frame(width, height, shapes(width, height, &ellipses, noise, seed), 0);
        let mut guide = Guide::new(std::sync::Arc::new(pipeline()), GuideConfig::default());
        let observation = guide.observe(&frame);
        prop_assert!(observation.captured.is_none());
    }

    #[test]
    fn random_pixels_are_no_palm((width, height) in (160_usize..300, 120_usize..300), seed in any::<u64>()) {
        let outcome = pipeline().process(&frame(width, height, shapes(width, height, &[], 247, seed), 0));
        prop_assert!(!matches!(outcome, Outcome::Captured(_)), "{}", word(&outcome));
    }

    #[test]
    fn random_bytes_are_no_picture(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Frame::decode(&bytes, crate::common::NOON, 0).is_err());
    }
}

#[test]
fn uniform_frames_show_no_hand() {
    for grey in [0, 1, 127, 255] {
        assert_eq!(word(&pipeline().process(&frame(160, 120, vec![grey; 160 * 120], 0))), "no-hand");
    }
}

#[test]
fn the_largest_frame_is_examined() {
    assert_eq!(word(&pipeline().process(&frame(4096, 4096, vec![30; 4096 * 4096], 0))), "no-hand");
}
