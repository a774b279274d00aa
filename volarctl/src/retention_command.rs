//! `volarctl retention …`: who must go, and the schedule to publish.

use serde_json::json;
use tonic::transport::Channel;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{GetRetentionScheduleRequest, RetentionSchedule, RunRetentionRequest};

use crate::arguments::RetentionCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, table};
use crate::waiting::Waiting;

pub(crate) async fn run(command: &RetentionCommand, vault: &Server) -> Result<Report, Failure> {
    let admin = AdminServiceClient::new(vault.channel.clone());
    match command {
        RetentionCommand::Run { dry_run } => apply(admin, vault, *dry_run).await,
        RetentionCommand::Schedule { html } => schedule(admin, vault, *html).await,
    }
}

async fn apply(mut admin: AdminServiceClient<Channel>, vault: &Server, dry_run: bool) -> Result<Report, Failure> {
    let waiting = Waiting::for_what("applying the retention schedule");
    let answered = admin.run_retention(limited(RunRetentionRequest { dry_run })).await;
    let run = answered.map_err(|status| Failure::of(&status, vault, None))?.into_inner();
    drop(waiting);
    let rows = run.removals.iter().map(|removal| {
        vec![
            shown(&removal.subject_id),
            format!("{} {}", shown(&removal.jurisdiction), shown(&removal.rule)),
            moment::written(removal.last_seen_unix_ms),
            moment::written(removal.due_unix_ms),
        ]
    });
    let mut text = table(&["subject", "rule", "last seen", "due"], rows.collect());
    let word = if dry_run { "would be erased" } else { "erased" };
    text.push_str(&format!("\n{} of {} {word}", run.removals.len(), run.examined));
    let removals = run.removals.iter().map(|removal| {
        json!({
            "subject_id": removal.subject_id, "jurisdiction": removal.jurisdiction, "rule": removal.rule,
            "last_seen_unix_ms": removal.last_seen_unix_ms, "due_unix_ms": removal.due_unix_ms,
        })
    });
    let json = json!({
        "dry_run": dry_run, "examined": run.examined, "removals": removals.collect::<Vec<_>>(),
    });
    Ok(Report::new(json, text))
}

async fn schedule(mut admin: AdminServiceClient<Channel>, vault: &Server, html: bool) -> Result<Report, Failure> {
    let answered = admin.get_retention_schedule(limited(GetRetentionScheduleRequest {})).await;
    let schedules = answered.map_err(|status| Failure::of(&status, vault, None))?.into_inner().schedules;
    let data = schedules.iter().map(|schedule| {
        let rules = schedule.rules.iter();
        let rules = rules.map(|rule| json!({ "name": rule.name, "text": rule.text, "source": rule.source }));
        json!({
            "sites": schedule.sites, "jurisdiction": schedule.jurisdiction, "title": schedule.title,
            "rules": rules.collect::<Vec<_>>(),
        })
    });
    let json = json!({ "schedules": data.collect::<Vec<_>>() });
    Ok(Report::new(json, if html { page(&schedules) } else { text(&schedules) }))
}

fn place(schedule: &RetentionSchedule) -> String {
    let title = shown(&schedule.title);
    match schedule.sites.as_slice() {
        [] => format!("Every other site: {title}"),
        sites => format!("{}: {title}", sites.iter().map(|site| shown(site)).collect::<Vec<_>>().join(", ")),
    }
}

fn text(schedules: &[RetentionSchedule]) -> String {
    let mut text = "How long palm templates are kept\n".to_owned();
    for schedule in schedules {
        text.push_str(&format!("\n{}\n", place(schedule)));
        for rule in &schedule.rules {
            let written: String = rule.text.chars().filter(|c| !c.is_control()).collect();
            text.push_str(&format!("- {written} ({})\n", shown(&rule.source)));
        }
    }
    text.push_str("\nWhoever withdraws is erased at once. Whichever of these comes first erases.\n");
    text
}

fn page(schedules: &[RetentionSchedule]) -> String {
    let page = maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "How long palm templates are kept" }
                style { (maud::PreEscaped(crate::export_page::STYLE)) }
            }
            body {
                h1 { "How long palm templates are kept" }
                @for schedule in schedules {
                    h2 { (place(schedule)) }
                    ul { @for rule in &schedule.rules { li { (rule.text) " " small { "(" (rule.source) ")" } } } }
                }
                p { "Whoever withdraws is erased at once. Whichever of these comes first erases." }
            }
        }
    };
    page.into_string()
}
