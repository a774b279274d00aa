//! End-to-end tests of the whole workspace, as one binary: real processes, real TLS, a real store, a real browser.

// Tests are an edge: they take the time, and say what they counted.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod certificates;
mod cluster;
mod crash;
mod cross_role;
mod damage;
mod demo;
mod erasure;
mod failover;
mod galleries;
mod gate;
mod gate_page;
mod kiosk_page;
mod reprotecting;
mod scan;
mod second_factor;
mod sensor;
mod standby;
mod templates;
mod tickets;
mod tidy;
mod unlinkable;
