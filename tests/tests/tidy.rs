//! House rules that a tool can hold.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::workspace::root;

const LINES_MAX: usize = 600;
/// Words that stand for work not done, and paths of somebody's machine.
const BANNED: [&str; 6] =
    ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}:", "todo\u{21}(", "unimplemented\u{21}(", "/hom\u{65}/"];

fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(root(), extension, &mut found);
    assert!(!found.is_empty());
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "generated" && !name.starts_with('.') {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

#[test]
fn files_are_short() {
    for path in files("rs") {
        let lines = fs::read_to_string(&path).expect("text").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", path.display());
    }
}

#[test]
fn nothing_is_put_off() {
    for path in ["rs", "toml", "proto", "md", "js", "css", "html"].iter().flat_map(|extension| {
        let mut found = Vec::new();
        collect(root(), extension, &mut found);
        found
    }) {
        let text = fs::read_to_string(&path).expect("text");
        for (number, line) in text.lines().enumerate() {
            let banned = BANNED.iter().find(|word| line.contains(**word));
            assert_eq!(banned, None, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn nothing_is_unwrapped() {
    for path in files("rs") {
        let text = fs::read_to_string(&path).expect("text");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let found = code.contains(concat!(".unwrap", "()"));
            assert!(!found, "{}:{}: say why it cannot fail with expect", path.display(), number + 1);
        }
    }
}

#[test]
fn every_member_has_a_summary_and_the_shared_lints() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("text");
    let members = workspace.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("members").0;
    let names: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let folder = root().join(name);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_else(|_| panic!("{name} is a member"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not hold to the workspace's lints");
        let first =
            ["lib.rs", "main.rs"].iter().find_map(|file| fs::read_to_string(folder.join("src").join(file)).ok());
        assert!(first.is_some_and(|text| text.contains("//! ")), "{name} does not say what it is");
    }
}

#[test]
fn xtask_needs_no_system_library() {
    let manifest = fs::read_to_string(root().join("xtask/Cargo.toml")).expect("text");
    for crate_name in ["opencv", "faiss", "openssl", "volar-"] {
        assert!(!manifest.contains(crate_name), "xtask depends on {crate_name}: it must build before set-up");
    }
}
