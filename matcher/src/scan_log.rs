//! Tells the vault which answers were given, for its audit log. The vault is not on a gate's path, so answers wait here for
//! a second, or until it is back, and go out together; those that find no room are counted, and their number is told.
//! A matcher that is killed takes what waits with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use volar_core::id::{IdempotencyId, LaneId};
use volar_core::randomness::Randomness;
use volar_core::ticket::Purpose;
use volar_proto::SCANS_REPORTED_MAX;
use volar_proto::v1::ReportScansRequest;
use volar_proto::v1::scan_service_client::ScanServiceClient;
use volar_service::fault::Fault;
use volar_service::identity::Peer;

use crate::convert;
use crate::duplicates::{waits, worth_repeating};
use crate::identify::Answer;
use crate::parameters::{FOLLOW_AGAIN, REPORT_TIME_MAX, SCANS_INTERVAL, SCANS_WAITING_MAX};

/// One answer that was given.
pub struct Scan {
    /// To whom.
    pub peer: Peer,
    /// At which lane.
    pub lane: LaneId,
    /// For what.
    pub purpose: Purpose,
    /// Which.
    pub answer: Answer,
}

/// Where answers wait to be told.
pub struct ScanLog {
    waiting: mpsc::Sender<Scan>,
    lost: Arc<AtomicU64>,
}

/// Tells them.
pub struct ScanTeller {
    waiting: mpsc::Receiver<Scan>,
    lost: Arc<AtomicU64>,
    vault: ScanServiceClient<Channel>,
    randomness: Arc<dyn Randomness>,
}

impl ScanLog {
    /// A log, and what tells it to `vault` while it [runs](ScanTeller::run).
    pub fn new(vault: Channel, randomness: Arc<dyn Randomness>) -> (Self, ScanTeller) {
        let (sender, receiver) = mpsc::channel(SCANS_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let vault = ScanServiceClient::new(vault);
        (Self { waiting: sender, lost: lost.clone() }, ScanTeller { waiting: receiver, lost, vault, randomness })
    }

    /// Takes down an answer; never waits.
    pub fn note(&self, mut scan: Scan) {
        // Worth money until they are used, and no business of a log.
        (scan.answer.ticket, scan.answer.challenge) = (None, None);
        if self.waiting.try_send(scan).is_err() {
            count_lost(&self.lost, 1);
        }
    }
}

impl ScanTeller {
    /// Tells what comes until every [`ScanLog`] is gone and nothing waits. From `shutdown` on a report that fails is not
    /// tried again.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while let Some(scans) = self.next().await {
            let count = scans.len() as u64;
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let request = ReportScansRequest {
                idempotency_id: IdempotencyId::random(&*self.randomness).to_string(),
                scans: scans.into_iter().map(convert::scan).collect(),
                lost,
            };
            if !self.tell(request, &shutdown).await {
                count_lost(&self.lost, lost);
                count_lost(&self.lost, count);
            }
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "scans are not in the vault's audit log: it did not take them before the end");
        }
    }

    /// As many as there are after a second, or as go into one report; none at the end.
    async fn next(&mut self) -> Option<Vec<Scan>> {
        let mut scans = vec![self.waiting.recv().await?];
        let fill = async {
            let mut room = SCANS_REPORTED_MAX - scans.len();
            while room > 0 {
                match self.waiting.recv_many(&mut scans, room).await {
                    0 => break,
                    more => room -= more,
                }
            }
        };
        // Nothing that was received is lost when time is up.
        let _ = timeout(SCANS_INTERVAL, fill).await;
        Some(scans)
    }

    /// Whether the vault has taken a report.
    async fn tell(&mut self, request: ReportScansRequest, shutdown: &CancellationToken) -> bool {
        let mut waits = waits();
        let mut told_that_it_waits = false;
        loop {
            let status = match timeout(REPORT_TIME_MAX, self.vault.report_scans(request.clone())).await {
                Ok(Ok(_)) => return true,
                Ok(Err(status)) => status,
                Err(_) => tonic::Status::deadline_exceeded("the vault did not answer"),
            };
            let (code, reason) = (status.code(), Fault::reason_of(&status).unwrap_or_default());
            if !worth_repeating(code) {
                tracing::error!(
                    ?code,
                    reason,
                    "the vault refuses scans for its audit log; is it older than this matcher?"
                );
                return false;
            }
            if shutdown.is_cancelled() {
                return false;
            }
            if !told_that_it_waits {
                tracing::warn!(?code, reason, "the vault does not take scans for its audit log now; they wait");
                told_that_it_waits = true;
            }
            let wait = sleep(waits.next().unwrap_or(FOLLOW_AGAIN.1));
            tokio::select! {
                () = wait => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

fn count_lost(lost: &AtomicU64, more: u64) {
    lost.fetch_add(more, Ordering::Relaxed);
    metrics::counter!("volar_matcher_scans_lost_total").increment(more);
}
