//! The edge that every server's `main` shares: arguments, exit codes, and the order in which a process comes up.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Resolve};
use crate::process::{self, ProcessConfig};
use crate::telemetry::{self, TelemetryConfig};

/// `sysexits.h`: arguments or configuration are invalid.
pub const EXIT_USAGE: u8 = 64;
/// `sysexits.h`: something that the process needs is not available.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// `sysexits.h`: the process failed.
pub const EXIT_INTERNAL: u8 = 70;

/// Arguments of every server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArguments {
    /// The configuration, a TOML file.
    #[arg(long, value_name = "FILE", required_unless_present = "print_default_config")]
    pub config: Option<PathBuf>,
    /// Print every setting with its default and meaning, and exit.
    #[arg(long)]
    pub print_default_config: bool,
    /// Once serving, write the address to this file, for whoever started the process with port 0.
    #[arg(long, value_name = "FILE")]
    pub announce: Option<PathBuf>,
}

/// What every server's configuration holds.
pub trait ServiceConfig: DeserializeOwned + Resolve {
    /// Its `[process]`.
    fn process(&self) -> ProcessConfig;
    /// Its `[telemetry]`.
    fn telemetry(&self) -> &TelemetryConfig;
}

/// Implements [`ServiceConfig`] for a configuration whose fields `process` and `telemetry` are those tables.
#[macro_export]
macro_rules! service_config {
    ($config:ty) => {
        impl $crate::cli::ServiceConfig for $config {
            fn process(&self) -> $crate::process::ProcessConfig {
                self.process
            }

            fn telemetry(&self) -> &$crate::telemetry::TelemetryConfig {
                &self.telemetry
            }
        }
    };
}

/// What a running server needs from its edge.
pub struct Context {
    /// Cancelled by SIGINT and SIGTERM.
    pub shutdown: CancellationToken,
    announce: Option<PathBuf>,
}

impl Context {
    /// Tells whoever started the process that it serves at `address`.
    pub fn announce(&self, address: SocketAddr) -> std::io::Result<()> {
        let Some(path) = &self.announce else { return Ok(()) };
        // Renamed into place: a reader sees the whole line or nothing.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, format!("{address}\n"))?;
        std::fs::rename(fresh, path)
    }
}

/// A failure that ends a process: an exit code and a message that says what to do.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// The caller's arguments or configuration are at fault.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self { code: EXIT_USAGE, message: error.to_string() }
    }

    /// Something needed is not available: an address, a store, a key.
    pub fn unavailable(error: impl fmt::Display) -> Self {
        Self { code: EXIT_UNAVAILABLE, message: error.to_string() }
    }

    /// The process itself failed.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self { code: EXIT_INTERNAL, message: error.to_string() }
    }
}

/// Brings a server up: reads its configuration, hardens the process, starts logs and metrics, and runs it.
///
/// `defaults` is what `--print-default-config` prints.
pub fn serve<C, F>(arguments: ServeArguments, defaults: &str, run: impl FnOnce(C, Context) -> F) -> ExitCode
where
    C: ServiceConfig,
    F: Future<Output = Result<(), Exit>>,
{
    if arguments.print_default_config {
        return report(write_out(defaults));
    }
    report(arguments.config.as_deref().ok_or_else(|| Exit::usage("--config FILE is missing")).and_then(|path| {
        let config: C = read(path)?;
        let runtime = tokio::runtime::Runtime::new().map_err(Exit::internal)?;
        let ended = runtime.block_on(async {
            telemetry::start(config.telemetry()).map_err(Exit::unavailable)?;
            process::harden(config.process()).map_err(Exit::unavailable)?;
            let shutdown = process::shutdown_signal().map_err(Exit::internal)?;
            run(config, Context { shutdown, announce: arguments.announce.clone() }).await
        });
        // A thread that waits for a camera or a disk must not hold up the end.
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        ended
    }))
}

/// Reads a configuration for `main`.
pub fn read<C: DeserializeOwned + Resolve>(path: &Path) -> Result<C, Exit> {
    config::load(path).map_err(Exit::usage)
}

/// Turns a result into an exit code, telling failures on standard error.
pub fn report(result: Result<(), Exit>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {}", exit.message);
            ExitCode::from(exit.code)
        }
    }
}

/// Parses arguments; invalid ones end the process with code 64 and clap's message.
pub fn parse<P: clap::Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        let help = !error.use_stderr();
        let _ = error.print();
        std::process::exit(if help { 0 } else { i32::from(EXIT_USAGE) })
    })
}

fn write_out(text: &str) -> Result<(), Exit> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Exit::internal)
}
