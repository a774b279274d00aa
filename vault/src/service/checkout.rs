use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::checkout_service_server::CheckoutService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::vault::{Vault, blocking};

/// Takes tickets, for checkout backends.
pub struct Checkout(pub Arc<Vault>);

#[tonic::async_trait]
impl CheckoutService for Checkout {
    async fn claim(&self, request: Request<wire::ClaimRequest>) -> Result<Response<wire::ClaimResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let claimed = blocking(&self.0, move |vault| {
            let call = convert::call(&request.idempotency_id, &request)?;
            vault.claim(&peer, &call, &request.ticket)
        });
        Ok(Response::new(convert::claimed(&claimed.await.map_err(fault)?)))
    }
}
