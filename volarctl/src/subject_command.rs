//! `volarctl subject …` and `volarctl review …`.

use std::collections::HashSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use serde_json::json;
use tonic::transport::Channel;
use volar_core::id::{GalleryId, IdempotencyId, SubjectId};
use volar_core::randomness::Randomness;
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::decide_review_request::Decision;
use volar_proto::v1::{
    DecideReviewRequest, EraseSubjectRequest, ExportSubjectRequest, GetStatusRequest, ListSubjectsRequest,
    ListSubjectsResponse, Subject,
};

use crate::arguments::{ReviewCommand, StateArgument, SubjectCommand};
use crate::call::{announced_id, limited};
use crate::connection::Server;
use crate::convert::{self, REVIEW_HEADER, SUBJECT_HEADER, shown};
use crate::export_page;
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, facts, table};
use crate::waiting::Waiting;

/// Subjects asked for at a time.
const PAGE: u32 = 500;

pub(crate) async fn run(
    command: &SubjectCommand,
    vault: &Server,
    randomness: &dyn Randomness,
) -> Result<Report, Failure> {
    let people = People::of(vault);
    match command {
        SubjectCommand::List { gallery, state, limit } => people.list(gallery.as_ref(), *state, *limit).await,
        SubjectCommand::Show { subject } => people.show(*subject).await,
        SubjectCommand::Erase { subject, yes, receipt, idempotency_id } => {
            if !yes && !confirmed(*subject)? {
                return Err(Failure::NotConfirmed);
            }
            people.erase(*subject, announced_id(*idempotency_id, randomness), receipt.as_deref()).await
        }
        SubjectCommand::Export { subject, out, with_templates, idempotency_id } => {
            people.export(*subject, out, *with_templates, announced_id(*idempotency_id, randomness)).await
        }
    }
}

/// What a review's score is.
const SCORE_EXPLAINED: &str = "\nscore: how many decades likelier the two palms are one person's than two people's; look at \
    when and where both enrolled, and ask for a second look at the kiosk where that does not settle it";

pub(crate) async fn review(
    command: &ReviewCommand,
    vault: &Server,
    randomness: &dyn Randomness,
) -> Result<Report, Failure> {
    let people = People::of(vault);
    match command {
        ReviewCommand::List { gallery } => people.list(gallery.as_ref(), Some(StateArgument::InReview), u32::MAX).await,
        ReviewCommand::Decide { subject, different_person, idempotency_id, .. } => {
            let decision = if *different_person { Decision::DifferentPerson } else { Decision::SamePerson };
            people.decide(*subject, decision, announced_id(*idempotency_id, randomness)).await
        }
    }
}

/// The vault's administrative side.
struct People<'a> {
    vault: &'a Server,
    admin: AdminServiceClient<Channel>,
}

impl<'a> People<'a> {
    fn of(vault: &'a Server) -> Self {
        Self { vault, admin: AdminServiceClient::new(vault.channel.clone()) }
    }

    async fn list(
        &self,
        gallery: Option<&GalleryId>,
        state: Option<StateArgument>,
        limit: u32,
    ) -> Result<Report, Failure> {
        let waiting = Waiting::for_what("listing");
        let limit = limit as usize;
        let mut subjects: Vec<Subject> = Vec::new();
        let (mut more, mut met) = (false, HashSet::new());
        for gallery in self.galleries(gallery).await? {
            let mut token = String::new();
            while !more {
                let page = self.page(&gallery, state, &token).await?;
                // Whoever is in two galleries is one person.
                subjects.extend(page.subjects.into_iter().filter(|subject| met.insert(subject.subject_id.clone())));
                waiting.say(format!("listing: {} so far", subjects.len()));
                token = page.next_page_token;
                more = subjects.len() > limit || (subjects.len() == limit && !token.is_empty());
                if token.is_empty() {
                    break;
                }
            }
        }
        drop(waiting);
        subjects.truncate(limit);
        let mut text = match state {
            Some(StateArgument::InReview) => table(&REVIEW_HEADER, subjects.iter().map(convert::review_row).collect()),
            _ => table(&SUBJECT_HEADER, subjects.iter().map(convert::subject_row).collect()),
        };
        text.push_str(&match (subjects.len(), more) {
            (count, true) => format!("\n{count} shown, there are more: --limit"),
            (1, false) => "\n1 subject".to_owned(),
            (count, false) => format!("\n{count} subjects"),
        });
        if state == Some(StateArgument::InReview) && !subjects.is_empty() {
            text.push_str(SCORE_EXPLAINED);
        }
        let subjects: Vec<_> = subjects.iter().map(convert::subject).collect();
        Ok(Report::new(json!({ "subjects": subjects, "more": more }), text))
    }

    async fn show(&self, wanted: SubjectId) -> Result<Report, Failure> {
        let _waiting = Waiting::for_what("looking");
        let id = wanted.to_string();
        for gallery in self.galleries(None).await? {
            let mut token = String::new();
            loop {
                let page = self.page(&gallery, None, &token).await?;
                if let Some(found) = page.subjects.iter().find(|subject| subject.subject_id == id) {
                    return Ok(Report::new(convert::subject(found), described(found)));
                }
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
        }
        Err(Failure::SubjectUnknown { subject: id })
    }

    async fn erase(&self, subject: SubjectId, id: IdempotencyId, file: Option<&Path>) -> Result<Report, Failure> {
        let waiting = Waiting::for_what("erasing: waiting until every matcher has forgotten");
        let request = EraseSubjectRequest { idempotency_id: id.to_string(), subject_id: subject.to_string() };
        let answered = self.admin.clone().erase_subject(limited(request)).await;
        let receipt = answered.map_err(|status| Failure::of(&status, self.vault, Some(id)))?.into_inner().receipt;
        let receipt = receipt.unwrap_or_default();
        drop(waiting);
        if let Some(path) = file {
            write(path, &format!("{:#}\n", convert::receipt_file(&receipt)))?;
        }
        let names = |names: &[String]| names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        let mut rows = vec![
            ("receipt", shown(&receipt.receipt_id)),
            ("erased", moment::written(receipt.erased_at_unix_ms)),
            ("forgotten by", names(&receipt.matchers_confirmed)),
        ];
        if !receipt.matchers_pending.is_empty() {
            rows.push((
                "not connected",
                format!("{} (forgets when it next connects)", names(&receipt.matchers_pending)),
            ));
        }
        let json = json!({ "receipt": convert::receipt(&receipt), "idempotency_id": id.to_string() });
        Ok(Report::new(json, facts(rows)))
    }

    async fn export(
        &self,
        subject: SubjectId,
        out: &Path,
        with_templates: bool,
        id: IdempotencyId,
    ) -> Result<Report, Failure> {
        let waiting = Waiting::for_what("exporting");
        let (idempotency_id, subject_id) = (id.to_string(), subject.to_string());
        let request = ExportSubjectRequest { idempotency_id, subject_id, with_templates };
        let answered = self.admin.clone().export_subject(limited(request)).await;
        let export = answered.map_err(|status| Failure::of(&status, self.vault, Some(id)))?.into_inner();
        drop(waiting);
        std::fs::create_dir_all(out).map_err(|error| Failure::file(out, error))?;
        let (page, data) = (out.join("subject.html"), out.join("subject.json"));
        write(&page, &export_page::page(&export))?;
        write(&data, &format!("{:#}\n", export_page::data(&export)))?;
        let (page, data) = (page.display().to_string(), data.display().to_string());
        let mut text = format!("{page} for the person to read, {data} for a program");
        if with_templates {
            text.push_str("\nThe data holds protected templates: hand it over sealed, and keep no copy.");
        }
        let json =
            json!({ "page": page, "data": data, "with_templates": with_templates, "idempotency_id": id.to_string() });
        Ok(Report::new(json, text))
    }

    async fn decide(&self, subject: SubjectId, decision: Decision, id: IdempotencyId) -> Result<Report, Failure> {
        let _waiting = Waiting::for_what("deciding");
        let request = DecideReviewRequest {
            idempotency_id: id.to_string(),
            subject_id: subject.to_string(),
            decision: decision.into(),
        };
        let answered = self.admin.clone().decide_review(limited(request)).await;
        let response = answered.map_err(|status| Failure::of(&status, self.vault, Some(id)))?.into_inner();
        let state = convert::state_word(response.state);
        let json = json!({ "subject_id": subject.to_string(), "state": state, "idempotency_id": id.to_string() });
        Ok(Report::new(json, format!("{subject} is now {state}")))
    }

    /// The gallery asked for, or all of the tenant's.
    async fn galleries(&self, wanted: Option<&GalleryId>) -> Result<Vec<String>, Failure> {
        if let Some(gallery) = wanted {
            return Ok(vec![gallery.to_string()]);
        }
        let answered = self.admin.clone().get_status(limited(GetStatusRequest {})).await;
        let status = answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner();
        Ok(status.galleries.into_iter().map(|gallery| gallery.gallery).collect())
    }

    async fn page(
        &self,
        gallery: &str,
        state: Option<StateArgument>,
        token: &str,
    ) -> Result<ListSubjectsResponse, Failure> {
        let request = ListSubjectsRequest {
            gallery: gallery.to_owned(),
            state: convert::state_number(state),
            page_size: PAGE,
            page_token: token.to_owned(),
        };
        let answered = self.admin.clone().list_subjects(limited(request)).await;
        Ok(answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner())
    }
}

fn described(subject: &Subject) -> String {
    let row = convert::subject_row(subject);
    let mut rows: Vec<(&str, String)> = SUBJECT_HEADER.into_iter().zip(row).collect();
    rows.push((
        "notice shown",
        format!("{}, {}", shown(&subject.consent_policy_version), shown(&subject.consent_language)),
    ));
    rows.push(("enrolled by", shown(&subject.enrolled_by_device)));
    facts(rows)
}

/// Writes a file about a person: for its owner's eyes alone.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::file(path, error))
}

/// Asks the person at the terminal; where there is none, the command itself is the confirmation.
fn confirmed(subject: SubjectId) -> io::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    write!(io::stderr(), "Erase {subject} for good? Nothing can bring it back. [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
