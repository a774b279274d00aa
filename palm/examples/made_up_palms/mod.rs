//! Regions of interest of made-up palms, as a capture pipeline would cut them.

use std::ops::Range;

use volar_core::template::Position;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_synth::math::Point;
use volar_synth::{Palm, Presentation};

/// How far cooperative people hold their fingers apart (see `Presentation::spread`).
const USUAL_SPREAD: f32 = 0.9;

/// `presentations` regions of each of a person's two palms, missed by `misalignment` times what is typical.
pub(crate) fn crops(person: u64, presentations: u64, misalignment: f32) -> Vec<Vec<RegionOfInterest>> {
    [Position::Left, Position::Right]
        .map(|position| {
            let palm = Palm::of(person, position);
            let side = u64::from(position == Position::Right);
            let crop = |number: u64| {
                let mut presentation = Presentation::sample((person * 2 + side) * 1_000 + number);
                // The pipeline's square stays where it is when fingers spread; the one that synth cuts does not.
                presentation.spread = USUAL_SPREAD;
                presentation.finger_degrees = [0.0; 5];
                let miss = &mut presentation.misalignment;
                miss.shift = Point::new(miss.shift.x * misalignment, miss.shift.y * misalignment);
                miss.degrees *= misalignment;
                miss.growth *= misalignment;
                let image = palm.crop(&presentation, ROI_SIDE).expect("the region's side is one that synth renders");
                RegionOfInterest::new(image.pixels).expect("as many pixels as asked for")
            };
            (0..presentations).map(crop).collect()
        })
        .into()
}

/// `work` of each number, in their order, on all processors.
pub(crate) fn in_parallel<T: Send>(numbers: Range<u64>, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = (numbers.end - numbers.start).div_ceil(threads);
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|thread| {
                let start = (numbers.start + thread * share).min(numbers.end);
                let part = start..(start + share).min(numbers.end);
                scope.spawn(move || part.map(work).collect::<Vec<T>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("the work does not panic")).collect()
    })
}
