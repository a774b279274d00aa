//! What Volar needs from the system, installed where it is missing.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::workspace::has_program;

/// One Debian package.
struct Package {
    name: &'static str,
    why: &'static str,
    /// A program that makes the package unnecessary: another package may provide it.
    program: Option<&'static str>,
}

const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why, program: None }
}

const fn program(name: &'static str, program: &'static str, why: &'static str) -> Package {
    Package { name, why, program: Some(program) }
}

/// To build and run.
const BUILD: [Package; 7] = [
    program("cmake", "cmake", "builds FAISS"),
    program("g++", "g++", "builds FAISS and links OpenCV"),
    program("pkg-config", "pkg-config", "finds OpenCV"),
    package("libopencv-dev", "reads cameras and finds the palm in a frame"),
    program("clang", "clang", "reads OpenCV's headers"),
    package("libclang-dev", "reads OpenCV's headers"),
    package("libopenblas-dev", "FAISS's linear algebra"),
];

/// For a vault whose keys are in a token.
const TOKEN: [Package; 1] = [program("softhsm2", "softhsm2-util", "a PKCS#11 token in software, for the vault's keys")];

/// For the tests, which drive the kiosk's page in a real browser.
const BROWSER: [Package; 4] = [
    program("chromium", "chromium", "shows the kiosk's page to the tests"),
    program("chromium-driver", "chromedriver", "lets the tests press the page's buttons"),
    package("fonts-dejavu-core", "letters for the page's pictures"),
    program("python3", "python3", "checks erasure receipts in the tests"),
];

/// For the vault's tests and benchmark, which start servers of their own.
const DATABASE: [Package; 1] = [package("postgresql", "keeps the vault's records in its tests")];

/// For the vault's database as a cluster.
const CLUSTER: [Package; 3] = [
    program("patroni", "patroni", "runs the tests' cluster of PostgreSQL servers"),
    program("etcd-server", "etcd", "says which server of that cluster leads"),
    program("iproute2", "ip", "cuts servers of that cluster off from each other"),
];

/// What is about to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The demonstration or a benchmark.
    Run,
    /// The vault's benchmark.
    Vault,
    /// The vault's database failing.
    Failover,
    /// The demonstration with the vault's keys in a token.
    RunWithToken,
    /// The tests.
    Test,
}

/// Installs what is missing, and says so first. On systems without apt it prints the list and goes on.
pub fn install(purpose: Purpose) -> anyhow::Result<()> {
    let wanted: Vec<&Package> = match purpose {
        Purpose::Run => BUILD.iter().collect(),
        Purpose::Vault => BUILD.iter().chain(&DATABASE).collect(),
        Purpose::Failover => BUILD.iter().chain(&DATABASE).chain(&CLUSTER).collect(),
        Purpose::RunWithToken => BUILD.iter().chain(&TOKEN).collect(),
        Purpose::Test => BUILD.iter().chain(&TOKEN).chain(&BROWSER).chain(&DATABASE).chain(&CLUSTER).collect(),
    };
    if !has_program("apt-get") || !has_program("dpkg-query") {
        tell_others(&wanted);
        return Ok(());
    }
    let missing: Vec<&Package> = wanted.into_iter().filter(|package| !is_there(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Installing {} packages that Volar needs and this machine lacks, through apt-get:", missing.len());
    for package in &missing {
        println!("  {:<20} {}", package.name, package.why);
    }
    apt_get(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(missing.iter().map(|package| package.name));
    apt_get(&arguments)
}

fn is_there(package: &Package) -> bool {
    if package.program.is_some_and(has_program) {
        return true;
    }
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package.name])
        .stderr(Stdio::null())
        .output();
    asked.is_ok_and(|answer| answer.stdout == b"installed")
}

fn tell_others(wanted: &[&Package]) {
    let missing = |package: &&&Package| !package.program.is_some_and(has_program);
    println!("This system has no apt-get. Volar needs these, here by their Debian names; install what is missing:");
    for package in wanted.iter().filter(missing) {
        println!("  {:<20} {}", package.name, package.why);
    }
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let by_hand = || format!("apt-get {}", arguments.join(" "));
    if !root && !has_program("sudo") {
        bail!("installing takes root and there is no sudo: run as root `{}`, then try again", by_hand());
    }
    let mut command = if root { Command::new("env") } else { Command::new("sudo") };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments).stdin(Stdio::null());
    println!("$ {}{}", if root { "" } else { "sudo " }, by_hand());
    let status = command.status().context("cannot run apt-get")?;
    if !status.success() {
        bail!("`{}` failed ({status}): mend what it says above, then try again", by_hand());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once_and_say_why() {
        let all = || BUILD.iter().chain(&TOKEN).chain(&BROWSER).chain(&DATABASE).chain(&CLUSTER);
        let mut names: Vec<&str> = all().map(|package| package.name).collect();
        assert!(all().all(|package| !package.why.is_empty()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_is_not_packaged_is_missing() {
        assert!(!is_there(&package("volar-no-such-package", "")));
        assert!(is_there(&program("volar-no-such-package", "sh", "")));
    }
}
