//! How alike a palm's views are: whether they are of one palm, and which of them to keep. They are compared
//! unprotected, on the device that took them.

use volar_core::coverage;
use volar_core::score::ScoreModel;
use volar_core::template::Template;

use crate::parameters::SAME_PALM_SCORE;

/// Whether `view` is of the palm that any of `taken` shows.
pub(crate) fn is_same_palm(scores: &ScoreModel, taken: &[Template], view: &Template) -> bool {
    taken.iter().any(|taken| score(scores, taken, view) >= SAME_PALM_SCORE)
}

/// At most `kept` of a palm's views, those that cover the others best.
pub(crate) fn covering(scores: &ScoreModel, views: Vec<Template>, kept: usize) -> Vec<Template> {
    let chosen = coverage::covering(views.len(), kept, |probe, taken| score(scores, &views[taken], &views[probe]));
    views.into_iter().enumerate().filter(|(number, _)| chosen.contains(number)).map(|(_, view)| view).collect()
}

/// How strongly two views agree, in decades of likelihood ratio, as a matcher would score them.
fn score(scores: &ScoreModel, taken: &Template, view: &Template) -> f32 {
    let pairs = taken.embedding.expose().iter().zip(view.embedding.expose());
    let cosine = pairs.map(|(a, b)| a * b).sum::<f32>();
    let distances = view.orientations.iter().map(|field| taken.orientations[0].distance(field));
    scores.fused(cosine, distances.fold(1.0, f32::min)).value()
}
