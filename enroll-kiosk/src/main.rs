//! `volar-kiosk`: the enrolment kiosk's process.

use std::process::ExitCode;

use clap::Parser;
use volar_service::cli::{self, ServeArguments};

/// Enrols palms at a touch screen, links a way to pay, and removes whoever asks for it.
#[derive(Parser)]
#[command(name = "volar-kiosk", version)]
struct Arguments {
    #[command(flatten)]
    serve: ServeArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    cli::serve(arguments.serve, volar_kiosk::config::DEFAULT, volar_kiosk::run::run)
}
