//! `volar-vault`: see the library.

use std::path::PathBuf;
use std::process::ExitCode;

use volar_service::cli::{self, Exit, ServeArguments};
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::server;

mod moving;
mod restoring;

/// Keeps palm references, consents and payment references, sealed.
#[derive(clap::Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make the key file, or the keys in the token, that the configuration names. Those that are there already are kept.
    Init {
        /// The configuration, a TOML file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Ask for a passphrase to put the key file under.
        #[arg(long)]
        passphrase: bool,
    },
    /// Move a stopped vault's records to another store: sled to PostgreSQL, or back. Interrupted, it is started anew.
    Migrate {
        /// The configuration of the vault as it is, a TOML file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The same with another [store]. Its store must be empty; the key table stays the same.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Fill the empty store of the configuration from a backup; its people's keys come from the file that followed the
    /// key table. Whoever was erased since is erased again. Interrupted, it is started anew.
    Restore {
        /// The configuration of the vault that is to go on, a TOML file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The folder of the backups. [default: the configuration's]
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Which backup, as `volarctl backup list` names it. [default: the newest]
        #[arg(long, value_name = "BACKUP")]
        at: Option<String>,
        /// The file that followed the key table. [default: the configuration's]
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// Erase for good the people of whom there is no key, though nothing says that they were erased.
        #[arg(long)]
        erase_keyless: bool,
    },
    /// Erase for good the persons whose slot in the key table is damaged, after restoring it from a backup has failed.
    EraseDamaged {
        /// The configuration, a TOML file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments: Arguments = cli::parse();
    match arguments.command {
        None => cli::serve(arguments.serve, DEFAULTS, server::run),
        Some(Command::Init { config, passphrase }) => cli::report(cli::read::<Config>(&config).and_then(|config| {
            config.settings().map_err(Exit::usage)?;
            server::init(&config, passphrase).map(|_| ()).map_err(Exit::unavailable)
        })),
        Some(Command::Migrate { config, to }) => {
            cli::report(cli::read(&config).and_then(|from| cli::read(&to).and_then(|to| moving::run(&from, &to))))
        }
        Some(Command::Restore { config, from, at, keys, erase_keyless }) => cli::report(
            cli::read(&config).and_then(|config| restoring::run(&config, from, at.as_deref(), keys, erase_keyless)),
        ),
        Some(Command::EraseDamaged { config }) => {
            cli::report(cli::read(&config).and_then(|config| server::erase_damaged(&config)))
        }
    }
}
