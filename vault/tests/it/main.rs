//! The vault from outside: its flows, what it refuses, what it survives.

mod auditing;
mod bad_input;
mod conformance;
mod damage;
mod erasing;
mod erasing_killed;
mod feeding;
mod flows;
mod kill;
mod lifetimes;
mod model;
mod people;
mod retaining;
mod scan;
mod services;
mod world;
