//! From arguments to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;
use volar_core::clock::Clock;
use volar_core::randomness::Randomness;

use crate::arguments::{Arguments, AuditCommand, Command};
use crate::connection::{As, Connection, DEFAULTS};
use crate::failure::Failure;
use crate::report::Report;
use crate::{
    audit_command, backup_command, certificate_command, claim_command, gallery_command, keys_command,
    retention_command, seal_command, status_command, store_command, subject_command,
};

/// Carries out the command and prints its result on standard output, or why there is none: on standard error, and
/// with `--json` on standard output too.
pub fn run(arguments: &Arguments, clock: &dyn Clock, randomness: &dyn Randomness) -> ExitCode {
    let ended = carry_out(arguments, clock, randomness).and_then(|report| {
        report.write(arguments.json, &mut io::stdout().lock())?;
        Ok(report.exit_code)
    });
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Nothing is left to do when both are closed.
            let _ = writeln!(io::stderr(), "error: {failure}");
            if arguments.json {
                let _ = writeln!(io::stdout(), "{}", failure.to_json());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn carry_out(arguments: &Arguments, clock: &dyn Clock, randomness: &dyn Randomness) -> Result<Report, Failure> {
    match &arguments.command {
        Command::Certificate(command) => certificate_command::run(command, clock),
        Command::Audit(AuditCommand::Verify { file, log_key, pinned }) => {
            audit_command::verify(file, log_key.as_deref(), pinned)
        }
        Command::Config => Ok(Report::new(json!({ "toml": DEFAULTS }), DEFAULTS.to_owned())),
        remote => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(call(remote, &arguments.servers, randomness))
        }
    }
}

async fn call(
    command: &Command,
    servers: &crate::arguments::ServerArguments,
    randomness: &dyn Randomness,
) -> Result<Report, Failure> {
    let connection = Connection::new(servers)?;
    match command {
        Command::Subject(command) => subject_command::run(command, &connection.vault(As::Operator)?, randomness).await,
        Command::Review(command) => {
            subject_command::review(command, &connection.vault(As::Operator)?, randomness).await
        }
        Command::Audit(command) => audit_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Retention(command) => retention_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Claim(claim) => claim_command::run(claim, &connection.vault(As::Checkout)?, randomness).await,
        Command::Keys(command) => keys_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Backup(command) => backup_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Gallery(command) => gallery_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Store(command) => store_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Vault(command) => seal_command::run(command, &connection.vault(As::Operator)?).await,
        Command::Status => Ok(status_command::run(&connection.vault(As::Operator)?, &connection.matcher()?).await),
        Command::Certificate(_) | Command::Config => unreachable!("carried out without a server"),
    }
}
