//! Runs the command that opens the gate, for a limited time.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use volar_core::id::LaneId;

use crate::config::OnAdmitConfig;
use crate::event::{CommandEnded, Ticket};

/// What `on_admit` runs.
pub(super) struct OnAdmit {
    words: Vec<String>,
    time_max: Duration,
}

/// What a command is told in its environment.
pub(super) struct Admission {
    /// `None` for an opening without the matcher.
    pub(super) ticket: Option<Ticket>,
    pub(super) ticket_id: Option<String>,
    pub(super) lane: LaneId,
}

impl OnAdmit {
    /// `None` if nothing is configured.
    pub(super) fn new(config: &OnAdmitConfig) -> Option<Self> {
        let shell = |line: &String| ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        let words = config.command.clone().or_else(|| config.shell.as_ref().map(shell))?;
        Some(Self { words, time_max: Duration::from_millis(config.time_max_ms) })
    }

    /// Runs it with `line` on its standard input, and waits for its end or stops it.
    pub(super) async fn run(&self, admission: Admission, line: String) -> CommandEnded {
        let started = Instant::now();
        let Admission { ticket, ticket_id, lane } = admission;
        let ended = |exit_code: Option<i32>, timed_out: bool, error: Option<String>| {
            let milliseconds = started.elapsed().as_secs_f64() * 1e3;
            match (&error, timed_out, exit_code) {
                (None, false, Some(0)) => {}
                _ => tracing::error!(exit_code, timed_out, error, "the command for an admission failed"),
            }
            CommandEnded { ticket_id: ticket_id.clone(), exit_code, timed_out, milliseconds, error }
        };
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env("VOLAR_LANE", lane.as_str()).stdin(Stdio::piped());
        // Its output belongs to nobody here: standard output carries events only.
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).process_group(0);
        for (name, value) in
            [("VOLAR_TICKET", ticket.map(|ticket| ticket.expose())), ("VOLAR_TICKET_ID", ticket_id.clone())]
        {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return ended(None, false, Some(format!("{} cannot be run: {error}", self.words[0]))),
        };
        match timeout(self.time_max, feed_and_wait(&mut child, line)).await {
            Ok(Ok(status)) => ended(status.code(), false, None),
            Ok(Err(error)) => ended(None, false, Some(error.to_string())),
            Err(_) => {
                stop(&mut child).await;
                ended(None, true, None)
            }
        }
    }
}

async fn feed_and_wait(child: &mut Child, line: String) -> std::io::Result<std::process::ExitStatus> {
    if let Some(mut input) = child.stdin.take() {
        // A command need not read it.
        let _ = input.write_all(format!("{line}\n").as_bytes()).await;
    }
    child.wait().await
}

/// Ends the command and whatever it started.
async fn stop(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill().await;
}
