//! The HTTP hook, called by a thread of its own. While it does not answer, decisions wait in a bounded queue; what
//! does not fit is dropped and counted. The line on standard output is the record.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::config::HookConfig;
use crate::parameters::HOOK_PAUSE;

#[derive(Clone)]
pub(super) struct Hook(SyncSender<String>);

impl Hook {
    pub(super) fn start(url: &str, config: &HookConfig) -> std::io::Result<Self> {
        let (sender, queue) = sync_channel::<String>(config.queue_max);
        let caller = Caller {
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(Duration::from_millis(config.time_max_ms)))
                // A redirect would carry the ticket to where the configuration does not say.
                .max_redirects(0)
                .proxy(None)
                .build()
                .new_agent(),
            url: url.to_owned(),
            attempts_max: config.attempts_max,
        };
        thread::Builder::new()
            .name("hook".to_owned())
            .spawn(move || queue.iter().for_each(|line| caller.deliver(&line)))?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(line) {
            count("dropped");
            tracing::warn!("a decision is not told to the hook: too many wait for it already");
        }
    }
}

struct Caller {
    agent: ureq::Agent,
    url: String,
    attempts_max: u32,
}

impl Caller {
    fn deliver(&self, line: &str) {
        for attempt in 1..=self.attempts_max {
            let sent = self.agent.post(&self.url).content_type("application/json").send(line);
            match sent {
                Ok(response) if response.status().is_success() => return count("delivered"),
                Ok(response) => tracing::warn!(attempt, status = response.status().as_u16(), "the hook refuses"),
                Err(error) => tracing::warn!(attempt, %error, "the hook does not answer"),
            }
            if attempt < self.attempts_max {
                thread::sleep(HOOK_PAUSE * attempt);
            }
        }
        count("failed");
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("volar_gate_hook_total", "outcome" => outcome).increment(1);
}
