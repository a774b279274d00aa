//! The enrolment kiosk: a sensor and a touch screen at which people enrol their palms, link a way to pay, and have
//! themselves removed.
//!
//! - [`session`] is a visit as a state machine; [`state`] is what the screen shows of it.
//! - [`kiosk`] brings it to life: [`sensor_loop`] feeds it frames, `work` asks [`vault_client`], [`matcher_client`] and
//!   [`payment`] what it wants to know, [`web`] serves the [`page`].
//! - [`notice`] and [`texts`] are the words; `convert` alone knows wire types.

pub mod client;
pub mod config;
mod convert;
#[doc(hidden)]
pub mod fuzzing;
pub mod kiosk;
pub mod matcher_client;
pub mod notice;
pub mod page;
pub mod parameters;
pub mod payment;
pub mod run;
pub mod second_factor;
pub mod sensor_loop;
pub mod session;
pub mod state;
pub mod texts;
pub mod vault_client;
pub mod web;
pub mod work;
