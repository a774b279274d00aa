//! Command line. Parsed here into what the rest of the crate takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, SiteId, TenantId};
use volar_service::identity::Role;

use crate::certificate::Host;
use crate::moment;

/// Operates a Volar installation: certificates, subjects, reviews, claims, status.
///
/// Exit codes: 0 done; 64 the command or configuration is wrong; 65 a server refused; 69 a server or file is not
/// available; 70 something failed that should not.
#[derive(Debug, Parser)]
#[command(name = "volarctl", version)]
pub struct Arguments {
    /// Print exactly one JSON document on standard output; errors are {"error": {"reason", "message"}}.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and read certificates for development and trials.
    #[command(subcommand)]
    Certificate(CertificateCommand),
}

/// `volarctl certificate …`.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Make a development authority: ca.pem, which every process trusts, and ca.key, which signs. Never overwrites.
    Authority {
        /// Folder to put it in; made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Issue a certificate: <device>.pem and <device>.key.
    Issue(IssueArguments),
    /// Say what a certificate says.
    Show {
        /// A PEM file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `volarctl certificate issue …`.
#[derive(Debug, Args)]
pub struct IssueArguments {
    /// Folder of the authority.
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// vault, matcher, kiosk, gate, checkout or operator.
    #[arg(long)]
    pub role: Role,
    /// Whose process it is: a-z, 0-9 and -.
    #[arg(long)]
    pub tenant: TenantId,
    /// Where it stands.
    #[arg(long)]
    pub site: SiteId,
    /// Which one it is; names the files.
    #[arg(long)]
    pub device: DeviceId,
    /// Folder to put the files in; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How long it is valid; may be a fraction, or negative for an expired one to test with.
    #[arg(long, default_value_t = 90.0, allow_negative_numbers = true, conflicts_with = "not_after", value_parser = days)]
    pub days: f64,
    /// Valid until then, such as 2026-12-31T23:59:59Z.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub not_after: Option<Timestamp>,
    /// A name or address that callers use for a vault or matcher; repeat for more. [default: localhost, 127.0.0.1, ::1]
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<Host>,
    /// Replace files of the same name, to renew a certificate.
    #[arg(long)]
    pub replace: bool,
}

fn days(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(days) if f64::is_finite(days) => Ok(days),
        _ => Err("not a number of days such as 90 or 0.5".to_owned()),
    }
}
