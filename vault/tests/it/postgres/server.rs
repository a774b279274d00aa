//! A real PostgreSQL server from Debian's packages, in a temporary folder, on a Unix socket only.
//!
//! A guardian process holds a pipe from this one: however this process ends, the pipe closes, and the guardian stops
//! the server and removes its folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The user that every test connects as.
const USER: &str = "volar";
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    databases: AtomicU64,
    environment: Vec<(&'static str, OsString)>,
    _guardian: Child,
}

/// The server that this process's tests share.
pub(crate) fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[]))
}

impl Server {
    /// Makes and starts a server with further settings, `name = value` each.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, Vec::new())
    }

    /// The same, with more in the server's environment.
    pub(crate) fn start_with(settings: &[&str], environment: Vec<(&'static str, OsString)>) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("volar-pg-").tempdir().expect("a temporary folder").keep();
        let owner = owner();
        if let Some((_, uid, gid)) = owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).expect("root may");
        }
        let guardian = guard(&folder, &programs);
        let server = Self { folder, programs, databases: AtomicU64::new(0), environment, _guardian: guardian };
        let data = server.data();
        let data = data.to_str().expect("plain path");
        server.program("initdb", &["-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]);
        let socket = server.folder.display();
        let mut text = format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\nmax_connections = 300\n");
        settings.iter().for_each(|setting| text.push_str(&format!("{setting}\n")));
        let path = server.data().join("postgresql.conf");
        let shipped = std::fs::read_to_string(&path).expect("initdb wrote it");
        std::fs::write(&path, format!("{shipped}\n{text}")).expect("writable");
        server.run();
        server
    }

    /// Starts the stopped server and waits until it takes connections.
    pub(crate) fn run(&self) {
        let (data, log) = (self.data(), self.folder.join("log"));
        let (data, log) = (data.to_str().expect("plain path"), log.to_str().expect("plain path"));
        self.program("pg_ctl", &["-D", data, "-l", log, "-w", "-t", "60", "start"]);
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&self) -> bool {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).ok();
        let pid = pid.and_then(|pid| pid.lines().next()?.trim().parse().ok());
        pid.is_some_and(|pid| !is_dead(pid))
    }

    /// Stops the server as `pg_ctl stop -m MODE` does: "fast" in order, "immediate" as if it crashed.
    pub(crate) fn stop(&self, mode: &str) {
        let data = self.data();
        self.program("pg_ctl", &["-D", data.to_str().expect("plain path"), "-w", "-m", mode, "stop"]);
    }

    /// SIGKILLs every process of the server at once, as a power cut would end them.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("running");
        let pid: i32 = pid.lines().next().and_then(|line| line.parse().ok()).expect("a process id");
        let signal = |victim: i32, signal| {
            if let Some(pid) = rustix::process::Pid::from_raw(victim) {
                // Some may have ended by themselves since.
                let _ = rustix::process::kill_process(pid, signal);
            }
        };
        // First, so that it makes no child that nobody knows of and that would keep its memory from the next server.
        signal(pid, rustix::process::Signal::STOP);
        let mut victims = vec![pid];
        victims.extend(children(pid));
        victims.iter().for_each(|victim| signal(*victim, rustix::process::Signal::KILL));
        let end = Instant::now() + ANSWER_TIME_MAX;
        while victims.iter().any(|pid| Path::new(&format!("/proc/{pid}/stat")).exists() && !is_dead(*pid)) {
            assert!(Instant::now() < end, "a killed process lives on");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Nobody may have fetched the dead one's status, and a dead process's id looks like a running server's.
        std::fs::remove_file(self.data().join("postmaster.pid")).expect("left behind");
        let locks = std::fs::read_dir(&self.folder).expect("readable").flatten().map(|entry| entry.path());
        for lock in locks.filter(|path| path.to_string_lossy().ends_with(".lock")) {
            std::fs::remove_file(lock).expect("left behind");
        }
    }

    /// The address of a fresh database.
    pub(crate) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let host = self.folder.to_str().expect("plain path").replace('/', "%2F");
        format!("postgresql://{USER}@{host}/{database}")
    }

    /// Runs SQL and returns what it prints, unadorned.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let socket = self.folder.to_str().expect("plain path");
        self.program("psql", &["-X", "-q", "-A", "-t", "-h", socket, "-U", USER, "-d", database, "-c", sql])
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's data, write-ahead log included.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = as_owner(&self.programs.join(name));
        // A server started by pg_ctl would hold a pipe for ever.
        let (out, errors) = (self.folder.join(format!("{name}.out")), self.folder.join(format!("{name}.err")));
        let (out, errors) = if name == "pg_ctl" {
            let file = |path| std::fs::File::create(path).expect("writable");
            (Some((Stdio::from(file(&out)), Stdio::from(file(&errors)))), Some((out, errors)))
        } else {
            (None, None)
        };
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        if name == "pg_ctl" {
            command.envs(self.environment.iter().cloned());
        }
        let output = match out {
            Some((out, errors)) => {
                let status = command.stdout(out).stderr(errors).status().expect("PostgreSQL's programs run");
                std::process::Output { status, stdout: Vec::new(), stderr: Vec::new() }
            }
            None => command.output().expect("PostgreSQL's programs run"),
        };
        let said = errors
            .map(|(out, errors)| [out, errors].map(|path| std::fs::read_to_string(path).unwrap_or_default()).concat());
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name} {arguments:?}: {errors}{}\n{}", said.unwrap_or_default(), log());
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

/// Debian keeps the server's programs out of the path, a folder for each version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|versions| versions.flatten().collect::<Vec<_>>());
    let mut found: Vec<(u32, PathBuf)> = versions
        .unwrap_or_default()
        .into_iter()
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    found.sort();
    let missing =
        "no PostgreSQL server is installed: run `apt-get install postgresql`, or `cargo xtask test`, which does";
    found.pop().unwrap_or_else(|| panic!("{missing}")).1
}

/// Whom the server runs as: it refuses to be root.
fn owner() -> Option<(&'static str, u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("readable");
    let entry = |name: &'static str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    entry("postgres").or_else(|| entry("nobody"))
}

fn as_owner(program: &Path) -> Command {
    let Some((_, uid, gid)) = owner() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups").arg(program);
    command
}

fn guard(folder: &Path, programs: &Path) -> Child {
    use std::os::unix::process::CommandExt;
    let script = "cat >/dev/null; \"$1/pg_ctl\" -D \"$0/data\" -m immediate stop; rm -rf \"$0\"";
    let mut command = as_owner(Path::new("/bin/sh"));
    let command = command.arg("-c").arg(script).arg(folder).arg(programs).current_dir("/");
    // Out of reach of a terminal's Ctrl-C, which ends this process's group.
    let command = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell runs")
}

fn children(of: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == of)).collect()
}

fn is_dead(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == "Z" || state == "X")
}

/// State and parent of a process.
fn stat(pid: i32) -> Option<(String, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
