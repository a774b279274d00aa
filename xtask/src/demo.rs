//! `cargo xtask demo`: a whole system on this machine.

pub mod frames;
pub mod names;
pub mod report;
pub mod story;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::configuration::{Ports, Sensors, Settings};
use crate::deployment::Deployment;
use crate::packages::{self, Purpose};
use crate::token::Token;
use crate::{signals, workspace};

/// Where the demonstration keeps its state unless told otherwise, below the clone's top folder.
const STATE_FOLDER: &str = ".volar";

/// The same with the vault's keys in a token.
const HSM_STATE_FOLDER: &str = ".volar/hsm";

/// `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Tell the whole story without a person: enrol, enter, pay, a stranger, a duplicate, erasure. Fails if any step
    /// differs from the story.
    #[arg(long, conflicts_with = "frames")]
    auto: bool,
    /// Use real infrared frames instead of simulated hands: files `<person>_<l|r>_…_<sample>.<jpg|jpeg|png|bmp>`. The
    /// first three of each palm enrol, the rest walk in.
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Keep the vault's keys in a PKCS#11 token, SoftHSM, instead of a key file.
    #[arg(long, conflicts_with = "frames")]
    hsm: bool,
    /// The sensor that took the frames delivers mirror images.
    #[arg(long, requires = "frames")]
    mirrored: bool,
    /// Also write the results of `--auto` or `--frames` to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where certificates, keys, the store and logs are kept, and reused by the next run.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Run the binaries that are there instead of building them first.
    #[arg(long)]
    no_build: bool,
    /// Do not open the kiosk's page.
    #[arg(long)]
    no_browser: bool,
}

/// Installs, builds, starts and stops.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Faults in what was asked show before minutes of building.
    let frames = arguments.frames.as_deref().map(names::read).transpose()?;
    // A store is made under the key file or under the token, so each has a folder of its own.
    let usual = if arguments.hsm { HSM_STATE_FOLDER } else { STATE_FOLDER };
    let state = arguments.state.clone().unwrap_or_else(|| workspace::root().join(usual));
    let state = std::path::absolute(&state).context("the state folder's path cannot be used")?;
    if !arguments.no_build {
        packages::install(if arguments.hsm { Purpose::RunWithToken } else { Purpose::Run })?;
        workspace::build()?;
    }
    if let Some(frames) = frames {
        let report = frames::run(&frames, &state, arguments.mirrored)?;
        report.print();
        write_json(arguments.json.as_deref(), &report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ports = if arguments.auto { Ports::Free } else { Ports::Usual };
    println!("Starting vault, matcher, kiosk and gate over mutual TLS; state in {}", state.display());
    let mut settings = Settings::new(Sensors::simulated(25), ports).with_second_factors();
    if arguments.hsm {
        settings.token = Some(Token::prepare(&state.join("token"))?);
    }
    let mut deployment = Deployment::prepare(&state, settings)?;
    deployment.start_all()?;
    if arguments.auto {
        let report = story::tell(&mut deployment, arguments.hsm)?;
        report.print();
        write_json(arguments.json.as_deref(), &report)?;
        return Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    stay(&mut deployment, arguments.no_browser)
}

fn write_json(path: Option<&Path>, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Leaves everything running until Ctrl-C.
fn stay(deployment: &mut Deployment, no_browser: bool) -> anyhow::Result<ExitCode> {
    let (kiosk, gate) = (deployment.kiosk()?.0.url(), deployment.gate()?.page.url());
    // The first hand that a visitor sees: person 1, left.
    let hand = serde_json::json!({"show": "hand", "person": 1, "position": "left"});
    deployment.kiosk()?.stage(&hand)?;
    let folder = deployment.folder().display();
    println!(
        "
Volar runs.
  kiosk  {kiosk}   a simulated left hand hovers over its sensor
  gate   {gate}   waits for a hand

Try next: enrol on the kiosk's page; its dark panel says whose hand is over the sensor. Then walk in on the gate's page
with the same hand, held another way, or from a terminal:
  curl -s {gate}stage --json '{{\"show\":\"hand\",\"person\":1,\"position\":\"left\",\"sample\":1}}'
See who is enrolled, and erase one of them:
  {program} --config {folder}/volarctl.toml subject list
Or let it run by itself: cargo xtask demo --auto

Ctrl-C stops everything. State stays in {folder}.
",
        program = workspace::binaries().join("volarctl").display()
    );
    if !no_browser {
        open_browser(&kiosk);
    }
    loop {
        if signals::sleep(Duration::from_millis(500)).is_err() {
            println!("\nStopping.");
            deployment.stop();
            return Ok(ExitCode::SUCCESS);
        }
        deployment.check_running()?;
    }
}

/// Shows the page if there is a screen to show it on.
fn open_browser(url: &str) {
    let screen =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    if screen && workspace::has_program("xdg-open") {
        // The page is printed too: whoever has no browser that opens can still copy it.
        let _ = Command::new("xdg-open").arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
