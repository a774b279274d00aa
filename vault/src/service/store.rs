use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::store_service_server::StoreService;
use volar_service::identity::Peer;

use super::fault;
use super::seal::refused;
use crate::config::Engine;
use crate::migration::{Moved, Step};
use crate::seat::{Moving, Seat};

/// Says where records lie, and moves them, for operators.
pub struct Place(pub Arc<Seat>);

#[tonic::async_trait]
impl StoreService for Place {
    async fn get_store(&self, _: Request<wire::GetStoreRequest>) -> Result<Response<wire::GetStoreResponse>, Status> {
        let engine = match self.0.engine() {
            Engine::Sled => "sled",
            Engine::Postgres => "postgres",
        };
        let response = wire::GetStoreResponse { engine: engine.to_owned(), r#move: self.0.moving().map(told) };
        Ok(Response::new(response))
    }

    async fn move_store(
        &self,
        request: Request<wire::MoveStoreRequest>,
    ) -> Result<Response<wire::MoveStoreResponse>, Status> {
        if let Some(sealed) = self.0.sealed() {
            return Err(refused(&sealed));
        }
        let begun = self.0.begin_move(Peer::of(&request)?).map_err(fault)?;
        Ok(Response::new(wire::MoveStoreResponse { r#move: Some(told(begun)) }))
    }
}

fn told(moving: Moving) -> wire::StoreMove {
    match moving {
        Moving::Under { step, done, total } => {
            let step = match step {
                Step::Count => "counting",
                Step::Copy => "copying",
                Step::Verify => "verifying",
            };
            wire::StoreMove { step: step.to_owned(), done, total, ..wire::StoreMove::default() }
        }
        Moving::Ended(Moved { rows, blobs }) => {
            let outcome = format!("{rows} rows and {blobs} blobs moved to PostgreSQL and read back");
            let records = rows + blobs;
            wire::StoreMove { done: records, total: records, ended: true, outcome, ..wire::StoreMove::default() }
        }
        Moving::Failed(outcome) => wire::StoreMove { ended: true, failed: true, outcome, ..wire::StoreMove::default() },
    }
}
