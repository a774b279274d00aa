//! `volar-vault restore`: says how far it is, and what came back.

use std::io::Write;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use volar_service::cli::Exit;
use volar_vault::backup::restore::{Restore, Step};
use volar_vault::config::Config;
use volar_vault::server;

pub(crate) fn run(
    config: &Config,
    from: Option<PathBuf>,
    at: Option<&str>,
    keys: Option<PathBuf>,
    erase_keyless: bool,
) -> Result<(), Exit> {
    let configured = config.backup.as_ref();
    let from = from.or_else(|| configured.map(|backup| backup.folder.clone()));
    let from = from
        .ok_or_else(|| Exit::usage("name the folder of the backups with --from: the configuration has no [backup]"))?;
    let keys = keys.or_else(|| configured.map(|backup| backup.keys.clone()));
    let what = Restore { from: &from, at, keys: keys.as_deref(), erase_keyless };
    let style = ProgressStyle::with_template("{prefix:>16} {bar:40} {human_pos}/{human_len}, {eta} left")
        .expect("a fixed template");
    let bar = ProgressBar::new(0).with_style(style);
    let restored = server::restore(config, &what, &mut |step, done, total| {
        bar.set_prefix(match step {
            Step::Write => "writing pieces",
            Step::Open => "opening records",
        });
        bar.set_length(total.max(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let restored = restored?;
    writeln!(
        std::io::stderr(),
        "backup {} restored: {} rows, {} sealed records opened, {} people; {} erased since were erased again. Start the \
         vault: matchers start over by themselves, and tickets made before it started are not claimed.",
        restored.id,
        restored.rows,
        restored.opened,
        restored.subjects,
        restored.erased
    )
    .map_err(Exit::internal)
}
