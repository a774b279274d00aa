//! One gallery in memory: who may be admitted, who is only searched for duplicates, and what they look like.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock, RwLockWriteGuard};

use volar_core::id::{ModelId, SiteId, SubjectId};
use volar_core::score::{Score, ScoreModel, ScoreModelError};
use volar_core::template::Probe;

use crate::decision::DecisionPolicy;
use crate::index::{Hit, Index, IndexedPalm, Standing};
use crate::search::{Identified, Searched, judge};
use crate::verify::candidates;

/// A gallery that is searched while it changes.
///
/// A search for admission reads only active rows, so nobody pending or held can be admitted, whatever the decision does. A
/// search for duplicates reads all.
pub struct Gallery {
    policy: DecisionPolicy,
    /// In place of the one that comes with this version.
    score_model: Option<ScoreModel>,
    /// As of the feed's last start; none before.
    contents: RwLock<Option<Arc<Contents>>>,
    /// The sites whose devices may search it; none for every site.
    sites: RwLock<BTreeSet<SiteId>>,
}

struct Contents {
    protection: Protection,
    index: Index,
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
        Self { policy, score_model: None, contents: RwLock::default(), sites: RwLock::default() }
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
        *self.write() = Some(Arc::new(Contents { protection, index: Index::default() }));
    }

    /// Forgets everyone, and answers nothing until [`Gallery::restart`].
    pub fn forget(&self) {
        *self.write() = None;
    }

    /// From now on only devices of `sites` may search; of every site if there are none.
    pub fn restrict_to(&self, sites: BTreeSet<SiteId>) {
        *self.sites.write().expect("replacing them does not panic") = sites;
    }

    /// Whether devices of `site` may search.
    pub fn serves(&self, site: &SiteId) -> bool {
        let sites = self.sites.read().expect("replacing them does not panic");
        sites.is_empty() || sites.contains(site)
    }

    /// What references are made with, once known.
    pub fn protection(&self) -> Option<Protection> {
        self.contents().ok().map(|contents| contents.protection.clone())
    }

    /// Active references.
    pub fn references(&self) -> usize {
        self.contents().map_or(0, |contents| contents.index.references(Standing::Active))
    }

    /// Palms that may be admitted, and palms that wait for a verdict or a review.
    pub fn palms(&self) -> (usize, usize) {
        let count = |standing| self.contents().map_or(0, |contents| contents.index.palms(standing));
        (count(Standing::Active), count(Standing::Waiting))
    }

    /// Says whose palm `probe` is.
    ///
    /// The thresholds are those of the gallery's present size: a stranger is admitted in at most
    /// [`DecisionPolicy::admit_fpir`] of the searches. Captures below [`DecisionPolicy::quality_min`] are not compared.
    pub fn identify(&self, probe: &Probe) -> Result<Identified, GalleryError> {
        if probe.quality < self.policy.quality_min {
            return Ok(Identified::QUALITY_LOW);
        }
        let contents = self.contents()?;
        let searched = self.search_in(&contents, &[probe]).remove(0);
        Ok(judge(&[searched], &self.policy, &contents.protection.model))
    }

    /// The active subjects who are most like each of `probes`: in less time than one after the other.
    pub fn search_each(&self, probes: &[&Probe]) -> Result<Vec<Searched>, GalleryError> {
        Ok(self.search_in(&*self.contents()?, probes))
    }

    fn search_in(&self, contents: &Contents, probes: &[&Probe]) -> Vec<Searched> {
        let Contents { index, protection: Protection { model, .. } } = contents;
        let embeddings: Vec<_> = probes.iter().map(|probe| &probe.embedding).collect();
        let found = index.nearest(&embeddings, self.policy.verified_palms, Standing::Active);
        let references = index.references(Standing::Active);
        let searched = |(probe, hits): (&&Probe, Vec<Hit>)| Searched {
            candidates: candidates(model, probe, &hits),
            references,
            complete: true,
        };
        probes.iter().zip(found).map(searched).collect()
    }

    /// The earlier subject, active or not, to whom any of `probes` (one person's) belongs; none most likely, if
    /// everyone scores below the threshold that [`DecisionPolicy::duplicate_fpir`] fixes for all the comparisons made,
    /// in this and `shards` - 1 other parts of the gallery of the same size.
    pub fn duplicate(&self, probes: &[Probe], shards: usize) -> Result<Option<Duplicate>, GalleryError> {
        let contents = self.contents()?;
        let Contents { index, protection: Protection { model, .. } } = &*contents;
        let references = index.references(Standing::Active) + index.references(Standing::Waiting);
        let threshold = model.threshold(self.policy.duplicate_fpir, references * shards * probes.len());
        let embeddings: Vec<_> = probes.iter().map(|probe| &probe.embedding).collect();
        let hits = index.nearest(&embeddings, self.policy.verified_palms, Standing::Waiting);
        let first = |(probe, hits): (&Probe, Vec<Hit>)| candidates(model, probe, &hits).first().copied();
        let best = probes.iter().zip(hits).filter_map(first);
        let best = best.reduce(|a, b| if b.score > a.score { b } else { a });
        let best = best.filter(|best| best.score >= threshold);
        Ok(best.map(|best| Duplicate { of: best.subject, score: best.score }))
    }

    /// Takes in a new subject, who is not admitted until [`Gallery::activate`].
    pub fn enroll(&self, subject: SubjectId, palms: &[IndexedPalm]) -> Result<(), GalleryError> {
        let added = self.contents()?.index.add(subject, palms, Standing::Waiting);
        if added { Ok(()) } else { Err(GalleryError::SubjectTwice) }
    }

    /// From now on the subject is admitted.
    pub fn activate(&self, subject: SubjectId) -> Result<(), GalleryError> {
        self.stand(subject, Standing::Active)
    }

    /// From now on the subject is searched for duplicates only.
    pub fn hold(&self, subject: SubjectId) -> Result<(), GalleryError> {
        self.stand(subject, Standing::Waiting)
    }

    /// Forgets a subject: when this returns, no search finds it and its references are gone from memory.
    pub fn erase(&self, subject: SubjectId) -> Result<(), GalleryError> {
        self.contents()?.index.remove(subject);
        Ok(())
    }

    fn stand(&self, subject: SubjectId, standing: Standing) -> Result<(), GalleryError> {
        let known = self.contents()?.index.stand(subject, standing);
        if known { Ok(()) } else { Err(GalleryError::SubjectUnknown) }
    }

    fn contents(&self) -> Result<Arc<Contents>, GalleryError> {
        self.contents.read().expect("replacing them does not panic").clone().ok_or(GalleryError::NotLoaded)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Arc<Contents>>> {
        self.contents.write().expect("replacing them does not panic")
    }
}
