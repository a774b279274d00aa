//! The matcher: who a palm belongs to, among the galleries that it holds in memory.
//!
//! It follows the vault's template feed ([`feed`]), answers each new enrolment with a word on duplicates
//! ([`duplicates`]), and answers gates and kiosks ([`identify`]): nearest neighbours ([`index`]), a precise second
//! look ([`verify`]), a decision at two operating points ([`decision`]), and a sealed ticket ([`tickets`]). Between the two
//! points a second factor decides ([`second_factor`]). What it answered it tells the vault's audit log ([`scan_log`]). A
//! gallery too large for one process is spread over shards ([`shard_service`]) behind a router ([`router`]).
//!
//! Knows protected templates and subject ids; no pixel, no name, no payment token, no long-term key. Writes nothing to
//! disk.

pub mod acknowledge;
pub mod config;
pub mod convert;
pub mod decision;
pub mod duplicates;
pub mod feed;
pub mod gallery;
pub mod identify;
pub mod index;
pub mod lockout;
pub mod parameters;
pub mod pool;
pub mod replay;
pub mod router;
pub mod scan_log;
pub mod search;
pub mod second_factor;
pub mod server;
pub mod shard_service;
pub mod tail_watch;
pub mod testing;
pub mod tickets;
pub mod verify;
