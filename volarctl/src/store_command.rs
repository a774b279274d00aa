//! `volarctl store …`: where the vault's records lie, and moving them while it serves.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tonic::transport::Channel;
use volar_proto::v1::store_service_client::StoreServiceClient;
use volar_proto::v1::{GetStoreRequest, GetStoreResponse, MoveStoreRequest, StoreMove};
use volar_service::cli::EXIT_UNAVAILABLE;

use crate::arguments::StoreCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::report::Report;

/// How often the vault is asked how far it is.
const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(command: &StoreCommand, vault: &Server) -> Result<Report, Failure> {
    let mut client = StoreServiceClient::new(vault.channel.clone());
    match command {
        StoreCommand::Status => Ok(report(&found(&mut client, vault).await?)),
        StoreCommand::Migrate => {
            let begun = client.move_store(limited(MoveStoreRequest {})).await;
            begun.map_err(|status| Failure::of(&status, vault, None))?;
            watch(&mut client, vault).await
        }
    }
}

async fn found(client: &mut StoreServiceClient<Channel>, vault: &Server) -> Result<GetStoreResponse, Failure> {
    let answered = client.get_store(limited(GetStoreRequest {})).await;
    Ok(answered.map_err(|status| Failure::of(&status, vault, None))?.into_inner())
}

/// Shows how far the vault is, until it has ended. Interrupted, it goes on in the vault.
async fn watch(client: &mut StoreServiceClient<Channel>, vault: &Server) -> Result<Report, Failure> {
    let style =
        ProgressStyle::with_template("{msg:>9} [{bar:40}] {human_pos} of about {human_len} records, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is sound"));
    loop {
        let found = found(client, vault).await?;
        match &found.r#move {
            Some(moving) if !moving.ended => {
                bar.set_message(shown(&moving.step));
                bar.set_length(moving.total);
                bar.set_position(moving.done);
            }
            ended => {
                bar.finish_and_clear();
                // A vault that has started anew since knows of no move: it may have broken off.
                let failed = ended.as_ref().is_none_or(|moving| moving.failed);
                let report = report(&found);
                return Ok(if failed { report.with_exit_code(EXIT_UNAVAILABLE) } else { report });
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn report(found: &GetStoreResponse) -> Report {
    let moving = found.r#move.as_ref().map(|moving| {
        json!({ "step": Some(&moving.step).filter(|step| !step.is_empty()), "done": moving.done, "total": moving.total,
                "ended": moving.ended, "failed": moving.failed,
                "outcome": Some(&moving.outcome).filter(|outcome| !outcome.is_empty()) })
    });
    let mut text = format!("records lie in {}", shown(&found.engine));
    if let Some(moving) = &found.r#move {
        text += &format!("\n{}", move_text(moving));
    }
    Report::new(json!({ "engine": found.engine, "move": moving }), text)
}

fn move_text(moving: &StoreMove) -> String {
    match (moving.ended, moving.failed) {
        (false, _) => format!("{}: {} of about {} records", shown(&moving.step), moving.done, moving.total),
        (true, false) => {
            let next = "set engine = \"postgres\" in the vault's configuration before its next start";
            format!("{}; {next}", shown(&moving.outcome))
        }
        (true, true) => format!("the records were not moved: {}", shown(&moving.outcome)),
    }
}
