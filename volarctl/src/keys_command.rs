//! `volarctl keys …`: versions of the tenant's keys, and a new one while everything goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tonic::transport::Channel;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{GetKeysRequest, GetKeysResponse, KeyVersion, RotateKeysRequest};
use volar_service::cli::EXIT_UNAVAILABLE;

use crate::arguments::KeysCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, table};
use crate::waiting::Waiting;

/// How often the vault is asked how far it is.
const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(command: &KeysCommand, vault: &Server) -> Result<Report, Failure> {
    let mut keys = Keys { vault, client: AdminServiceClient::new(vault.channel.clone()) };
    match command {
        KeysCommand::Status => {
            let waiting = Waiting::for_what("counting what lies under each version");
            let found = keys.get(true).await?;
            drop(waiting);
            Ok(report(&found))
        }
        KeysCommand::Rotate => keys.rotate().await,
    }
}

struct Keys<'a> {
    vault: &'a Server,
    client: AdminServiceClient<Channel>,
}

impl Keys<'_> {
    async fn get(&mut self, count: bool) -> Result<GetKeysResponse, Failure> {
        let answered = self.client.get_keys(limited(GetKeysRequest { count })).await;
        Ok(answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner())
    }

    /// Begins a rotation, or joins the one under way, and shows how far it is. Interrupted, it goes on in the vault.
    async fn rotate(&mut self) -> Result<Report, Failure> {
        let before = self.get(false).await?;
        let current = before.versions.last().map_or(0, |version| version.version);
        // The version below the current one is still being left: that rotation is joined, and no other is begun.
        let from_version = if before.rotation.is_some() { current.saturating_sub(1) } else { current };
        let asked = self.client.rotate_keys(limited(RotateKeysRequest { from_version })).await;
        let mut now = asked.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner().keys;
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos} of about {len}, {eta} left");
        let bar = ProgressBar::new(0).with_message("putting everything under the new version");
        bar.set_style(style.expect("the template is sound"));
        while let Some(rotation) = now.as_ref().and_then(|keys| keys.rotation.as_ref()) {
            if !rotation.stopped.is_empty() {
                bar.finish_and_clear();
                let report = report(&self.get(false).await?);
                return Ok(report.with_exit_code(EXIT_UNAVAILABLE));
            }
            bar.set_length(rotation.total);
            bar.set_position(rotation.done.min(rotation.total));
            tokio::time::sleep(POLL).await;
            now = Some(self.get(false).await?);
        }
        bar.finish_and_clear();
        Ok(report(&self.get(true).await?))
    }
}

fn report(keys: &GetKeysResponse) -> Report {
    let last = keys.versions.last().map(|version| version.version);
    let word = |version: &KeyVersion| if Some(version.version) == last { "current" } else { "being left" };
    let versions: Vec<Value> = keys.versions.iter().map(|version| version_json(version, word(version))).collect();
    let rotation = keys.rotation.as_ref().map(|rotation| {
        let stopped = Some(&rotation.stopped).filter(|stopped| !stopped.is_empty());
        json!({ "done": rotation.done, "total": rotation.total, "stopped": stopped })
    });
    let json = json!({ "holder": keys.holder, "versions": versions, "rotation": rotation });
    let count = |version: &KeyVersion, of: fn(&volar_proto::v1::KeyUse) -> u64| {
        version.r#use.as_ref().map_or_else(|| "-".to_owned(), |used| of(used).to_string())
    };
    let row = |version: &KeyVersion| {
        vec![
            version.version.to_string(),
            word(version).to_owned(),
            moment::written(version.made_at_unix_ms),
            count(version, |used| used.subject_keys),
            count(version, |used| used.records),
        ]
    };
    let header = ["version", "", "made", "subject keys under it", "records under it"];
    let mut text =
        format!("held by: {}\n{}", shown(&keys.holder), table(&header, keys.versions.iter().map(row).collect()));
    match &keys.rotation {
        Some(rotation) if !rotation.stopped.is_empty() => {
            text += &format!("\nthe rotation stopped: {}; `volarctl keys rotate` goes on", shown(&rotation.stopped));
        }
        Some(rotation) => text += &format!("\na rotation is under way: {} of about {}", rotation.done, rotation.total),
        None => {}
    }
    Report::new(json, text)
}

fn version_json(version: &KeyVersion, state: &str) -> Value {
    json!({
        "version": version.version,
        "state": state,
        "made_at": moment::written(version.made_at_unix_ms),
        "subject_keys": version.r#use.as_ref().map(|used| used.subject_keys),
        "records": version.r#use.as_ref().map(|used| used.records),
    })
}
