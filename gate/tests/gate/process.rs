//! The process's edge: arguments, configuration, exit codes.

use std::path::Path;
use std::process::{Command, Output};

use volar_gate::config::DEFAULTS;

fn gate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_volar-gate")).args(arguments).output().expect("the binary runs")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with_config(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gate.toml");
    std::fs::write(&path, text).expect("written");
    gate(&["--config", utf8(&path)])
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn the_default_configuration_is_printed() {
    let printed = gate(&["--print-default-config"]);
    assert!(printed.status.success());
    assert_eq!(String::from_utf8_lossy(&printed.stdout), DEFAULTS);
}

#[test]
fn what_cannot_be_used_ends_with_64_and_says_what() {
    for (text, said) in [
        ("lane = ", "gate.toml"),
        (&DEFAULTS.replace("lane = \"lane-1\"", "lane = \"Lane 1\""), "lane"),
        (&DEFAULTS.replace("decision_time_max_ms = 3000", "decision_time_max_ms = 1"), "decision_time_max_ms"),
        (&DEFAULTS.replace("# url = \"http://127.0.0.1", "url = \"http://192.0.2.1"), "hook.url"),
        // The certificates are not there.
        (DEFAULTS, "volarctl certificate"),
    ] {
        let output = with_config(text);
        assert_eq!(output.status.code(), Some(64), "{}", errors(&output));
        assert!(errors(&output).contains(said), "{said}: {}", errors(&output));
    }
    assert_eq!(gate(&["--config", "/nowhere.toml"]).status.code(), Some(64));
    assert_eq!(gate(&["--open"]).status.code(), Some(64));
    assert_eq!(gate(&[]).status.code(), Some(64));
}
