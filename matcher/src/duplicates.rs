//! The word on each new enrolment: is the same palm enrolled already?
//!
//! The feed is one order for every matcher, and a subject is searched against everyone before it in that order. So of
//! two simultaneous enrolments of one palm the second is flagged, by every matcher and after every restart.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::stream::{self, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use volar_core::id::{GalleryId, IdempotencyId};
use volar_core::shard::Shard;
use volar_core::template::Probe;
use volar_proto::v1::ReportVerdictRequest;
use volar_proto::v1::template_feed_client::TemplateFeedClient;
use volar_service::fault::Fault;

use crate::convert;
use crate::gallery::{Duplicate, Gallery, GalleryError};
use crate::parameters::{FOLLOW_AGAIN, REPORT_TIME_MAX, VERDICTS_UNDER_WAY};

/// A matcher's word on an enrolment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The enrolment's number in the feed.
    pub sequence: u64,
    /// What the search found.
    pub finding: Finding,
}

/// What a search for duplicates found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// Nobody.
    Clear,
    /// Somebody who may be the same person.
    Suspected(Duplicate),
}

/// Searches a new subject's palms against everyone earlier in the gallery, which is one of `shards` parts. Call before the
/// subject itself is added.
pub fn search(gallery: &Gallery, shards: u16, sequence: u64, probes: &[Probe]) -> Result<Verdict, GalleryError> {
    let finding = gallery.duplicate(probes, shards.into())?.map_or(Finding::Clear, Finding::Suspected);
    Ok(Verdict { sequence, finding })
}

/// Brings verdicts to the vault, several at once, each until it is acknowledged. Dropped, it stops: verdicts on an
/// earlier feed must not be taken for words on this one.
pub struct Reporter {
    verdicts: mpsc::UnboundedSender<Verdict>,
    task: JoinHandle<()>,
}

impl Reporter {
    /// Starts reporting verdicts on `shard` of `gallery`. `origin` names feed and matcher: their verdicts have ids of their own.
    pub fn start(channel: Channel, gallery: Arc<GalleryId>, shard: Shard, origin: String) -> Self {
        let (verdicts, mut waiting) = mpsc::unbounded_channel();
        let client = TemplateFeedClient::new(channel);
        let task = tokio::spawn(async move {
            let verdicts = stream::poll_fn(|context| waiting.poll_recv(context));
            let deliver = |verdict| deliver(client.clone(), request(&gallery, shard, &origin, &verdict));
            verdicts.for_each_concurrent(VERDICTS_UNDER_WAY, deliver).await;
        });
        Self { verdicts, task }
    }

    /// Queues a verdict. What waits is a few numbers for each enrolment that is still pending.
    pub fn report(&self, verdict: Verdict) {
        let kind = match verdict.finding {
            Finding::Clear => "clear",
            Finding::Suspected(_) => "suspected-duplicate",
        };
        metrics::counter!("volar_matcher_verdicts_total", "verdict" => kind).increment(1);
        // The task ends only when this is dropped.
        let _ = self.verdicts.send(verdict);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The report of a verdict. Its idempotency id is the same whenever the same matcher comes to the same verdict, so
/// that a restarted one repeats the call and makes no second.
fn request(gallery: &GalleryId, shard: Shard, origin: &str, verdict: &Verdict) -> ReportVerdictRequest {
    let mut request = convert::verdict(gallery, shard, verdict);
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [origin.as_bytes(), &request.encode_to_vec()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes: [u8; 16] = context.finish().as_ref()[..16].try_into().expect("SHA-256 gives 32 bytes");
    // RFC 9562, section 5.8: version 8, made by a rule of one's own; variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    request.idempotency_id = IdempotencyId::from_bytes(bytes).to_string();
    request
}

async fn deliver(mut client: TemplateFeedClient<Channel>, request: ReportVerdictRequest) {
    let sequence = request.sequence;
    let mut waits = waits();
    loop {
        let call = timeout(REPORT_TIME_MAX, client.report_verdict(request.clone()));
        let status = match call.await {
            Ok(Ok(_)) => return,
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the vault did not answer"),
        };
        let (code, reason) = (status.code(), Fault::reason_of(&status).unwrap_or_default());
        if !worth_repeating(code) {
            // The vault knows better: the subject is erased, or the verdict is in.
            tracing::warn!(sequence, ?code, reason, "the vault does not want this verdict");
            return;
        }
        if code == Code::Unavailable {
            tracing::debug!(sequence, "the vault is away; the verdict waits");
        } else {
            tracing::warn!(sequence, ?code, reason, "verdict not acknowledged; trying again");
        }
        sleep(waits.next().unwrap_or(FOLLOW_AGAIN.1)).await;
    }
}

/// Waits that double from the shortest to the longest, shaken so that matchers do not come all at once.
pub(crate) fn waits() -> impl Iterator<Item = Duration> {
    let (shortest, longest) = FOLLOW_AGAIN;
    ExponentialBuilder::new().with_min_delay(shortest).with_max_delay(longest).without_max_times().with_jitter().build()
}

/// Whether the same call may succeed later. Codes that say "this call is wrong" do not change with time.
pub(crate) fn worth_repeating(code: Code) -> bool {
    !matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_verdicts_id_depends_on_all_it_says() {
        let gallery: GalleryId = "members".parse().expect("a slug");
        let other: GalleryId = "staff".parse().expect("a slug");
        let score = testing::score_model().fused(0.9, 0.1);
        let clear = Verdict { sequence: 3, finding: Finding::Clear };
        let later = Verdict { sequence: 4, ..clear };
        let suspected = |n| Finding::Suspected(Duplicate { of: testing::subject(n), score });
        let (one, two) = (Verdict { finding: suspected(1), ..clear }, Verdict { finding: suspected(2), ..clear });
        let id = |gallery, origin, verdict| request(gallery, Shard::WHOLE, origin, verdict).idempotency_id;
        let half = Shard::new(0, 2).expect("a part");
        let ids = [
            id(&gallery, "a", &clear),
            id(&other, "a", &clear),
            id(&gallery, "b", &clear),
            id(&gallery, "a", &later),
            id(&gallery, "a", &one),
            id(&gallery, "a", &two),
            request(&gallery, half, "a", &clear).idempotency_id,
        ];
        assert_eq!(id(&gallery, "a", &one), ids[4], "the same verdict has the same id");
        for (n, first) in ids.iter().enumerate() {
            assert!(first.parse::<IdempotencyId>().is_ok());
            assert!(ids[n + 1..].iter().all(|second| second != first));
        }
    }
}
