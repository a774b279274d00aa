//! A vault and a matcher that are made up: they speak the real contract over a real connection, remember what they
//! were asked, and can be made to be away, slow or of another opinion.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use volar_proto::v1;
use volar_proto::v1::enrollment_service_server::{EnrollmentService, EnrollmentServiceServer};
use volar_proto::v1::identification_service_server::{IdentificationService, IdentificationServiceServer};
use volar_proto::v1::protection_service_server::{ProtectionService, ProtectionServiceServer};
use volar_service::fault::Fault;

pub const MODEL: &str = "palm-lines-3";
pub const ENROLLMENT: &str = "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d";
pub const RECEIPT: &str = "a81bc81b-dead-4e5d-abff-90865d1e13b1";

/// What the servers were asked, and how they answer.
pub struct Books {
    pub away: bool,
    pub model: &'static str,
    pub generation: u32,
    /// Enroll stores, and then the answer gets lost, this many times.
    pub answers_lost: u32,
    /// Refused once with GENERATION_MISMATCH.
    pub generation_changes: bool,
    /// Every call to Enroll is refused so.
    pub enroll_refused: Option<&'static str>,
    pub bind_refused: Option<&'static str>,
    pub factor_refused: Option<&'static str>,
    /// GetEnrollment says PENDING this many times first.
    pub pending_polls: u32,
    pub verdict: v1::EnrollmentState,
    pub decision: v1::Decision,
    pub delay: Duration,
    pub enrolled: Vec<v1::EnrollRequest>,
    pub factors: Vec<v1::SetSecondFactorRequest>,
    pub bound: Vec<v1::BindPaymentRequest>,
    pub cancelled: Vec<v1::CancelEnrollmentRequest>,
    pub identified: Vec<v1::IdentifyRequest>,
    pub withdrawn: Vec<v1::WithdrawRequest>,
}

#[derive(Clone)]
pub struct Servers {
    books: Arc<Mutex<Books>>,
    pub address: SocketAddr,
}

impl Servers {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let books = Arc::new(Mutex::new(Books {
            away: false,
            model: MODEL,
            generation: 1,
            answers_lost: 0,
            generation_changes: false,
            enroll_refused: None,
            bind_refused: None,
            factor_refused: None,
            pending_polls: 0,
            verdict: v1::EnrollmentState::Active,
            decision: v1::Decision::Admitted,
            delay: Duration::ZERO,
            enrolled: Vec::new(),
            factors: Vec::new(),
            bound: Vec::new(),
            cancelled: Vec::new(),
            identified: Vec::new(),
            withdrawn: Vec::new(),
        }));
        let servers = Self { books, address };
        let served = Server::builder()
            .add_service(ProtectionServiceServer::new(servers.clone()))
            .add_service(EnrollmentServiceServer::new(servers.clone()).max_decoding_message_size(1 << 20))
            .add_service(IdentificationServiceServer::new(servers.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        servers
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("an address").connect_lazy()
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no test panics while it holds the books")
    }

    async fn open(&self) -> Result<MutexGuard<'_, Books>, Status> {
        let delay = self.books().delay;
        tokio::time::sleep(delay).await;
        let books = self.books();
        if books.away { Err(Status::unavailable("the server is away")) } else { Ok(books) }
    }
}

fn receipt() -> Option<v1::ErasureReceipt> {
    Some(v1::ErasureReceipt {
        receipt_id: RECEIPT.to_owned(),
        erased_at_unix_ms: 1_795_000_000_000,
        matchers_confirmed: vec!["matcher-1".to_owned()],
        matchers_pending: Vec::new(),
        proof: None,
    })
}

#[tonic::async_trait]
impl ProtectionService for Servers {
    async fn get_protection(
        &self,
        _: Request<v1::GetProtectionRequest>,
    ) -> Result<Response<v1::GetProtectionResponse>, Status> {
        let books = self.open().await?;
        let (model, generation) = (books.model.to_owned(), books.generation);
        Ok(Response::new(v1::GetProtectionResponse { key: vec![7; 32], generation, model }))
    }
}

#[tonic::async_trait]
impl EnrollmentService for Servers {
    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Result<Response<v1::EnrollResponse>, Status> {
        let mut books = self.open().await?;
        if let Some(reason) = books.enroll_refused {
            return Err(Fault::new(Code::InvalidArgument, reason, "made up").into());
        }
        if std::mem::take(&mut books.generation_changes) {
            books.generation += 1;
            return Err(Fault::new(Code::FailedPrecondition, "GENERATION_MISMATCH", "made up").into());
        }
        books.enrolled.push(request.into_inner());
        if books.answers_lost > 0 {
            books.answers_lost -= 1;
            return Err(Status::unavailable("the answer got lost"));
        }
        let state = v1::EnrollmentState::Pending.into();
        Ok(Response::new(v1::EnrollResponse { enrollment_id: ENROLLMENT.to_owned(), state }))
    }

    async fn get_enrollment(
        &self,
        _: Request<v1::GetEnrollmentRequest>,
    ) -> Result<Response<v1::GetEnrollmentResponse>, Status> {
        let mut books = self.open().await?;
        let mut state = books.verdict;
        if books.pending_polls > 0 {
            books.pending_polls -= 1;
            state = v1::EnrollmentState::Pending;
        }
        Ok(Response::new(v1::GetEnrollmentResponse { state: state.into(), payment_bound: !books.bound.is_empty() }))
    }

    async fn set_second_factor(
        &self,
        request: Request<v1::SetSecondFactorRequest>,
    ) -> Result<Response<v1::SetSecondFactorResponse>, Status> {
        let mut books = self.open().await?;
        if let Some(reason) = books.factor_refused {
            return Err(Fault::new(Code::InvalidArgument, reason, "made up").into());
        }
        books.factors.push(request.into_inner());
        Ok(Response::new(v1::SetSecondFactorResponse { state: books.verdict.into() }))
    }

    async fn bind_payment(
        &self,
        request: Request<v1::BindPaymentRequest>,
    ) -> Result<Response<v1::BindPaymentResponse>, Status> {
        let mut books = self.open().await?;
        if let Some(reason) = books.bind_refused {
            return Err(Fault::new(Code::InvalidArgument, reason, "made up").into());
        }
        books.bound.push(request.into_inner());
        Ok(Response::new(v1::BindPaymentResponse { state: books.verdict.into() }))
    }

    async fn cancel_enrollment(
        &self,
        request: Request<v1::CancelEnrollmentRequest>,
    ) -> Result<Response<v1::CancelEnrollmentResponse>, Status> {
        self.open().await?.cancelled.push(request.into_inner());
        Ok(Response::new(v1::CancelEnrollmentResponse { receipt: receipt() }))
    }

    async fn withdraw(&self, request: Request<v1::WithdrawRequest>) -> Result<Response<v1::WithdrawResponse>, Status> {
        self.open().await?.withdrawn.push(request.into_inner());
        Ok(Response::new(v1::WithdrawResponse { receipt: receipt() }))
    }
}

#[tonic::async_trait]
impl IdentificationService for Servers {
    async fn verify_second_factor(
        &self,
        _: Request<v1::VerifySecondFactorRequest>,
    ) -> Result<Response<v1::VerifySecondFactorResponse>, Status> {
        Err(Status::permission_denied("a kiosk asks no such thing"))
    }

    async fn identify(&self, request: Request<v1::IdentifyRequest>) -> Result<Response<v1::IdentifyResponse>, Status> {
        let mut books = self.open().await?;
        books.identified.push(request.into_inner());
        let decision = books.decision;
        let ticket = if decision == v1::Decision::Admitted { vec![1, 2, 3] } else { Vec::new() };
        Ok(Response::new(v1::IdentifyResponse {
            decision: decision.into(),
            reason: "MATCH".to_owned(),
            ticket,
            ticket_id: String::new(),
            decided_at_unix_ms: 0,
            retry_after_ms: 29_500,
            ..Default::default()
        }))
    }
}
