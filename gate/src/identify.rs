//! Asks the matcher whose palm it is. The idempotency id is made before the call is sent and kept while it is tried
//! again, so that a person is admitted once however often the answer is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use volar_core::id::{IdempotencyId, LaneId};
use volar_core::randomness::Randomness;
use volar_core::second_factor::Digits;
use volar_core::template::Template;
use volar_proto::v1::IdentifyResponse;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;
use volar_service::fault::Fault;
use volar_service::tls::HandshakeFailure;
use zeroize::Zeroize;

use crate::convert;
use crate::event::{Decision, Ticket};
use crate::parameters::{ATTEMPT_TIME_MAX, RETRY_PAUSE, RETRY_PAUSE_MAX};
use crate::protection::{KeySource, Protection};

/// The matcher's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was decided.
    pub decision: Decision,
    /// Why, in UPPER_SNAKE_CASE.
    pub reason: String,
    /// The ticket of an admission.
    pub ticket: Option<Ticket>,
    /// Its id.
    pub ticket_id: Option<String>,
    /// When to try again; 0 for at any time.
    pub retry_after_ms: u64,
    /// With a decision that a second factor may change: what to send back with it.
    pub challenge: Option<Challenge>,
}

/// The matcher's sealed word on whom digits may belong to; the gate cannot open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    pub(crate) sealed: Vec<u8>,
    /// How long it can be answered.
    pub(crate) time: Duration,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Challenge(sealed)")
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The matcher has decided.
    Answered(Answer),
    /// It could not be reached, or was not ready, in the time that a person waits.
    Unreachable(Trouble),
    /// It was reached and gave no decision: this gate may not ask, or asks wrongly, or the matcher is overloaded.
    Refused(Trouble),
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In UPPER_SNAKE_CASE.
    pub reason: String,
    /// What is wrong, for a person.
    pub message: String,
}

/// Asks for one lane.
pub struct Identifier {
    matcher: IdentificationServiceClient<Channel>,
    keys: KeySource,
    protections: Vec<Protection>,
    lane: LaneId,
    time_max: Duration,
    randomness: Arc<dyn Randomness>,
}

impl Identifier {
    /// Asks `matcher` about people at `lane`, with templates protected by what `keys` gave.
    pub fn new(
        matcher: Channel,
        keys: KeySource,
        protections: Vec<Protection>,
        lane: LaneId,
        time_max: Duration,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let matcher = IdentificationServiceClient::new(matcher);
        Self { matcher, keys, protections, lane, time_max, randomness }
    }

    /// Asks whose palm `template` is. Answers within the time limit, whatever the matcher does.
    pub async fn identify(&mut self, template: &Template) -> Outcome {
        let deadline = Instant::now() + self.time_max;
        match self.ask(template, deadline).await {
            Err(status) if is_generation_mismatch(&status) => match self.refresh(deadline).await {
                // The first question had no effect, and this one's body differs: it is a question of its own.
                Ok(()) => outcome(self.ask(template, deadline).await),
                Err(trouble) => Outcome::Refused(trouble),
            },
            answered => outcome(answered),
        }
    }

    /// Sends back a challenge with the digits that were typed. Answers within the time limit, whatever the matcher does.
    pub async fn verify(&self, challenge: &Challenge, digits: &Digits) -> Outcome {
        let deadline = Instant::now() + self.time_max;
        let id = IdempotencyId::random(&*self.randomness);
        let mut request = convert::factor_request(id, challenge, digits);
        let answered = self.until_answered(deadline, |mut matcher| {
            let request = request.clone();
            async move { matcher.verify_second_factor(request).await }
        });
        let answered = answered.await;
        request.digits.zeroize();
        outcome(answered.map(convert::as_identified))
    }

    async fn ask(&self, template: &Template, deadline: Instant) -> Result<IdentifyResponse, Status> {
        let id = IdempotencyId::random(&*self.randomness);
        let mut request = convert::request(id, &self.lane, &self.protections, template);
        let answered = self.until_answered(deadline, |mut matcher| {
            let request = request.clone();
            async move { matcher.identify(request).await }
        });
        let answered = answered.await;
        convert::wipe(&mut request);
        answered
    }

    /// Tries one call until it is answered, cannot be, or time is over.
    async fn until_answered<T, F>(
        &self,
        deadline: Instant,
        call: impl Fn(IdentificationServiceClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut pause = RETRY_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = timeout(left.min(ATTEMPT_TIME_MAX), call(self.matcher.clone())).await;
            let failed = match attempt {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the matcher did not answer in time"),
            };
            metrics::counter!("volar_gate_attempts_failed_total", "reason" => convert::reason(&failed)).increment(1);
            if !may_pass(&failed) || Instant::now() + pause >= deadline {
                return Err(failed);
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// Fetches the keys anew: some gallery has a new generation.
    async fn refresh(&mut self, deadline: Instant) -> Result<(), Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.keys.fetch(left).await {
            Ok(protections) => {
                self.protections = protections;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a gallery is protected anew and its key cannot be had");
                Err(Trouble { reason: "NO_PROTECTION_KEY".to_owned(), message: error.to_string() })
            }
        }
    }
}

fn outcome(answered: Result<IdentifyResponse, Status>) -> Outcome {
    match answered.map(convert::answer) {
        Ok(Ok(answer)) => Outcome::Answered(answer),
        Ok(Err(error)) => {
            Outcome::Refused(Trouble { reason: "ANSWER_UNUSABLE".to_owned(), message: error.to_string() })
        }
        Err(status) => {
            let trouble = Trouble { reason: convert::reason(&status), message: convert::message(&status) };
            if is_unreachable(&status) { Outcome::Unreachable(trouble) } else { Outcome::Refused(trouble) }
        }
    }
}

fn is_generation_mismatch(status: &Status) -> bool {
    Fault::reason_of(status).as_deref() == Some("PROTECTION_GENERATION_MISMATCH")
}

/// Whether the same call may succeed a moment later.
fn may_pass(status: &Status) -> bool {
    is_unreachable(status)
        || matches!(status.code(), Code::ResourceExhausted | Code::Aborted | Code::Internal)
        || (status.code() == Code::Unknown && HandshakeFailure::of(status).is_none())
}

/// Whether the matcher did not answer, or answers that it is not ready. A certificate that is not accepted is an
/// answer: under the policy "open" it must not open the gate.
fn is_unreachable(status: &Status) -> bool {
    let silent = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
        || (status.code() == Code::Unknown && Fault::reason_of(status).is_none());
    silent && HandshakeFailure::of(status).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: Code, reason: &'static str) -> Status {
        Fault::new(code, reason, "why").into()
    }

    #[test]
    fn only_silence_counts_as_unreachable() {
        assert!(is_unreachable(&Status::unavailable("tcp connect error")));
        assert!(is_unreachable(&Status::deadline_exceeded("late")));
        assert!(is_unreachable(&fault(Code::Unavailable, "GALLERY_NOT_READY")));
        for refused in [
            fault(Code::PermissionDenied, "ROLE_NOT_ALLOWED"),
            fault(Code::ResourceExhausted, "MATCHER_BUSY"),
            fault(Code::Internal, "SEARCH_FAILED"),
            fault(Code::NotFound, "GALLERY_UNKNOWN"),
            fault(Code::Unauthenticated, "NO_CERTIFICATE"),
        ] {
            assert!(!is_unreachable(&refused), "{refused:?}");
        }
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        assert!(may_pass(&fault(Code::ResourceExhausted, "MATCHER_BUSY")));
        assert!(may_pass(&Status::unavailable("restarting")));
        assert!(!may_pass(&fault(Code::PermissionDenied, "ROLE_NOT_ALLOWED")));
        assert!(!may_pass(&fault(Code::InvalidArgument, "TEMPLATE_INVALID")));
        assert!(!may_pass(&fault(Code::FailedPrecondition, "PROTECTION_GENERATION_MISMATCH")));
    }

    #[test]
    fn failures_without_a_reason_get_one() {
        assert_eq!(convert::reason(&Status::unavailable("x")), "NOT_REACHED");
        assert_eq!(convert::reason(&Status::deadline_exceeded("x")), "NO_ANSWER");
        assert_eq!(convert::reason(&fault(Code::NotFound, "GALLERY_UNKNOWN")), "GALLERY_UNKNOWN");
    }
}
