//! Template protection on made-up palms, from picture to protected template: what a gallery's key does to the scores of
//! one palm. Everything is told from distributions over many palms, each with keys of its own, so that no single lucky
//! pair decides.

use volar_core::protection::{GalleryProtection, Renewal};
use volar_core::randomness::{Randomness, SeededRandomness};
use volar_core::score::{ScoreModel, TargetFpir};
use volar_core::secret::Key;
use volar_core::template::{Position, Probe, Quality, Reference, Template};
use volar_palm::embedding::{Embedder, shipped};
use volar_palm::orientation::orientation_fields;
use volar_palm::roi::{ROI_SIDE, RegionOfInterest};
use volar_synth::{Palm, Presentation};

/// People who calibrate nothing and train nothing.
const FIRST_PERSON: u64 = 8_000_000;
const PALMS: usize = 120;

/// A palm twice: as it was enrolled, and as it comes back.
struct Twice {
    enrolled: Template,
    returned: Template,
}

/// Scores of comparisons in decades, and their cosines.
#[derive(Default)]
struct Scores {
    fused: Vec<f64>,
    cosines: Vec<f64>,
}

impl Scores {
    fn add(&mut self, model: &ScoreModel, probe: &Probe, reference: &Reference) {
        let cosine = probe.cosine(reference);
        self.fused.push(model.fused(cosine, probe.code_distance(reference)).value().into());
        self.cosines.push(cosine.into());
    }

    fn share_from(&self, score: f64) -> f64 {
        self.fused.iter().filter(|&&found| found >= score).count() as f64 / self.fused.len() as f64
    }
}

fn palms() -> Vec<Twice> {
    let embedder = shipped();
    let palm = |number: u64| {
        let palm = Palm::of(FIRST_PERSON + number, Position::Right);
        let view = |sample: u64| {
            let presentation = Presentation::sample(2 * (FIRST_PERSON + number) + sample).aligned();
            let pixels = palm.crop(&presentation, ROI_SIDE).expect("a side that synth renders").pixels;
            template(&*embedder, &RegionOfInterest::new(pixels).expect("as many pixels as asked for"))
        };
        Twice { enrolled: view(0), returned: view(1) }
    };
    (0..PALMS as u64).map(palm).collect()
}

fn template(embedder: &dyn Embedder, region: &RegionOfInterest) -> Template {
    Template {
        position: Position::Right,
        quality: Quality::new(90).expect("in range"),
        embedding: embedder.embed(region).expect("a palm shows lines").embedding,
        orientations: orientation_fields(region).expect("a palm shows lines"),
    }
}

/// Two keys that nobody else has.
fn keys(randomness: &dyn Randomness) -> [Key; 2] {
    std::array::from_fn(|_| Key::new(randomness.bytes()))
}

/// A reference as the gallery has it after it was protected anew.
fn renewed(renewal: &Renewal, reference: &Reference) -> Reference {
    let (embedding, code) = (renewal.embedding(&reference.embedding), renewal.code(&reference.code));
    Reference { embedding, code, quality: reference.quality }
}

/// How often a value of `ones` is above one of `others`; a half when the two cannot be told apart (Mann-Whitney).
fn above(ones: &[f64], others: &[f64]) -> f64 {
    let wins: f64 = ones
        .iter()
        .flat_map(|one| {
            others.iter().map(move |other| if one > other { 1.0 } else { f64::from(u8::from(one == other)) / 2.0 })
        })
        .sum();
    wins / (ones.len() * others.len()) as f64
}

/// Largest difference of the two cumulated shares (Kolmogorov-Smirnov).
fn apart(ones: &[f64], others: &[f64]) -> f64 {
    let share = |values: &[f64], limit: f64| {
        values.iter().filter(|&&value| value <= limit).count() as f64 / values.len() as f64
    };
    ones.iter().chain(others).map(|&limit| (share(ones, limit) - share(others, limit)).abs()).fold(0.0, f64::max)
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, square.sqrt())
}

#[test]
fn one_palm_in_two_galleries_cannot_be_told_from_two_strangers() {
    let model = ScoreModel::for_model(&shipped().model()).expect("calibrated");
    let (palms, randomness) = (palms(), SeededRandomness::new(29));
    let [mut same_key, mut strangers, mut linked, mut unlinked, mut anew] = std::array::from_fn(|_| Scores::default());
    for (number, palm) in palms.iter().enumerate() {
        let stranger = &palms[(number + 1) % PALMS];
        let [old_key, new_key] = keys(&randomness);
        let [one, other] = [&old_key, &new_key].map(GalleryProtection::new);
        let old_probe = one.probe(&palm.returned);
        same_key.add(&model, &old_probe, &one.reference(&palm.enrolled));
        strangers.add(&model, &old_probe, &one.reference(&stranger.enrolled));
        // The gallery under another key: that of another shop, or this one's after its key was renewed.
        linked.add(&model, &old_probe, &other.reference(&palm.enrolled));
        unlinked.add(&model, &old_probe, &other.reference(&stranger.enrolled));
        // Renewed in the vault, and compared with a probe of the new key: as if nothing had been.
        let kept = renewed(&Renewal::between(&old_key, &new_key), &one.reference(&palm.enrolled));
        anew.add(&model, &other.probe(&palm.returned), &kept);
    }

    // The comparison itself works: under one key palms are told apart, and their owners come in.
    let admit = TargetFpir::new(1e-4).expect("a rate");
    let admitted_from = f64::from(model.threshold(admit, 1_000).value());
    assert!(above(&same_key.fused, &strangers.fused) > 0.999, "made-up palms are not told apart under one key");
    assert!(same_key.share_from(admitted_from) > 0.9, "{:?}", mean_and_deviation(&same_key.fused));

    // Under two keys the same palm's scores are strangers' scores: neither rank nor shape tells one from the other.
    // 3.3 standard errors of the rank statistic, and the critical distance of the shapes, each at one in a thousand.
    let n = PALMS as f64;
    let rank_error = ((2.0 * n + 1.0) / (12.0 * n * n)).sqrt();
    let rank = above(&linked.fused, &unlinked.fused);
    assert!((rank - 0.5).abs() < 3.3 * rank_error, "the same palm is above strangers in {rank:.3} of the pairs");
    let distance = apart(&linked.fused, &unlinked.fused);
    assert!(distance < 1.95 * (2.0 / n).sqrt(), "the shapes are {distance:.3} apart");
    // And they are those of random directions in 256 dimensions: mean 0, deviation 1/16.
    let (mean, deviation) = mean_and_deviation(&linked.cosines);
    assert!(mean.abs() < 3.3 / 16.0 / n.sqrt(), "mean cosine {mean:.4}");
    assert!((0.75..1.25).contains(&(deviation * 16.0)), "deviation {deviation:.4}");

    // Nobody who is protected anew scores otherwise than before: rounding alone is between.
    let moved = same_key.fused.iter().zip(&anew.fused).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved < 1e-3, "a score moved by {moved} decades");

    // An old probe is of no use under a new key: not one in its thousands would be stepped up, by the spread of all.
    let (mean, deviation) = mean_and_deviation(&linked.fused);
    let step_up_from = f64::from(model.threshold(TargetFpir::new(1e-2).expect("a rate"), 1_000).value());
    assert!(mean + 6.0 * deviation < step_up_from, "{mean:.2} \u{b1} {deviation:.2} against {step_up_from:.2}");
    assert_eq!(linked.share_from(step_up_from), 0.0);
    println!(
        "{PALMS} palms: under one key {:.1}, strangers {:.2}, under two keys {:.2} (rank {rank:.3}, shapes {distance:.3} apart); \
         protected anew, scores move by {moved:.1e} at most",
        mean_and_deviation(&same_key.fused).0,
        mean_and_deviation(&strangers.fused).0,
        mean,
    );
}
