//! One process of the system as a child of this one: started guarded, stopped in order, its log kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::signals;

/// A process has this long to come up. FAISS, OpenCV and a cold page cache take seconds on a small machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// A process has this long to end after SIGTERM; servers cut calls after five seconds.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);
/// Lines of a log that an error shows.
const LOG_LINES_SHOWN: usize = 12;

/// A running process. Dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process is started with.
pub struct Start<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Folder of the binaries.
    pub binaries: &'a Path,
    /// The binary's file name.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: Vec<std::ffi::OsString>,
    /// Where standard error is appended.
    pub log: PathBuf,
    /// What it has in its environment besides this process's.
    pub environment: Vec<(&'static str, std::ffi::OsString)>,
    /// Whether standard output is wanted; it goes to the log otherwise.
    pub output: bool,
}

impl Process {
    /// Starts it in a process group of its own, so that Ctrl-C reaches only this process, which stops its children in
    /// order.
    pub fn start(start: Start<'_>) -> anyhow::Result<(Self, Option<ChildStdout>)> {
        use std::os::unix::process::CommandExt;
        let program = start.binaries.join(start.program);
        if !program.exists() {
            bail!("{} is not built: run `cargo build --release --workspace --bins`", program.display());
        }
        let log = File::options().create(true).append(true).open(&start.log);
        let log = log.with_context(|| format!("cannot write {}", start.log.display()))?;
        let mut command = crate::guard::command(start.binaries, &program);
        command.args(&start.arguments).envs(start.environment).stdin(Stdio::null()).process_group(0);
        command.stdout(if start.output { Stdio::piped() } else { Stdio::from(log.try_clone()?) });
        command.stderr(Stdio::from(log));
        let mut child = spawn(command).with_context(|| format!("cannot start {}", start.name))?;
        let output = child.stdout.take();
        Ok((Self { name: start.name.to_owned(), child, log: start.log }, output))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` yields something; fails with the end of the log if the process ends first or takes too long.
    pub fn wait_until<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + START_TIME_MAX;
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            self.check()?;
            if Instant::now() > end {
                let seconds = START_TIME_MAX.as_secs();
                bail!(
                    "{} did not come up in {seconds} s; its log {} ends with\n{}",
                    self.name,
                    self.log.display(),
                    self.last_lines()
                );
            }
            signals::sleep(signals::TICK)?;
        }
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}; its log {} ends with\n{}", self.name, self.log.display(), self.last_lines());
        }
        Ok(())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it ends by itself.
    pub fn wait_for_end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} still runs after {} s", self.name, limit.as_secs());
            }
            std::thread::sleep(signals::TICK);
        }
    }

    /// Ends it as an operator would, with SIGTERM; kills it if that takes too long.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait_for_end(STOP_TIME_MAX).is_err() {
            self.kill();
        }
    }

    /// Ends it with SIGKILL, as a crash would.
    pub fn kill(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        // A child that was waited for may have given its number to a stranger.
        if self.is_running() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts children from a thread that never ends: to the kernel, the thread is the parent that they die with.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                // The asker may be gone; then nobody wants the child either, and it dies with this process.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, answered) = mpsc::channel();
    SPAWNER.send((command, answer)).map_err(|_| std::io::Error::other("the starting thread ended"))?;
    answered.recv().map_err(|_| std::io::Error::other("the starting thread ended"))?
}
