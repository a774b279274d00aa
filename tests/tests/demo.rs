//! `cargo xtask demo --auto` as a user runs it, and what it leaves on disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use xtask::workspace::binaries;

use crate::scan;

/// Runs the demonstration with the binaries that are there.
fn demo(state: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(binaries().join("xtask"));
    command.args(["demo", "--no-build", "--no-browser", "--state"]).arg(state).args(arguments);
    let output = command.output().expect("xtask runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

#[test]
fn the_whole_story_is_told_twice_on_one_state_folder_and_leaves_nothing_plain() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, json) = (folder.path().join("state"), folder.path().join("story.json"));
    for _ in 0..2 {
        let (ok, said) = demo(&state, &["--auto", "--json", &json.to_string_lossy()]);
        assert!(ok, "{said}");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
        assert_eq!(report["ok"], true);
        let steps = report["steps"].as_array().expect("steps");
        assert!(steps.len() >= 20, "{report:#}");
        for step in steps {
            assert_eq!(step["expected"], step["got"], "{step}");
            assert!(step["milliseconds"].is_u64(), "{step}");
        }
        assert_nothing_runs(&state);
    }
    let mut files = scan::Files::below(&state);
    // The gate's own standard output is for programs and carries tickets; its copy in the logs must not.
    files.assert_absent("a payment token", b"cus_test_");
    files.assert_absent("a payment token", b"pm_test_");
    files.assert_no_pictures();
    files.assert_no_card_numbers();
}

/// No process is left that was started from `state`.
fn assert_nothing_runs(state: &Path) {
    for entry in std::fs::read_dir("/proc").expect("Linux") {
        let path: PathBuf = entry.expect("readable").path().join("cmdline");
        let Ok(line) = std::fs::read(path) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains("--announce") || !line.contains(&*state.to_string_lossy()), "still runs: {line}");
    }
}

#[test]
fn frames_without_a_fitting_name_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("holiday.jpg"), "x").expect("writable");
    let (ok, said) = demo(&folder.path().join("state"), &["--frames", &folder.path().to_string_lossy()]);
    assert!(!ok && said.contains("holds no frame named <person>_<l|r>"), "{said}");
    assert!(!folder.path().join("state").exists());
}

#[test]
fn children_die_with_a_demonstration_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut command = Command::new(binaries().join("xtask"));
    command.args(["demo", "--no-build", "--no-browser", "--auto", "--state"]).arg(&state);
    let mut demo = command.stdout(std::process::Stdio::null()).spawn().expect("xtask runs");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !state.join("run/gate").exists() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    demo.kill().expect("it runs");
    demo.wait().expect("it ended");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(state.join("run/gate").exists(), "the demonstration did not come up");
    assert_nothing_runs(&state);
}
