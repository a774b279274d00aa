use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use volar_core::id::GalleryId;
use volar_core::ticket::TicketKey;
use volar_proto::v1 as wire;
use volar_proto::v1::template_feed_server::TemplateFeed;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::error::VaultError;
use crate::feed::{FeedStart, Reader, Wanted};
use crate::parameters::{FEED_BATCH, FEED_BATCH_PROBES, FEED_QUEUE};
use crate::vault::{Vault, blocking};

/// Feeds matchers.
pub struct Feed {
    /// The vault.
    pub vault: Arc<Vault>,
    /// Ends every feed.
    pub shutdown: CancellationToken,
}

#[tonic::async_trait]
impl TemplateFeed for Feed {
    type FollowStream = ReceiverStream<Result<wire::FollowResponse, Status>>;

    async fn follow(&self, request: Request<wire::FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let gallery = convert::gallery(&request.gallery).map_err(fault)?;
        let wanted = convert::wanted(&request).map_err(fault)?;
        let tenant = self.vault.tenant(&peer.tenant).map_err(fault)?;
        // Before the feed is read: nothing that comes after goes unnoticed.
        let wake = tenant.gallery(&gallery).map_err(fault)?.wake.subscribe();
        let (asking, of) = (peer.clone(), gallery.clone());
        let begun = blocking(&self.vault, move |vault| vault.follow(&asking, &of, request.from_sequence, wanted));
        let start = begun.await.map_err(fault)?;
        let (sender, receiver) = mpsc::channel(FEED_QUEUE);
        let stream = Stream {
            vault: self.vault.clone(),
            peer,
            gallery,
            wanted,
            next: request.from_sequence.min(start.last_sequence + 1),
            epoch: None,
            feed_id: start.feed_id,
            generation: start.generation,
            wake,
            sender,
        };
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(stream.run(start)).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn report_verdict(
        &self,
        request: Request<wire::ReportVerdictRequest>,
    ) -> Result<Response<wire::ReportVerdictResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let reported = blocking(&self.vault, move |vault| {
            let call = convert::call(&request.idempotency_id, &request)?;
            let gallery = convert::gallery(&request.gallery)?;
            let shard = convert::shard(request.shard)?;
            let suspicion = convert::verdict(request.verdict)?;
            vault.report_verdict(&peer, &call, &gallery, request.sequence, shard, suspicion)
        });
        let state = convert::state(reported.await.map_err(fault)?).into();
        Ok(Response::new(wire::ReportVerdictResponse { state }))
    }

    async fn acknowledge(
        &self,
        request: Request<wire::AcknowledgeRequest>,
    ) -> Result<Response<wire::AcknowledgeResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let acknowledged = blocking(&self.vault, move |vault| {
            vault.acknowledge(&peer, &convert::gallery(&request.gallery)?, request.sequence)
        });
        acknowledged.await.map_err(fault)?;
        Ok(Response::new(wire::AcknowledgeResponse {}))
    }
}

/// One follower's stream.
struct Stream {
    vault: Arc<Vault>,
    peer: Peer,
    gallery: GalleryId,
    wanted: Wanted,
    /// The next number to tell.
    next: u64,
    /// Epoch of the ticket key told last.
    epoch: Option<u32>,
    /// The feed that was followed, and its generation.
    feed_id: [u8; 16],
    generation: u32,
    wake: watch::Receiver<u64>,
    sender: mpsc::Sender<Result<wire::FollowResponse, Status>>,
}

/// The follower is gone, or has been told why the feed ends.
struct Ended;

impl Stream {
    async fn run(mut self, start: FeedStart) {
        tracing::info!(follower = %self.peer.device, gallery = %self.gallery, from = self.next, "feed followed");
        let Ended = self.tell_all(&start).await.err().unwrap_or(Ended);
        tracing::info!(follower = %self.peer.device, gallery = %self.gallery, "feed left");
        // The follower counts as connected until here.
        drop(start);
    }

    async fn tell_all(&mut self, start: &FeedStart) -> Result<(), Ended> {
        self.send(convert::feed_start(start)).await?;
        self.tell_ticket_key().await?;
        self.tell_events().await?;
        self.send(convert::caught_up(self.next - 1)).await?;
        let mut heartbeat = tokio::time::interval(self.vault.settings.heartbeat);
        heartbeat.reset();
        loop {
            tokio::select! {
                woken = self.wake.changed() => {
                    woken.map_err(|_| Ended)?;
                    self.tell_events().await?;
                }
                _ = heartbeat.tick() => {
                    self.tell_ticket_key().await?;
                    self.tell_events().await?;
                    self.send(convert::caught_up(self.next - 1)).await?;
                }
                () = self.sender.closed() => return Err(Ended),
            }
        }
    }

    /// Tells everything from the next number to the feed's end.
    async fn tell_events(&mut self) -> Result<(), Ended> {
        let (feed_id, generation) = (self.feed_id, self.generation);
        let Wanted::Events(shard) = self.wanted else {
            if let Err(error) = self.vault.check_feed(&self.peer, &self.gallery, feed_id) {
                return Err(self.fail(error).await);
            }
            self.next = self.next.max(*self.wake.borrow() + 1);
            return Ok(());
        };
        loop {
            let (peer, gallery, from) = (self.peer.clone(), self.gallery.clone(), self.next);
            let read = blocking(&self.vault, move |vault| {
                let reader = Reader { peer: &peer, shard, feed_id, generation };
                vault.events_with(reader, &gallery, from, FEED_BATCH, FEED_BATCH_PROBES)
            });
            let read = read.await;
            let (items, _) = match read {
                Ok(read) => read,
                Err(error) => return Err(self.fail(error).await),
            };
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                self.send(convert::feed_item(&item)).await?;
                self.next = item.sequence + 1;
            }
        }
    }

    /// Tells the ticket key unless the follower has it.
    async fn tell_ticket_key(&mut self) -> Result<(), Ended> {
        let key: TicketKey = match self.vault.ticket_key(&self.peer) {
            Ok(key) => key,
            Err(error) => return Err(self.fail(error).await),
        };
        if self.epoch != Some(key.epoch) {
            self.send(convert::ticket_key(&key, self.vault.settings.ticket_lifetime)).await?;
            self.epoch = Some(key.epoch);
        }
        Ok(())
    }

    async fn send(&self, item: wire::FollowResponse) -> Result<(), Ended> {
        self.sender.send(Ok(item)).await.map_err(|_| Ended)
    }

    async fn fail(&self, error: VaultError) -> Ended {
        let error = match error {
            // The gallery was protected anew while its events were read.
            VaultError::GenerationMismatch { .. } => VaultError::FeedRenewed,
            error => error,
        };
        // A follower that has left needs no reason.
        let _ = self.sender.send(Err(fault(error).into())).await;
        Ended
    }
}
