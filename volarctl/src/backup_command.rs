//! `volarctl backup …`: backups of the running vault.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tonic::transport::Channel;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{
    Backup, BackupJob, CreateBackupRequest, ListBackupsRequest, ListBackupsResponse, VerifyBackupRequest,
};
use volar_service::cli::EXIT_UNAVAILABLE;

use crate::arguments::BackupCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, table};

/// How often the vault is asked how far it is.
const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(command: &BackupCommand, vault: &Server) -> Result<Report, Failure> {
    let mut backups = Backups { vault, client: AdminServiceClient::new(vault.channel.clone()) };
    let failed = |status: tonic::Status| Failure::of(&status, vault, None);
    match command {
        BackupCommand::List => Ok(report(&backups.list().await?)),
        BackupCommand::Create => {
            backups.client.create_backup(limited(CreateBackupRequest {})).await.map_err(failed)?;
            backups.watch().await
        }
        BackupCommand::Verify { id } => {
            let id = id.clone().unwrap_or_default();
            backups.client.verify_backup(limited(VerifyBackupRequest { id })).await.map_err(failed)?;
            backups.watch().await
        }
    }
}

struct Backups<'a> {
    vault: &'a Server,
    client: AdminServiceClient<Channel>,
}

impl Backups<'_> {
    async fn list(&mut self) -> Result<ListBackupsResponse, Failure> {
        let answered = self.client.list_backups(limited(ListBackupsRequest {})).await;
        Ok(answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner())
    }

    /// Shows how far the vault is, until it has ended. Interrupted, it goes on in the vault.
    async fn watch(&mut self) -> Result<Report, Failure> {
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos} of about {len}, {eta} left");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is sound"));
        loop {
            let found = self.list().await?;
            match &found.job {
                Some(job) if !job.ended => {
                    bar.set_message(shown(&job.what));
                    bar.set_length(job.total);
                    bar.set_position(job.done);
                }
                job => {
                    bar.finish_and_clear();
                    let failed = job.as_ref().is_some_and(|job| job.failed);
                    let report = report(&found);
                    return Ok(if failed { report.with_exit_code(EXIT_UNAVAILABLE) } else { report });
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn report(found: &ListBackupsResponse) -> Report {
    let backups: Vec<Value> = found.backups.iter().map(backup_json).collect();
    let job = found.job.as_ref().map(|job| {
        json!({ "what": job.what, "done": job.done, "total": job.total, "ended": job.ended, "failed": job.failed,
                "outcome": Some(&job.outcome).filter(|outcome| !outcome.is_empty()) })
    });
    let row = |backup: &Backup| {
        vec![
            shown(&backup.id),
            moment::written(backup.taken_at_unix_ms),
            backup.subjects.to_string(),
            backup.rows.to_string(),
            HumanBytes(backup.bytes).to_string(),
            HumanBytes(backup.new_bytes).to_string(),
        ]
    };
    let header = ["backup", "of", "people", "rows", "size", "of it new"];
    let mut text = table(&header, found.backups.iter().map(row).collect());
    if let Some(job) = &found.job {
        text += &format!("\n{}", job_text(job));
    }
    Report::new(json!({ "backups": backups, "job": job }), text)
}

fn job_text(job: &BackupJob) -> String {
    match (job.ended, job.failed) {
        (false, _) => format!("{}: {} of about {}", shown(&job.what), job.done, job.total),
        (true, false) => shown(&job.outcome),
        (true, true) => format!("{} failed: {}", shown(&job.what), shown(&job.outcome)),
    }
}

fn backup_json(backup: &Backup) -> Value {
    json!({
        "id": backup.id,
        "taken_at": moment::written(backup.taken_at_unix_ms),
        "subjects": backup.subjects,
        "rows": backup.rows,
        "bytes": backup.bytes,
        "new_bytes": backup.new_bytes,
    })
}
