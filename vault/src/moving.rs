//! `volar-vault migrate`: opens both stores and shows how far it is.

use std::io::Write;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use volar_service::cli::Exit;
use volar_vault::config::Config;
use volar_vault::migration::{self, Step};
use volar_vault::server;

pub(crate) fn run(from: &Config, to: &Config) -> Result<(), Exit> {
    // Nobody writes to either meanwhile.
    let (from, to) = (&from.alone(), &to.alone());
    from.settings().map_err(Exit::usage)?;
    to.settings().map_err(Exit::usage)?;
    if from.store.key_table != to.store.key_table {
        let rule = "store.key_table must be the same file in both configurations: the keys stay where they are";
        return Err(Exit::usage(rule));
    }
    let old = server::open_store(from).map_err(Exit::unavailable)?;
    let new = server::open_store(to).map_err(Exit::unavailable)?;
    let style = ProgressStyle::with_template("{prefix:>12} {bar:40} {human_pos}/{human_len} records, {eta} left")
        .expect("a fixed template");
    let bar = ProgressBar::new(0).with_style(style);
    let moved = migration::migrate(Arc::from(old), &*new, &mut |step, done, total| {
        bar.set_prefix(match step {
            Step::Count => "counting",
            Step::Copy => "copying",
            Step::Verify => "verifying",
        });
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let moved = moved.map_err(Exit::unavailable)?;
    writeln!(
        std::io::stderr(),
        "{} rows and {} blobs moved and read back. Start the vault with the new configuration; the old store opens no \
         more and can be removed.",
        moved.rows,
        moved.blobs
    )
    .map_err(Exit::internal)
}
