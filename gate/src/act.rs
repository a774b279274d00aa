//! Acts on what happens: lines on standard output, the HTTP hook, the command that opens the gate. None of them can
//! hold the gate up: each has a bounded queue or a time limit of its own.

mod command;
mod hook;
mod lines;

use std::io::Write;
use std::sync::Arc;

use volar_core::clock::Clock;
use volar_core::id::LaneId;

use crate::config::{HookConfig, OnAdmitConfig};
use crate::event::{Decided, Decision, Event, What};
use command::OnAdmit;
use hook::Hook;
use lines::Lines;

/// Everyone who hears of events. Clones share one set.
#[derive(Clone)]
pub struct Act {
    lines: Lines,
    hook: Option<Hook>,
    on_admit: Option<Arc<OnAdmit>>,
    clock: Arc<dyn Clock>,
    lane: LaneId,
}

impl Act {
    /// Starts the threads that write `out` and call the hook. Must be called inside a Tokio runtime.
    pub fn start(
        lane: LaneId,
        on_admit: &OnAdmitConfig,
        hook: &HookConfig,
        out: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let hook = hook.url.as_ref().map(|url| Hook::start(url, hook)).transpose()?;
        let on_admit = OnAdmit::new(on_admit).map(Arc::new);
        Ok(Self { lines: Lines::start(out)?, hook, on_admit, clock, lane })
    }

    /// Tells that something happened.
    pub fn tell(&self, what: What) {
        self.lines.write(&self.line(what));
    }

    /// Tells a decision, to the hook too; an admission runs the command.
    pub fn decide(&self, decided: Decided) {
        metrics::counter!(
            "volar_gate_decisions_total",
            "decision" => decided.decision.as_str(), "reason" => decided.reason.clone()
        )
        .increment(1);
        let admitted = decided.decision == Decision::Admitted;
        self.tell_all(What::Decision(decided), admitted);
    }

    /// Opens for a hand that nobody could identify, as the policy says: runs the command without a ticket.
    pub fn open_unidentified(&self, what: What) {
        metrics::counter!("volar_gate_opened_unidentified_total").increment(1);
        self.tell_all(what, true);
    }

    fn tell_all(&self, what: What, open: bool) {
        let ticket = match &what {
            What::Decision(decided) => (decided.ticket.clone(), decided.ticket_id.clone()),
            _ => (None, None),
        };
        let line = self.line(what);
        // The gate first, then those who only want to know.
        if let (true, Some(on_admit)) = (open, &self.on_admit) {
            let (on_admit, act) = (on_admit.clone(), self.clone());
            let admission = command::Admission { ticket: ticket.0, ticket_id: ticket.1, lane: self.lane.clone() };
            let input = line.clone();
            tokio::spawn(async move { act.tell(What::Command(on_admit.run(admission, input).await)) });
        }
        self.lines.write(&line);
        if let Some(hook) = &self.hook {
            hook.send(line);
        }
    }

    fn line(&self, what: What) -> String {
        let event = Event { at: self.clock.now(), lane: self.lane.clone(), what };
        serde_json::to_string(&event).expect("events are text, numbers and flags")
    }
}
