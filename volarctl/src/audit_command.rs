//! `volarctl audit …`: what the audit log says, and whether it is whole.

use std::fs;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tonic::transport::Channel;
use volar_core::audit::{Hash, Leaf, PublicKey, SignedHead, verify_consistency};
use volar_proto::v1::admin_service_client::AdminServiceClient;
use volar_proto::v1::{GetAuditHeadRequest, GetAuditHeadResponse, ListAuditLeavesRequest};

use crate::arguments::AuditCommand;
use crate::audit_file::{self, Broken};
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, facts, table};
use crate::waiting::Waiting;

/// Leaves asked for at a time.
const PAGE: u32 = 500;

/// Checks an exported log; needs no server.
pub(crate) fn verify(file: &Path, key: Option<&str>, pinned: &[PathBuf]) -> Result<Report, Failure> {
    let opened = fs::File::open(file).map_err(|error| Failure::file(file, error))?;
    let key = key.map(read_key).transpose()?;
    let pinned = pinned.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let checked = audit_file::check(BufReader::new(opened), key.as_ref(), &pinned)?;
    let trusted = key.is_some();
    let json = json!({
        "leaves": checked.leaves, "root": hex::encode(checked.root), "public_key": checked.key.to_string(),
        "key_was_given": trusted, "pinned_heads": pinned.len(),
    });
    let mut text = facts(vec![
        ("leaves", format!("{}, each in the tree", checked.leaves)),
        ("root", hex::encode(checked.root)),
        ("signed by", checked.key.to_string()),
        ("pinned heads", format!("{}, each a beginning of this log", pinned.len())),
    ]);
    if !trusted {
        text.push_str("\nThe key is the file's own: give the one that the operator publishes with --log-key.");
    }
    Ok(Report::new(json, text))
}

pub(crate) async fn run(command: &AuditCommand, vault: &Server) -> Result<Report, Failure> {
    let log = Log { vault, admin: AdminServiceClient::new(vault.channel.clone()) };
    match command {
        AuditCommand::PublicKey => {
            let key = log.head(0).await?.public_key;
            Ok(Report::new(json!({ "public_key": key }), shown(&key)))
        }
        AuditCommand::Head { out, log_key, pinned } => log.show_head(out.as_deref(), log_key.as_deref(), pinned).await,
        AuditCommand::List { from, limit } => log.list(*from, *limit).await,
        AuditCommand::Export { out } => log.export(out).await,
        AuditCommand::Verify { file, log_key, pinned } => verify(file, log_key.as_deref(), pinned),
    }
}

struct Log<'a> {
    vault: &'a Server,
    admin: AdminServiceClient<Channel>,
}

impl Log<'_> {
    async fn head(&self, since_size: u64) -> Result<GetAuditHeadResponse, Failure> {
        let answered = self.admin.clone().get_audit_head(limited(GetAuditHeadRequest { since_size })).await;
        Ok(answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner())
    }

    async fn leaves(&self, from_index: u64, page_size: u32) -> Result<Vec<String>, Failure> {
        let request = ListAuditLeavesRequest { from_index, page_size };
        let answered = self.admin.clone().list_audit_leaves(limited(request)).await;
        Ok(answered.map_err(|status| Failure::of(&status, self.vault, None))?.into_inner().leaves)
    }

    async fn show_head(&self, out: Option<&Path>, key: Option<&str>, pinned: &[PathBuf]) -> Result<Report, Failure> {
        let newest = self.head(0).await?;
        let key = match key {
            Some(key) => read_key(key)?,
            None => newest.public_key.parse().map_err(Broken::Head)?,
        };
        let mut head = SignedHead::open(&newest.head, &key).map_err(Broken::Head)?;
        for path in pinned {
            let old = SignedHead::open(&read(path)?, &key).map_err(Broken::Head)?;
            let answer = self.head(old.head().size).await?;
            head = SignedHead::open(&answer.head, &key).map_err(Broken::Head)?;
            let proof: Option<Vec<Hash>> = answer.consistency.into_iter().map(|hash| hash.try_into().ok()).collect();
            let (old, new) = (old.head(), head.head());
            let whole =
                proof.is_some_and(|proof| verify_consistency((old.size, &old.root), (new.size, &new.root), &proof));
            if !whole {
                return Err(Broken::Rewritten { size: old.size }.into());
            }
        }
        if let Some(path) = out {
            fs::write(path, head.text()).map_err(|error| Failure::file(path, error))?;
        }
        let said = head.head();
        let json = json!({
            "head": head.text(), "size": said.size, "root": hex::encode(said.root),
            "signed_at_unix_ms": said.at.unix_milliseconds(), "public_key": key.to_string(), "pinned_heads": pinned.len(),
        });
        let mut rows = vec![
            ("leaves", said.size.to_string()),
            ("root", hex::encode(said.root)),
            ("signed", moment::written(said.at.unix_milliseconds())),
            ("by", key.to_string()),
        ];
        if !pinned.is_empty() {
            rows.push(("continues", format!("{} pinned heads", pinned.len())));
        }
        Ok(Report::new(json, facts(rows)))
    }

    async fn list(&self, from: u64, limit: u32) -> Result<Report, Failure> {
        let mut leaves: Vec<String> = Vec::new();
        while leaves.len() < limit as usize {
            let wanted = PAGE.min(limit - leaves.len() as u32);
            let page = self.leaves(from + leaves.len() as u64, wanted).await?;
            if page.is_empty() {
                break;
            }
            leaves.extend(page);
        }
        let rows = leaves.iter().map(|text| match Leaf::parse(text) {
            Ok(leaf) => vec![
                leaf.index.to_string(),
                moment::written(leaf.at.unix_milliseconds()),
                shown(&leaf.actor),
                leaf.action.word().to_owned(),
                shown(&leaf.outcome),
                shown(&leaf.detail),
            ],
            Err(error) => vec![String::new(), String::new(), String::new(), error.to_string()],
        });
        let text = table(&["leaf", "when", "who", "what", "outcome", "detail"], rows.collect());
        Ok(Report::new(json!({ "leaves": leaves }), text))
    }

    async fn export(&self, out: &Path) -> Result<Report, Failure> {
        let waiting = Waiting::for_what("exporting");
        let answer = self.head(0).await?;
        let key: PublicKey = answer.public_key.parse().map_err(Broken::Head)?;
        let size = SignedHead::open(&answer.head, &key).map_err(Broken::Head)?.head().size;
        let failed = |error| Failure::file(out, error);
        let mut file = BufWriter::new(fs::File::create(out).map_err(failed)?);
        writeln!(file, "{}", audit_file::first_line(&key)).map_err(failed)?;
        let mut written = 0;
        while written < size {
            let wanted = u64::from(PAGE).min(size - written);
            let page = self.leaves(written, wanted as u32).await?;
            if page.is_empty() {
                return Err(Broken::Short { found: written, size }.into());
            }
            for leaf in page {
                writeln!(file, "{}", audit_file::leaf_line(&leaf)).map_err(failed)?;
                written += 1;
            }
            waiting.say(format!("exporting: {written} of {size} leaves"));
        }
        writeln!(file, "{}", audit_file::last_line(&answer.head)).map_err(failed)?;
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        drop(waiting);
        let json = json!({ "leaves": size, "file": out.display().to_string() });
        Ok(Report::new(json, format!("{size} leaves in {}; check them: volarctl audit verify", out.display())))
    }
}

/// A key given as text, or as a file that holds it.
fn read_key(given: &str) -> Result<PublicKey, Failure> {
    let path = Path::new(given);
    let text = if path.is_file() { read(path)? } else { given.to_owned() };
    Ok(text.trim().parse().map_err(Broken::Head)?)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::file(path, error))
}
