//! Progress bars on standard error, for people who wait.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of `length` of something.
    pub fn new(what: &'static str, length: u64) -> Self {
        let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {what}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).expect("a valid template");
        Self(ProgressBar::new(length).with_style(style))
    }

    /// So many more are done.
    pub fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// All are done.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
