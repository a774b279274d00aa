//! `cargo xtask soak`: a test of the test command for longer.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;

use crate::packages::{self, Purpose};
use crate::workspace::cargo_with;

/// `cargo xtask soak`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Kill vault or database under load, start again, and look at everything that was acknowledged.
    Kills(Kills),
    /// Run the vault's tests in a database that Citus spreads over three servers, and kill those under load. Citus for
    /// Debian's PostgreSQL must be installed already, from its makers' packages.
    Citus,
}

#[derive(clap::Args)]
struct Kills {
    /// How many times.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// What keeps the records, and so what is killed.
    #[arg(long, value_enum, default_value_t = Engine::Sled)]
    engine: Engine,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Engine {
    /// The vault, over its own files.
    Sled,
    /// The vault, over PostgreSQL.
    Postgres,
    /// One of two vaults that share PostgreSQL.
    PostgresShared,
    /// PostgreSQL's server, under a vault that goes on.
    PostgresServer,
}

impl Engine {
    fn test(self) -> &'static str {
        match self {
            Self::Sled => "kill::no_acknowledged_enrollment_is_lost_and_nobody_is_half_enrolled",
            Self::Postgres => "postgres::kill::no_acknowledged_enrollment_is_lost_when_the_vault_is_killed",
            Self::PostgresShared => {
                "postgres::kill::no_acknowledged_enrollment_is_lost_when_one_of_several_vaults_is_killed"
            }
            Self::PostgresServer => "postgres::kill::everybody_is_enrolled_once_whenever_the_server_is_killed",
        }
    }
}

/// Runs it and fails as the test does.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::install(Purpose::Vault)?;
    match &arguments.what {
        What::Kills(Kills { kills, engine }) => {
            // The test starts an example.
            cargo_with(&["build", "--release", "-p", "volar-vault", "--examples"], &[])?;
            test(&["--exact", "--nocapture", engine.test()], &[("VOLAR_KILLS", &kills.to_string())])?;
        }
        What::Citus => {
            let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
            if !versions.map(|version| version.path().join("lib/citus.so")).any(|library| library.exists()) {
                bail!("Citus is not installed for the PostgreSQL in /usr/lib/postgresql; its makers say how");
            }
            test(&["--include-ignored", "postgres::citus::"], &[])?;
            test(&["postgres::same::", "of_one_moment_on_postgres"], &[("VOLAR_CITUS", "1")])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn test(words: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let test = ["test", "--release", "-p", "volar-vault", "--test", "it", "--"];
    cargo_with(&[&test, words].concat(), environment)
}
