//! A matcher and a vault that answer what the test says, on real sockets, so that they can go away and come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use volar_proto::v1::identification_service_server::{IdentificationService, IdentificationServiceServer};
use volar_proto::v1::protection_service_server::{ProtectionService, ProtectionServiceServer};
use volar_proto::v1::{
    Decision, GetProtectionRequest, GetProtectionResponse, IdentifyRequest, IdentifyResponse,
    VerifySecondFactorRequest, VerifySecondFactorResponse,
};
use volar_service::fault::Fault;

pub(crate) const MODEL: &str = "palm-lines-3";
/// The sealed ticket of every admission: `AQIDBA` in base64url.
pub(crate) const TICKET: [u8; 4] = [1, 2, 3, 4];
/// The sealed challenge of every unsure palm.
pub(crate) const CHALLENGE: [u8; 3] = [7, 8, 9];

/// What the matcher answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Admit,
    Decide(Decision, &'static str, u64),
    /// STEP_UP, with a challenge that can be answered for so many milliseconds.
    Challenge(u64),
    Fail(Code, &'static str),
    /// After a while.
    Late(Duration, Box<Reply>),
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    asked: Vec<IdentifyRequest>,
    verified: Vec<VerifySecondFactorRequest>,
    /// The gallery's generation, as vault and matcher know it.
    generation: u32,
    key_fetches: usize,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Script>>);

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Servers {
    shared: Shared,
    matcher: SocketAddr,
    vault: SocketAddr,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        shared.script().generation = 1;
        let (vault_listener, vault) = listen("127.0.0.1:0".parse().expect("an address")).await;
        let service = ProtectionServiceServer::new(shared.clone());
        let vault_server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(vault_server.serve_with_incoming(TcpIncoming::from(vault_listener)));
        let matcher = "127.0.0.1:0".parse().expect("an address");
        let mut servers = Self { shared, matcher, vault, running: None };
        servers.start_matcher().await;
        servers
    }

    /// Starts the matcher, at the address that it had.
    pub(crate) async fn start_matcher(&mut self) {
        let (listener, address) = listen(self.matcher).await;
        self.matcher = address;
        let health = HealthReporter::new();
        health.set_service_status("volar.v1.IdentificationService", ServingStatus::Serving).await;
        let health = tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health),
        );
        let server = tonic::transport::Server::builder()
            .add_service(IdentificationServiceServer::new(self.shared.clone()))
            .add_service(health);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            let ended = server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await;
            ended.expect("an orderly end");
        });
        self.running = Some((stop, serving));
    }

    pub(crate) async fn stop_matcher(&mut self) {
        let (stop, serving) = self.running.take().expect("it runs");
        stop.cancel();
        serving.await.expect("no panic");
    }

    /// What the matcher answers next, in order; after that it admits.
    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script().replies.extend(replies);
    }

    /// Protects the gallery anew.
    pub(crate) fn next_generation(&self) {
        self.shared.script().generation += 1;
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<IdentifyRequest> {
        self.shared.script().asked.clone()
    }

    /// Every challenge that came back.
    pub(crate) fn verified(&self) -> Vec<VerifySecondFactorRequest> {
        self.shared.script().verified.clone()
    }

    pub(crate) fn key_fetches(&self) -> usize {
        self.shared.script().key_fetches
    }

    pub(crate) fn matcher_channel(&self) -> Channel {
        channel(self.matcher)
    }

    pub(crate) fn vault_channel(&self) -> Channel {
        channel(self.vault)
    }
}

async fn listen(address: SocketAddr) -> (TcpListener, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of every socket");
    socket.bind(address).expect("the address is free");
    let listener = socket.listen(16).expect("it listens");
    let address = listener.local_addr().expect("it has an address");
    (listener, address)
}

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}

#[tonic::async_trait]
impl IdentificationService for Shared {
    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        let mut reply = {
            let mut script = self.script();
            let request = request.into_inner();
            let current = request.probes.iter().all(|probe| probe.generation == script.generation);
            script.asked.push(request);
            if !current {
                let reason = "PROTECTION_GENERATION_MISMATCH";
                return Err(Fault::new(Code::FailedPrecondition, reason, "protected anew").into());
            }
            script.replies.pop_front().unwrap_or(Reply::Admit)
        };
        if let Reply::Late(delay, then) = reply {
            tokio::time::sleep(delay).await;
            reply = *then;
        }
        let decided = |decision: Decision, reason: &str, retry_after_ms| IdentifyResponse {
            decision: decision.into(),
            reason: reason.to_owned(),
            retry_after_ms,
            ..IdentifyResponse::default()
        };
        match reply {
            Reply::Admit | Reply::Late(..) => {
                let ticket_id = "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d".to_owned();
                let admitted = decided(Decision::Admitted, "MATCH", 0);
                Ok(Response::new(IdentifyResponse { ticket: TICKET.to_vec(), ticket_id, ..admitted }))
            }
            Reply::Decide(decision, reason, retry_after_ms) => {
                Ok(Response::new(decided(decision, reason, retry_after_ms)))
            }
            Reply::Challenge(challenge_time_ms) => {
                let challenge = CHALLENGE.to_vec();
                let unsure = decided(Decision::StepUp, "CLOSE_SECOND", 0);
                Ok(Response::new(IdentifyResponse { challenge, challenge_time_ms, ..unsure }))
            }
            Reply::Fail(code, reason) => Err(Fault::new(code, reason, "as the test wants it").into()),
        }
    }

    async fn verify_second_factor(
        &self,
        request: Request<VerifySecondFactorRequest>,
    ) -> Result<Response<VerifySecondFactorResponse>, Status> {
        let reply = {
            let mut script = self.script();
            script.verified.push(request.into_inner());
            script.replies.pop_front().unwrap_or(Reply::Admit)
        };
        match reply {
            Reply::Decide(decision, reason, retry_after_ms) => Ok(Response::new(VerifySecondFactorResponse {
                decision: decision.into(),
                reason: reason.to_owned(),
                retry_after_ms,
                ..Default::default()
            })),
            Reply::Fail(code, reason) => Err(Fault::new(code, reason, "as the test wants it").into()),
            _ => Ok(Response::new(VerifySecondFactorResponse {
                decision: Decision::Admitted.into(),
                reason: "SECOND_FACTOR".to_owned(),
                ticket: TICKET.to_vec(),
                ticket_id: "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d".to_owned(),
                ..Default::default()
            })),
        }
    }
}

#[tonic::async_trait]
impl ProtectionService for Shared {
    async fn get_protection(
        &self,
        _: Request<GetProtectionRequest>,
    ) -> Result<Response<GetProtectionResponse>, Status> {
        let mut script = self.script();
        script.key_fetches += 1;
        let generation = script.generation;
        let key = vec![generation as u8; 32];
        Ok(Response::new(GetProtectionResponse { key, generation, model: MODEL.to_owned() }))
    }
}
