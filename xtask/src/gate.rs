//! A gate as its surroundings see it: lines of JSON on standard output, and what is staged before its sensor.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdout;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Page;
use crate::process::Process;
use crate::signals;

/// A hand that was taken away is noticed within a second.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// A running gate.
#[derive(Debug)]
pub struct Gate {
    /// Its process.
    pub process: Process,
    /// Its status page.
    pub page: Page,
    lines: Lines,
}

/// Every event so far, and a signal that there are more.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<(Mutex<Vec<Value>>, Condvar)>);

/// What one walk through the gate came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Passage {
    /// `admitted`, `step-up`, `no-match`, `retry` or `rejected`; empty if nothing was captured.
    #[serde(default)]
    pub decision: String,
    /// The reason in UPPER_SNAKE_CASE.
    #[serde(default)]
    pub reason: String,
    /// The sealed ticket, when admitted.
    #[serde(default)]
    pub ticket: Option<String>,
}

impl Lines {
    /// Reads `output` to its end on a thread of its own, and keeps a copy of each line in `log`.
    pub fn follow(output: ChildStdout, mut log: File) -> Self {
        let lines = Self::default();
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The copy is for people; the run goes on without it.
                let _ = writeln!(log, "{}", without_ticket(&line));
                let Ok(event) = serde_json::from_str(&line) else { continue };
                kept.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                kept.0.1.notify_all();
            }
        });
        lines
    }

    /// How many events there have been.
    pub fn count(&self) -> usize {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first event from the `from`th on that `wanted` accepts, as soon as it comes.
    pub fn wait(
        &self,
        from: usize,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, signals::Interrupted> {
        let end = Instant::now() + limit;
        let mut events = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = events.iter().skip(from).find(|event| wanted(event)) {
                return Ok(Some(found.clone()));
            }
            signals::check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let nap = left.min(Duration::from_millis(50));
            events = self.0.1.wait_timeout(events, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Gate {
    /// A gate whose `ready` has been seen.
    pub fn new(process: Process, address: &str, lines: Lines) -> Self {
        Self { process, page: Page::at(address), lines }
    }

    /// Its events.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Puts `scene` before its sensor.
    pub fn stage(&self, scene: &Value) -> anyhow::Result<()> {
        self.page.send::<Value>("/stage", scene).map(drop)
    }

    /// Someone shows what `scene` says, for at most `limit`, and takes it away again (`empty`) once there is an answer.
    pub fn walk_in(&self, scene: &Value, empty: &Value, limit: Duration) -> anyhow::Result<Passage> {
        let from = self.lines.count();
        self.stage(scene)?;
        // "Retry" asks for another look at the same hand, which goes on by itself.
        let is_final = |event: &Value| event["event"] == "decision" && event["decision"] != "retry";
        let decided = self.lines.wait(from, limit, is_final)?;
        self.stage(empty)?;
        let woke = self.lines.wait(from, Duration::ZERO, |event| event["event"] == "hand")?.is_some();
        let left = self.lines.wait(from, LEAVE_TIME_MAX, |event| event["event"] == "left");
        if woke && left?.is_none() {
            bail!("the gate did not notice that the hand was taken away");
        }
        // An answer may have come in the moment the hand was taken away.
        let decided = match decided {
            None => self.lines.wait(from, Duration::ZERO, is_final)?,
            decided => decided,
        };
        Ok(decided.map(serde_json::from_value).transpose()?.unwrap_or_default())
    }

    /// Somebody whose palm is not sure enough: shows what `scene` says, takes it away when digits are asked for, and types
    /// them.
    pub fn walk_in_and_type(
        &self,
        scene: &Value,
        empty: &Value,
        digits: &str,
        limit: Duration,
    ) -> anyhow::Result<Passage> {
        let from = self.lines.count();
        self.stage(scene)?;
        let is_asked = |event: &Value| event["event"] == "second-factor" && event["state"] == "asked";
        let asked = self.lines.wait(from, limit, is_asked)?;
        self.stage(empty)?;
        if asked.is_none() {
            bail!("the gate asked for no digits");
        }
        let from = self.lines.count();
        let typed = self.page.post("/api/keypad", &json!({ "digits": digits }))?;
        if typed.status != 204 {
            bail!("the gate takes no digits ({}): {}", typed.status, typed.body);
        }
        let decided = self.lines.wait(from, limit, |event| event["event"] == "decision")?;
        if self.lines.wait(from, LEAVE_TIME_MAX, |event| event["event"] == "left")?.is_none() {
            bail!("the gate did not notice that the hand was taken away");
        }
        Ok(decided.map(serde_json::from_value).transpose()?.unwrap_or_default())
    }
}

/// A ticket opens a payment once: it belongs in no log.
fn without_ticket(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(mut event) => {
            if let Some(ticket) = event.get_mut("ticket").filter(|ticket| !ticket.is_null()) {
                *ticket = Value::from("(kept out of this log)");
            }
            event.to_string()
        }
        Err(_) => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_hold_no_ticket() {
        let line = r#"{"event":"decision","ticket":"c2VjcmV0","ticket_id":"7"}"#;
        let kept = without_ticket(line);
        assert!(!kept.contains("c2VjcmV0") && kept.contains("\"7\""), "{kept}");
        assert_eq!(without_ticket("plain text"), "plain text");
    }
}
