//! What every Volar process stands on: who the peer is, what it may call, how errors travel, configuration, logs and
//! metrics, hardening, and an orderly end. Nothing here knows what a palm is.
//!
//! The system's clock, randomness, signals and files enter a process here and at its `main`, nowhere else.

pub mod access;
pub mod cli;
pub mod config;
pub mod fault;
pub mod identity;
pub mod process;
pub mod server;
pub mod system;
pub mod telemetry;
pub mod tls;
pub mod web;
