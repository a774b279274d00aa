//! Measures how strangers score, for `volar_core::score`: `cargo run --release -p volar-palm --example
//! calibrate_scores -- [PEOPLE]` prints the parameters of the score model and what they were measured on.
//!
//! Two presentations of each made-up palm, one as reference and one as probe, protected as in service; every probe
//! against every reference.

use std::error::Error;
use std::io::Write;

use volar_core::protection::GalleryProtection;
use volar_core::score::{ScoreModel, TargetFpir};
use volar_core::secret::Key;
use volar_core::template::{Position, Probe, Quality, Reference, Template};
use volar_palm::embedding::{Embedder, FilterEmbedder};
use volar_palm::orientation::orientation_fields;

#[path = "made_up_palms/mod.rs"]
mod made_up_palms;
use made_up_palms::{crops, in_parallel};

/// People from here on calibrate; none of them trained the embedding.
const FIRST_PERSON: u64 = 6_000_000;
/// Unless said otherwise; two palms each.
const PEOPLE: u64 = 150;

/// One comparison.
#[derive(Clone, Copy)]
struct Pair {
    cosine: f64,
    distance: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let people = std::env::args().nth(1).map_or(Ok(PEOPLE), |text| text.parse())?;
    let protection = GalleryProtection::new(&Key::new([7; Key::LENGTH]));
    let palms: Vec<(Reference, Probe)> = in_parallel(FIRST_PERSON..FIRST_PERSON + people, |person| {
        let presented = crops(person, 2, 1.0);
        presented
            .iter()
            .map(|palm| (protection.reference(&template(&palm[0])), protection.probe(&template(&palm[1]))))
            .collect::<Vec<_>>()
    })
    .into_iter()
    .flatten()
    .collect();
    let rows = in_parallel(0..palms.len() as u64, |probe| {
        palms.iter().map(|(reference, _)| compare(&palms[probe as usize].1, reference)).collect::<Vec<Pair>>()
    });
    let (mut mated, mut strangers) = (Vec::new(), Vec::new());
    for (probe, row) in rows.iter().enumerate() {
        for (reference, &pair) in row.iter().enumerate() {
            if probe == reference { mated.push(pair) } else { strangers.push(pair) }
        }
    }
    Ok(report(&mut std::io::stdout().lock(), &mated, &strangers)?)
}

fn template(roi: &volar_palm::roi::RegionOfInterest) -> Template {
    Template {
        position: Position::Right,
        quality: Quality::new(90).expect("in range"),
        embedding: FilterEmbedder.embed(roi).expect("a typical presentation shows lines"),
        orientations: orientation_fields(roi).expect("a typical presentation shows lines"),
    }
}

fn compare(probe: &Probe, reference: &Reference) -> Pair {
    Pair { cosine: probe.cosine(reference).into(), distance: probe.code_distance(reference).into() }
}

fn report(out: &mut impl Write, mated: &[Pair], strangers: &[Pair]) -> std::io::Result<()> {
    let cosine = Moments::of(strangers.iter().map(|pair| pair.cosine));
    let distance = Moments::of(strangers.iter().map(|pair| pair.distance));
    let product = Moments::of(strangers.iter().map(|p| (p.cosine - cosine.mean) * (distance.mean - p.distance)));
    writeln!(out, "mated comparisons {}, non-mated {}", mated.len(), strangers.len())?;
    writeln!(out, "cosine_mean {:.4} cosine_deviation {:.4}", cosine.mean, cosine.deviation)?;
    writeln!(out, "distance_mean {:.4} distance_deviation {:.4}", distance.mean, distance.deviation)?;
    writeln!(out, "correlation {:.3}", product.mean / (cosine.deviation * distance.deviation))?;

    let model = ScoreModel::for_model(&FilterEmbedder.model()).expect("core knows the embedder's model");
    writeln!(out, "\nfalse match rate: of the committed model, found")?;
    for decades in 1..=6 {
        let found = strangers.iter().filter(|p| score(&model, p) >= decades as f32).count();
        writeln!(out, "1e-{decades} {:.2e} ({found})", found as f64 / strangers.len() as f64)?;
    }
    writeln!(out, "false non-match rate at a target FPIR of 0.001")?;
    let target = TargetFpir::new(0.001).expect("a rate");
    for palms in [1_000, 10_000, 1_000_000] {
        let threshold = model.threshold(target, palms);
        let missed = mated.iter().filter(|p| score(&model, p) < threshold.value()).count();
        writeln!(out, "{palms} palms: threshold {threshold}, {missed} of {} missed", mated.len())?;
    }
    Ok(())
}

fn score(model: &ScoreModel, pair: &Pair) -> f32 {
    model.fused(pair.cosine as f32, pair.distance as f32).value()
}

struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt() }
    }
}
