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

    async fn reprotect_gallery(
        &self,
        request: Request<wire::ReprotectGalleryRequest>,
    ) -> Result<Response<wire::ReprotectGalleryResponse>, Status> {
        let (peer, vault) = (Peer::of(&request)?, self.0.clone());
        let wire::ReprotectGalleryRequest { gallery, from_generation } = request.into_inner();
        let begun =
            blocking(&self.0, move |_| vault.reprotect_gallery(&peer, &convert::gallery(&gallery)?, from_generation));
        begun.await.map_err(fault)?;
        Ok(Response::new(wire::ReprotectGalleryResponse {}))
    }

    async fn get_audit_head(
        &self,
        request: Request<wire::GetAuditHeadRequest>,
    ) -> Result<Response<wire::GetAuditHeadResponse>, Status> {
        let peer = Peer::of(&request)?;
        let since = request.into_inner().since_size;
        let log = blocking(&self.0, move |vault| vault.audit_head(&peer, since)).await.map_err(fault)?;
        Ok(Response::new(convert::audit_head(&log)))
    }

    async fn list_audit_leaves(
        &self,
        request: Request<wire::ListAuditLeavesRequest>,
    ) -> Result<Response<wire::ListAuditLeavesResponse>, Status> {
        let peer = Peer::of(&request)?;
        let wire::ListAuditLeavesRequest { from_index, page_size } = request.into_inner();
        let leaves = blocking(&self.0, move |vault| vault.audit_leaves(&peer, from_index, page_size as usize)).await;
        Ok(Response::new(wire::ListAuditLeavesResponse { leaves: leaves.map_err(fault)? }))
    }

    async fn prove_audit_leaf(
        &self,
        request: Request<wire::ProveAuditLeafRequest>,
    ) -> Result<Response<wire::ProveAuditLeafResponse>, Status> {
        let peer = Peer::of(&request)?;
        let wire::ProveAuditLeafRequest { index, tree_size } = request.into_inner();
        let proof = blocking(&self.0, move |vault| vault.audit_leaf(&peer, index, tree_size)).await.map_err(fault)?;
        Ok(Response::new(convert::audit_leaf(proof)))
    }

    async fn run_retention(
        &self,
        request: Request<wire::RunRetentionRequest>,
    ) -> Result<Response<wire::RunRetentionResponse>, Status> {
        let peer = Peer::of(&request)?;
        let dry_run = request.into_inner().dry_run;
        let run = blocking(&self.0, move |vault| vault.run_retention(&peer, dry_run)).await.map_err(fault)?;
        Ok(Response::new(convert::retention_run(run)))
    }

    async fn get_retention_schedule(
        &self,
        request: Request<wire::GetRetentionScheduleRequest>,
    ) -> Result<Response<wire::GetRetentionScheduleResponse>, Status> {
        let schedules = self.0.retention_schedules(&Peer::of(&request)?).map_err(fault)?;
        let schedules = schedules.into_iter().map(convert::retention_schedule).collect();
        Ok(Response::new(wire::GetRetentionScheduleResponse { schedules }))
    }

    async fn export_subject(
        &self,
        request: Request<wire::ExportSubjectRequest>,
    ) -> Result<Response<wire::ExportSubjectResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let call = convert::call(&request.idempotency_id, &request).map_err(fault)?;
        let subject = convert::subject_id(&request.subject_id).map_err(fault)?;
        let with_templates = request.with_templates;
        let export = blocking(&self.0, move |vault| vault.export_subject(&peer, &call, subject, with_templates)).await;
        Ok(Response::new(convert::exported(export.map_err(fault)?, with_templates)))
    }

    async fn create_backup(
        &self,
        request: Request<wire::CreateBackupRequest>,
    ) -> Result<Response<wire::CreateBackupResponse>, Status> {
        let (peer, vault) = (Peer::of(&request)?, self.0.clone());
        let status = blocking(&self.0, move |_| vault.start_backup(&peer)).await.map_err(fault)?;
        Ok(Response::new(wire::CreateBackupResponse { job: status.job.map(convert::backup_job) }))
    }

    async fn verify_backup(
        &self,
        request: Request<wire::VerifyBackupRequest>,
    ) -> Result<Response<wire::VerifyBackupResponse>, Status> {
        let (peer, vault) = (Peer::of(&request)?, self.0.clone());
        let id = Some(request.into_inner().id).filter(|id| !id.is_empty());
        let status = blocking(&self.0, move |_| vault.start_verifying(&peer, id)).await.map_err(fault)?;
        Ok(Response::new(wire::VerifyBackupResponse { job: status.job.map(convert::backup_job) }))
    }

    async fn list_backups(
        &self,
        _: Request<wire::ListBackupsRequest>,
    ) -> Result<Response<wire::ListBackupsResponse>, Status> {
        let status = blocking(&self.0, Vault::backup_status).await.map_err(fault)?;
        Ok(Response::new(convert::backups(status)))
    }
}
