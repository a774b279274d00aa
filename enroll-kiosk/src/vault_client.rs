//! What the kiosk asks of the vault. One attempt a call; whoever calls keeps the idempotency id and tries again.

use std::time::Duration;

use futures::future::try_join_all;
use tonic::Request;
use tonic::transport::Channel;
use volar_core::galleries::Galleries;
use volar_core::id::{EnrollmentId, GalleryId, IdempotencyId, ModelId};
use volar_core::protection::GalleryProtection;
use volar_core::template::EnrolledPalm;
use volar_proto::v1;
use volar_proto::v1::enrollment_service_client::EnrollmentServiceClient;
use volar_proto::v1::protection_service_client::ProtectionServiceClient;

use crate::client::CallError;
use crate::convert;
use crate::notice::Consent;
use crate::parameters::CALL_TIME_MAX;
use crate::payment::PaymentReference;
use crate::second_factor::Chosen;
use crate::session::{Receipt, Standing};

/// How a gallery's templates are protected now.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The gallery.
    pub gallery: GalleryId,
    /// The transform. In memory only.
    pub transform: GalleryProtection,
    /// Counts up when the gallery is protected anew.
    pub generation: u32,
    /// The model that the gallery's references come from.
    pub model: ModelId,
}

/// A client of the vault for the galleries that people join here.
#[derive(Clone, Debug)]
pub struct VaultClient {
    channel: Channel,
    galleries: Galleries,
}

impl VaultClient {
    /// A client over `channel`.
    pub fn new(channel: Channel, galleries: Galleries) -> Self {
        Self { channel, galleries }
    }

    /// How to protect templates now, for each gallery in turn.
    pub async fn protections(&self) -> Result<Vec<Protection>, CallError> {
        try_join_all(self.galleries.iter().map(|gallery| self.protection(gallery))).await
    }

    async fn protection(&self, gallery: &GalleryId) -> Result<Protection, CallError> {
        let request = timed(v1::GetProtectionRequest { gallery: gallery.to_string() }, CALL_TIME_MAX);
        let response = ProtectionServiceClient::new(self.channel.clone()).get_protection(request).await?;
        convert::protection(gallery, response.into_inner())
    }

    /// Stores one person's palms, which were protected for each gallery. Payment, or word that there is none, follows.
    pub async fn enroll(
        &self,
        id: IdempotencyId,
        consent: &Consent,
        memberships: &[(&Protection, Vec<EnrolledPalm>)],
    ) -> Result<EnrollmentId, CallError> {
        let request = v1::EnrollRequest {
            idempotency_id: id.to_string(),
            consent: Some(convert::consent(consent)),
            payment_follows: true,
            memberships: memberships.iter().map(|(protection, palms)| convert::membership(protection, palms)).collect(),
        };
        let response = self.enrollments().enroll(timed(request, CALL_TIME_MAX)).await?.into_inner();
        convert::enrollment_id(&response.enrollment_id)
    }

    /// Where an enrollment stands; waits up to `wait` for it to leave pending.
    pub async fn standing(&self, enrollment: EnrollmentId, wait: Duration) -> Result<Standing, CallError> {
        let wait_milliseconds = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = v1::GetEnrollmentRequest { enrollment_id: enrollment.to_string(), wait_milliseconds };
        let response = self.enrollments().get_enrollment(timed(request, CALL_TIME_MAX + wait)).await?.into_inner();
        convert::standing(response.state())
    }

    /// Keeps the second factor that the person chose.
    pub async fn set_second_factor(
        &self,
        id: IdempotencyId,
        enrollment: EnrollmentId,
        chosen: &Chosen,
    ) -> Result<Standing, CallError> {
        let request = v1::SetSecondFactorRequest {
            idempotency_id: id.to_string(),
            enrollment_id: enrollment.to_string(),
            second_factor: Some(convert::second_factor(chosen)),
        };
        let response = self.enrollments().set_second_factor(timed(request, CALL_TIME_MAX)).await?.into_inner();
        convert::standing(response.state())
    }

    /// Binds a payment; none says that the person goes without.
    pub async fn bind_payment(
        &self,
        id: IdempotencyId,
        enrollment: EnrollmentId,
        payment: Option<&PaymentReference>,
    ) -> Result<Standing, CallError> {
        let request = v1::BindPaymentRequest {
            idempotency_id: id.to_string(),
            enrollment_id: enrollment.to_string(),
            payment: payment.map(convert::payment),
        };
        let response = self.enrollments().bind_payment(timed(request, CALL_TIME_MAX)).await?.into_inner();
        convert::standing(response.state())
    }

    /// Erases an enrollment that was not finished.
    pub async fn cancel(&self, id: IdempotencyId, enrollment: EnrollmentId) -> Result<Receipt, CallError> {
        let (idempotency_id, enrollment_id) = (id.to_string(), enrollment.to_string());
        let request = v1::CancelEnrollmentRequest { idempotency_id, enrollment_id };
        let response = self.enrollments().cancel_enrollment(timed(request, CALL_TIME_MAX)).await?;
        convert::receipt(response.into_inner().receipt)
    }

    /// Erases the person whom a withdrawal ticket names.
    pub async fn withdraw(&self, id: IdempotencyId, ticket: &[u8]) -> Result<Receipt, CallError> {
        let request = v1::WithdrawRequest { idempotency_id: id.to_string(), ticket: ticket.to_vec() };
        let response = self.enrollments().withdraw(timed(request, CALL_TIME_MAX)).await?;
        convert::receipt(response.into_inner().receipt)
    }

    fn enrollments(&self) -> EnrollmentServiceClient<Channel> {
        EnrollmentServiceClient::new(self.channel.clone())
            .max_encoding_message_size(volar_proto::MESSAGE_BYTES_MAX)
            .max_decoding_message_size(volar_proto::MESSAGE_BYTES_MAX)
    }
}

/// A request that counts as unanswered after `limit`.
pub(crate) fn timed<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}
