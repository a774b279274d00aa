//! An entry gate's reader: wakes on a hand, captures it, asks the matcher whose it is, and acts.
//!
//! Pixels stay in the sensor's thread, templates leave protected, and what comes back is a decision and a sealed
//! ticket: the gate learns no name and no token.

pub mod act;
pub mod agent;
pub mod config;
mod convert;
pub mod event;
pub mod eye;
#[doc(hidden)]
pub mod fuzzing;
pub mod identify;
pub mod keypad;
pub mod link;
mod page;
mod parameters;
pub mod protection;
pub mod run;
pub mod screen;
mod steady;

pub use convert::AnswerError;
pub use page::router;
