//! The gRPC services: each method reads its request, asks the vault, and writes the answer.

mod admin;
mod checkout;
mod enrollment;
mod fault;
mod feed;
mod protection;
mod scans;
mod seal;
mod second_factor;
mod store;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use volar_proto::MESSAGE_BYTES_MAX;
use volar_proto::v1::admin_service_server::AdminServiceServer;
use volar_proto::v1::checkout_service_server::CheckoutServiceServer;
use volar_proto::v1::enrollment_service_server::EnrollmentServiceServer;
use volar_proto::v1::protection_service_server::ProtectionServiceServer;
use volar_proto::v1::scan_service_server::ScanServiceServer;
use volar_proto::v1::second_factor_service_server::SecondFactorServiceServer;
use volar_proto::v1::template_feed_server::TemplateFeedServer;
use volar_service::access::AccessTable;
use volar_service::identity::Role;

use crate::vault::Vault;

pub use admin::Admin;
pub use checkout::Checkout;
pub use enrollment::Enrollment;
pub use fault::fault;
pub use feed::Feed;
pub use protection::Protection;
pub use scans::Scans;
pub use seal::{Seal, seated_routes};
pub use second_factor::SecondFactor;
pub use store::Place;

/// Who may call what.
pub const ACCESS: AccessTable = AccessTable::new(&[
    ("/volar.v1.ProtectionService/GetProtection", &[Role::Kiosk, Role::Gate]),
    ("/volar.v1.EnrollmentService/Enroll", &[Role::Kiosk]),
    ("/volar.v1.EnrollmentService/GetEnrollment", &[Role::Kiosk]),
    ("/volar.v1.EnrollmentService/SetSecondFactor", &[Role::Kiosk]),
    ("/volar.v1.EnrollmentService/BindPayment", &[Role::Kiosk]),
    ("/volar.v1.EnrollmentService/CancelEnrollment", &[Role::Kiosk]),
    ("/volar.v1.EnrollmentService/Withdraw", &[Role::Kiosk]),
    ("/volar.v1.CheckoutService/Claim", &[Role::Checkout]),
    ("/volar.v1.SecondFactorService/CheckSecondFactor", &[Role::Matcher]),
    ("/volar.v1.ScanService/ReportScans", &[Role::Matcher]),
    ("/volar.v1.TemplateFeed/Follow", &[Role::Matcher]),
    ("/volar.v1.TemplateFeed/ReportVerdict", &[Role::Matcher]),
    ("/volar.v1.TemplateFeed/Acknowledge", &[Role::Matcher]),
    ("/volar.v1.AdminService/GetStatus", &[Role::Operator]),
    ("/volar.v1.AdminService/ListSubjects", &[Role::Operator]),
    ("/volar.v1.AdminService/EraseSubject", &[Role::Operator]),
    ("/volar.v1.AdminService/DecideReview", &[Role::Operator]),
    ("/volar.v1.AdminService/GetKeys", &[Role::Operator]),
    ("/volar.v1.AdminService/RotateKeys", &[Role::Operator]),
    ("/volar.v1.AdminService/ReprotectGallery", &[Role::Operator]),
    ("/volar.v1.SealService/GetSeal", &[Role::Operator]),
    ("/volar.v1.SealService/Unseal", &[Role::Operator]),
    ("/volar.v1.SealService/Seal", &[Role::Operator]),
    ("/volar.v1.StoreService/GetStore", &[Role::Operator]),
    ("/volar.v1.StoreService/MoveStore", &[Role::Operator]),
    ("/volar.v1.AdminService/GetAuditHead", &[Role::Operator]),
    ("/volar.v1.AdminService/ListAuditLeaves", &[Role::Operator]),
    ("/volar.v1.AdminService/ProveAuditLeaf", &[Role::Operator]),
    ("/volar.v1.AdminService/RunRetention", &[Role::Operator]),
    ("/volar.v1.AdminService/GetRetentionSchedule", &[Role::Operator]),
    ("/volar.v1.AdminService/ExportSubject", &[Role::Operator]),
    ("/volar.v1.AdminService/CreateBackup", &[Role::Operator]),
    ("/volar.v1.AdminService/VerifyBackup", &[Role::Operator]),
    ("/volar.v1.AdminService/ListBackups", &[Role::Operator]),
]);

macro_rules! limited {
    ($server:expr) => {
        $server.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    };
}

/// Every service of a vault. `shutdown` ends the feeds, which would not end by themselves.
pub fn routes(vault: &Arc<Vault>, shutdown: &CancellationToken) -> Routes {
    let shutdown = shutdown.clone();
    Routes::new(limited!(ProtectionServiceServer::new(Protection(vault.clone()))))
        .add_service(limited!(EnrollmentServiceServer::new(Enrollment(vault.clone()))))
        .add_service(limited!(CheckoutServiceServer::new(Checkout(vault.clone()))))
        .add_service(SecondFactorServiceServer::new(SecondFactor(vault.clone())))
        .add_service(limited!(ScanServiceServer::new(Scans(vault.clone()))))
        .add_service(limited!(TemplateFeedServer::new(Feed { vault: vault.clone(), shutdown })))
        .add_service(limited!(AdminServiceServer::new(Admin(vault.clone()))))
}

/// Health names of the services.
pub const NAMES: [&str; 7] = [
    "volar.v1.ProtectionService",
    "volar.v1.EnrollmentService",
    "volar.v1.CheckoutService",
    "volar.v1.SecondFactorService",
    "volar.v1.ScanService",
    "volar.v1.TemplateFeed",
    "volar.v1.AdminService",
];
