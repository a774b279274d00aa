//! The matcher against a vault that behaves well, badly, or not at all.

mod answers;
mod changing;
mod factors;
mod following;
mod lanes;
mod process;
mod refusals;
mod scanning;
mod sharding;
mod vault;
mod verdicts;
mod world;
