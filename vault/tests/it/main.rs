//! The vault from outside: its flows, what it refuses, what it survives.

mod bad_input;
mod conformance;
mod damage;
mod erasing;
mod feeding;
mod flows;
mod kill;
mod model;
mod people;
mod scan;
mod services;
mod world;
