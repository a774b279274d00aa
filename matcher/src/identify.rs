//! Answering `Identify`: who may ask, what is asked, and what the answer does to lane, ticket and books.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use volar_core::challenge::Candidate;
use volar_core::clock::{Clock, Timestamp};
use volar_core::id::{GalleryId, IdempotencyId, LaneId, ModelId, TenantId, TicketId};
use volar_core::log_safe::log_safe;
use volar_core::randomness::Randomness;
use volar_core::score::ScoreModel;
use volar_core::shard::Shard;
use volar_core::template::Probe;
use volar_core::ticket::Purpose;
use volar_proto::v1;
use volar_proto::v1::identification_service_server::IdentificationService;
use volar_service::fault::Fault;
use volar_service::identity::{Peer, Role};

use crate::convert;
use crate::decision::{Decision, DecisionPolicy, Reason};
use crate::gallery::Protection;
use crate::lockout::{Held, Lane, Lockout, Try};
use crate::parameters::BUSY_RETRY;
use crate::replay::{Conflict, Entrance, Outcome, Replays};
use crate::scan_log::{Scan, ScanLog};
use crate::search::{Found, Identified, Search, Unsure, judge, not_ready};
use crate::tail_watch::{TailWatch, Window};
use crate::tickets::TicketKeys;

/// A checked call.
pub struct Call {
    /// Made and kept by the caller.
    pub id: IdempotencyId,
    /// The lane that the person stands at.
    pub lane: LaneId,
    /// What a ticket would be for.
    pub purpose: Purpose,
    /// The palm, once for each gallery to search: one at least, no gallery twice.
    pub probes: Vec<GalleryProbe>,
}

/// A palm to be searched for in one gallery.
pub struct GalleryProbe {
    /// Where to search.
    pub gallery: GalleryId,
    /// Generation of the probe's protection.
    pub generation: u32,
    /// The probe's template model.
    pub model: ModelId,
    /// The palm.
    pub probe: Probe,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is to happen.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// With ADMITTED, and never otherwise: the ticket's id and its sealed form.
    pub ticket: Option<(TicketId, Vec<u8>)>,
    /// With STEP_UP where second factors are on, and never otherwise: what to send back with the digits.
    pub challenge: Option<Vec<u8>>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// With REJECTED: how long the lane stays locked.
    pub retry_after: Option<Duration>,
}

/// A gallery that is answered for.
pub struct ServedGallery {
    /// Where it is searched.
    pub search: Arc<dyn Search>,
    /// Whether strangers score as they should.
    pub tail: TailWatch,
}

/// Everything that answering needs.
pub struct Matcher {
    /// Whose galleries these are. Peers of other tenants are refused.
    pub tenant: TenantId,
    /// The part of its galleries that is searched. Only who searches the whole may say that somebody is not there.
    pub shard: Shard,
    /// The galleries served.
    pub galleries: HashMap<GalleryId, ServedGallery>,
    /// Keys for tickets.
    pub tickets: Arc<TicketKeys>,
    /// Failures on each lane.
    pub lockout: Arc<Lockout>,
    /// Answers for repeats.
    pub replays: Replays,
    /// Where answers are taken down for the audit log.
    pub scans: ScanLog,
    /// The vault that knows second factors; none where they are off.
    pub second_factor: Option<Channel>,
    /// How searches become decisions.
    pub policy: DecisionPolicy,
    /// Time of decisions.
    pub clock: Arc<dyn Clock>,
    /// For ticket ids and nonces.
    pub randomness: Arc<dyn Randomness>,
}

impl Matcher {
    /// Answers a call of `peer`.
    pub async fn identify(self: &Arc<Self>, peer: Peer, request: v1::IdentifyRequest) -> Result<Answer, Fault> {
        self.check_peer(&peer)?;
        if self.shard != Shard::WHOLE {
            let message = format!("this matcher holds shard {} alone; ask the router", self.shard);
            return Err(Fault::new(Code::FailedPrecondition, "SHARD_ONLY", message).with("shard", self.shard));
        }
        let digest = convert::digest(&request);
        let call = convert::call(request)?;
        check_purpose(peer.role, call.purpose)?;
        let entrance = self.replays.enter(&peer, call.id, digest, self.clock.now()).map_err(conflict)?;
        let outcome = match entrance {
            Entrance::Repeat(outcome) => outcome,
            Entrance::First(turn) => {
                let (outcome, matcher) = (turn.subscribe(), self.clone());
                // A task of its own: a caller that hangs up must not keep its failure from being counted.
                tokio::spawn(async move {
                    let answer = matcher.attempt(peer, call).await;
                    matcher.replays.settle(turn, answer);
                });
                outcome
            }
        };
        settled(outcome).await
    }

    async fn attempt(&self, peer: Peer, call: Call) -> Result<Answer, Fault> {
        let started = Instant::now();
        let (galleries, model) = self.galleries_for(&peer, &call.probes)?;
        let purpose = call.purpose;
        let answer = match self.begin(&peer, &call.lane)? {
            Err(left) => self.answer(Decision::Rejected, Reason::LockedOut, Some(left)),
            Ok(attempt) => {
                let names: Vec<_> = call.probes.iter().map(|probe| probe.gallery.clone()).collect();
                let identified = self.search(&galleries, &model, call.probes).await?;
                let place = Place { peer: peer.clone(), lane: call.lane.clone(), purpose };
                self.conclude(identified, attempt, place, &names)?
            }
        };
        book(&answer, purpose, started.elapsed());
        self.scans.note(Scan { peer, lane: call.lane, purpose, answer: answer.clone() });
        Ok(answer)
    }

    /// Searches every gallery and decides once. Where a part could not be searched, a sure match is still one; anything
    /// less might be somebody of that part, so the caller tries again.
    async fn search(
        &self,
        galleries: &[Arc<dyn Search>],
        model: &ScoreModel,
        probes: Vec<GalleryProbe>,
    ) -> Result<Identified, Fault> {
        if probes.iter().any(|probe| probe.probe.quality < self.policy.quality_min) {
            return Ok(Identified::QUALITY_LOW);
        }
        let searches = galleries.iter().zip(probes).map(|(gallery, probe)| gallery.search(probe.probe));
        let searched = try_join_all(searches).await?;
        let identified = judge(&searched, &self.policy, model);
        match identified.decision {
            Decision::Admitted(_) => Ok(identified),
            _ if searched.iter().all(|searched| searched.complete) => Ok(identified),
            _ => {
                let message = "a part of the gallery cannot be searched now; try again";
                Err(Fault::new(Code::Unavailable, "SHARD_MISSING", message).retry_after(BUSY_RETRY))
            }
        }
    }

    /// The galleries asked for, each of which must be there for `peer`, and the score model that all of them share.
    fn galleries_for(&self, peer: &Peer, probes: &[GalleryProbe]) -> Result<(Vec<Arc<dyn Search>>, ScoreModel), Fault> {
        let mut shared = None;
        let mut galleries = Vec::with_capacity(probes.len());
        for probe in probes {
            let (search, protection) = self.gallery(probe)?;
            if !search.serves(&peer.site) {
                let message = format!("gallery \"{}\" is not for site \"{}\"", probe.gallery, peer.site);
                let fault = Fault::new(Code::PermissionDenied, "GALLERY_NOT_FOR_SITE", message);
                return Err(fault.with("gallery", &probe.gallery));
            }
            let model = shared.get_or_insert_with(|| protection.model.clone());
            if model.model() != protection.model.model() {
                let message =
                    "the galleries are of two template models, whose scores do not compare; ask for one at a time";
                return Err(Fault::new(Code::FailedPrecondition, "MODEL_MISMATCH", message));
            }
            galleries.push(search);
        }
        let model = shared.ok_or_else(|| Fault::new(Code::InvalidArgument, "FIELD_INVALID", "probes are missing"))?;
        Ok((galleries, model))
    }

    /// The gallery asked for, if it is served, ready, and comparable with the probe.
    pub(crate) fn gallery(&self, probe: &GalleryProbe) -> Result<(Arc<dyn Search>, Protection), Fault> {
        let GalleryProbe { gallery: id, generation, model, .. } = probe;
        let served = self.galleries.get(id).ok_or_else(|| gallery_unknown(id))?;
        let protection = served.search.protection().ok_or_else(not_ready)?;
        if *generation != protection.generation {
            let message =
                "the probe is protected under another key than the gallery; call GetProtection and capture again";
            return Err(Fault::new(Code::FailedPrecondition, "PROTECTION_GENERATION_MISMATCH", message)
                .with("generation", protection.generation));
        }
        if model != protection.model.model() {
            let message = "the probe comes from another template model than the gallery; update the device's software";
            return Err(
                Fault::new(Code::FailedPrecondition, "MODEL_MISMATCH", message).with("model", protection.model.model())
            );
        }
        Ok((served.search.clone(), protection))
    }

    /// A try on the lane, or how long it stays locked.
    fn begin(&self, peer: &Peer, lane: &LaneId) -> Result<Result<Try, Duration>, Fault> {
        let lane = Lane {
            tenant: peer.tenant.clone(),
            site: peer.site.clone(),
            device: peer.device.clone(),
            lane: lane.clone(),
        };
        match self.lockout.begin(lane) {
            Ok(attempt) => Ok(Ok(attempt)),
            Err(Held::LockedOut(left)) => Ok(Err(left)),
            Err(Held::Busy) => {
                let message = "as many tries are under way on this lane as may fail; wait for their answers";
                Err(Fault::new(Code::ResourceExhausted, "LANE_BUSY", message).retry_after(BUSY_RETRY))
            }
        }
    }

    /// Counts the try and makes the ticket. `galleries` are those searched.
    fn conclude(
        &self,
        identified: Identified,
        attempt: Try,
        place: Place,
        galleries: &[GalleryId],
    ) -> Result<Answer, Fault> {
        self.book_scores(&identified, galleries);
        let mut answer = self.answer(identified.decision, identified.reason, None);
        match identified.decision {
            Decision::Admitted(subject) => {
                let id = TicketId::random(&*self.randomness);
                let search = identified.top.map_or(0, |(_, search)| search);
                answer.ticket = Some(self.ticket(id, subject, galleries[search].clone(), place, answer.decided_at)?);
                attempt.succeeded();
            }
            Decision::StepUp => {
                if let Some(Unsure { best, second }) = identified.unsure {
                    let named =
                        |found: Found| Candidate { subject: found.subject, gallery: galleries[found.search].clone() };
                    let unsure = Unsure { best: named(best), second: second.map(named) };
                    answer.challenge = self.challenge(unsure, &place)?;
                }
            }
            // An empty gallery compares nothing, so nothing was tried.
            Decision::NoMatch if identified.reason == Reason::BelowThreshold => attempt.failed(),
            _ => {}
        }
        Ok(answer)
    }

    fn book_scores(&self, identified: &Identified, galleries: &[GalleryId]) {
        if let Some((top, _)) = identified.top {
            metrics::histogram!("volar_matcher_top_score_decades").record(f64::from(top.value()));
        }
        let second = identified.strangers.iter().flatten().map(|(score, _)| score.value()).reduce(f32::max);
        if let Some(second) = second {
            metrics::histogram!("volar_matcher_second_score_decades").record(f64::from(second));
        }
        // Nobody was compared in a search that was not made.
        for (gallery, stranger) in galleries.iter().zip(&identified.strangers).filter(|_| identified.top.is_some()) {
            self.watch_tail(gallery, stranger.is_some_and(|(_, reached)| reached));
        }
    }

    fn watch_tail(&self, gallery: &GalleryId, reached: bool) {
        let Some(served) = self.galleries.get(gallery) else { return };
        let Some(Window { share, alarm }) = served.tail.observe(reached) else { return };
        let name = gallery.to_string();
        metrics::gauge!("volar_matcher_tail_share", "gallery" => name.clone()).set(share);
        metrics::gauge!("volar_matcher_tail_alarm", "gallery" => name).set(f64::from(u8::from(alarm)));
        if alarm {
            tracing::warn!(gallery = %log_safe(gallery), share, expected_at_most = served.tail.target(),
                "strangers reach the step-up point more often than the score model says; look for people enrolled twice, \
                 then calibrate anew with volar-eval calibrate");
        }
    }

    pub(crate) fn answer(&self, decision: Decision, reason: Reason, retry_after: Option<Duration>) -> Answer {
        Answer { decision, reason, ticket: None, challenge: None, decided_at: self.clock.now(), retry_after }
    }

    /// Peers of other tenants are refused.
    pub(crate) fn check_peer(&self, peer: &Peer) -> Result<(), Fault> {
        if peer.tenant == self.tenant {
            return Ok(());
        }
        let message = format!("this matcher serves tenant \"{}\" alone", self.tenant);
        Err(Fault::new(Code::PermissionDenied, "TENANT_NOT_SERVED", message).with("tenant", &peer.tenant))
    }
}

/// Where a decision holds.
pub(crate) struct Place {
    pub(crate) peer: Peer,
    pub(crate) lane: LaneId,
    pub(crate) purpose: Purpose,
}

#[tonic::async_trait]
impl IdentificationService for ArcMatcher {
    async fn identify(&self, request: Request<v1::IdentifyRequest>) -> Result<Response<v1::IdentifyResponse>, Status> {
        let peer = Peer::of(&request)?;
        let answer = self.0.identify(peer, request.into_inner()).await?;
        Ok(Response::new(convert::response(answer)))
    }

    async fn verify_second_factor(
        &self,
        request: Request<v1::VerifySecondFactorRequest>,
    ) -> Result<Response<v1::VerifySecondFactorResponse>, Status> {
        let peer = Peer::of(&request)?;
        let answer = self.0.verify_second_factor(peer, request.into_inner()).await?;
        Ok(Response::new(convert::factor_response(answer)))
    }
}

/// A matcher as a gRPC service.
#[derive(Clone)]
pub struct ArcMatcher(pub Arc<Matcher>);

/// Gates admit, kiosks withdraw, and neither does the other's: a gate must not be able to get anyone erased.
fn check_purpose(role: Role, purpose: Purpose) -> Result<(), Fault> {
    match (role, purpose) {
        (Role::Gate, Purpose::Admission) | (Role::Kiosk, Purpose::Withdrawal) => Ok(()),
        _ => {
            let message = "gates ask with purpose ADMISSION, kiosks with purpose WITHDRAWAL, nobody else asks";
            Err(Fault::new(Code::PermissionDenied, "PURPOSE_NOT_ALLOWED", message).with("role", role))
        }
    }
}

pub(crate) async fn settled(mut outcome: watch::Receiver<Outcome>) -> Result<Answer, Fault> {
    let lost = || Fault::new(Code::Internal, "SEARCH_FAILED", "the search failed; try again");
    let settled = outcome.wait_for(Option::is_some).await.map_err(|_| lost())?;
    settled.clone().unwrap_or_else(|| Err(lost()))
}

fn book(answer: &Answer, purpose: Purpose, took: Duration) {
    let purpose = match purpose {
        Purpose::Admission => "admission",
        Purpose::Withdrawal => "withdrawal",
    };
    let (decision, reason) = (answer.decision.as_str(), answer.reason.as_str());
    metrics::histogram!("volar_matcher_identify_seconds").record(took.as_secs_f64());
    metrics::counter!("volar_matcher_decisions_total", "purpose" => purpose, "decision" => decision, "reason" => reason)
        .increment(1);
    // The ticket's id and no subject: who passed stays between vault and ticket.
    let ticket = answer.ticket.as_ref().map(|(id, _)| log_safe(id).to_string());
    tracing::info!(purpose, decision, reason, ticket, milliseconds = took.as_secs_f64() * 1e3, "decided");
}

pub(crate) fn conflict(conflict: Conflict) -> Fault {
    Fault::new(Code::AlreadyExists, "IDEMPOTENCY_CONFLICT", conflict.to_string()).with("field", "idempotency_id")
}

/// The gallery is not among those served.
pub(crate) fn gallery_unknown(id: &GalleryId) -> Fault {
    let message = format!("this matcher does not serve gallery \"{id}\"; add it to its galleries");
    Fault::new(Code::NotFound, "GALLERY_UNKNOWN", message).with("gallery", id)
}
