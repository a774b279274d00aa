//! `volarctl`, as an operator and a checkout backend use it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::configuration::GALLERY;
use crate::workspace::binaries;

/// `volarctl` with one configuration.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its configuration.
    pub config: PathBuf,
}

/// What `volarctl --json` said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// Its document; null if it wrote none.
    pub document: Value,
    /// What it wrote on standard error.
    pub errors: String,
}

impl Said {
    /// The reason of a refusal, or the whole error text where there is none.
    pub fn reason(&self) -> String {
        let named = self.document.pointer("/error/reason").and_then(Value::as_str);
        named.map_or_else(|| self.errors.trim().to_owned(), str::to_owned)
    }
}

impl Operator {
    /// Runs `volarctl` with `arguments`; a refusal is an answer too.
    pub fn try_run(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let mut all = vec!["--config".as_ref(), self.config.as_os_str(), "--json".as_ref()];
        all.extend(arguments.iter().map(|argument| std::ffi::OsStr::new(*argument)));
        volarctl(&all)
    }

    /// Runs `volarctl`, expecting success.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let said = self.try_run(arguments)?;
        if !said.ok {
            bail!("`volarctl {}` failed: {}", arguments.join(" "), said.reason());
        }
        Ok(said.document)
    }

    /// The subjects that are not erased, as `volarctl subject list` shows them.
    pub fn subjects(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.run(&["subject", "list"])?;
        let subjects = listed.get("subjects").cloned().unwrap_or(listed);
        Ok(serde_json::from_value(subjects)?)
    }

    /// What waits for a person's review.
    pub fn reviews(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.run(&["review", "list"])?;
        let subjects = listed.get("subjects").cloned().unwrap_or(listed);
        Ok(serde_json::from_value(subjects)?)
    }

    /// Length of the demonstration gallery's feed: it grows with everything that happens to a subject.
    pub fn last_sequence(&self) -> anyhow::Result<u64> {
        let status = self.try_run(&["status"])?.document;
        let galleries = status.pointer("/vault/galleries");
        let found = galleries.and_then(Value::as_array).and_then(|galleries| {
            galleries.iter().find(|gallery| gallery["gallery"] == GALLERY)?.get("last_sequence")?.as_u64()
        });
        found.with_context(|| format!("volarctl status tells nothing of gallery {GALLERY}"))
    }

    /// Claims a ticket as a checkout backend would: the customer who pays, or the reason for the refusal.
    pub fn claim(&self, ticket: &str) -> anyhow::Result<Result<String, String>> {
        let said = self.try_run(&["claim", ticket])?;
        if !said.ok {
            return Ok(Err(said.reason()));
        }
        let customer = said.document.pointer("/payment/customer").and_then(Value::as_str);
        Ok(Ok(customer.context("the claim names no customer")?.to_owned()))
    }
}

/// Runs `volarctl` with `arguments` and no configuration.
pub fn volarctl(arguments: &[&std::ffi::OsStr]) -> anyhow::Result<Said> {
    let program = binaries().join("volarctl");
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    Ok(Said {
        ok: output.status.success(),
        document: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
