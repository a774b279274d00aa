use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::scan_service_server::ScanService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::vault::{Vault, blocking};

/// Takes down scans, for matchers.
pub struct Scans(pub Arc<Vault>);

#[tonic::async_trait]
impl ScanService for Scans {
    async fn report_scans(
        &self,
        request: Request<wire::ReportScansRequest>,
    ) -> Result<Response<wire::ReportScansResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let reported = blocking(&self.0, move |vault| {
            let call = convert::call(&request.idempotency_id, &request)?;
            let lost = request.lost;
            vault.report_scans(&peer, &call, &convert::scans(request.scans)?, lost)
        });
        reported.await.map_err(fault)?;
        Ok(Response::new(wire::ReportScansResponse {}))
    }
}
