//! Writes the generated code and descriptors anew: `cargo run -p volar-proto --example generate`.
//!
//! Compiles with protox, a protobuf compiler in Rust, so no `protoc` needs to be installed.

use std::error::Error;
use std::path::Path;

use prost::Message;

/// Generates into `out`: `volar.v1.rs` and `descriptors.bin`.
pub(crate) fn generate(out: &Path) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = ["common", "vault", "matcher"].map(|name| format!("volar/v1/{name}.proto"));
    let descriptors = protox::compile(files, [root])?;
    let mut bare = descriptors.clone();
    // Comments stay in the .proto files; reflection does not need them.
    bare.file.iter_mut().for_each(|file| file.source_code_info = None);
    std::fs::write(out.join("descriptors.bin"), bare.encode_to_vec())?;
    tonic_prost_build::configure()
        // Messages hold templates, keys and tokens: what is secret has no way to be printed.
        .skip_debug(SECRET)
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Messages that hold a template, a key, a ticket, a payment token, a second factor or who was where, and every message that holds one of
/// those.
const SECRET: &[&str] = &[
    ".volar.v1.Reference",
    ".volar.v1.Probe",
    ".volar.v1.EnrolledPalm",
    ".volar.v1.Membership",
    ".volar.v1.GalleryProbe",
    ".volar.v1.ExportedMembership",
    ".volar.v1.PaymentReference",
    ".volar.v1.GetProtectionResponse",
    ".volar.v1.EnrollRequest",
    ".volar.v1.BindPaymentRequest",
    ".volar.v1.WithdrawRequest",
    ".volar.v1.ClaimRequest",
    ".volar.v1.ClaimResponse",
    ".volar.v1.FollowResponse",
    ".volar.v1.FollowResponse.item",
    ".volar.v1.TicketKey",
    ".volar.v1.FeedEvent",
    ".volar.v1.FeedEvent.change",
    ".volar.v1.SubjectEnrolled",
    ".volar.v1.IdentifyRequest",
    ".volar.v1.IdentifyResponse",
    ".volar.v1.SecondFactor",
    ".volar.v1.SetSecondFactorRequest",
    ".volar.v1.VerifySecondFactorRequest",
    ".volar.v1.VerifySecondFactorResponse",
    ".volar.v1.CheckSecondFactorRequest",
    ".volar.v1.SearchRequest",
    ".volar.v1.ReportScansRequest",
    ".volar.v1.Scan",
    ".volar.v1.ReportVerdictRequest",
    ".volar.v1.ReportVerdictRequest.verdict",
    ".volar.v1.SuspectedDuplicate",
    ".volar.v1.UnsealRequest",
    ".volar.v1.ExportSubjectResponse",
    ".volar.v1.ExportedPalm",
    ".volar.v1.ExportedLeaf",
];

#[allow(dead_code)] // The drift test includes this file for `generate` alone.
fn main() -> Result<(), Box<dyn Error>> {
    generate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated"))
}
