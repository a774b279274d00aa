//! A vault in memory that keeps the contract: pages, erasures and claims that happen once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::{Code, Request, Response, Status};
use volar_proto::v1::admin_service_server::AdminService;
use volar_proto::v1::checkout_service_server::CheckoutService;
use volar_proto::v1::decide_review_request::Decision;
use volar_proto::v1::seal_service_server::SealService;
use volar_proto::v1::store_service_server::StoreService;
use volar_proto::v1::*;
use volar_service::fault::Fault;

use super::log;

/// Somebody enrolled.
pub(crate) const SUBJECT: &str = "3f2b8c1e-5d0a-4f6b-9c7d-2e1f0a9b8c7d";
/// A ticket: base64url of some bytes.
pub(crate) const TICKET: &str = "-_8BAgME";

#[derive(Clone, Default)]
pub(crate) struct Vault(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    calls: Vec<(&'static str, String)>,
    erasure: Option<String>,
    claims: HashMap<Vec<u8>, String>,
    /// While version 1 is being left: for so many looks.
    looks: Option<u32>,
    /// While `members` is protected anew: for so many looks.
    renewing: Option<u32>,
    /// While a backup is made: for so many looks.
    backing_up: Option<u32>,
    sealed: bool,
    /// While records move: for so many looks.
    moving: Option<u32>,
}

impl Vault {
    /// Idempotency ids of every call of a kind, in order.
    pub(crate) fn calls(&self, kind: &str) -> Vec<String> {
        self.memory().calls.iter().filter(|call| call.0 == kind).map(|call| call.1.clone()).collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(code: Code, reason: &'static str) -> Status {
    Fault::new(code, reason, "as the test wants it").into()
}

fn subject(number: u8, gallery: &str) -> Subject {
    let in_review = number == 1;
    let id = if number == 0 { SUBJECT.to_owned() } else { format!("00000000-0000-4000-8000-0000000000{number:02x}") };
    Subject {
        subject_id: id,
        galleries: vec![gallery.to_owned()],
        state: if in_review { EnrollmentState::InReview } else { EnrollmentState::Active }.into(),
        payment_bound: true,
        enrolled_at_unix_ms: 1_790_000_000_000,
        positions: vec![PalmPosition::Left.into(), PalmPosition::Right.into()],
        suspected_duplicate_of: if in_review { SUBJECT.to_owned() } else { String::new() },
        suspected_score: in_review.then_some(14.25),
        ..Subject::default()
    }
}

#[tonic::async_trait]
impl AdminService for Vault {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let gallery = |name: &str| GalleryStatus {
            gallery: name.to_owned(),
            generation: 1,
            model: "palm-lines-3".to_owned(),
            last_sequence: 12,
            followers: vec![FollowerStatus { device: "matcher-1".to_owned(), acknowledged_sequence: 10 }],
            ..GalleryStatus::default()
        };
        let (generation, renewal) = self.memory().generation();
        let members = GalleryStatus { generation, renewal, ..gallery("members") };
        let galleries = vec![members, gallery("staff")];
        Ok(Response::new(GetStatusResponse { version: "0.1.0".to_owned(), galleries, uptime_seconds: 61 }))
    }

    /// Four subjects in `members`, two a page; one in `staff`.
    async fn list_subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> Result<Response<ListSubjectsResponse>, Status> {
        let request = request.into_inner();
        let everyone: Vec<Subject> = match request.gallery.as_str() {
            "members" => (0..4).map(|number| subject(number, "members")).collect(),
            "staff" => vec![subject(9, "staff")],
            _ => return Err(fault(Code::NotFound, "GALLERY_UNKNOWN")),
        };
        let wanted = |subject: &Subject| request.state == 0 || subject.state == request.state;
        let everyone: Vec<Subject> = everyone.into_iter().filter(wanted).collect();
        let start: usize = request.page_token.parse().unwrap_or(0);
        let subjects: Vec<Subject> = everyone.iter().skip(start).take(2).cloned().collect();
        let next = start + subjects.len();
        let next_page_token = if next < everyone.len() { next.to_string() } else { String::new() };
        Ok(Response::new(ListSubjectsResponse { subjects, next_page_token }))
    }

    async fn erase_subject(
        &self,
        request: Request<EraseSubjectRequest>,
    ) -> Result<Response<EraseSubjectResponse>, Status> {
        let id = request.into_inner().idempotency_id;
        let mut memory = self.memory();
        memory.calls.push(("erase", id.clone()));
        if memory.erasure.get_or_insert_with(|| id.clone()) != &id {
            return Err(fault(Code::FailedPrecondition, "SUBJECT_ERASED"));
        }
        let receipt = ErasureReceipt {
            receipt_id: "5d0a3f2b-8c1e-4f6b-9c7d-2e1f0a9b8c7d".to_owned(),
            erased_at_unix_ms: 1_790_000_000_000,
            matchers_confirmed: vec!["matcher-1".to_owned()],
            matchers_pending: Vec::new(),
            proof: None,
        };
        Ok(Response::new(EraseSubjectResponse { receipt: Some(receipt) }))
    }

    async fn decide_review(
        &self,
        request: Request<DecideReviewRequest>,
    ) -> Result<Response<DecideReviewResponse>, Status> {
        let state = match request.into_inner().decision() {
            Decision::DifferentPerson => EnrollmentState::Active,
            Decision::SamePerson => EnrollmentState::Erased,
            Decision::Unspecified => return Err(fault(Code::InvalidArgument, "FIELD_INVALID")),
        };
        Ok(Response::new(DecideReviewResponse { state: state.into() }))
    }

    async fn create_backup(&self, _: Request<CreateBackupRequest>) -> Result<Response<CreateBackupResponse>, Status> {
        self.memory().backing_up = Some(2);
        Ok(Response::new(CreateBackupResponse::default()))
    }

    /// None is whole but the first.
    async fn verify_backup(
        &self,
        request: Request<VerifyBackupRequest>,
    ) -> Result<Response<VerifyBackupResponse>, Status> {
        let id = request.into_inner().id;
        if id != "000001-20260921T120000Z" {
            return Err(fault(Code::NotFound, "BACKUP_UNKNOWN"));
        }
        self.memory().calls.push(("verify", id));
        Ok(Response::new(VerifyBackupResponse::default()))
    }

    async fn list_backups(&self, _: Request<ListBackupsRequest>) -> Result<Response<ListBackupsResponse>, Status> {
        let mut memory = self.memory();
        let verified = !memory.calls.iter().all(|call| call.0 != "verify");
        let job = |done, ended, failed, outcome: &str| BackupJob {
            what: "backing up".to_owned(),
            done,
            total: 10,
            ended,
            outcome: outcome.to_owned(),
            failed,
        };
        let job = match memory.backing_up.as_mut() {
            _ if verified => Some(job(3, true, true, "pieces/aa is damaged")),
            None => None,
            Some(0) => Some(job(10, true, false, "backup 000001-20260921T120000Z made")),
            Some(looks) => {
                *looks -= 1;
                Some(job(5, false, false, ""))
            }
        };
        let backup = Backup { id: "000001-20260921T120000Z".to_owned(), subjects: 7, rows: 90, ..Backup::default() };
        Ok(Response::new(ListBackupsResponse { backups: vec![backup], job }))
    }

    /// Version 1 until it is left; leaving it takes two looks.
    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(self.memory().keys()))
    }

    async fn rotate_keys(&self, request: Request<RotateKeysRequest>) -> Result<Response<RotateKeysResponse>, Status> {
        let mut memory = self.memory();
        memory.calls.push(("rotate", request.into_inner().from_version.to_string()));
        memory.looks = Some(2);
        Ok(Response::new(RotateKeysResponse { keys: Some(memory.keys()) }))
    }

    async fn reprotect_gallery(
        &self,
        request: Request<ReprotectGalleryRequest>,
    ) -> Result<Response<ReprotectGalleryResponse>, Status> {
        let ReprotectGalleryRequest { gallery, from_generation } = request.into_inner();
        let mut memory = self.memory();
        memory.calls.push(("re-protect", format!("{gallery} {from_generation}")));
        memory.renewing = Some(2);
        Ok(Response::new(ReprotectGalleryResponse {}))
    }

    async fn get_audit_head(
        &self,
        request: Request<GetAuditHeadRequest>,
    ) -> Result<Response<GetAuditHeadResponse>, Status> {
        Ok(Response::new(log::answer(request.into_inner().since_size)))
    }

    /// Four leaves a page at most.
    async fn list_audit_leaves(
        &self,
        request: Request<ListAuditLeavesRequest>,
    ) -> Result<Response<ListAuditLeavesResponse>, Status> {
        let ListAuditLeavesRequest { from_index, page_size } = request.into_inner();
        let page = log::leaves().into_iter().skip(from_index as usize).take(page_size.min(4) as usize);
        Ok(Response::new(ListAuditLeavesResponse { leaves: page.collect() }))
    }

    async fn prove_audit_leaf(
        &self,
        _: Request<ProveAuditLeafRequest>,
    ) -> Result<Response<ProveAuditLeafResponse>, Status> {
        Err(fault(Code::InvalidArgument, "FIELD_INVALID"))
    }

    async fn run_retention(&self, _: Request<RunRetentionRequest>) -> Result<Response<RunRetentionResponse>, Status> {
        let removal = RetentionRemoval {
            subject_id: SUBJECT.to_owned(),
            jurisdiction: "US-IL".to_owned(),
            rule: "three-years-unused".to_owned(),
            last_seen_unix_ms: 1_790_000_000_000,
            due_unix_ms: 1_890_000_000_000,
        };
        Ok(Response::new(RunRetentionResponse { removals: vec![removal], examined: 5 }))
    }

    async fn get_retention_schedule(
        &self,
        _: Request<GetRetentionScheduleRequest>,
    ) -> Result<Response<GetRetentionScheduleResponse>, Status> {
        let rule = RetentionRule {
            name: "three-years-unused".to_owned(),
            text: "Destroyed within three years.".to_owned(),
            source: "740 ILCS 14/15(a)".to_owned(),
        };
        let schedule = RetentionSchedule {
            sites: vec!["chicago".to_owned()],
            jurisdiction: "US-IL".to_owned(),
            title: "Illinois, USA".to_owned(),
            rules: vec![rule],
        };
        Ok(Response::new(GetRetentionScheduleResponse { schedules: vec![schedule] }))
    }

    async fn export_subject(
        &self,
        _: Request<ExportSubjectRequest>,
    ) -> Result<Response<ExportSubjectResponse>, Status> {
        let subject = Some(subject(0, "members"));
        let payment_label = "Test account anna".to_owned();
        Ok(Response::new(ExportSubjectResponse { subject, payment_label, ..ExportSubjectResponse::default() }))
    }
}

impl Memory {
    /// Of `members`: 1 until it is protected anew, which takes a look to take up the next and one to leave the first.
    fn generation(&mut self) -> (u32, Option<GalleryRenewal>) {
        let renewal =
            |other_generation, done| Some(GalleryRenewal { other_generation, done, total: 10, stopped: String::new() });
        match self.renewing.as_mut() {
            None => (1, None),
            Some(0) => (2, None),
            Some(looks) => {
                *looks -= 1;
                if *looks == 1 { (1, renewal(2, 5)) } else { (2, renewal(1, 9)) }
            }
        }
    }

    fn keys(&mut self) -> GetKeysResponse {
        let version = |version| KeyVersion {
            version,
            made_at_unix_ms: 1_790_000_000_000,
            r#use: Some(KeyUse { records: 7, subject_keys: 3 }),
        };
        let (versions, rotation) = match self.looks.as_mut() {
            None => (vec![version(1)], None),
            Some(0) => (vec![version(2)], None),
            Some(looks) => {
                *looks -= 1;
                let rotation = KeyRotation { done: 10 - u64::from(*looks), total: 10, stopped: String::new() };
                (vec![version(1), version(2)], Some(rotation))
            }
        };
        GetKeysResponse { holder: "key file".to_owned(), versions, rotation }
    }
}

/// Sealed by a passphrase, "correct horse", once somebody has sealed it.
#[tonic::async_trait]
impl SealService for Vault {
    async fn get_seal(&self, _: Request<GetSealRequest>) -> Result<Response<GetSealResponse>, Status> {
        let sealed = self.memory().sealed;
        let reason = if sealed { "sealed by the test".to_owned() } else { String::new() };
        Ok(Response::new(GetSealResponse { sealed, reason, secret_wanted: sealed }))
    }

    async fn unseal(&self, request: Request<UnsealRequest>) -> Result<Response<UnsealResponse>, Status> {
        if request.into_inner().secret != "correct horse" {
            return Err(fault(Code::PermissionDenied, "SECRET_WRONG"));
        }
        self.memory().sealed = false;
        Ok(Response::new(UnsealResponse {}))
    }

    async fn seal(&self, _: Request<SealRequest>) -> Result<Response<SealResponse>, Status> {
        self.memory().sealed = true;
        Ok(Response::new(SealResponse {}))
    }
}

/// Records are moved after three looks, once.
#[tonic::async_trait]
impl StoreService for Vault {
    async fn get_store(&self, _: Request<GetStoreRequest>) -> Result<Response<GetStoreResponse>, Status> {
        let mut memory = self.memory();
        let (engine, moving) = match memory.moving.as_mut() {
            None => ("sled", None),
            Some(0) => {
                let outcome = "12 rows and 1 blobs moved to PostgreSQL and read back".to_owned();
                ("postgres", Some(StoreMove { done: 13, total: 13, ended: true, outcome, ..StoreMove::default() }))
            }
            Some(looks) => {
                *looks -= 1;
                let (step, done) = ("copying".to_owned(), 13 - 4 * u64::from(*looks));
                ("sled", Some(StoreMove { step, done, total: 13, ..StoreMove::default() }))
            }
        };
        Ok(Response::new(GetStoreResponse { engine: engine.to_owned(), r#move: moving }))
    }

    async fn move_store(&self, _: Request<MoveStoreRequest>) -> Result<Response<MoveStoreResponse>, Status> {
        match &mut self.memory().moving {
            Some(0) => Err(fault(Code::FailedPrecondition, "NOWHERE_TO_MOVE")),
            moving => {
                *moving = Some(3);
                Ok(Response::new(MoveStoreResponse::default()))
            }
        }
    }
}

#[tonic::async_trait]
impl CheckoutService for Vault {
    async fn claim(&self, request: Request<ClaimRequest>) -> Result<Response<ClaimResponse>, Status> {
        let ClaimRequest { idempotency_id, ticket } = request.into_inner();
        let mut memory = self.memory();
        let first = memory.claims.entry(ticket).or_insert_with(|| idempotency_id.clone());
        if *first != idempotency_id {
            return Err(fault(Code::AlreadyExists, "TICKET_ALREADY_CLAIMED"));
        }
        Ok(Response::new(ClaimResponse {
            payment: Some(PaymentReference {
                provider: "test".to_owned(),
                customer: "cus_test_anna".to_owned(),
                payment_method: "pm_test_anna".to_owned(),
                label: "Test account anna".to_owned(),
            }),
            lane: "lane-1".to_owned(),
            ..ClaimResponse::default()
        }))
    }
}
