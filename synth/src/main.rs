//! `volar-synth`: labelled synthetic frames for tests and calibration.

fn main() {}
