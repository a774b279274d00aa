//! Where a gallery is searched, in this process or by shards, and what a search gives.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::Code;
use volar_core::id::SubjectId;
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

/// What a search says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identified {
    /// What is to happen.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The best candidate's score, for statistics; none when nobody was compared.
    pub top: Option<Score>,
    /// The score of the best other subject, who is a stranger, and whether it reaches the step-up point.
    pub second: Option<(Score, bool)>,
    /// Who it may be, of a palm that is not sure enough.
    pub unsure: Option<Unsure>,
}

/// The candidates of a palm that needs a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsure {
    /// The best.
    pub best: SubjectId,
    /// The second, if it was that one who made the best ambiguous.
    pub second: Option<SubjectId>,
}

impl Identified {
    /// A capture that is too poor to compare.
    pub const QUALITY_LOW: Self =
        Self { decision: Decision::Retry, reason: Reason::QualityLow, top: None, second: None, unsure: None };
}

impl Searched {
    /// Decides, at the thresholds that `policy` gives a gallery of this size.
    pub fn judge(&self, policy: &DecisionPolicy, model: &ScoreModel) -> Identified {
        let thresholds = policy.thresholds(model, self.references);
        let (decision, reason) = decide(&self.candidates, thresholds);
        let score = |place: usize| self.candidates.get(place).map(|candidate| candidate.score);
        let second = score(1).map(|score| (score, score >= thresholds.step_up));
        let subject = |place: usize| self.candidates.get(place).map(|candidate| candidate.subject);
        let unsure = subject(0).filter(|_| decision == Decision::StepUp).map(|best| {
            let second = subject(1).filter(|_| reason == Reason::CloseSecond);
            Unsure { best, second }
        });
        Identified { decision, reason, top: score(0), second, unsure }
    }
}

/// A gallery that can be searched.
#[tonic::async_trait]
pub trait Search: Send + Sync {
    /// What probes must be made with; none while the gallery cannot be searched yet.
    fn protection(&self) -> Option<Protection>;

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
