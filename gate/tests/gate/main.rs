//! A gate with everything around it made up, and its process's edge.

mod acting;
mod agent;
mod cable;
mod factor;
mod page;
mod process;
mod support;
mod unreachable;
