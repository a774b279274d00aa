//! One matcher that holds one shard.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Channel;
use volar_core::id::GalleryId;
use volar_core::shard::Shard;
use volar_proto::v1;
use volar_proto::v1::shard_service_client::ShardServiceClient;

use super::Part;
use crate::convert::{self, MessageError};
use crate::parameters::REPLICA_CHECK;

/// A replica of a shard, at one address.
pub struct Replica {
    name: String,
    channel: Channel,
    /// Whether it was well when last heard.
    well: AtomicBool,
}

/// Why a replica's answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It is away, not ready, or refuses.
    #[error("it answers {:?}: {}", .0.code(), .0.message())]
    Refused(Box<Status>),
    /// It is slow.
    #[error("it does not answer")]
    Silent,
    /// It holds something else than it should.
    #[error("it holds shard {found}, should hold {wanted}: correct its --shard, or the router's list")]
    OtherShard {
        /// What it says.
        found: String,
        /// What the router's list says.
        wanted: Shard,
    },
    /// Its palms come from another feed than the router's keys.
    #[error("it follows an earlier feed, or the router does: the vault was restored from a copy")]
    OtherFeed,
    /// It is loading.
    #[error("it has not caught up with the vault yet")]
    NotReady,
    /// Its answer breaks the contract.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl From<Status> for ReplicaError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl Replica {
    /// The replica at the other end of `channel`, called `name` in logs. Not well until it has been heard.
    pub fn new(name: String, channel: Channel) -> Self {
        Self { name, channel, well: AtomicBool::new(false) }
    }

    /// Whether it was well when last heard.
    pub fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// Its part of a search.
    pub(super) async fn search(
        &self,
        shard: Shard,
        request: v1::SearchRequest,
        feed_id: &str,
    ) -> Result<Part, ReplicaError> {
        let answer = self.client().search(request).await.map_err(ReplicaError::from).and_then(|response| {
            let response = response.into_inner();
            is_what_it_should_be(shard, response.shard, feed_id, &response.feed_id)?;
            let candidates = convert::candidates(shard, response.candidates)?;
            Ok(Part { candidates, references: usize::try_from(response.references).unwrap_or(usize::MAX) })
        });
        // One that answers again is found well by the next check.
        if let Err(error) = &answer {
            self.note(Some(error));
        }
        answer
    }

    /// Asks how it is; the active references that it holds, if it is well.
    pub(super) async fn check(&self, gallery: &GalleryId, shard: Shard, feed_id: &str) -> Option<usize> {
        let request = v1::GetShardRequest { gallery: gallery.to_string() };
        let mut client = self.client();
        let asked = async {
            let answer = timeout(REPLICA_CHECK, client.get_shard(request)).await;
            let answer = answer.map_err(|_| ReplicaError::Silent)??.into_inner();
            is_what_it_should_be(shard, answer.shard, feed_id, &answer.feed_id)?;
            if !answer.ready {
                return Err(ReplicaError::NotReady);
            }
            Ok(usize::try_from(answer.references).unwrap_or(usize::MAX))
        };
        let outcome = asked.await;
        self.note(outcome.as_ref().err());
        outcome.ok()
    }

    fn client(&self) -> ShardServiceClient<Channel> {
        ShardServiceClient::new(self.channel.clone()).max_encoding_message_size(volar_proto::MESSAGE_BYTES_MAX)
    }

    /// Says once when it falls ill and once when it is well again.
    fn note(&self, error: Option<&ReplicaError>) {
        let before = self.well.swap(error.is_none(), Ordering::Relaxed);
        match error {
            Some(error) if before => tracing::warn!(replica = self.name, %error, "a replica is not well"),
            None if !before => tracing::info!(replica = self.name, "a replica is well"),
            _ => {}
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Replica").field("name", &self.name).field("well", &self.well).finish_non_exhaustive()
    }
}

fn is_what_it_should_be(
    wanted: Shard,
    found: Option<v1::Shard>,
    feed_id: &str,
    found_feed: &str,
) -> Result<(), ReplicaError> {
    let found = found.unwrap_or_default();
    if Shard::new(found.index, found.count) != Ok(wanted) {
        return Err(ReplicaError::OtherShard { found: format!("{}/{}", found.index, found.count), wanted });
    }
    // An empty one: it has not met the vault yet.
    match found_feed {
        "" => Err(ReplicaError::NotReady),
        same if same == feed_id => Ok(()),
        _ => Err(ReplicaError::OtherFeed),
    }
}
