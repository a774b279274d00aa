//! What `cargo xtask` does, as a library: the end-to-end tests start their processes with the same code.
//!
//! Speaks to the processes as their users do: the kiosk's and the gate's HTTP interfaces, the gate's lines on standard
//! output, and `volarctl --json`. Links none of their crates, so it builds before anything is installed.

// A command-line tool for people: it talks on standard output, finds programs on the path and takes the time.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

pub mod bench;
pub mod configuration;
pub mod demo;
pub mod deployment;
pub mod fuzz;
pub mod gate;
pub mod guard;
pub mod http;
pub mod kiosk;
pub mod operator;
pub mod packages;
pub mod process;
pub mod signals;
pub mod soak;
pub mod test;
pub mod token;
pub mod workspace;
