use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::admin_service_server::AdminService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::erasure::Erase;
use crate::vault::{Vault, blocking};

/// Shows and decides, for operators.
pub struct Admin(pub Arc<Vault>);

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        let peer = Peer::of(&request)?;
        let galleries = blocking(&self.0, move |vault| vault.status(&peer)).await.map_err(fault)?;
        Ok(Response::new(wire::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            galleries: galleries.into_iter().map(convert::gallery_status).collect(),
            uptime_seconds: self.0.uptime().as_secs(),
        }))
    }

    async fn list_subjects(
        &self,
        request: Request<wire::ListSubjectsRequest>,
    ) -> Result<Response<wire::ListSubjectsResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let page = blocking(&self.0, move |vault| {
            let gallery = convert::gallery(&request.gallery)?;
            let state = convert::listed_state(request.state)?;
            vault.subjects(&peer, &gallery, state, request.page_size as usize, &request.page_token)
        });
        Ok(Response::new(convert::page(page.await.map_err(fault)?)))
    }

    async fn erase_subject(
        &self,
        request: Request<wire::EraseSubjectRequest>,
    ) -> Result<Response<wire::EraseSubjectResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let call = convert::call(&request.idempotency_id, &request).map_err(fault)?;
        let subject = convert::subject_id(&request.subject_id).map_err(fault)?;
        let receipt = self.0.erase(&peer, call, Erase::Subject(subject)).await.map_err(fault)?;
        Ok(Response::new(wire::EraseSubjectResponse { receipt: Some(convert::receipt(receipt)) }))
    }

    async fn decide_review(
        &self,
        request: Request<wire::DecideReviewRequest>,
    ) -> Result<Response<wire::DecideReviewResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let call = convert::call(&request.idempotency_id, &request).map_err(fault)?;
        let subject = convert::subject_id(&request.subject_id).map_err(fault)?;
        let decision = convert::review_decision(request.decision()).map_err(fault)?;
        let state = self.0.decide_review(&peer, call, subject, decision).await.map_err(fault)?;
        Ok(Response::new(wire::DecideReviewResponse { state: convert::state(state).into() }))
    }

    async fn get_keys(
        &self,
        request: Request<wire::GetKeysRequest>,
    ) -> Result<Response<wire::GetKeysResponse>, Status> {
        let peer = Peer::of(&request)?;
        let count = request.get_ref().count;
        let keys = blocking(&self.0, move |vault| vault.keys(&peer, count)).await.map_err(fault)?;
        Ok(Response::new(convert::keys(keys)))
    }

    async fn rotate_keys(
        &self,
        request: Request<wire::RotateKeysRequest>,
    ) -> Result<Response<wire::RotateKeysResponse>, Status> {
        let peer = Peer::of(&request)?;
        let (from, vault) = (request.get_ref().from_version, self.0.clone());
        let keys = blocking(&self.0, move |_| vault.rotate_keys(&peer, from)).await.map_err(fault)?;
        Ok(Response::new(wire::RotateKeysResponse { keys: Some(convert::keys(keys)) }))
    }
}
