//! Python for what is compared with or drawn by its libraries: a virtual environment that is thrown away.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::signals;

/// A virtual environment in `folder` with libraries from PyPI; its Python.
pub(super) fn environment(folder: &Path, libraries: &[&str]) -> anyhow::Result<PathBuf> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
    if !made.is_ok_and(|status| status.success()) {
        bail!("cannot make a virtual environment; install python3-venv");
    }
    println!("installing {} into a virtual environment", libraries.join(", "));
    succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(libraries))?;
    Ok(python)
}

/// Runs a command to its end, which must be a good one.
pub(super) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    signals::check()?;
    if !status.success() {
        bail!("{:?} failed ({status})", command.get_program());
    }
    Ok(())
}
