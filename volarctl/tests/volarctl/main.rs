//! The real binary: certificates on disk and in handshakes, and an operator's commands against fake servers.

mod certificates;
mod keeping;
mod operating;
mod support;
