//! The vault keeps what must not get lost and must not get out: palm references, consents and payment references,
//! sealed under keys that only it holds. It feeds matchers, hands protection keys to capture devices, turns admission
//! tickets into payment references, and erases.
//!
//! - [`vault`] is the whole: keys, store and galleries, opened and checked. The flows are its methods:
//!   [`enrollment`], [`second_factor`], [`feed`], [`checkout`], [`erasure`], [`admin`].
//! - [`keys`], [`format`](mod@format) and [`store`] are what it stands on: where keys lie, how records are sealed,
//!   where they are kept.
//! - [`service`] speaks gRPC; `convert` alone knows both its messages and the vault's words.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod checkout;
mod company;
pub mod config;
mod convert;
pub mod enrollment;
pub mod erasure;
pub mod error;
pub mod export;
pub mod feed;
pub mod followers;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
mod group_sync;
pub mod keys;
mod lifetime;
mod measure;
pub mod migration;
pub mod parameters;
mod payment;
pub mod progress;
pub mod reprotection;
pub mod retention;
pub mod rotation;
mod rows;
pub mod scans;
mod sealing;
pub mod seat;
pub mod second_factor;
pub mod server;
pub mod service;
pub mod store;
mod turns;
pub mod vault;
