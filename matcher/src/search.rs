//! Where a gallery is searched, in this process or by shards, and what a search gives.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::Code;
use volar_core::id::{SiteId, SubjectId};
use volar_core::score::{Score, ScoreModel};
use volar_core::template::Probe;
use volar_service::fault::Fault;

use crate::decision::{Decision, DecisionPolicy, Reason, decide};
use crate::gallery::{Gallery, GalleryError, Protection};
use crate::parameters::{BUSY_RETRY, NOT_READY_RETRY};
use crate::pool::{PoolError, SearchPool};
use crate::verify::Candidate;

/// Who is most like a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    /// Best first, one a subject.
    pub candidates: Vec<Candidate>,
    /// Active references of the gallery, whether or not all of them could be searched.
    pub references: usize,
    /// Whether all of the gallery was searched.
    pub complete: bool,
}

/// What the searches of a lane's galleries say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Identified {
    /// What is to happen.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The best candidate's score, for statistics, and which of the searches found it; none when nobody was compared.
    pub top: Option<(Score, usize)>,
    /// Of each search: the best score of anybody but the best candidate, who is a stranger then, and whether it reaches the
    /// step-up point; none where nobody else was compared.
    pub strangers: Vec<Option<(Score, bool)>>,
    /// Who it may be, of a palm that is not sure enough.
    pub unsure: Option<Unsure<Found>>,
}

/// The candidates of a palm that needs a second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsure<T> {
    /// The best.
    pub best: T,
    /// The second, if it was that one who made the best ambiguous.
    pub second: Option<T>,
}

/// Somebody, and which of the searches found them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The person.
    pub subject: SubjectId,
    /// Which search.
    pub search: usize,
}

impl Identified {
    /// A capture that is too poor to compare.
    pub const QUALITY_LOW: Self =
        Self { decision: Decision::Retry, reason: Reason::QualityLow, top: None, strangers: Vec::new(), unsure: None };
}

/// Decides on one palm that was searched for in several galleries, at the thresholds that `policy` gives one gallery of all
/// their references. Somebody who is in two of them counts once, by their better score.
pub fn judge(searches: &[Searched], policy: &DecisionPolicy, model: &ScoreModel) -> Identified {
    let thresholds = policy.thresholds(model, searches.iter().map(|searched| searched.references).sum());
    let each = searches.iter().enumerate();
    let mut found: Vec<(Candidate, usize)> =
        each.flat_map(|(search, searched)| searched.candidates.iter().map(move |one| (*one, search))).collect();
    found.sort_by(|(a, _), (b, _)| a.best_first(b));
    let mut met = HashSet::new();
    found.retain(|(candidate, _)| met.insert(candidate.subject));
    let candidates: Vec<Candidate> = found.iter().map(|(candidate, _)| *candidate).collect();
    let (decision, reason) = decide(&candidates, thresholds);

    let best = candidates.first().map(|candidate| candidate.subject);
    let stranger = |searched: &Searched| {
        let other = searched.candidates.iter().find(|candidate| Some(candidate.subject) != best)?;
        Some((other.score, other.score >= thresholds.step_up))
    };
    let at = |place: usize| found.get(place).map(|(one, search)| Found { subject: one.subject, search: *search });
    let unsure = at(0).filter(|_| decision == Decision::StepUp).map(|best| {
        let second = at(1).filter(|_| reason == Reason::CloseSecond);
        Unsure { best, second }
    });
    let top = found.first().map(|(candidate, search)| (candidate.score, *search));
    Identified { decision, reason, top, strangers: searches.iter().map(stranger).collect(), unsure }
}

/// A gallery that can be searched.
#[tonic::async_trait]
pub trait Search: Send + Sync {
    /// What probes must be made with; none while the gallery cannot be searched yet.
    fn protection(&self) -> Option<Protection>;

    /// Whether devices of `site` may search.
    fn serves(&self, site: &SiteId) -> bool;

    /// Who is most like `probe`.
    async fn search(&self, probe: Probe) -> Result<Searched, Fault>;
}

/// A gallery in this process's memory.
pub struct LocalSearch {
    /// The palms.
    pub gallery: Arc<Gallery>,
    /// Whether it has all it needs to answer.
    pub ready: watch::Receiver<bool>,
    /// Where searches run.
    pub pool: Arc<SearchPool>,
}

#[tonic::async_trait]
impl Search for LocalSearch {
    fn protection(&self) -> Option<Protection> {
        self.gallery.protection().filter(|_| *self.ready.borrow())
    }

    fn serves(&self, site: &SiteId) -> bool {
        self.gallery.serves(site)
    }

    async fn search(&self, probe: Probe) -> Result<Searched, Fault> {
        let searched = self.pool.run((self.gallery.clone(), probe)).await.map_err(busy)?;
        searched.map_err(|error| search_fault(&error))
    }
}

/// The gallery is not there yet.
pub(crate) fn not_ready() -> Fault {
    Fault::new(Code::Unavailable, "GALLERY_NOT_READY", "the gallery is still loading from the vault; try again")
        .retry_after(NOT_READY_RETRY)
}

fn busy(error: PoolError) -> Fault {
    match error {
        PoolError::Busy => {
            Fault::new(Code::ResourceExhausted, "MATCHER_BUSY", error.to_string()).retry_after(BUSY_RETRY)
        }
        PoolError::Failed => Fault::new(Code::Internal, "SEARCH_FAILED", error.to_string()),
    }
}

fn search_fault(error: &GalleryError) -> Fault {
    match error {
        GalleryError::NotLoaded => not_ready(),
        _ => {
            tracing::error!(%error, "search failed");
            Fault::new(Code::Internal, "SEARCH_FAILED", "the search failed; the log of the matcher says why")
        }
    }
}
