use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::second_factor_service_server::SecondFactorService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::vault::{Vault, blocking};

/// Compares second factors, for matchers.
pub struct SecondFactor(pub Arc<Vault>);

#[tonic::async_trait]
impl SecondFactorService for SecondFactor {
    async fn check_second_factor(
        &self,
        request: Request<wire::CheckSecondFactorRequest>,
    ) -> Result<Response<wire::CheckSecondFactorResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let checked = blocking(&self.0, move |vault| {
            let id = convert::idempotency_id(&request.idempotency_id)?;
            let digits = convert::digits("digits", request.digits)?;
            vault.check_second_factor(&peer, id, &request.challenge, &digits)
        });
        Ok(Response::new(convert::second_factor_outcome(checked.await.map_err(fault)?)))
    }
}
