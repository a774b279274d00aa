//! What the kiosk asks of a matcher: whose palm wants to be removed.

use tonic::transport::Channel;
use volar_core::id::{IdempotencyId, LaneId};
use volar_core::template::Probe;
use volar_proto::v1;
use volar_proto::v1::identification_service_client::IdentificationServiceClient;

use crate::client::CallError;
use crate::convert;
use crate::parameters::CALL_TIME_MAX;
use crate::session::Identified;
use crate::vault_client::{Protection, timed};

/// A client of a matcher.
#[derive(Clone, Debug)]
pub struct MatcherClient {
    channel: Channel,
    lane: LaneId,
}

impl MatcherClient {
    /// A client over `channel`; failures count against `lane`.
    pub fn new(channel: Channel, lane: LaneId) -> Self {
        Self { channel, lane }
    }

    /// Says whose palm it is that `probes` are, one under each gallery's protection, for a withdrawal. One attempt.
    pub async fn identify(&self, id: IdempotencyId, probes: &[(&Protection, Probe)]) -> Result<Identified, CallError> {
        let request = v1::IdentifyRequest {
            idempotency_id: id.to_string(),
            lane: self.lane.to_string(),
            purpose: v1::Purpose::Withdrawal.into(),
            probes: probes.iter().map(|(protection, probe)| convert::gallery_probe(protection, probe)).collect(),
        };
        let mut client = IdentificationServiceClient::new(self.channel.clone())
            .max_encoding_message_size(volar_proto::MESSAGE_BYTES_MAX);
        let response = client.identify(timed(request, CALL_TIME_MAX)).await?;
        convert::identified(response.into_inner())
    }
}
