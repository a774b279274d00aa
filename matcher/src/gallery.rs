//! One gallery in memory: who may be admitted, who is only searched for duplicates, and what they look like.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use volar_core::id::{ModelId, SubjectId};
use volar_core::score::{Score, ScoreModel, ScoreModelError};
use volar_core::template::Probe;

use crate::decision::{Decision, DecisionPolicy, Reason, decide};
use crate::index::{Hit, Index, IndexError, IndexedPalm};
use crate::verify::{Candidate, candidates};

/// A gallery that is searched while it changes.
///
/// Two indexes: a search for admission reads only the active one, so nobody pending or held can be admitted, whatever
/// the decision does. A search for duplicates reads both.
///
/// One lock: a search sees the gallery as of one moment. An update waits for the searches under way (milliseconds),
/// new searches wait for the update (below a millisecond), so neither starves.
pub struct Gallery {
    policy: DecisionPolicy,
    /// In place of the one that comes with this version.
    score_model: Option<ScoreModel>,
    contents: RwLock<Contents>,
}

#[derive(Default)]
struct Contents {
    protection: Option<Protection>,
    active: Index,
    waiting: Index,
}

/// What the gallery's references are made with. Probes made otherwise do not compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Protection {
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// How scores of the gallery's template model are distributed.
    pub model: ScoreModel,
}

/// Why a gallery cannot do what it is asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GalleryError {
    /// The feed has not said yet what the gallery is protected with.
    #[error("the gallery is not loaded yet")]
    NotLoaded,
    /// The gallery holds this subject already.
    #[error("the subject is enrolled already")]
    SubjectTwice,
    /// The gallery holds no such subject.
    #[error("the subject is not enrolled")]
    SubjectUnknown,
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What a search says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identified {
    /// What is to happen.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The best candidate's score, for statistics; none when nobody was compared.
    pub top: Option<Score>,
}

/// An earlier subject who may be the same person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duplicate {
    /// The earlier subject.
    pub of: SubjectId,
    /// Score of the nearest pair of palms.
    pub score: Score,
}

impl Gallery {
    /// An empty gallery that decides by `policy`; it answers once [`Gallery::restart`] has said what it is made with.
    pub fn new(policy: DecisionPolicy) -> Self {
        Self { policy, score_model: None, contents: RwLock::default() }
    }

    /// The same, scoring with `score_model` in place of the one that comes with this version.
    pub fn with_score_model(self, score_model: Option<ScoreModel>) -> Self {
        Self { score_model, ..self }
    }

    /// The score model for templates of `model`.
    pub fn score_model(&self, model: &ModelId) -> Result<ScoreModel, ScoreModelError> {
        match &self.score_model {
            Some(configured) => configured.clone().made_for(model),
            None => ScoreModel::for_model(model),
        }
    }

    /// Forgets everyone and takes references made with `protection` from now on.
    pub fn restart(&self, protection: Protection) {
        *self.write() = Contents { protection: Some(protection), ..Contents::default() };
    }

    /// Forgets everyone, and answers nothing until [`Gallery::restart`].
    pub fn forget(&self) {
        *self.write() = Contents::default();
    }

    /// What references are made with, once known.
    pub fn protection(&self) -> Option<Protection> {
        self.read().protection.clone()
    }

    /// Palms that may be admitted, and palms that wait for a verdict or a review.
    pub fn palms(&self) -> (usize, usize) {
        let contents = self.read();
        (contents.active.palms(), contents.waiting.palms())
    }

    /// Says whose palm `probe` is.
    ///
    /// The thresholds are those of the gallery's present size: a stranger is admitted in at most
    /// [`DecisionPolicy::admit_fpir`] of the searches. Captures below [`DecisionPolicy::quality_min`] are not compared.
    pub fn identify(&self, probe: &Probe) -> Result<Identified, GalleryError> {
        if probe.quality < self.policy.quality_min {
            return Ok(Identified { decision: Decision::Retry, reason: Reason::QualityLow, top: None });
        }
        let contents = self.read();
        let model = contents.model()?;
        let hits = contents.active.nearest(&probe.embedding, self.policy.verified_palms)?;
        let found = candidates(model, probe, &hits);
        let (decision, reason) = decide(&found, self.policy.thresholds(model, contents.active.references()));
        Ok(Identified { decision, reason, top: found.first().map(|best| best.score) })
    }

    /// The earlier subject, active or not, to whom any of `probes` (one person's) belongs; none most likely, if
    /// everyone scores below the threshold that [`DecisionPolicy::duplicate_fpir`] fixes for all the comparisons made.
    pub fn duplicate(&self, probes: &[Probe]) -> Result<Option<Duplicate>, GalleryError> {
        let contents = self.read();
        let model = contents.model()?;
        let comparisons = (contents.active.references() + contents.waiting.references()) * probes.len();
        let threshold = model.threshold(self.policy.duplicate_fpir, comparisons);
        let mut best: Option<Candidate> = None;
        for probe in probes {
            for index in [&contents.active, &contents.waiting] {
                let hits: Vec<Hit<'_>> = index.nearest(&probe.embedding, self.policy.verified_palms)?;
                let first = candidates(model, probe, &hits).first().copied();
                best = [best, first].into_iter().flatten().reduce(|a, b| if b.score > a.score { b } else { a });
            }
        }
        let best = best.filter(|best| best.score >= threshold);
        Ok(best.map(|best| Duplicate { of: best.subject, score: best.score }))
    }

    /// Takes in a new subject, who is not admitted until [`Gallery::activate`].
    pub fn enroll(&self, subject: SubjectId, palms: &[IndexedPalm]) -> Result<(), GalleryError> {
        let mut contents = self.write();
        contents.model()?;
        if contents.active.contains(subject) || contents.waiting.contains(subject) {
            return Err(GalleryError::SubjectTwice);
        }
        Ok(contents.waiting.add(subject, palms)?)
    }

    /// From now on the subject is admitted.
    pub fn activate(&self, subject: SubjectId) -> Result<(), GalleryError> {
        let contents = &mut *self.write();
        pass(subject, &mut contents.waiting, &mut contents.active)
    }

    /// From now on the subject is searched for duplicates only.
    pub fn hold(&self, subject: SubjectId) -> Result<(), GalleryError> {
        let contents = &mut *self.write();
        pass(subject, &mut contents.active, &mut contents.waiting)
    }

    /// Forgets a subject: when this returns, no search finds it and its references are gone from memory.
    pub fn erase(&self, subject: SubjectId) -> Result<(), GalleryError> {
        let mut contents = self.write();
        contents.active.remove(subject)?;
        contents.waiting.remove(subject)?;
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().expect("a gallery whose update panicked must not answer")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().expect("a gallery whose update panicked must not change")
    }
}

impl Contents {
    fn model(&self) -> Result<&ScoreModel, GalleryError> {
        self.protection.as_ref().map(|protection| &protection.model).ok_or(GalleryError::NotLoaded)
    }
}

/// Moves a subject between indexes; nothing happens if it is there already.
fn pass(subject: SubjectId, from: &mut Index, to: &mut Index) -> Result<(), GalleryError> {
    if to.contains(subject) {
        return Ok(());
    }
    let palms: Vec<IndexedPalm> = from.remove(subject)?;
    if palms.is_empty() {
        return Err(GalleryError::SubjectUnknown);
    }
    Ok(to.add(subject, &palms)?)
}
