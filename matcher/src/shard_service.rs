//! Answering a router: who of this shard's subjects is most like a probe. The router decides.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Response, Status};
use volar_core::id::GalleryId;
use volar_core::shard::Shard;
use volar_proto::v1;
use volar_proto::v1::shard_service_server::ShardService;
use volar_service::fault::Fault;
use volar_service::identity::Peer;

use crate::convert;
use crate::feed::Position;
use crate::gallery::Gallery;
use crate::identify::{Matcher, gallery_unknown};

/// A matcher as a shard.
pub struct ShardServer {
    /// Which part of its galleries it holds.
    pub shard: Shard,
    /// Where they are searched.
    pub matcher: Arc<Matcher>,
    /// What is held of each.
    pub held: HashMap<GalleryId, Held>,
}

/// What a shard holds of a gallery.
pub struct Held {
    /// The palms.
    pub gallery: Arc<Gallery>,
    /// Whether everything is there that was there when the vault was last reached.
    pub ready: watch::Receiver<bool>,
    /// How far they have come.
    pub position: watch::Receiver<Position>,
}

impl ShardServer {
    fn held(&self, gallery: &str) -> Result<&Held, Status> {
        let id = convert::gallery(gallery).map_err(Fault::from)?;
        Ok(self.held.get(&id).ok_or_else(|| gallery_unknown(&id))?)
    }
}

#[tonic::async_trait]
impl ShardService for ShardServer {
    async fn search(&self, request: Request<v1::SearchRequest>) -> Result<Response<v1::SearchResponse>, Status> {
        self.matcher.check_peer(&Peer::of(&request)?)?;
        let request = convert::search(request.into_inner()).map_err(Fault::from)?;
        let held = self.held.get(&request.gallery).ok_or_else(|| gallery_unknown(&request.gallery))?;
        // Before the search: the answer holds at least what this feed had said until here.
        let feed_id = held.position.borrow().feed_id.clone();
        let (search, _) = self.matcher.gallery(&request)?;
        let searched = search.search(request.probe).await?;
        Ok(Response::new(convert::searched(searched, self.shard, feed_id)))
    }

    async fn get_shard(&self, request: Request<v1::GetShardRequest>) -> Result<Response<v1::GetShardResponse>, Status> {
        self.matcher.check_peer(&Peer::of(&request)?)?;
        let held = self.held(&request.get_ref().gallery)?;
        let Position { feed_id, applied } = held.position.borrow().clone();
        Ok(Response::new(v1::GetShardResponse {
            shard: Some(convert::wire_shard(self.shard)),
            feed_id,
            applied_sequence: applied,
            references: held.gallery.references() as u64,
            ready: *held.ready.borrow(),
        }))
    }
}
