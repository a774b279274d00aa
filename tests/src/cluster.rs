//! A gallery spread over matchers, as real processes: shards in replicas, and a router before them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use xtask::configuration::{Addresses, GALLERY, SITE, TENANT};
use xtask::operator::volarctl;
use xtask::process::{Process, Start};
use xtask::workspace::binaries;

use crate::client::Clients;
use crate::system::System;

/// Shards, their replicas, and a router. Dropping it stops them.
pub struct Cluster {
    folder: PathBuf,
    addresses: Addresses,
    /// As a configuration lists them.
    galleries: String,
    /// The router first, for callers stop before those they call.
    members: Vec<Member>,
}

/// One process of a cluster.
struct Member {
    device: String,
    process: Process,
    address: SocketAddr,
}

impl Cluster {
    /// Starts `shards` times `replicas` matchers and a router on the vault of `system`.
    ///
    /// # Panics
    /// If a process does not start.
    pub fn start(system: &System, shards: usize, replicas: usize) -> Self {
        Self::start_in(system, &[GALLERY], shards, replicas)
    }

    /// The same, for these galleries in place of the usual one.
    ///
    /// # Panics
    /// If a process does not start.
    pub fn start_in(system: &System, galleries: &[&str], shards: usize, replicas: usize) -> Self {
        let mut cluster = Self {
            folder: system.folder().to_owned(),
            addresses: system.deployment.addresses(),
            galleries: format!("{galleries:?}"),
            members: Vec::new(),
        };
        let mut list = Vec::new();
        for shard in 0..shards {
            let mut addresses = Vec::new();
            for replica in 0..replicas {
                let lines = format!("shard = \"{shard}/{shards}\"\n");
                addresses.push(cluster.add(&format!("shard-{shard}-{replica}"), &lines));
            }
            list.push(addresses);
        }
        let lists: Vec<Vec<String>> =
            list.iter().map(|shard| shard.iter().map(|address| format!("https://{address}")).collect()).collect();
        let router = cluster.add("router-1", &format!("[router]\nshards = {lists:?}\n"));
        cluster.addresses.matcher = router;
        cluster
    }

    /// Clients whose matcher is the router.
    pub fn clients(&self) -> Clients {
        Clients::new(&self.folder, self.addresses)
    }

    /// How many processes there are; the last is the router.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Kills process `number` with SIGKILL and starts it again at the same address; gives its name.
    ///
    /// # Panics
    /// If it had ended by itself, or does not come back.
    pub fn kill(&mut self, number: usize) -> String {
        self.take_away(number);
        self.bring_back(number);
        self.members[number].device.clone()
    }

    /// Kills process `number` with SIGKILL.
    ///
    /// # Panics
    /// If it had ended by itself.
    pub fn take_away(&mut self, number: usize) {
        let process = &mut self.members[number].process;
        process.check().expect("nothing ends by itself");
        process.kill();
    }

    /// Starts process `number` at the address that it had.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn bring_back(&mut self, number: usize) {
        let Member { device, process, address } = &mut self.members[number];
        *process = start(&self.folder, device, *address).0;
    }

    fn add(&mut self, device: &str, lines: &str) -> SocketAddr {
        certify(&self.folder.join("certificates"), device);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut text = format!("vault = \"https://{}\"\ngalleries = {}\n", self.addresses.vault, self.galleries);
        let (top, table) = if lines.starts_with('[') { ("", lines) } else { (lines, "") };
        let _ = write!(
            text,
            "{top}\n[server]\nlisten = \"{listen}\"\n\n[tls]\nca = \"certificates/ca.pem\"\n\
             certificate = \"certificates/{device}.pem\"\nkey = \"certificates/{device}.key\"\n\n{table}"
        );
        let config = self.folder.join(device).with_extension("toml");
        fs::write(&config, &text).expect("the folder is writable");
        let (process, address) = start(&self.folder, device, listen);
        // Where it is found again after a kill.
        fs::write(&config, text.replace(&listen.to_string(), &address.to_string())).expect("the folder is writable");
        self.members.push(Member { device: device.to_owned(), process, address });
        address
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        while let Some(member) = self.members.pop() {
            drop(member);
        }
    }
}

fn certify(folder: &Path, device: &str) {
    let words = ["certificate", "issue", "--tenant", TENANT, "--site", SITE, "--role", "matcher", "--device", device];
    let words = words.map(OsString::from);
    let rest = ["--ca".as_ref(), folder.as_os_str(), "--out".as_ref(), folder.as_os_str()];
    let arguments: Vec<_> = words.iter().map(OsString::as_os_str).chain(rest).collect();
    let said = volarctl(&arguments).expect("volarctl runs");
    assert!(said.ok, "{}", said.errors);
}

fn start(folder: &Path, device: &str, listen: SocketAddr) -> (Process, SocketAddr) {
    let announce = folder.join("run").join(device);
    // Not there unless it ran before.
    let _ = fs::remove_file(&announce);
    let config = folder.join(device).with_extension("toml");
    let arguments = vec!["--config".into(), config.into(), "--announce".into(), announce.clone().into()];
    let log = folder.join("logs").join(device).with_extension("log");
    let start = Start {
        name: device,
        binaries: binaries(),
        program: "volar-matcher",
        arguments,
        log,
        output: false,
        environment: Vec::new(),
    };
    let (mut process, _) = Process::start(start).expect("the matcher starts");
    let address: SocketAddr = process
        .wait_until(|| fs::read_to_string(&announce).ok()?.trim().parse().ok())
        .expect("the matcher announces its address");
    assert!(listen.port() == 0 || address == listen, "{device} listens at {address}, not at {listen}");
    (process, address)
}
