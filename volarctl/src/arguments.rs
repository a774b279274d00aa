//! Command line. Parsed here into what the rest of the crate takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use volar_core::clock::Timestamp;
use volar_core::id::{DeviceId, GalleryId, IdempotencyId, SiteId, SubjectId, TenantId};
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
    /// Where the servers are, and with which certificate to call them.
    #[command(flatten)]
    pub servers: ServerArguments,
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
    /// List, show and erase enrolled people. Certificate role: operator.
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// List and decide suspected duplicates. Certificate role: operator.
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Read and check the audit log. Certificate role: operator; `verify` needs none.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Apply and print the retention schedule. Certificate role: operator.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Claim an admission ticket as a checkout backend would: prints whom to charge. Certificate role: checkout.
    Claim(ClaimArguments),
    /// Show and renew the tenant's keys. Certificate role: operator.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Back the running vault up; `volar-vault restore` is the way back. Certificate role: operator.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Unseal the vault after a start without its key, or seal it. Certificate role: operator.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// A gallery's protection: a new one without anybody's hand. Certificate role: operator.
    #[command(subcommand)]
    Gallery(GalleryCommand),
    /// Where the vault's records lie, and moving them to PostgreSQL while it serves. Certificate role: operator.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Ask vault and matcher how they are. Certificate role: operator.
    Status,
    /// Print a configuration file with every setting and its meaning.
    Config,
}

/// Where the servers are. What is not given here comes from the file that `--config` names.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Servers")]
pub struct ServerArguments {
    /// A TOML file; `volarctl config` prints one.
    #[arg(long, global = true, value_name = "FILE", env = "VOLARCTL_CONFIG")]
    pub config: Option<PathBuf>,
    /// The vault, such as https://localhost:7401.
    #[arg(long, global = true, value_name = "URL", env = "VOLARCTL_VAULT")]
    pub vault: Option<String>,
    /// The matcher, such as https://localhost:7402.
    #[arg(long, global = true, value_name = "URL", env = "VOLARCTL_MATCHER")]
    pub matcher: Option<String>,
    /// The authority that every process trusts. (`certificate issue --ca` is its folder.)
    #[arg(long, global = true, value_name = "FILE", env = "VOLARCTL_TRUST")]
    pub trust: Option<PathBuf>,
    /// The certificate to call with.
    #[arg(long, global = true, value_name = "FILE", env = "VOLARCTL_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, global = true, value_name = "FILE", env = "VOLARCTL_KEY")]
    pub key: Option<PathBuf>,
}

/// `volarctl subject …`.
#[derive(Debug, Subcommand)]
pub enum SubjectCommand {
    /// List who is enrolled: no template, no payment token.
    List {
        /// Only this gallery. [default: every gallery of the tenant]
        #[arg(long)]
        gallery: Option<GalleryId>,
        /// Only these; erased ones are listed only when asked for.
        #[arg(long, value_enum)]
        state: Option<StateArgument>,
        /// At most so many.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one person's enrolment.
    Show {
        /// Its subject id.
        subject: SubjectId,
    },
    /// Erase a person for good: destroys the key of everything stored and waits until the matchers have forgotten.
    Erase {
        /// Its subject id.
        subject: SubjectId,
        /// Do not ask. Without a terminal there is nobody to ask, and none is asked.
        #[arg(long)]
        yes: bool,
        /// Write the receipt to this file: `tools/verify-receipt` checks it offline.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        /// Repeat an earlier request under its id: it has no second effect.
        #[arg(long, value_name = "UUID")]
        idempotency_id: Option<IdempotencyId>,
    },
    /// Write everything that is kept about a person to a folder, to hand to them: subject.html and subject.json.
    Export {
        /// Its subject id.
        subject: SubjectId,
        /// The folder; made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// With the protected templates, for another system of the same kind. Whoever also has the gallery's protection
        /// key can tell the person by them: hand them over sealed.
        #[arg(long)]
        with_templates: bool,
        /// Repeat an earlier request under its id: it is not audited twice.
        #[arg(long, value_name = "UUID")]
        idempotency_id: Option<IdempotencyId>,
    },
}

/// `volarctl audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the public key that checks tree heads: publish it, so that receipts can be checked by it.
    PublicKey,
    /// Print the signed tree head as it is now.
    Head {
        /// Write it to this file, to be kept.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The log's public key, or a file that holds it. [default: as the vault says]
        #[arg(long, value_name = "KEY")]
        log_key: Option<String>,
        /// A head that was kept earlier: prove that the log has only grown since. Repeat for more.
        #[arg(long, value_name = "FILE")]
        pinned: Vec<PathBuf>,
    },
    /// List what happened.
    List {
        /// First leaf, from 0.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most so many.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Write the whole log to a file that `verify` checks.
    Export {
        /// The file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check an exported log offline: every leaf, the signature, and that it continues the heads that were kept.
    Verify {
        /// As `export` wrote it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The log's public key as the operator publishes it, or a file that holds it. [default: the file's own]
        #[arg(long, value_name = "KEY")]
        log_key: Option<String>,
        /// A head that was kept earlier. Repeat for more.
        #[arg(long, value_name = "FILE")]
        pinned: Vec<PathBuf>,
    },
}

/// `volarctl retention …`.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Erase everybody whose term is over. The vault does so by itself once a day.
    Run {
        /// Only list who would be erased, and under which rule.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the schedule, to publish it (BIPA, 740 ILCS 14/15(a)).
    Schedule {
        /// As a page instead of text.
        #[arg(long)]
        html: bool,
    },
}

/// Where an enrolment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateArgument {
    /// Not every matcher has searched for duplicates yet.
    Pending,
    /// Usable at the gates.
    Active,
    /// Waits for a person's decision.
    InReview,
    /// Gone.
    Erased,
}

/// `volarctl review …`.
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// List what waits for a person's decision.
    List {
        /// Only this gallery. [default: every gallery of the tenant]
        #[arg(long)]
        gallery: Option<GalleryId>,
    },
    /// Decide one.
    #[command(group = clap::ArgGroup::new("decision").required(true).args(["different_person", "same_person"]))]
    Decide {
        /// Its subject id.
        subject: SubjectId,
        /// Two people: the new enrolment becomes active.
        #[arg(long)]
        different_person: bool,
        /// One person twice: the new enrolment is erased, the earlier one stays.
        #[arg(long)]
        same_person: bool,
        /// Repeat an earlier request under its id: it has no second effect.
        #[arg(long, value_name = "UUID")]
        idempotency_id: Option<IdempotencyId>,
    },
}

/// `volarctl keys …`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show where the keys are, their versions, and how much lies under each.
    Status,
    /// Make a new version, put everything under it and destroy the old one, while the vault serves. Ctrl-C stops only the
    /// watching: the vault goes on, also after a restart, and the same command joins it again.
    Rotate,
}

/// `volarctl gallery …`.
#[derive(Debug, Subcommand)]
pub enum GalleryCommand {
    /// Protect a gallery under a new key: nobody shows a hand again, probes and copies of the old references match nothing
    /// any more. Devices fetch the new key by themselves; matchers read the gallery anew, and answer nobody for as long as
    /// a start takes. Ctrl-C stops only the watching: the vault goes on, also after a restart, and the same command joins
    /// it again.
    ReProtect {
        /// The gallery.
        gallery: GalleryId,
    },
}

/// `volarctl backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make one now, of every tenant's records. Ctrl-C stops only the watching: the vault goes on.
    Create,
    /// List those that are there, and what is under way.
    List,
    /// Have the vault read every file of one.
    Verify {
        /// Which one, as `list` names it. [default: the newest]
        #[arg(value_name = "BACKUP")]
        id: Option<String>,
    },
}

/// `volarctl vault …`.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// Say whether it is sealed, and why.
    Status,
    /// Open it with the passphrase of its key file or the PIN of its token. A wrong one is tried once: tokens lock.
    Unseal {
        /// Read it from this file (mode 0600) or descriptor (/dev/fd/N). [default: the vault's own file if its
        /// configuration names one, or the terminal]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Have it forget every key and refuse everything until it is unsealed.
    Seal,
}

/// `volarctl store …`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Say which engine keeps the records, and how a move of them goes or went.
    Status,
    /// Move every record to the database of the vault's [store.postgres] while it serves, and read each back; the vault then
    /// goes on there. Shows how far it is; interrupted, it goes on in the vault.
    Migrate,
}

/// `volarctl claim …`.
#[derive(Debug, Args)]
pub struct ClaimArguments {
    /// The ticket as the gate printed it (base64url), or - to read it from standard input.
    #[arg(value_name = "TICKET", allow_hyphen_values = true)]
    pub ticket: String,
    /// Repeat an earlier claim under its id: it gets the same answer.
    #[arg(long, value_name = "UUID")]
    pub idempotency_id: Option<IdempotencyId>,
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
