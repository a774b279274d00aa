//! What the end-to-end tests and the benchmark share: a system of real processes with real TLS and a real store in a
//! temporary folder, clients for every role, made-up palms, and a real browser.
//!
//! The binaries are those in the profile folder that the test itself was built into, so `cargo xtask test` builds the
//! whole workspace first; by hand: `cargo build --release --workspace --bins`.

// Tests and benchmarks are an edge: they take the time.
#![allow(clippy::disallowed_methods)]

pub mod browser;
pub mod client;
pub mod cluster;
pub mod crowd;
pub mod failover;
pub mod palms;
pub mod patroni;
pub mod system;
