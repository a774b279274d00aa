//! The `volar-synth` binary as a person runs it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output};

fn volar_synth(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_volar-synth")).args(arguments).output().expect("the binary starts")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("readable").file_name().into_string().expect("plain names")).collect()
}

fn size_of(png: &Path) -> (u32, u32) {
    let file = BufReader::new(File::open(png).expect("the picture is there"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG file");
    (reader.info().width, reader.info().height)
}

#[test]
fn a_set_of_frames_has_labels_and_truth() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("frames");
    let out_text = out.to_str().expect("plain path");
    let done =
        volar_synth(&["set", "--people", "1", "--samples", "2", "--out", out_text, "--size", "320x240", "--seed", "0"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let expected = ["0_l_0000.png", "0_l_0001.png", "0_r_0000.png", "0_r_0001.png", "truth.csv"];
    assert_eq!(names(&out), expected.map(String::from).into());
    assert_eq!(size_of(&out.join("0_l_0001.png")), (320, 240));
    let truth = fs::read_to_string(out.join("truth.csv")).expect("text");
    let lines: Vec<&str> = truth.lines().collect();
    assert_eq!(lines.len(), 5, "a heading and a line a frame");
    let columns = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() == columns), "{truth}");
    assert!(lines[4].starts_with("0_r_0001.png,0,right,1,good,"), "{}", lines[4]);
}

#[test]
fn a_set_of_crops_is_square_and_repeats() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let make = |name: &str| {
        let out = folder.path().join(name);
        let out_text = out.to_str().expect("plain path");
        let done = volar_synth(&["set", "--kind", "crops", "--people", "1", "--samples", "1", "--out", out_text]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        out
    };
    let (first, second) = (make("first"), make("second"));
    assert_eq!(names(&first).len(), 2);
    assert_eq!(names(&first), names(&second));
    for name in names(&first) {
        assert_eq!(size_of(&first.join(&name)), (152, 152));
        assert_eq!(fs::read(first.join(&name)).expect("there"), fs::read(second.join(&name)).expect("there"));
    }
}

#[test]
fn a_stream_is_the_same_for_any_number_of_threads_and_goes_on_where_another_stopped() {
    let stream = |more: &[&str]| {
        let done = volar_synth(&[&["stream", "--palms", "5", "--side", "48", "--seed", "9"], more].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    let record = 4 + 48 * 48;
    let whole = stream(&["--crops", "256"]);
    assert_eq!(whole.len(), 256 * record);
    assert!(whole == stream(&["--crops", "256", "--threads", "3"]));
    assert!(whole[128 * record..] == stream(&["--crops", "128", "--first", "128"])[..]);
    let labels: BTreeSet<_> = whole.chunks_exact(record).map(|record| record[..4].to_vec()).collect();
    assert_eq!(labels, (0..5_u32).map(|label| label.to_le_bytes().to_vec()).collect());
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_str().expect("plain path");
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let done = volar_synth(arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    refused(&["set"], 64, "--out");
    refused(&["set", "--out", out, "--people", "0"], 64, "--people");
    refused(&["set", "--out", out, "--condition", "upside-down"], 64, "fingers-closed");
    refused(&["set", "--out", out, "--size", "wide"], 64, "no number of pixels");
    refused(&["stream", "--side", "31"], 64, "32 to 512");
    refused(&["stream", "--palms", "0"], 64, "--palms");
    refused(&["set", "--out", out, "--size", "64x64"], 1, "120 to 4096");
    refused(&["set", "--out", out, "--kind", "crops", "--size", "152x128"], 1, "crops are square");
    refused(&["set", "--out", "/dev/null/folder"], 1, "cannot write /dev/null/folder");
    assert!(volar_synth(&["--help"]).status.success());
}

#[test]
fn hands_are_records_of_one_length_that_repeat_for_any_number_of_threads() {
    let hands = |threads: &str| {
        let done = volar_synth(&["hands", "--hands", "3", "--poses", "2", "--texel", "3", "--threads", threads]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    let records = hands("1");
    assert_eq!(records, hands("2"));
    let side = |at: usize| u32::from_le_bytes(records[at..at + 4].try_into().expect("four bytes")) as usize;
    let texels = side(0) * side(4);
    let length = 8 + 22 * 4 + 2 * texels;
    assert_eq!(records.len(), 3 * length);
    for record in records.chunks_exact(length) {
        let number = |i: usize| f32::from_le_bytes(record[8 + 4 * i..12 + 4 * i].try_into().expect("four bytes"));
        // The palm's centre is covered, the layer's corner is not.
        let (x, y) = (number(18) as usize, number(19) as usize);
        let coverage = &record[8 + 22 * 4 + texels..];
        assert_eq!((coverage[y * side(0) + x], coverage[0]), (255, 0));
        assert!((20.0..60.0).contains(&(number(20) * 3.0)), "radius {}", number(20) * 3.0);
    }
}
