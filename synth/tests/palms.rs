//! What palms promise: one palm looks like itself, two palms do not look alike, and crops are cut from the same skin
//! as frames.

use volar_core::template::Position;
use volar_synth::{Condition, GreyImage, Palm, Point, Presentation, Simulator, SynthError, palm_crop, parameters};

const SIDE: usize = 128;

/// Deviations from the local mean, as a vector of length one.
fn detail(image: &GreyImage) -> Vec<f32> {
    let reach = image.width / 14;
    let at = |row: usize, column: usize| f32::from(image.pixels[row * image.width + column]);
    let mut detail = Vec::new();
    for row in reach..image.height - reach {
        for column in reach..image.width - reach {
            let window = (row - reach..=row + reach).step_by(3);
            let values = window.flat_map(|r| (column - reach..=column + reach).step_by(3).map(move |c| at(r, c)));
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            // Pixels off the hand would drown the skin.
            detail.push((at(row, column) - sum / count).clamp(-12.0, 12.0));
        }
    }
    let length = detail.iter().map(|value| value * value).sum::<f32>().sqrt();
    detail.iter().map(|value| value / length).collect()
}

fn likeness(a: &GreyImage, b: &GreyImage) -> f32 {
    detail(a).iter().zip(detail(b)).map(|(a, b)| a * b).sum()
}

/// A presentation in the usual pose, because likeness forgives no displacement; light, contrast, blur, noise and a
/// little stretch still differ from seed to seed.
fn crop(palm: &Palm, seed: u64) -> GreyImage {
    let sample = Presentation::sample(seed).aligned();
    let tilt_degrees = Point::default();
    let pose = Presentation { finger_degrees: [0.0; 5], spread: 0.9, tilt_degrees, stretch_mm: 0.3, ..sample };
    palm.crop(&pose, SIDE).expect("a usual side")
}

#[test]
fn crops_have_the_same_pixels_on_every_machine() {
    let crop = palm_crop(11, Position::Left, &Presentation::sample(5), SIDE).expect("a usual side");
    let hash = crop
        .pixels
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &pixel| (hash ^ u64::from(pixel)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(hash, CROP_HASH, "pixels changed: if that is meant, this is the new hash");
}

/// Fixed by an x86-64 build (FNV-1a).
const CROP_HASH: u64 = 10_350_797_045_319_909_527;

#[test]
fn a_palm_looks_like_itself_and_no_other() {
    let hands = (0..6).map(|i| Palm::of(i / 2, if i % 2 == 0 { Position::Left } else { Position::Right }));
    let crops: Vec<[GreyImage; 2]> = hands.map(|palm| [crop(&palm, 1), crop(&palm, 2)]).collect();
    for (i, [first, second]) in crops.iter().enumerate() {
        let mated = likeness(first, second);
        for (j, [_, other]) in crops.iter().enumerate().filter(|&(j, _)| j != i) {
            let non_mated = likeness(first, other);
            assert!(mated > non_mated + 0.1, "palm {i}: {mated} to itself, {non_mated} to palm {j}");
        }
    }
}

#[test]
fn left_and_right_palms_are_different_palms() {
    let [left, right] = [Position::Left, Position::Right].map(|position| crop(&Palm::of(21, position), 3));
    let same = crop(&Palm::of(21, Position::Left), 4);
    assert!(likeness(&left, &same) > likeness(&left, &right) + 0.1);
}

#[test]
fn a_crop_is_what_a_perfect_pipeline_cuts_out_of_the_frame() {
    let (person, side) = (31, 152);
    let mut sensor = Simulator::new(640, 480, 1).expect("a usual size");
    for position in [Position::Left, Position::Right] {
        let presentation = Presentation::sample(9).aligned();
        let (frame, truth) = sensor.capture(person, position, &presentation, 0);
        let crop = palm_crop(person, position, &presentation, side).expect("a usual side");
        let cut = cut_square(&frame, truth.palm_square, side);
        let alike = likeness(&crop, &cut);
        assert!(alike > 0.6, "{position}: likeness is only {alike}");
        let mean = |image: &GreyImage| image.pixels.iter().map(|&grey| f32::from(grey)).sum::<f32>();
        assert!((mean(&crop) / mean(&cut) - 1.0).abs() < 0.05, "{position}: brightness differs");
    }
}

/// The square and its margin out of `frame`, nearest pixel.
fn cut_square(frame: &GreyImage, square: [Point; 4], side: usize) -> GreyImage {
    let middle = square[0].mix(square[2], 0.5);
    let grown = square.map(|corner| middle + (corner - middle) * (1.0 + 2.0 * parameters::CROP_MARGIN));
    let pixels = (0..side * side).map(|at| {
        let share = |index: usize| (index as f32 + 0.5) / side as f32;
        let p = grown[0] + (grown[1] - grown[0]) * share(at % side) + (grown[3] - grown[0]) * share(at / side);
        frame.pixels[p.y.round() as usize * frame.width + p.x.round() as usize]
    });
    GreyImage { width: side, height: side, pixels: pixels.collect() }
}

#[test]
fn misalignment_moves_the_crop() {
    let palm = Palm::of(41, Position::Right);
    let aligned = Presentation::sample(2).aligned();
    let mut missed = aligned;
    missed.misalignment.shift = Point::new(0.06, 0.0);
    let [straight, shifted] = [aligned, missed].map(|p| palm.crop(&p, SIDE).expect("a usual side"));
    assert!(likeness(&straight, &shifted) < 0.7);
}

#[test]
fn presentations_are_as_their_condition_says() {
    for seed in 0..50 {
        let good = Presentation::sample(seed);
        assert!(good.rotation_degrees.abs() <= 15.0 && (0.87..=1.06).contains(&good.scale));
        assert!(good.tilt_degrees.length() < 24.0 && !good.sleeve && !good.swinging);
        assert!((0.45..0.53).contains(&(Presentation::too_far(seed).scale / good.scale)));
        let tilt = Presentation::tilted(seed).tilt_degrees.length();
        assert!((34.9..45.1).contains(&tilt), "{tilt}");
        assert!(Presentation::off_centre(seed).offset.x.abs() >= 0.44);
        assert!(Presentation::under(Condition::Sleeve, seed).sleeve);
    }
}

#[test]
fn crop_sides_have_limits() {
    let palm = Palm::of(1, Position::Left);
    for side in [0, 31, 513, usize::MAX] {
        assert_eq!(palm.crop(&Presentation::sample(1), side), Err(SynthError::CropSide { side }));
    }
    for side in [32, 128, 200, 512] {
        assert_eq!(palm.crop(&Presentation::sample(1), side).map(|crop| crop.pixels.len()), Ok(side * side));
    }
}
