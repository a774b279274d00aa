//! The vault from outside: its flows, what it refuses, what it survives.

#![allow(clippy::duplicate_mod, reason = "flows, lifetimes and the model run over each engine")]
#![allow(clippy::print_stdout, reason = "tests say what they counted")]

mod auditing;
mod backing_up;
mod bad_input;
mod clock;
mod compacting;
mod conformance;
mod damage;
mod disk;
mod early;
mod erasing;
mod erasing_killed;
mod factors;
mod feeding;
mod flows;
mod hsm;
mod kill;
mod lifetimes;
mod memberships;
mod model;
mod people;
mod postgres;
mod reprotecting;
mod retaining;
mod rotating;
mod scan;
mod sealing;
mod services;
mod world;

use world::World;
