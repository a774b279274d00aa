//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer.
//!
//! The compiler's own coverage instrumentation needs no nightly toolchain. It is put into this workspace's crates alone,
//! and so into the generic code of others that they use; what else they use is built as ever, once for all.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::packages::{self, Purpose};
use crate::signals;
use crate::workspace::{binaries, cargo_with, root};

/// What rustc adds to a crate: counters at every edge and comparisons, for libFuzzer.
const INSTRUMENT: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Set while cargo calls this program in place of rustc.
const INSTRUMENTS: &str = "VOLAR_INSTRUMENTS";

/// `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which target of `fuzz/src/lib.rs`; every one in turn without it.
    target: Option<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Builds the fuzzer and runs it; stops at the first input that breaks a rule.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    packages::install(Purpose::Run)?;
    let corpus = root().join("fuzz/corpus");
    let folder = corpus.to_string_lossy();
    cargo_with(&["run", "--release", "-p", "volar-fuzz", "--example", "seeds", "--", &folder], &[])?;
    let targets = match &arguments.target {
        Some(target) => vec![target.clone()],
        None => names()?,
    };
    let program = std::env::current_exe().context("the system does not name this program")?;
    let program = program.to_string_lossy();
    let build = ["build", "--release", "-p", "volar-fuzz", "--bin", "volar-fuzz", "--features", "libfuzzer"];
    // Beside the ordinary build, whose crates are not instrumented.
    cargo_with(&build, &[("RUSTC_WORKSPACE_WRAPPER", &program), (INSTRUMENTS, "1")])?;
    for target in targets {
        fuzz(&target, arguments.seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn names() -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(root().join("fuzz/corpus")).context("fuzz/corpus is not there")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<anyhow::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, seconds: u64) -> anyhow::Result<()> {
    let folder = |name: &str| root().join("fuzz").join(name).join(target);
    if !folder("corpus").is_dir() {
        bail!("there is no target \"{target}\"; known are: {}", names()?.join(", "));
    }
    let (found, failed) = (folder("corpus"), folder("failed"));
    std::fs::create_dir_all(&failed).with_context(|| format!("cannot make {}", failed.display()))?;
    println!("== {target}: {seconds} s");
    let status = Command::new(binaries().join("volar-fuzz"))
        .env("VOLAR_FUZZ_TARGET", target)
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", failed.display())])
        .args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536", "-reload=0"])
        .args([&found, &failed])
        .stdin(Stdio::null())
        .status()
        .context("cannot run the fuzzer")?;
    signals::check()?;
    if std::fs::read_dir(&failed).is_ok_and(|mut entries| entries.next().is_none()) {
        // An empty folder is no regression to keep.
        let _ = std::fs::remove_dir(&failed);
    }
    if !status.success() {
        bail!("{target} failed: mend it; the input lies in {}", folder("failed").display());
    }
    Ok(())
}

/// When cargo calls this program in place of rustc: calls rustc, with coverage unless it builds a build script.
pub fn between_cargo_and_rustc() -> Option<ExitCode> {
    std::env::var_os(INSTRUMENTS)?;
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let (rustc, words) = words.split_first()?;
    let mut rustc = Command::new(rustc);
    rustc.args(words);
    let name = words.iter().position(|word| word == "--crate-name").and_then(|at| words.get(at + 1));
    let of_ours =
        name.and_then(|name| name.to_str()).is_some_and(|name| !["___", "build_script_build"].contains(&name));
    if of_ours {
        rustc.args(INSTRUMENT);
    }
    let status = rustc.status();
    let code = status.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    Some(ExitCode::from(code.unwrap_or(1)))
}
