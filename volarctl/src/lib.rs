//! The operator's tool: development certificates, subjects, reviews, claims as a checkout backend makes them, status.
//!
//! `main` parses and reports; everything else is here, so that tests and other tools can use it.

pub mod arguments;
mod audit_command;
pub mod audit_file;
mod backup_command;
mod call;
pub mod certificate;
mod certificate_command;
mod claim_command;
pub mod connection;
mod convert;
mod export_page;
pub mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod gallery_command;
mod keys_command;
mod moment;
pub mod report;
mod retention_command;
mod run;
mod seal_command;
mod status_command;
mod store_command;
mod subject_command;
mod waiting;

pub use run::run;
