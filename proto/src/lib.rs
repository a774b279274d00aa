//! The wire contract `volar.v1`: messages, clients and servers, generated from `proto/volar/v1/*.proto`.
//!
//! Knows nothing of the domain. Each network-facing crate converts by hand in its one `convert.rs`, where what comes
//! from outside is checked.

/// Generated code. `cargo run -p volar-proto --example generate` writes it anew; a test compares.
#[allow(missing_docs, unreachable_pub, clippy::all)]
#[rustfmt::skip]
#[path = "generated/volar.v1.rs"]
pub mod v1;

/// The contract's descriptors (a serialised `google.protobuf.FileDescriptorSet`), for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

/// Largest message that any server accepts: 1 MiB. An enrolment of two palms is about 200 KiB a gallery, in
/// three galleries at most.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Most scans of one `ReportScans`.
pub const SCANS_REPORTED_MAX: usize = 256;
