//! Error rates and how sure they are (ISO/IEC 19795-1).

pub mod bootstrap;
pub mod discard;
pub mod interval;
pub mod pareto;
pub mod rates;
