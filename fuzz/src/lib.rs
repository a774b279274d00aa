//! Everything that comes from outside, as functions over any bytes that may not panic, hang or break a rule: the targets.
//!
//! - `cargo xtask test` tries each with its seeds, with every input that once failed, and with a fixed number of
//!   altered seeds (`tests/targets.rs`).
//! - `cargo xtask fuzz TARGET` runs one under libFuzzer for as long as one likes.
//!
//! A seed is what a real encoder writes ([`seeds`]), the same bytes every time. An input that failed is kept in
//! `failed/<target>/` for ever.

mod device;
mod files;
mod log;
pub mod mutate;
mod page;
pub mod seeds;
mod servers;

use std::path::PathBuf;

/// A door that is tried.
pub struct Target {
    /// Its name on the command line and as a folder.
    pub name: &'static str,
    /// What comes in there.
    pub what: &'static str,
    /// Lets bytes in; panics if a rule is broken.
    pub run: fn(&[u8]),
    /// Altered seeds that the test command tries: fewer where one takes long.
    pub tries: u32,
}

const fn target(name: &'static str, what: &'static str, run: fn(&[u8]), tries: u32) -> Target {
    Target { name, what, run, tries }
}

/// Every target.
pub static TARGETS: [Target; 14] = [
    target("record", "records of every kind, plain and sealed", servers::record, 20_000),
    target("key-file", "key file, key table and tenant keys", files::key_file, 2_000),
    target("ticket", "admission tickets and second-factor challenges", servers::ticket, 20_000),
    target("to-vault", "messages to the vault", servers::to_vault, 20_000),
    target("to-matcher", "messages to matcher and router, the feed among them", servers::to_matcher, 20_000),
    target("to-device", "answers to gate, kiosk and volarctl", device::answer, 20_000),
    target("certificate", "peers' certificates and names", servers::certificate, 20_000),
    target("settings", "configurations of every server", files::settings, 2_000),
    target("rules", "retention rules", files::rules, 5_000),
    target("score-model", "score models", files::score_model, 5_000),
    target("manifest", "manifests of pictures to evaluate", files::manifest, 3_000),
    target("picture", "pictures of a sensor", device::picture, 300),
    target("audit", "exported audit logs, leaves, heads, keys and proofs", log::audit, 5_000),
    target("page", "HTTP requests to the kiosk's page", page::requests, 2_000),
];

/// The target `name`.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Inputs on which a target once failed, in order of their names.
pub fn failed(target: &Target) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("failed").join(target.name);
    // A target that never failed has no folder there.
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Splits an input into which of several things it is, by its first byte, and the thing.
fn split(bytes: &[u8]) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(&which, rest)| (which.into(), rest))
}
