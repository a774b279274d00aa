//! `cargo xtask soak`: a test of the test command for longer.

use std::process::ExitCode;

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
    let What::Kills(Kills { kills, engine }) = &arguments.what;
    // The test starts an example.
    cargo_with(&["build", "--release", "-p", "volar-vault", "--examples"], &[])?;
    let words =
        ["test", "--release", "-p", "volar-vault", "--test", "it", "--", "--exact", "--nocapture", engine.test()];
    cargo_with(&words, &[("VOLAR_KILLS", &kills.to_string())])?;
    Ok(ExitCode::SUCCESS)
}
