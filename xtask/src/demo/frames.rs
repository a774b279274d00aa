//! Real infrared frames through the whole system: the first samples of each palm enrol at the kiosk, the rest walk in
//! at the gate, and whoever is admitted pays, which tells who the system took them for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use super::names::{ENROLLED, Frames, PalmName};
use super::report::{number, table};
use crate::configuration::{Ports, Sensors, Settings};
use crate::deployment::Deployment;
use crate::kiosk::{Kiosk, Visit};
use crate::signals;

/// A picture does not change: what has not been captured in this time, some 25 looks at it, never will be. A capture
/// takes half a second; a busy machine needs the rest.
const FRAME_PATIENCE: Duration = Duration::from_millis(2500);

/// What became of every frame.
#[derive(Debug, Serialize)]
pub struct FramesReport {
    /// One for each palm.
    pub palms: Vec<PalmReport>,
    /// Their sums.
    pub total: Counts,
    /// Files left out.
    pub skipped: Vec<Skipped>,
}

/// One palm.
#[derive(Debug, Serialize)]
pub struct PalmReport {
    /// Person and hand, such as `001 left`.
    pub palm: String,
    /// Its frames.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Numbers of frames.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// In the folder.
    pub frames: u32,
    /// That gave a template, enrolling or walking in.
    pub captured: u32,
    /// That walked in and were admitted as the person they show.
    pub admitted_right: u32,
    /// That walked in and were not admitted, captured or not.
    pub refused: u32,
    /// That walked in and were admitted as somebody else.
    pub admitted_wrong: u32,
}

/// A file that is no frame.
#[derive(Debug, Serialize)]
pub struct Skipped {
    file: String,
    reason: &'static str,
}

/// Runs all of them through a system of its own, in `state/frames`, started afresh: people of earlier runs would be
/// duplicates of themselves.
pub fn run(frames: &Frames, state: &Path, mirrored: bool) -> anyhow::Result<FramesReport> {
    let state = state.join("frames");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    for (file, reason) in &frames.skipped {
        println!("left out {file}: {reason}");
    }
    println!("Starting vault, matcher, kiosk and gate over mutual TLS; state in {}", state.display());
    let mut deployment = Deployment::prepare(&state, settings(frames, mirrored))?;
    deployment.start_all()?;
    if shows_other_hands(deployment.kiosk()?, frames)? {
        println!("These frames show left hands as right ones: taking them for mirror images.");
        deployment.configure(settings(frames, !mirrored));
        deployment.stop();
        deployment.start_all()?;
    }

    let bar = progress(frames);
    let mut counts: BTreeMap<&PalmName, Counts> = BTreeMap::new();
    for (palm, files) in &frames.palms {
        bar.set_message(format!("{} {} enrols", palm.person, palm.hand));
        let (captured, outcome) = enroll(deployment.kiosk()?, palm, &files[..files.len().min(ENROLLED)], &bar)?;
        if outcome != "active" {
            tell(&bar, &format!("{} {}: enrolment ended as {outcome}", palm.person, palm.hand));
        }
        let frames = u32::try_from(files.len()).unwrap_or(u32::MAX);
        counts.insert(palm, Counts { frames, captured, ..Counts::default() });
    }
    let mut failures_in_row = 0;
    for (palm, files) in &frames.palms {
        let count = counts.get_mut(palm).expect("every palm was counted above");
        for file in files.iter().skip(ENROLLED) {
            bar.set_message(format!("{} {} walks in", palm.person, palm.hand));
            walk_in(&mut deployment, palm, file, count, &mut failures_in_row)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(FramesReport::new(counts, frames))
}

fn settings(frames: &Frames, mirrored: bool) -> Settings {
    let mut settings = Settings::new(Sensors::pictures(&frames.folder, mirrored), Ports::Free);
    // Of three samples one is enough; the kiosk waits for the other two as long as showing them takes.
    let capture = "[capture]\nviews_wanted = 3\nviews_min = 1\npatience_seconds = 6\ninterval_ms = 100";
    settings.extra.push(("kiosk", capture.to_owned()));
    settings
}

/// Whether the kiosk takes the first palm for the other hand. How a sensor is mounted is not in a file's name.
fn shows_other_hands(kiosk: &Kiosk, frames: &Frames) -> anyhow::Result<bool> {
    let Some((palm, files)) = frames.palms.first_key_value() else { return Ok(false) };
    kiosk.begin(&[palm.hand])?;
    for file in files.iter().take(ENROLLED) {
        kiosk.stage(&picture(file))?;
        let end = Instant::now() + FRAME_PATIENCE;
        while Instant::now() < end {
            signals::sleep(signals::TICK)?;
            let Some(capture) = kiosk.state()?.capture else { break };
            if capture.captured > 0 || capture.guidance.as_deref() == Some("wrong-hand") {
                kiosk.reset()?;
                return Ok(capture.captured == 0);
            }
        }
    }
    kiosk.reset()?;
    Ok(false)
}

/// One visit to the kiosk for one palm, its pictures shown one after another. How many were captured, and the visit's
/// outcome.
fn enroll(kiosk: &Kiosk, palm: &PalmName, files: &[String], bar: &ProgressBar) -> anyhow::Result<(u32, String)> {
    let mut state = kiosk.begin(&[palm.hand])?;
    let mut captured = 0;
    for file in files {
        let before = captured;
        kiosk.stage(&picture(file))?;
        let end = Instant::now() + FRAME_PATIENCE;
        while state.screen == "capture" && Instant::now() < end {
            signals::sleep(signals::TICK)?;
            state = kiosk.state()?;
            let now = state.capture.as_ref().map_or(captured + 1, |capture| capture.captured);
            if now > captured {
                captured = now;
                break;
            }
        }
        if captured == before {
            let guidance = state.capture.as_ref().and_then(|capture| capture.guidance.as_deref());
            tell(bar, &format!("{file} was not captured: {}", guidance.unwrap_or("no reason given")));
        }
        bar.inc(1);
    }
    kiosk.stage(&nothing())?;
    if captured == 0 {
        kiosk.reset()?;
        return Ok((0, "not captured".to_owned()));
    }
    let state = kiosk.watch_until(|state| Ok(!matches!(state.screen.as_str(), "capture" | "enrolling")))?;
    let visit = Visit { hands: &[palm.hand], account: Some(&palm.person), code: None };
    Ok((captured, kiosk.finish(state, visit.account)?))
}

fn walk_in(
    deployment: &mut Deployment,
    palm: &PalmName,
    file: &str,
    count: &mut Counts,
    failures_in_row: &mut u32,
) -> anyhow::Result<()> {
    deployment.avoid_lockout(failures_in_row)?;
    let passage = deployment.gate()?.walk_in(&picture(file), &nothing(), FRAME_PATIENCE)?;
    count.captured += u32::from(!passage.decision.is_empty());
    let Some(ticket) = passage.ticket else {
        count.refused += 1;
        *failures_in_row += u32::from(!passage.decision.is_empty());
        return Ok(());
    };
    *failures_in_row = 0;
    let expected = format!("cus_test_{}", palm.person);
    match deployment.operator().claim(&ticket)? {
        Ok(customer) if customer == expected => count.admitted_right += 1,
        Ok(_) => count.admitted_wrong += 1,
        Err(reason) => anyhow::bail!("the ticket of {file} cannot be claimed: {reason}"),
    }
    Ok(())
}

/// Prints a line above the bar, also where there is no terminal to show a bar.
fn tell(bar: &ProgressBar, line: &str) {
    bar.suspend(|| println!("{line}"));
}

fn picture(file: &str) -> Value {
    json!({"show": "files", "paths": [file]})
}

fn nothing() -> Value {
    json!({"show": "files", "paths": []})
}

fn progress(frames: &Frames) -> ProgressBar {
    let files: usize = frames.palms.values().map(Vec::len).sum();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("the template is well-formed");
    ProgressBar::new(files as u64).with_style(style)
}

impl FramesReport {
    fn new(counts: BTreeMap<&PalmName, Counts>, frames: &Frames) -> Self {
        let mut total = Counts::default();
        for count in counts.values() {
            total.frames += count.frames;
            total.captured += count.captured;
            total.admitted_right += count.admitted_right;
            total.refused += count.refused;
            total.admitted_wrong += count.admitted_wrong;
        }
        let report =
            |(palm, counts): (&PalmName, Counts)| PalmReport { palm: format!("{} {}", palm.person, palm.hand), counts };
        let skipped = |(file, reason): &(String, &'static str)| Skipped { file: file.clone(), reason };
        Self {
            palms: counts.into_iter().map(report).collect(),
            total,
            skipped: frames.skipped.iter().map(skipped).collect(),
        }
    }

    /// Prints a row for each palm, and the total line.
    pub fn print(&self) {
        let mut table = table(&["palm", "frames", "captured", "admitted right", "refused", "admitted wrong"]);
        for PalmReport { palm, counts } in &self.palms {
            let numbers =
                [counts.frames, counts.captured, counts.admitted_right, counts.refused, counts.admitted_wrong];
            table.add_row(std::iter::once(Cell::new(palm)).chain(numbers.map(number)));
        }
        println!("{table}");
        let Counts { frames, captured, admitted_right, refused, admitted_wrong } = self.total;
        println!(
            "total: captured {captured} of {frames}, admitted right {admitted_right}, refused {refused}, \
             admitted wrong {admitted_wrong}"
        );
    }
}
