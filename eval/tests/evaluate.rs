//! `volar-eval` on small made-up sets, as a person runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use opencv::core::{Mat, Vector};
use opencv::imgcodecs;
use opencv::prelude::*;
use serde_json::Value;
use volar_core::template::Position;
use volar_synth::{Condition, GreyImage, Palm, Presentation, Scene, Simulator};

fn volar_eval(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_volar-eval")).args(arguments).output().expect("the binary runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

fn report(out: &Path) -> Value {
    let text = fs::read_to_string(out.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn write_picture(path: &Path, image: &GreyImage) {
    let rows = image.height as i32;
    let picture = Mat::from_slice(&image.pixels).expect("pixels");
    let picture = picture.reshape(1, rows).expect("whole rows");
    assert!(imgcodecs::imwrite(text(path), &picture, &Vector::new()).expect("writable"));
}

/// The middle `side` x `side` pixels: a crop without its margins.
fn middle(image: &GreyImage, side: usize) -> GreyImage {
    let margin = (image.width - side) / 2;
    let rows = image.pixels.chunks_exact(image.width).skip(margin).take(side);
    let pixels = rows.flat_map(|row| row[margin..margin + side].to_vec()).collect();
    GreyImage { width: side, height: side, pixels }
}

/// Palm squares of `palms` palms, two sessions of two captures each, in two groups; answers the manifest's text.
fn write_squares(folder: &Path, first: u64, palms: u64) -> String {
    let mut manifest = "path,subject,position,session,kind,spectrum,group\n".to_owned();
    for number in first..first + palms {
        let palm = Palm::of(number, Position::Right);
        for (session, sample) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
            let name = format!("{number}-{session}-{sample}.png");
            let presentation = Presentation::sample(number * 100 + session * 10 + sample);
            let image = palm.crop(&presentation, 152).expect("a side that synth renders");
            write_picture(&folder.join(&name), &middle(&image, 128));
            let group = ["even", "odd"][(number % 2) as usize];
            manifest += &format!("{name},p{number},right,{session},roi,mixed,{group}\n");
        }
    }
    manifest
}

#[test]
fn squares_are_verified_and_bad_rows_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut manifest = write_squares(folder.path(), 9_300_000, 16);
    manifest += "gone.png,p1,left,1,roi,,\nbroken.png,p1,left,1,roi,,\n9300000-1-0.png,p1,left,1,roi,,\n";
    fs::write(folder.path().join("broken.png"), "no picture").expect("writable");
    let (path, out) = (folder.path().join("m.csv"), folder.path().join("out"));
    fs::write(&path, manifest).expect("writable");

    for (protocol, mated, non_mated) in
        [("all-pairs", 16 * 6, 64 * 63 / 2 - 16 * 6), ("cross-session", 64, 32 * 32 - 64)]
    {
        let ran = volar_eval(&["verify", "--manifest", text(&path), "--out", text(&out), "--protocol", protocol]);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        assert!(
            said.contains("line 66: cannot open") && said.contains("line 67: ") && said.contains("line 68: "),
            "{said}"
        );

        let report = report(&out);
        assert_eq!(report["bad_rows"].as_array().map(Vec::len), Some(3), "{report}");
        let failed = report["failure_to_acquire"]["count"].as_u64().expect("a count");
        assert_eq!(report["samples"], 64);
        assert_eq!(report["subjects"], 16);
        if failed == 0 {
            assert_eq!(report["mated"], mated);
            assert_eq!(report["non_mated"], non_mated);
        }
        let eer = report["eer"].as_f64().expect("both kinds");
        assert!((0.0..0.15).contains(&eer), "{eer}");
        let bounds = report["eer_interval"].as_array().expect("two bounds");
        assert!(bounds[0].as_f64() <= Some(eer) && Some(eer) <= bounds[1].as_f64(), "{bounds:?}");
        assert!(report["tmr_at_fmr"]["1e-2"].as_f64().expect("supported") > 0.7);
        for key in ["1e-4", "1e-5"] {
            assert!(report["tmr_at_fmr"].as_object().expect("an object").contains_key(key));
            assert!(report["tmr_at_fmr"][key].is_null(), "{key} is not supported by {non_mated} comparisons");
        }
        let support = report["fmr_support"].as_f64().expect("a rate");
        assert!((support - 3.0 / report["non_mated"].as_f64().expect("a count")).abs() < 1e-12);
        assert!(report["milliseconds_per_template"].as_f64().is_some_and(|time| time > 0.0));
        assert!(report["model"].as_str().is_some_and(|model| !model.is_empty()));
        let groups = report["per_group"].as_object().expect("groups");
        assert_eq!(groups.keys().collect::<Vec<_>>(), ["even", "odd"]);
        assert!(report["operating_point"]["fnmr"]["rate"].as_f64().is_some());
    }
    for plot in ["det", "scores", "quality", "failures"] {
        let svg = fs::read_to_string(out.join(plot).with_extension("svg")).expect("a plot");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        let picture = imgcodecs::imread(text(&out.join(plot).with_extension("png")), imgcodecs::IMREAD_COLOR);
        assert!(picture.expect("readable").cols() > 1_000, "{plot}");
    }
    let page = fs::read_to_string(out.join("report.html")).expect("a page");
    let requests = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!requests.contains("http") && !requests.contains("src=") && !requests.contains("<script"));
    assert!(page.contains("What these data cannot show") && page.contains("broken.png"));
}

#[test]
fn each_score_alone_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.csv");
    fs::write(&path, write_squares(folder.path(), 9_400_000, 6)).expect("writable");
    for score in ["embedding", "code"] {
        let out = folder.path().join(score);
        let ran = volar_eval(&["verify", "--manifest", text(&path), "--out", text(&out), "--score", score]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let report = report(&out);
        assert!(report["eer"].as_f64().is_some_and(|eer| eer < 0.2), "{report}");
        assert!(report["operating_point"].is_null(), "the matcher's threshold is one of fused scores");
    }
}

#[test]
fn frames_go_through_the_whole_pipeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut simulator = Simulator::new(640, 480, 3).expect("a size that synth renders");
    let mut manifest = "path,subject,position,session,kind,species\n".to_owned();
    for person in 0..4_u64 {
        for (position, word) in [(Position::Left, "left"), (Position::Right, "right")] {
            for sample in 0..2 {
                let scene = Scene::Hand { person: 9_500_000 + person, position, sample, condition: Condition::Good };
                let name = format!("{person}-{word}-{sample}.png");
                write_picture(&folder.path().join(&name), &simulator.render(&scene, 1_000));
                manifest += &format!("{name},{person},{word},,frame,\n");
            }
        }
    }
    write_picture(&folder.path().join("empty.png"), &simulator.render(&Scene::Empty, 1_000));
    manifest += "empty.png,0,left,,frame,\n";
    let twin = Scene::Hand { person: 9_500_001, position: Position::Left, sample: 7, condition: Condition::Good };
    write_picture(&folder.path().join("print.png"), &simulator.render(&twin, 1_000));
    manifest += "print.png,1,left,,frame,printed paper\n";
    let (path, out) = (folder.path().join("m.csv"), folder.path().join("out"));
    fs::write(&path, manifest).expect("writable");

    let ran = volar_eval(&["verify", "--manifest", text(&path), "--out", text(&out)]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report = report(&out);
    assert_eq!(report["samples"], 18);
    let failure = &report["failure_to_acquire"];
    let count = failure["count"].as_u64().expect("a count");
    assert!((1..=4).contains(&count) && failure["by_reason"]["no hand"] == 1, "{failure}");
    assert!((failure["rate"].as_f64().expect("a rate") - count as f64 / 18.0).abs() < 1e-9);
    assert!(report["mated"].as_u64().is_some_and(|mated| (4..=8).contains(&mated)), "{report}");
    assert!(report["eer"].as_f64().is_some_and(|eer| eer < 0.05), "{report}");
    let attack = &report["presentation_attacks"]["printed paper"];
    assert_eq!(attack["compared"], 1, "an attack is no living capture: {report}");
}

#[test]
fn a_gallery_is_filled_with_made_up_palms_and_searched() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (folder.path().join("m.csv"), folder.path().join("out"));
    fs::write(&path, write_squares(folder.path(), 9_600_000, 6)).expect("writable");
    let asked = ["identify", "--manifest", text(&path), "--out", text(&out), "--gallery-size", "30"];
    let refused = volar_eval(&asked);
    assert_eq!(refused.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--background synthetic"));

    let ran = volar_eval(&[&asked[..], &["--background", "synthetic"]].concat());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report = report(&out);
    assert_eq!((&report["gallery_size"], &report["enrolled"]), (&30.into(), &6.into()));
    assert!(report["rank_1"].as_f64().is_some_and(|rate| rate > 0.7), "{report}");
    for key in ["1e-2", "1e-3", "1e-4"] {
        assert!(report["fnir_at_fpir"].as_object().is_some_and(|rates| rates.contains_key(key)));
    }
    assert!(out.join("report.html").exists() && out.join("det.svg").exists());
}

#[test]
fn a_score_model_is_learnt_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("score-model.toml");
    let ran = volar_eval(&["calibrate", "--out", text(&model), "--palms", "90", "--captures", "2"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (path, out) = (folder.path().join("m.csv"), folder.path().join("out"));
    fs::write(&path, write_squares(folder.path(), 9_700_000, 6)).expect("writable");
    let asked = ["verify", "--manifest", text(&path), "--out", text(&out), "--score-model", text(&model)];
    let ran = volar_eval(&asked);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(report(&out)["operating_point"]["false_matches"], 0);

    let damaged = fs::read_to_string(&model).expect("written").replacen("cosine = ", "cosine = -", 1);
    fs::write(&model, damaged).expect("writable");
    let refused = volar_eval(&asked);
    assert_eq!(refused.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fusion.cosine"));
}

#[test]
fn what_cannot_be_measured_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let path = folder.path().join("m.csv");
    let verify = |path: &Path| volar_eval(&["verify", "--manifest", text(path), "--out", text(&out)]);
    assert_eq!(volar_eval(&["verify"]).status.code(), Some(64));
    assert_eq!(verify(&path).status.code(), Some(66));
    fs::write(&path, "path,who\n").expect("writable");
    let refused = verify(&path);
    assert_eq!(refused.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no column \"subject\""));
    // One picture, and nothing to compare it with.
    let manifest = write_squares(folder.path(), 9_800_000, 1);
    let first: Vec<&str> = manifest.lines().take(2).collect();
    fs::write(&path, first.join("\n")).expect("writable");
    let alone = verify(&path);
    assert_eq!(alone.status.code(), Some(65));
    assert_eq!(report(&out)["eer"], Value::Null);
}
