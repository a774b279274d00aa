use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tower::ServiceExt;
use volar_proto::v1 as wire;
use volar_proto::v1::seal_service_server::{SealService, SealServiceServer};
use volar_proto::v1::store_service_server::StoreServiceServer;
use volar_service::fault::Fault;
use volar_service::identity::Peer;
use zeroize::Zeroizing;

use super::{Place, fault};
use crate::keys::Secret;
use crate::seat::{Sealed, Seat};

/// Opens and closes the vault, for operators.
pub struct Seal(pub Arc<Seat>);

#[tonic::async_trait]
impl SealService for Seal {
    async fn get_seal(&self, _: Request<wire::GetSealRequest>) -> Result<Response<wire::GetSealResponse>, Status> {
        let sealed = self.0.sealed();
        Ok(Response::new(match sealed {
            Some(Sealed { reason, secret_wanted }) => wire::GetSealResponse { sealed: true, reason, secret_wanted },
            None => wire::GetSealResponse::default(),
        }))
    }

    async fn unseal(&self, request: Request<wire::UnsealRequest>) -> Result<Response<wire::UnsealResponse>, Status> {
        let peer = Peer::of(&request)?;
        let secret = Zeroizing::new(request.into_inner().secret);
        let typed = if secret.is_empty() { None } else { Some(Secret::new(secret)) };
        let typed = typed.transpose().map_err(|error| fault(error.into()))?;
        self.0.unseal(peer, typed).await.map_err(fault)?;
        Ok(Response::new(wire::UnsealResponse {}))
    }

    async fn seal(&self, request: Request<wire::SealRequest>) -> Result<Response<wire::SealResponse>, Status> {
        self.0.seal(Peer::of(&request)?).await.map_err(fault)?;
        Ok(Response::new(wire::SealResponse {}))
    }
}

/// Every service of a vault that may be sealed.
pub fn seated_routes(seat: &Arc<Seat>) -> Routes {
    let open = axum::Router::new().fallback(pass_on).with_state(seat.clone());
    Routes::from(open)
        .add_service(SealServiceServer::new(Seal(seat.clone())))
        .add_service(StoreServiceServer::new(Place(seat.clone())))
}

/// Hands a call to the open vault's services, or says that it is sealed.
async fn pass_on(State(seat): State<Arc<Seat>>, request: http::Request<Body>) -> http::Response<Body> {
    match seat.routes() {
        Ok(routes) => match routes.into_axum_router().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(sealed) => refused(&sealed).into_http(),
    }
}

/// What whoever calls a sealed vault is told.
pub(super) fn refused(sealed: &Sealed) -> Status {
    Fault::new(Code::Unavailable, "SEALED", format!("the vault is sealed: {}", sealed.reason)).into()
}
