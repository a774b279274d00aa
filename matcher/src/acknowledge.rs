//! Tells the vault how far the feed has taken effect. An erasure waits for this word, so it goes out at once; while
//! one is on its way, later ones merge into the next.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use volar_core::id::GalleryId;
use volar_proto::v1::AcknowledgeRequest;
use volar_proto::v1::template_feed_client::TemplateFeedClient;

use crate::duplicates::waits;
use crate::parameters::{FOLLOW_AGAIN, REPORT_TIME_MAX};

/// Acknowledges a gallery's feed. Dropped, it stops.
pub struct Acknowledger {
    sequence: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Acknowledger {
    /// Starts with nothing to acknowledge.
    pub fn start(channel: Channel, gallery: Arc<GalleryId>) -> Self {
        let (sequence, changes) = watch::channel(0);
        let task = tokio::spawn(acknowledge(TemplateFeedClient::new(channel), gallery, changes));
        Self { sequence, task }
    }

    /// Everything up to `sequence` has taken effect. Said again, it is sent again: a restarted vault has forgotten it.
    pub fn took_effect(&self, sequence: u64) {
        self.sequence.send_replace(sequence);
    }
}

impl Drop for Acknowledger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn acknowledge(
    mut client: TemplateFeedClient<Channel>,
    gallery: Arc<GalleryId>,
    mut changes: watch::Receiver<u64>,
) {
    let mut waits = waits();
    while changes.changed().await.is_ok() {
        let sequence = *changes.borrow_and_update();
        if sequence == 0 {
            continue;
        }
        let request = AcknowledgeRequest { gallery: gallery.to_string(), sequence };
        match timeout(REPORT_TIME_MAX, client.acknowledge(request)).await {
            Ok(Ok(_)) => {
                waits = self::waits();
                continue;
            }
            Ok(Err(status)) => tracing::debug!(sequence, code = ?status.code(), "not acknowledged yet"),
            Err(_) => tracing::debug!(sequence, "the vault did not answer an acknowledgement"),
        }
        // The stream breaks too when the vault is away, and the number is said again once it is caught up; this
        // repeat is for a failure of this call alone.
        tokio::select! {
            () = sleep(waits.next().unwrap_or(FOLLOW_AGAIN.1)) => changes.mark_changed(),
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                changes.mark_changed();
            }
        }
    }
}
