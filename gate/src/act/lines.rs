//! Lines on standard output, written by a thread of its own: a reader that stalls must not stall the gate.

use std::io::Write;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::parameters::LINES_QUEUED;

#[derive(Clone)]
pub(super) struct Lines(SyncSender<String>);

impl Lines {
    pub(super) fn start(mut out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (sender, lines) = sync_channel::<String>(LINES_QUEUED);
        thread::Builder::new().name("lines".to_owned()).spawn(move || {
            for line in lines {
                // One write a line, so that lines of two writers to one pipe do not mix.
                let written = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
                if let Err(error) = written {
                    tracing::warn!(%error, "nobody reads the events any more");
                    return;
                }
            }
        })?;
        Ok(Self(sender))
    }

    pub(super) fn write(&self, line: &str) {
        match self.0.try_send(line.to_owned()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("volar_gate_lines_dropped_total").increment(1);
                tracing::warn!("an event is dropped: standard output is not read fast enough");
            }
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}
