//! A PostgreSQL cluster as operators run it: three servers, each under Patroni, and three etcd that say who leads. From
//! Debian's packages, in a temporary folder.
//!
//! Synchronous and strict: a commit is acknowledged when a standby has it on its disk too, only such a standby is promoted,
//! and without one nothing is acknowledged. That, and not Patroni as such, is what keeps acknowledged writes.

mod configuration;
mod network;
mod node;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::http::Page;

use configuration::PASSWORD;
pub use network::Network;
use network::Place;
use node::{Node, as_owner, program};

/// How many servers, and how many etcd.
pub const NODES: usize = 3;
/// A leader that is not heard of for this long is replaced. Patroni takes no less; what it proposes is 30 s.
pub const LEADER_TIME_TO_LIVE: Duration = Duration::from_secs(20);
/// For a cluster to come up, or a server to come back into it: copies of a small database on a busy machine.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(180);
/// A server that does not follow by itself within this time is made anew, as an operator would.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a cluster became whole again.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// How long it took.
    pub after: Duration,
    /// Servers that did not follow by themselves and were made anew (`patronictl reinit`).
    pub made_anew: usize,
}

/// A running cluster. Dropping it ends every process and removes folder and networks, and so does the end of this process,
/// however it comes.
pub struct Patroni {
    nodes: Vec<Node>,
    network: Network,
    // Ended, by closing its input, before the folder goes.
    guardian: Child,
    folder: TempDir,
}

impl Patroni {
    /// Starts a cluster, waits until it is whole, and makes the vault's user and database in it.
    ///
    /// # Panics
    /// If a program is missing, or it does not come up.
    pub fn start(network: Network) -> Self {
        check_programs();
        let folder = tempfile::Builder::new().prefix("volar-ha-").tempdir().expect("a temporary folder");
        let guardian = guard(&folder, network);
        let places: Vec<Place> = network.build(NODES);
        configuration::certify(folder.path(), &places);
        let nodes: Vec<Node> = (0..NODES).map(|number| Node::prepare(folder.path(), number, &places)).collect();
        node::own(folder.path());
        let cluster = Self { nodes, network, guardian, folder };
        cluster.nodes.iter().for_each(Node::start_etcd);
        cluster.nodes.iter().for_each(Node::start);
        // At first nobody is astray, only slow.
        cluster.wait_for_the_whole(SETTLING_TIME_MAX);
        let primary = cluster.primary().expect("whole, so led");
        cluster
            .sql(primary, "postgres", &format!("CREATE ROLE volar LOGIN PASSWORD '{PASSWORD}'"))
            .expect("a new role");
        cluster.sql(primary, "postgres", "CREATE DATABASE volar OWNER volar").expect("a new database");
        cluster
    }

    /// `[store.postgres]` of a vault that keeps its records here: every server is named, and the vault finds the primary.
    pub fn store(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("{}:5432", node.place.client)).collect();
        let folder = self.folder.path().display();
        format!(
            "[store.postgres]\nurl = \"postgresql://volar@{}/volar\"\nca = \"{folder}/ca.pem\"\n\
             password_file = \"{folder}/password\"\n",
            hosts.join(",")
        )
    }

    /// The server that leads, and says so itself.
    pub fn primary(&self) -> Option<usize> {
        let leads = |node: &&Node| node.runs() && node.page().read::<Value>("/primary").is_ok();
        self.nodes.iter().find(leads).map(|node| node.number)
    }

    /// The servers that do not lead.
    pub fn standbys(&self) -> Vec<usize> {
        let primary = self.primary();
        (0..NODES).filter(|number| Some(*number) != primary).collect()
    }

    /// SIGKILLs Patroni and every process of its PostgreSQL.
    pub fn kill(&self, number: usize) {
        self.nodes[number].kill();
    }

    /// Starts Patroni again where it was killed; it starts PostgreSQL and has it follow whoever leads now.
    pub fn restart(&self, number: usize) {
        self.nodes[number].start();
    }

    /// Cuts a server off from the others and from their etcd; the vault still reaches it.
    pub fn isolate(&self, number: usize) {
        self.network.peers(number, false);
    }

    /// Cuts a server off from everything, the vault included, as a machine that loses its power is.
    pub fn vanish(&self, number: usize) {
        self.network.peers(number, false);
        self.network.clients(number, false);
    }

    /// Ends [`isolate`](Self::isolate) and [`vanish`](Self::vanish).
    pub fn reconnect(&self, number: usize) {
        self.network.clients(number, true);
        self.network.peers(number, true);
    }

    /// Whether a server takes writes, by its own word, asked on its own machine.
    pub fn takes_writes(&self, number: usize) -> bool {
        self.sql(number, "postgres", "SELECT NOT pg_is_in_recovery()").is_ok_and(|said| said == "t")
    }

    /// Waits until another server than `former` leads.
    ///
    /// # Panics
    /// If none comes to.
    pub fn wait_for_another_primary(&self, former: usize) -> usize {
        let end = Instant::now() + SETTLING_TIME_MAX;
        loop {
            let others = self.nodes.iter().filter(|node| node.number != former && node.runs());
            for node in others {
                if node.page().read::<Value>("/primary").is_ok() {
                    return node.number;
                }
            }
            assert!(Instant::now() < end, "no standby took over; the logs:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until one server leads and the others follow it, one of them synchronously.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_until_whole(&self) -> Whole {
        self.wait_for_the_whole(PATIENCE)
    }

    fn wait_for_the_whole(&self, patience: Duration) -> Whole {
        let start = Instant::now();
        let mut made_anew = None;
        loop {
            let after = start.elapsed();
            if self.is_whole() {
                return Whole { after, made_anew: made_anew.unwrap_or(0) };
            }
            if made_anew.is_none() && after > patience {
                made_anew = self.primary().map(|primary| self.make_anew(primary));
            }
            assert!(after < SETTLING_TIME_MAX, "the cluster is not whole; the logs:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has those that do not follow the primary copy it; returns how many.
    fn make_anew(&self, primary: usize) -> usize {
        let streaming = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'";
        let following = self.sql(primary, "postgres", streaming).unwrap_or_default();
        let follows = |node: &Node| following.lines().any(|name| name == configuration::name(node.number));
        let astray = self.nodes.iter().filter(|node| node.number != primary && node.runs() && !follows(node));
        astray.filter(|node| node.page().post("/reinitialize", &json!({"force": true})).is_ok()).count()
    }

    fn is_whole(&self) -> bool {
        let Some(primary) = self.primary() else { return false };
        let Ok(cluster) = self.nodes[primary].page().read::<Value>("/cluster") else { return false };
        let members = cluster["members"].as_array().map_or(&[][..], Vec::as_slice);
        let count = |role: &str| members.iter().filter(|member| member["role"] == role).count();
        let timelines_agree = members.iter().all(|member| member["timeline"] == members[0]["timeline"]);
        let run = |member: &Value| member["state"] == "running" || member["state"] == "streaming";
        // What the members write about themselves lags behind; the primary's own word does not.
        let follow =
            self.sql(primary, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'");
        members.len() == NODES
            && (count("leader"), count("sync_standby")) == (1, 1)
            && members.iter().all(run)
            && timelines_agree
            && follow.is_ok_and(|count| count == (NODES - 1).to_string())
    }

    /// Runs SQL on one server as its superuser and returns what it prints, unadorned.
    pub fn sql(&self, number: usize, database: &str, sql: &str) -> Result<String, String> {
        let folder = &self.nodes[number].folder;
        let mut command = as_owner("psql");
        command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-d", database, "-c", sql, "-h"]).arg(folder);
        let output = command
            .current_dir("/")
            .env("PGCONNECT_TIMEOUT", "5")
            .env("HOME", folder)
            .output()
            .expect("psql is installed");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn logs(&self) -> String {
        self.nodes.iter().map(Node::last_lines).collect()
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        // It ends once everything has.
        let _ = self.guardian.wait();
    }
}

impl Node {
    fn page(&self) -> Page {
        Page::at(&format!("{}:8008", self.place.client))
    }
}

/// A shell that ends everything when this process has closed its end of a pipe, or has died.
fn guard(folder: &TempDir, network: Network) -> Child {
    use std::os::unix::process::CommandExt;
    let script = "cat >/dev/null\n\
        for pid in \"$0\"/*/patroni.pid \"$0\"/*/etcd.pid \"$0\"/*/data/postmaster.pid; do\n\
        [ -f \"$pid\" ] && kill -9 $(head -n 1 \"$pid\")\ndone\n";
    let script = format!("{script}{}\nsleep 1; rm -rf \"$0\"", network.removal(NODES));
    let mut command = Command::new("/bin/sh");
    let command = command.arg("-c").arg(script).arg(folder.path()).current_dir("/");
    // Out of reach of a terminal's Ctrl-C, which ends this process's group.
    let command = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell runs")
}

/// The folder of PostgreSQL's own programs; Debian keeps them out of the path, a folder for each version.
pub(crate) fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let programs = version.path().join("bin");
        programs.join("initdb").exists().then_some((number, programs))
    });
    let missing = "no PostgreSQL server is installed: `cargo xtask test` installs what the tests need";
    found.max().unwrap_or_else(|| panic!("{missing}")).1
}

/// What is installed for these tests, looked at before anything is started.
fn check_programs() {
    for name in ["patroni", "etcd", "psql", "setpriv"] {
        let missing = "is not installed: `cargo xtask test` installs what the tests need";
        assert!(program(name), "{name} {missing}");
    }
}
