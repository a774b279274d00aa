//! Vault, matcher, kiosk and gate on this machine, as their users run them: real processes, files and mutual TLS.
//!
//! The folder of a deployment holds its certificates, configurations, the vault's keys and store, and logs. Starting
//! again on the same folder goes on where the last run ended.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::configuration::{Addresses, PEERS, SITE, Settings, TENANT, text};
use crate::gate::{Gate, Lines};
use crate::kiosk::Kiosk;
use crate::operator::{Operator, volarctl};
use crate::process::{Process, Start};
use crate::token::Token;
use crate::workspace::binaries;

/// After this many failures in a row on a lane, the next visitor takes another: the fifth would lock it.
const FAILURES_BEFORE_NEXT_LANE: u32 = 4;

/// A deployment, running or not. Dropping it stops it.
#[derive(Debug)]
pub struct Deployment {
    folder: PathBuf,
    settings: Settings,
    addresses: Addresses,
    lane: u32,
    gate: Option<Gate>,
    kiosk: Option<(Process, Kiosk)>,
    matcher: Option<Process>,
    vault: Option<Process>,
}

impl Deployment {
    /// Makes the folder ready: certificates unless it has them, and configurations.
    pub fn prepare(folder: &Path, settings: Settings) -> anyhow::Result<Self> {
        for inner in ["", "certificates", "keys", "logs", "run"] {
            let path = folder.join(inner);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let addresses = Addresses::wanted(settings.ports);
        let deployment = Self {
            folder: folder.to_owned(),
            settings,
            addresses,
            lane: 1,
            gate: None,
            kiosk: None,
            matcher: None,
            vault: None,
        };
        deployment.certify()?;
        deployment.make_key()?;
        Ok(deployment)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its processes listen.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Changes what processes started from now on are told.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Starts everything.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        self.start_vault()?;
        self.start_matcher()?;
        self.start_kiosk()?;
        self.start_gate()
    }

    /// Starts the vault, at the address it had before if it ran before.
    pub fn start_vault(&mut self) -> anyhow::Result<()> {
        let (process, address) = self.start_server("vault", self.addresses.vault)?;
        self.vault = Some(process);
        self.addresses.vault = address;
        self.write("volarctl")
    }

    /// Starts the matcher.
    pub fn start_matcher(&mut self) -> anyhow::Result<()> {
        let (process, address) = self.start_server("matcher", self.addresses.matcher)?;
        self.matcher = Some(process);
        self.addresses.matcher = address;
        self.write("volarctl")
    }

    /// Starts the kiosk and waits until it welcomes people.
    pub fn start_kiosk(&mut self) -> anyhow::Result<()> {
        let (mut process, address) = self.start_server("kiosk", self.addresses.kiosk)?;
        self.addresses.kiosk = address;
        let kiosk = Kiosk::at(&address.to_string());
        process.wait_until(|| kiosk.state().ok().filter(|state| state.screen == "welcome"))?;
        self.kiosk = Some((process, kiosk));
        Ok(())
    }

    /// Starts the gate and waits until it is ready for a hand.
    pub fn start_gate(&mut self) -> anyhow::Result<()> {
        self.write("gate")?;
        let announced = self.announced("gate");
        let (mut process, output) = Process::start(self.start("gate", true))?;
        let output = output.context("the gate's standard output was asked for")?;
        let log = fs::File::options().create(true).append(true).open(self.folder.join("logs/gate-events.jsonl"))?;
        let lines = Lines::follow(output, log);
        let ready = lines.clone();
        process.wait_until(|| {
            ready.wait(0, std::time::Duration::ZERO, |event| event["event"] == "ready").ok().flatten()
        })?;
        let address = process.wait_until(|| read_address(&announced))?;
        self.addresses.gate = address;
        self.gate = Some(Gate::new(process, &address.to_string(), lines));
        Ok(())
    }

    /// Moves on to a fresh lane once this one is about to be locked for failing too often in a row: a real shop would
    /// wait half a minute.
    pub fn avoid_lockout(&mut self, failures_in_row: &mut u32) -> anyhow::Result<()> {
        if *failures_in_row < FAILURES_BEFORE_NEXT_LANE {
            return Ok(());
        }
        *failures_in_row = 0;
        self.next_lane()
    }

    /// Has the gate start again at another lane.
    pub fn next_lane(&mut self) -> anyhow::Result<()> {
        self.gate = None;
        self.lane += 1;
        self.start_gate()
    }

    /// The kiosk.
    pub fn kiosk(&self) -> anyhow::Result<&Kiosk> {
        Ok(&self.kiosk.as_ref().context("the kiosk is not running")?.1)
    }

    /// The gate.
    pub fn gate(&self) -> anyhow::Result<&Gate> {
        self.gate.as_ref().context("the gate is not running")
    }

    /// The vault's process.
    pub fn vault_process(&mut self) -> anyhow::Result<&mut Process> {
        self.vault.as_mut().context("the vault is not running")
    }

    /// The matcher's process.
    pub fn matcher_process(&mut self) -> anyhow::Result<&mut Process> {
        self.matcher.as_mut().context("the matcher is not running")
    }

    /// The kiosk's process.
    pub fn kiosk_process(&mut self) -> anyhow::Result<&mut Process> {
        Ok(&mut self.kiosk.as_mut().context("the kiosk is not running")?.0)
    }

    /// The gate's process.
    pub fn gate_process(&mut self) -> anyhow::Result<&mut Process> {
        Ok(&mut self.gate.as_mut().context("the gate is not running")?.process)
    }

    /// An operator and checkout backend with its certificates.
    pub fn operator(&self) -> Operator {
        Operator { config: self.folder.join("volarctl.toml") }
    }

    /// Fails if any process has ended by itself.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        let gate = self.gate.as_mut().map(|gate| &mut gate.process);
        let kiosk = self.kiosk.as_mut().map(|(process, _)| process);
        let all = [gate, kiosk, self.matcher.as_mut(), self.vault.as_mut()];
        for process in all.into_iter().flatten() {
            process.check()?;
        }
        Ok(())
    }

    /// Stops everything, callers before those they call.
    pub fn stop(&mut self) {
        self.gate = None;
        self.kiosk = None;
        self.matcher = None;
        self.vault = None;
    }

    /// Issues what is missing in its folder of certificates.
    fn certify(&self) -> anyhow::Result<()> {
        let folder = self.folder.join("certificates");
        if !folder.join("ca.key").exists() {
            run_volarctl(["certificate", "authority", "--out"].map(OsString::from), &[folder.as_os_str()])?;
        }
        for (role, device) in PEERS {
            if !folder.join(device).with_extension("pem").exists() {
                let words =
                    ["certificate", "issue", "--tenant", TENANT, "--site", SITE, "--role", role, "--device", device];
                let rest = ["--ca".as_ref(), folder.as_os_str(), "--out".as_ref(), folder.as_os_str()];
                run_volarctl(words.map(OsString::from), &rest)?;
            }
        }
        Ok(())
    }

    /// Has the vault make its key file, or its keys in the token; those that are there are kept.
    fn make_key(&self) -> anyhow::Result<()> {
        self.write("vault")?;
        let config = self.folder.join("vault.toml");
        let mut command = Command::new(binaries().join("volar-vault"));
        let made = command.args(["init", "--config"]).arg(config).envs(self.environment("vault")).output();
        let made = made.context("cannot run volar-vault")?;
        if !made.status.success() {
            bail!("volar-vault cannot make its key: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        Ok(())
    }

    fn start_server(&self, name: &'static str, listen: SocketAddr) -> anyhow::Result<(Process, SocketAddr)> {
        self.write(name)?;
        let announced = self.announced(name);
        let (mut process, _) = Process::start(self.start(name, false))?;
        let address = process.wait_until(|| read_address(&announced))?;
        if listen.port() != 0 && address != listen {
            bail!("{name} listens at {address}, not at {listen}");
        }
        Ok((process, address))
    }

    fn start(&self, name: &'static str, output: bool) -> Start<'static> {
        let config = self.folder.join(name).with_extension("toml");
        let announce = self.folder.join("run").join(name);
        let arguments = vec!["--config".into(), config.into(), "--announce".into(), announce.into()];
        let program = match name {
            "vault" => "volar-vault",
            "matcher" => "volar-matcher",
            "kiosk" => "volar-kiosk",
            _ => "volar-gate",
        };
        let log = self.folder.join("logs").join(name).with_extension("log");
        Start { name, binaries: binaries(), program, arguments, log, environment: self.environment(name), output }
    }

    fn environment(&self, name: &str) -> Vec<(&'static str, OsString)> {
        let token = self.settings.token.as_ref().filter(|_| name == "vault");
        token.map(Token::environment).into_iter().collect()
    }

    /// Where the process will write its address; nothing is there yet.
    fn announced(&self, name: &str) -> PathBuf {
        let path = self.folder.join("run").join(name);
        // Not there unless it ran before.
        let _ = fs::remove_file(&path);
        path
    }

    /// Writes a configuration anew: addresses may have become known.
    fn write(&self, name: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name).with_extension("toml");
        let text = text(name, &self.settings, &self.addresses, self.lane);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_address(announced: &Path) -> Option<SocketAddr> {
    fs::read_to_string(announced).ok()?.trim().parse().ok()
}

fn run_volarctl<const N: usize>(words: [OsString; N], rest: &[&std::ffi::OsStr]) -> anyhow::Result<()> {
    let arguments: Vec<&std::ffi::OsStr> = words.iter().map(OsString::as_os_str).chain(rest.iter().copied()).collect();
    let said = volarctl(&arguments)?;
    if !said.ok {
        bail!("volarctl cannot make certificates: {}", said.errors.trim());
    }
    Ok(())
}
