//! Evaluating palm recognition on anyone's data after ISO/IEC 19795-1, and learning score models.

pub mod acquire;
pub mod arguments;
pub mod calibrate;
pub mod compare;
pub mod identify;
pub mod made_up;
pub mod manifest;
pub mod page;
pub mod picture;
pub mod plot;
pub mod progress;
pub mod quality;
pub mod report;
pub mod run;
pub mod statistics;
pub mod verify;
