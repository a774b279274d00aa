use std::sync::Arc;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::protection_service_server::ProtectionService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::vault::{Vault, blocking};

/// Gives capture devices their gallery's key.
pub struct Protection(pub Arc<Vault>);

#[tonic::async_trait]
impl ProtectionService for Protection {
    async fn get_protection(
        &self,
        request: Request<wire::GetProtectionRequest>,
    ) -> Result<Response<wire::GetProtectionResponse>, Status> {
        let peer = Peer::of(&request)?;
        let gallery = convert::gallery(&request.get_ref().gallery).map_err(fault)?;
        let given = blocking(&self.0, move |vault| vault.give_protection(&peer, &gallery)).await;
        let protection = given.map_err(fault)?;
        Ok(Response::new(convert::protection(&protection)))
    }
}
