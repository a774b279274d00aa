//! `volarctl gallery …`: a gallery's protection, renewed while everything goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tonic::Code;
use tonic::transport::Channel;
use volar_core::id::GalleryId;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{GalleryStatus, GetStatusRequest, ReprotectGalleryRequest};
use volar_service::cli::EXIT_UNAVAILABLE;

use crate::arguments::GalleryCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::{self, shown};
use crate::failure::Failure;
use crate::report::Report;
use crate::status_command::generation;

/// How often the vault is asked how far it is.
const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(command: &GalleryCommand, vault: &Server) -> Result<Report, Failure> {
    let mut galleries = Galleries { vault, client: AdminServiceClient::new(vault.channel.clone()) };
    match command {
        GalleryCommand::ReProtect { gallery } => galleries.reprotect(gallery).await,
    }
}

struct Galleries<'a> {
    vault: &'a Server,
    client: AdminServiceClient<Channel>,
}

impl Galleries<'_> {
    async fn get(&mut self, gallery: &GalleryId) -> Result<GalleryStatus, Failure> {
        let answered = self.client.get_status(limited(GetStatusRequest {})).await;
        let status = answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner();
        let found = status.galleries.into_iter().find(|found| found.gallery == gallery.as_str());
        found.ok_or_else(|| {
            let missing = tonic::Status::new(Code::NotFound, format!("the tenant has no gallery \"{gallery}\""));
            Failure::of(&missing, self.vault, None)
        })
    }

    /// Begins to protect a gallery anew, or joins what is under way, and shows how far it is.
    async fn reprotect(&mut self, gallery: &GalleryId) -> Result<Report, Failure> {
        let mut now = self.get(gallery).await?;
        // The lower of two generations is being left: that is joined, and nothing else is begun.
        let other = now.renewal.as_ref().map_or(now.generation, |renewal| renewal.other_generation);
        let from_generation = now.generation.min(other);
        let request = ReprotectGalleryRequest { gallery: gallery.to_string(), from_generation };
        let asked = self.client.reprotect_gallery(limited(request)).await;
        asked.map_err(|status| Failure::of(&status, self.vault, None))?;
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos} of about {human_len}, {eta} left");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is sound"));
        loop {
            now = self.get(gallery).await?;
            match &now.renewal {
                Some(renewal) if renewal.stopped.is_empty() => {
                    let next = renewal.other_generation > now.generation;
                    bar.set_message(if next { "taking the new key up" } else { "leaving the old key" });
                    bar.set_length(renewal.total);
                    bar.set_position(renewal.done.min(renewal.total));
                }
                ended => {
                    bar.finish_and_clear();
                    let stopped = ended.is_some();
                    let report = report(&now);
                    return Ok(if stopped { report.with_exit_code(EXIT_UNAVAILABLE) } else { report });
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn report(gallery: &GalleryStatus) -> Report {
    let name = shown(&gallery.gallery);
    let text = match &gallery.renewal {
        Some(renewal) => {
            let (at, why) = (generation(gallery), shown(&renewal.stopped));
            format!("gallery {name} is of generation {at}; it stopped: {why}; the same command goes on")
        }
        None => format!(
            "gallery {name} is protected under generation {}, and nothing is left under any other",
            gallery.generation
        ),
    };
    Report::new(convert::gallery(gallery), text)
}
