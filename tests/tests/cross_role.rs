//! Every RPC that the contract knows, called with every role's certificate: only the allowed pairs get through.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use volar_proto::FILE_DESCRIPTOR_SET;
use volar_service::identity::Role;
use volar_service::identity::Role::{Checkout, Gate, Kiosk, Matcher, Operator};
use volar_tests::client::{Clients, reason};
use volar_tests::system::System;

/// Who may call what, written down a second time on purpose: a slip in a server's own table shows here.
const ALLOWED: [(&str, &[Role]); 39] = [
    ("/volar.v1.ProtectionService/GetProtection", &[Kiosk, Gate]),
    ("/volar.v1.EnrollmentService/Enroll", &[Kiosk]),
    ("/volar.v1.EnrollmentService/GetEnrollment", &[Kiosk]),
    ("/volar.v1.EnrollmentService/SetSecondFactor", &[Kiosk]),
    ("/volar.v1.EnrollmentService/BindPayment", &[Kiosk]),
    ("/volar.v1.EnrollmentService/CancelEnrollment", &[Kiosk]),
    ("/volar.v1.EnrollmentService/Withdraw", &[Kiosk]),
    ("/volar.v1.CheckoutService/Claim", &[Checkout]),
    ("/volar.v1.SecondFactorService/CheckSecondFactor", &[Matcher]),
    ("/volar.v1.ScanService/ReportScans", &[Matcher]),
    ("/volar.v1.TemplateFeed/Follow", &[Matcher]),
    ("/volar.v1.TemplateFeed/ReportVerdict", &[Matcher]),
    ("/volar.v1.TemplateFeed/Acknowledge", &[Matcher]),
    ("/volar.v1.AdminService/GetStatus", &[Operator]),
    ("/volar.v1.AdminService/ListSubjects", &[Operator]),
    ("/volar.v1.AdminService/EraseSubject", &[Operator]),
    ("/volar.v1.AdminService/DecideReview", &[Operator]),
    ("/volar.v1.AdminService/GetKeys", &[Operator]),
    ("/volar.v1.AdminService/RotateKeys", &[Operator]),
    ("/volar.v1.AdminService/ReprotectGallery", &[Operator]),
    ("/volar.v1.AdminService/GetAuditHead", &[Operator]),
    ("/volar.v1.AdminService/ListAuditLeaves", &[Operator]),
    ("/volar.v1.AdminService/ProveAuditLeaf", &[Operator]),
    ("/volar.v1.AdminService/RunRetention", &[Operator]),
    ("/volar.v1.AdminService/GetRetentionSchedule", &[Operator]),
    ("/volar.v1.AdminService/ExportSubject", &[Operator]),
    ("/volar.v1.AdminService/CreateBackup", &[Operator]),
    ("/volar.v1.AdminService/VerifyBackup", &[Operator]),
    ("/volar.v1.AdminService/ListBackups", &[Operator]),
    // In this order: what one closes the next opens again.
    ("/volar.v1.StoreService/GetStore", &[Operator]),
    ("/volar.v1.StoreService/MoveStore", &[Operator]),
    ("/volar.v1.SealService/GetSeal", &[Operator]),
    ("/volar.v1.SealService/Seal", &[Operator]),
    ("/volar.v1.SealService/Unseal", &[Operator]),
    ("/volar.v1.IdentificationService/Identify", &[Gate, Kiosk]),
    ("/volar.v1.IdentificationService/VerifySecondFactor", &[Gate]),
    ("/volar.v1.ShardService/Search", &[Matcher]),
    ("/volar.v1.ShardService/GetShard", &[Matcher]),
    ("/grpc.health.v1.Health/Check", &Role::ALL),
];

/// Methods in the contract's descriptors, as paths.
fn contract() -> Vec<String> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the committed descriptors decode");
    let mut methods = Vec::new();
    for file in files.file {
        for service in &file.service {
            let name = format!("/{}.{}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| format!("{name}/{}", method.name())));
        }
    }
    methods
}

/// Calls `path` with an empty message and takes the first answer.
async fn call(channel: Channel, path: &str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::try_from(path).expect("a method's path");
    // A unary method is one that streams a single answer.
    let codec = ProstCodec::<(), ()>::default();
    let mut answers = client.server_streaming(Request::new(()), path, codec).await?.into_inner();
    answers.message().await.map(drop)
}

fn server(clients: &Clients, path: &str, role: Role) -> Channel {
    let at_matcher = ["IdentificationService", "ShardService"].iter().any(|service| path.contains(service));
    if at_matcher { clients.matcher(role) } else { clients.vault(role) }
}

#[tokio::test]
async fn only_the_allowed_pairs_get_through() {
    let allowed: BTreeMap<&str, &[Role]> = ALLOWED.into_iter().collect();
    for method in contract() {
        assert!(allowed.contains_key(method.as_str()), "{method} is new: say above who may call it");
    }
    let system = System::servers();
    let clients = system.clients();
    for (path, roles) in allowed {
        for role in Role::ALL {
            let answered = call(server(&clients, path, role), path).await;
            if roles.contains(&role) {
                // The empty message is mostly refused for what it, or the vault, lacks, never for who sends it.
                let refused = answered.as_ref().err().map(reason).unwrap_or_default();
                let fine = answered.is_ok()
                    || ["FIELD_INVALID", "TEMPLATE_INVALID", "BACKUP_NOT_CONFIGURED", "NOWHERE_TO_MOVE"]
                        .contains(&refused.as_str())
                    || answered.is_err_and(|status| status.code() == Code::InvalidArgument);
                assert!(fine, "{role} may call {path} and got {refused}");
            } else {
                let status = answered.expect_err("a role that may not call this");
                assert_eq!(status.code(), Code::PermissionDenied, "{role} calls {path}: {status:?}");
                assert_eq!(reason(&status), "ROLE_NOT_ALLOWED", "{role} calls {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_refuses_the_other_servers_methods() {
    let system = System::servers();
    let clients = system.clients();
    for (channel, path) in [
        (clients.matcher(Operator), "/volar.v1.AdminService/GetStatus"),
        (clients.vault(Gate), "/volar.v1.IdentificationService/Identify"),
        (clients.vault(Operator), "/volar.v1.NoSuchService/Call"),
    ] {
        let status = call(channel, path).await.expect_err("not there");
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}
