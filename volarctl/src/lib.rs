//! The operator's tool: development certificates, subjects, reviews, claims as a checkout backend makes them, status.
//!
//! `main` parses and reports; everything else is here, so that tests and other tools can use it.

pub mod arguments;
pub mod certificate;
mod certificate_command;
pub mod failure;
mod moment;
pub mod report;
mod run;

pub use run::run;
