//! The words that every Volar process shares: ids, palm templates and their protection, admission tickets,
//! time, randomness, and what may be written to a log.
//!
//! Depends on nothing of Volar, touches no file, socket, clock or environment.

pub mod audit;
pub mod challenge;
pub mod clock;
pub mod coverage;
pub mod galleries;
pub mod id;
pub mod log_safe;
pub mod nearness;
pub mod protection;
pub mod randomness;
pub mod score;
mod sealed;
pub mod second_factor;
pub mod secret;
pub mod shard;
pub mod template;
pub mod ticket;
