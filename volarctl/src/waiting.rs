//! Shows that something is under way, to a person at a terminal; indicatif draws nothing anywhere else.

use std::time::Duration;

use indicatif::ProgressBar;

/// A spinner that goes away when dropped.
pub(crate) struct Waiting(ProgressBar);

impl Waiting {
    pub(crate) fn for_what(message: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(crate) fn say(&self, message: String) {
        self.0.set_message(message);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
