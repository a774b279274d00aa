//! How large a palm is and where its middle lies, as a capture pipeline measures it on a hand held open.

use crate::anatomy::Anatomy;
use crate::math::Point;
use crate::parameters::BREADTH_LEVELS;
use crate::pose::Pose;
use crate::presentation::Presentation;

/// Millimetres on the resting skin.
pub(crate) struct PalmMeasure {
    /// Centre of the largest circle in the palm.
    pub(crate) centre: Point,
    /// Its radius.
    pub(crate) radius: f32,
    /// Breadth below the fingers.
    pub(crate) breadth: f32,
}

impl PalmMeasure {
    pub(crate) fn of(anatomy: &Anatomy) -> Self {
        let open = Presentation { finger_degrees: [0.0; 5], spread: 0.9, ..Presentation::sample(0) };
        let pose = Pose::new(anatomy, &open);
        let [_, index_middle, _, ring_little] = pose.valleys();
        let line = index_middle - ring_little;
        let (across, middle) = (line.unit(), index_middle.mix(ring_little, 0.5));
        let wrist = across.quarter_turn();

        let depth = |p: Point| -pose.distance(p);
        let deepest = |around: Point, step: f32| {
            let places = (-6..=6).flat_map(|down| (-6..=6).map(move |right| (right as f32, down as f32)));
            places
                .map(|(right, down)| around + (across * right + wrist * down) * step)
                .max_by(|a, b| depth(*a).total_cmp(&depth(*b)))
                .unwrap_or(around)
        };
        // Six steps of three millimetres either way reach every place where a palm's middle may lie.
        let rough = deepest(middle + wrist * (1.1 * line.length()), 3.0);
        let centre = deepest(deepest(rough, 0.5), 0.1);
        let radius = depth(centre);

        let reach = |from: Point, way: Point| (0..).take_while(|&i| depth(from + way * (i as f32 * 0.5)) > 0.0).count();
        let breadths = BREADTH_LEVELS.map(|level| {
            let from = middle + wrist * (level * radius);
            0.5 * (reach(from, across) + reach(from, -across)) as f32
        });
        Self { centre, radius, breadth: breadths.iter().sum::<f32>() / breadths.len() as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palms_measure_what_anatomy_says() {
        for person in 0..6 {
            let measure = PalmMeasure::of(&Anatomy::of(person));
            assert!((34.0..56.0).contains(&measure.radius), "radius {}", measure.radius);
            assert!((70.0..100.0).contains(&measure.breadth), "breadth {}", measure.breadth);
            assert!((-15.0..45.0).contains(&measure.centre.y), "centre {:?}", measure.centre);
        }
    }
}
