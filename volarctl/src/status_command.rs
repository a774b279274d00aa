//! `volarctl status`: how vault and matcher are. One that does not answer is part of the answer.

use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{GetStatusRequest, GetStatusResponse};
use volar_service::cli::EXIT_UNAVAILABLE;

use crate::call::limited;
use crate::connection::Server;
use crate::convert::{self, shown};
use crate::failure::Failure;
use crate::report::{Report, facts, table};
use crate::waiting::Waiting;

/// Asks both servers at once.
pub(crate) async fn run(vault: &Server, matcher: &Server) -> Report {
    let waiting = Waiting::for_what("asking vault and matcher");
    let (vault_health, matcher_health, status) = tokio::join!(health(vault), health(matcher), status(vault));
    drop(waiting);
    let well = status.is_ok() && [&vault_health, &matcher_health].iter().all(|health| matches!(health, Ok("serving")));

    let mut vault_json = server_json(vault, &vault_health);
    let mut rows = vec![("vault", server_text(vault, &vault_health))];
    let mut galleries = String::new();
    match &status {
        Ok(status) => {
            vault_json["version"] = status.version.clone().into();
            vault_json["uptime_seconds"] = status.uptime_seconds.into();
            vault_json["galleries"] = status.galleries.iter().map(convert::gallery).collect();
            rows.push(("version", shown(&status.version)));
            rows.push(("up for", uptime(status.uptime_seconds)));
            galleries = gallery_table(status);
        }
        // Whoever cannot reach the vault knows it already.
        Err(failure) if vault_health.is_ok() => {
            vault_json["error"] = failure.to_json()["error"].clone();
            rows.push(("vault's status", failure.to_string()));
        }
        Err(_) => {}
    }
    rows.push(("matcher", server_text(matcher, &matcher_health)));
    let json = json!({ "vault": vault_json, "matcher": server_json(matcher, &matcher_health), "well": well });
    let report = Report::new(json, format!("{}\n{galleries}", facts(rows)));
    if well { report } else { report.with_exit_code(EXIT_UNAVAILABLE) }
}

async fn health(server: &Server) -> Result<&'static str, Failure> {
    let request = limited(HealthCheckRequest { service: String::new() });
    let answered = HealthClient::new(server.channel.clone()).check(request).await;
    match answered.map_err(|status| Failure::of(&status, server, None))?.into_inner().status() {
        ServingStatus::Serving => Ok("serving"),
        ServingStatus::NotServing => Ok("not-serving"),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Ok("unknown"),
    }
}

async fn status(vault: &Server) -> Result<GetStatusResponse, Failure> {
    let answered = AdminServiceClient::new(vault.channel.clone()).get_status(limited(GetStatusRequest {})).await;
    Ok(answered.map_err(|status| Failure::of(&status, vault, None))?.into_inner())
}

fn server_json(server: &Server, health: &Result<&'static str, Failure>) -> Value {
    match health {
        Ok(health) => json!({ "url": server.url, "health": health }),
        Err(failure) => json!({ "url": server.url, "health": "unreachable", "error": failure.to_json()["error"] }),
    }
}

fn server_text(server: &Server, health: &Result<&'static str, Failure>) -> String {
    match health {
        Ok(health) => format!("{health}, {}", server.url),
        Err(failure) => failure.to_string(),
    }
}

fn gallery_table(status: &GetStatusResponse) -> String {
    let row = |gallery: &volar_proto::v1::GalleryStatus| {
        let behind = |follower: &volar_proto::v1::FollowerStatus| {
            let behind = gallery.last_sequence.saturating_sub(follower.acknowledged_sequence);
            let place = if behind == 0 { "up to date".to_owned() } else { format!("{behind} behind") };
            format!("{} ({place})", shown(&follower.device))
        };
        let followers: Vec<String> = gallery.followers.iter().map(behind).collect();
        vec![
            shown(&gallery.gallery),
            gallery.subjects_active.to_string(),
            gallery.subjects_pending.to_string(),
            gallery.subjects_in_review.to_string(),
            format!("{}, generation {}", shown(&gallery.model), generation(gallery)),
            if gallery.sites.is_empty() { "all".to_owned() } else { shown(&gallery.sites.join(", ")) },
            if followers.is_empty() { "none connected".to_owned() } else { followers.join(", ") },
        ]
    };
    let header = ["gallery", "active", "pending", "in review", "model", "sites", "matchers"];
    table(&header, status.galleries.iter().map(row).collect())
}

/// A gallery's generation, and which one is being taken up or left.
pub(crate) fn generation(gallery: &volar_proto::v1::GalleryStatus) -> String {
    let now = gallery.generation;
    match gallery.renewal.as_ref().map(|renewal| renewal.other_generation) {
        None => now.to_string(),
        Some(next) if next > now => format!("{now}, on its way to {next}"),
        Some(old) => format!("{now}, leaving {old}"),
    }
}

fn uptime(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
