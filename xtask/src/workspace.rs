//! Where things are, and how they are built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, bail};

use crate::signals;

/// The clone's top folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

/// The folder of the built binaries: the one that the running program, a binary or a test of it, was built into.
pub fn binaries() -> &'static Path {
    // Asked once: a rebuild replaces the running file, and its path with it.
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = std::env::current_exe().expect("the system names the running program");
        let folder = program.parent().expect("a program lies in a folder");
        if folder.ends_with("deps") { folder.parent().expect("deps lies in a folder") } else { folder }.to_owned()
    });
    &FOLDER
}

/// Builds every binary, optimised.
pub fn build() -> anyhow::Result<()> {
    cargo(&["build", "--release", "--workspace", "--bins"])
}

/// Builds what benchmarks run: with the tests, as `cargo xtask test` does, for another selection has other features of the
/// same libraries, and is built anew.
pub fn build_all() -> anyhow::Result<()> {
    cargo(&["build", "--release", "--workspace", "--all-targets"])
}

/// Runs cargo in the workspace, its output to this process's own.
pub fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    cargo_with(arguments, &[])
}

/// The same with these variables set.
pub fn cargo_with(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = binaries().parent().expect("a profile's folder lies in the target folder");
    let mut command = Command::new(cargo);
    if from_configuration("CXXFLAGS") {
        command.env_remove("CXXFLAGS");
    }
    let status = command
        .args(arguments)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    signals::check()?;
    if !status.success() {
        bail!("`cargo {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}

/// Whether cargo itself, which started this program, set a variable from `.cargo/config.toml`. Handed on, it would look
/// like the person's own wish, and much would be built again whenever cargo is used directly.
fn from_configuration(name: &str) -> bool {
    let Ok(value) = std::env::var(name) else { return false };
    let configuration = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap_or_default();
    configuration.lines().any(|line| line.starts_with(name) && line.contains(&format!("\"{value}\"")))
}

/// Whether a program is on the path.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
