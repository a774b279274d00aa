//! One server: etcd, Patroni, and the PostgreSQL that Patroni runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::configuration;
use super::network::Place;

/// Killed processes are gone within this time.
const END_TIME_MAX: Duration = Duration::from_secs(30);
/// Lines of a log that an error shows.
const LOG_LINES_SHOWN: usize = 15;
/// Whom PostgreSQL runs as where the test is root, which it refuses to be.
const OWNER: &str = "postgres";

/// One server of a cluster.
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) folder: PathBuf,
    etcd: Vec<String>,
    patroni: Mutex<Option<Child>>,
}

impl Node {
    /// Writes its configuration.
    pub(super) fn prepare(cluster: &Path, number: usize, places: &[Place]) -> Self {
        let folder = cluster.join(format!("node-{number}"));
        fs::create_dir(&folder).expect("the folder is new");
        fs::write(folder.join("patroni.yml"), configuration::patroni(cluster, &folder, number, places))
            .expect("the folder is writable");
        let etcd = configuration::etcd(&folder, number, places);
        Self { number, place: places[number].clone(), folder, etcd, patroni: Mutex::new(None) }
    }

    /// Starts its etcd, which runs until the end.
    pub(super) fn start_etcd(&self) {
        let mut command = self.command("etcd");
        command.args(&self.etcd);
        #[allow(clippy::zombie_processes, reason = "the guardian ends it")]
        let _ = self.spawn("etcd", command);
    }

    /// Starts its Patroni.
    pub(super) fn start(&self) {
        let mut command = self.command("patroni");
        command.arg(self.folder.join("patroni.yml"));
        let child = self.spawn("patroni", command);
        *self.patroni.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    }

    /// Whether its Patroni is meant to run.
    pub(super) fn runs(&self) -> bool {
        self.patroni.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// SIGKILLs Patroni and every process of its PostgreSQL, Patroni first, for it would start PostgreSQL again.
    pub(super) fn kill(&self) {
        let child = self.patroni.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut child = child.expect("killed while it runs");
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
        // Its number may become a stranger's.
        let _ = fs::remove_file(self.folder.join("patroni.pid"));
        let lock = self.folder.join("data/postmaster.pid");
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let Some(postmaster) = text.lines().next().and_then(|line| line.parse().ok()) else { return };
        let mut victims = vec![postmaster];
        victims.extend(children(postmaster));
        for victim in &victims {
            if let Some(pid) = Pid::from_raw(*victim) {
                // Some may have ended by themselves since.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let end = Instant::now() + END_TIME_MAX;
        while victims.iter().any(|pid| state(*pid).is_some_and(|(state, _)| state != "Z" && state != "X")) {
            assert!(Instant::now() < end, "a killed process lives on");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Nobody may have fetched the dead one's status, and a dead process's id looks like a running server's.
        let _ = fs::remove_file(lock);
        let _ = fs::remove_file(self.folder.join(".s.PGSQL.5432.lock"));
    }

    /// The end of its log.
    pub(super) fn last_lines(&self) -> String {
        let text = fs::read(self.folder.join("patroni.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("-- node {}\n{shown}\n", self.number)
    }

    fn command(&self, program: &str) -> Command {
        let Some(namespace) = &self.place.namespace else { return as_owner(program) };
        let inner = as_owner(program);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(inner.get_program()).args(inner.get_args());
        command
    }

    fn spawn(&self, name: &str, mut command: Command) -> Child {
        use std::os::unix::process::CommandExt;
        let path = self.folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(path).expect("the folder is writable");
        let errors = log.try_clone().expect("a file");
        // Not the home of whoever runs the tests, which PostgreSQL's programs would look into for certificates.
        command
            .env("HOME", &self.folder)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        // Every program before the last becomes the next one, so that this is its id.
        fs::write(self.folder.join(format!("{name}.pid")), child.id().to_string()).expect("the folder is writable");
        child
    }
}

/// A command that runs as whoever PostgreSQL runs as.
pub(super) fn as_owner(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups", program]);
    command
}

/// Gives a folder and all in it to whoever PostgreSQL runs as.
pub(super) fn own(folder: &Path) {
    if rustix::process::geteuid().is_root() {
        let status = Command::new("chown").arg("-R").arg(format!("{OWNER}:{OWNER}")).arg(folder).status();
        assert!(status.expect("chown runs").success());
    }
}

/// Whether a program is on the path.
pub(super) fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}

fn children(of: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| state(*pid).is_some_and(|(_, parent)| parent == of)).collect()
}

/// State and parent of a process.
fn state(pid: i32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
