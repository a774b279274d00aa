use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use volar_proto::v1 as wire;
use volar_proto::v1::enrollment_service_server::EnrollmentService;
use volar_service::identity::Peer;

use super::fault;
use crate::convert;
use crate::erasure::Erase;
use crate::format::v1::State;
use crate::vault::{Vault, blocking};

/// Enrols, for kiosks.
pub struct Enrollment(pub Arc<Vault>);

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn enroll(&self, request: Request<wire::EnrollRequest>) -> Result<Response<wire::EnrollResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let enrolled = blocking(&self.0, move |vault| {
            let call = convert::call(&request.idempotency_id, &request)?;
            vault.enroll(&peer, &call, &convert::enroll(request)?)
        });
        let enrollment_id = enrolled.await.map_err(fault)?.to_string();
        let state = convert::state(Some(State::Pending)).into();
        Ok(Response::new(wire::EnrollResponse { enrollment_id, state }))
    }

    async fn get_enrollment(
        &self,
        request: Request<wire::GetEnrollmentRequest>,
    ) -> Result<Response<wire::GetEnrollmentResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let enrollment = convert::enrollment_id(&request.enrollment_id).map_err(fault)?;
        let wait = Duration::from_millis(request.wait_milliseconds.into());
        let standing = self.0.wait_for_standing(&peer, enrollment, wait).await.map_err(fault)?;
        Ok(Response::new(convert::standing(standing)))
    }

    async fn set_second_factor(
        &self,
        request: Request<wire::SetSecondFactorRequest>,
    ) -> Result<Response<wire::SetSecondFactorResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let set = blocking(&self.0, move |vault| {
            let (call, enrollment, kind, digits) = convert::set_second_factor(request)?;
            vault.set_second_factor(&peer, &call, enrollment, kind, &digits)
        });
        let state = convert::state(set.await.map_err(fault)?).into();
        Ok(Response::new(wire::SetSecondFactorResponse { state }))
    }

    async fn bind_payment(
        &self,
        request: Request<wire::BindPaymentRequest>,
    ) -> Result<Response<wire::BindPaymentResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let bound = blocking(&self.0, move |vault| {
            let call = convert::call(&request.idempotency_id, &request)?;
            let enrollment = convert::enrollment_id(&request.enrollment_id)?;
            match request.payment {
                None => vault.finish_without_payment(&peer, &call, enrollment),
                payment => vault.bind_payment(&peer, &call, enrollment, &convert::payment(payment)?),
            }
        });
        let state = convert::state(bound.await.map_err(fault)?).into();
        Ok(Response::new(wire::BindPaymentResponse { state }))
    }

    async fn cancel_enrollment(
        &self,
        request: Request<wire::CancelEnrollmentRequest>,
    ) -> Result<Response<wire::CancelEnrollmentResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let call = convert::call(&request.idempotency_id, &request).map_err(fault)?;
        let enrollment = convert::enrollment_id(&request.enrollment_id).map_err(fault)?;
        let receipt = self.0.erase(&peer, call, Erase::Cancel(enrollment)).await.map_err(fault)?;
        Ok(Response::new(wire::CancelEnrollmentResponse { receipt: Some(convert::receipt(receipt)) }))
    }

    async fn withdraw(
        &self,
        request: Request<wire::WithdrawRequest>,
    ) -> Result<Response<wire::WithdrawResponse>, Status> {
        let peer = Peer::of(&request)?;
        let request = request.into_inner();
        let call = convert::call(&request.idempotency_id, &request).map_err(fault)?;
        let receipt = self.0.erase(&peer, call, Erase::Withdraw(request.ticket)).await.map_err(fault)?;
        Ok(Response::new(wire::WithdrawResponse { receipt: Some(convert::receipt(receipt)) }))
    }
}
