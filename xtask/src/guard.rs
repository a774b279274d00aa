//! Programs that do not outlive whoever started them, even when that one is killed with SIGKILL.
//!
//! Linux sends the signal that a process asked for when its parent dies, and keeps the wish across `exec`. So a child
//! starts as `xtask guard`, states the wish, and becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// `xtask guard`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Process that must be alive.
    #[arg(long)]
    parent: i32,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the program.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie this process to its parent")?;
    // The parent may have died before the wish was stated.
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(arguments.parent) {
        bail!("the process that started this one is gone");
    }
    let (program, rest) = arguments.command.split_first().expect("clap demands one");
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot run {}", program.display()))
}

/// A command for `program` that dies with this process. `binaries` is the folder that holds `xtask`.
///
/// Linux counts the *thread* that starts a child as its parent: start it on one that lives as long as the process.
pub(crate) fn command(binaries: &Path, program: &Path) -> Command {
    let guard: PathBuf = binaries.join("xtask");
    let mut command = Command::new(guard);
    command.arg("guard").arg("--parent").arg(std::process::id().to_string()).arg("--").arg(program);
    command
}
