//! A process of a measurement: started, listened to, and always stopped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a child may take to end after SIGTERM. A daemon drains first; the load is gone by
/// then, so it has nothing to wait for.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often a child is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Lines of stdout that are kept until somebody asks for them; the rest is dropped, so that a
/// talkative server can't fill the memory.
const MAX_LINES: usize = 16;

/// Bytes of stderr that an error quotes, from its end.
const MAX_QUOTE: u64 = 2048;

/// A running process in a group of its own. Dropping it stops the whole group: SIGTERM, and
/// SIGKILL when that has not helped after five seconds.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    lines: Receiver<String>,
    /// Its stderr. A file in memory, so that reading it takes no time while it is measured.
    stderr: File,
}

impl Child {
    /// Starts `command` on one CPU, or on any. `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// When no process can be started. A command that doesn't exist shows later, as a child that
    /// has ended.
    pub(crate) fn spawn(name: &str, command: &[OsString], cpu: Option<usize>) -> Result<Self> {
        let stderr = File::from(memfd_create("stderr", MemfdFlags::CLOEXEC)?);
        let mut pinned = Command::new(own_program()?);
        pinned.arg("pinned");
        if let Some(cpu) = cpu {
            pinned.arg(format!("--cpu={cpu}"));
        }
        let mut process = pinned
            .arg("--")
            .args(command)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (send, lines) = sync_channel(MAX_LINES);
        let stdout = process.stdout.take();
        let child = Self { name: name.to_owned(), process, lines, stderr };
        let stdout = stdout.context("a piped stdout is missing")?;
        thread::spawn(move || forward(stdout, &send));
        Ok(child)
    }

    /// The process id, which is the command's own.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its stdout.
    ///
    /// # Errors
    ///
    /// When none comes within `limit`, or when it ends before; with what it wrote to stderr.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.failure(&format!("printed nothing for {limit:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.early_end()),
        }
    }

    /// The next line of its stdout, if it has printed one.
    pub(crate) fn line_so_far(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Waits until it ends; what it prints is dropped.
    ///
    /// # Errors
    ///
    /// When it fails, or hasn't ended within `limit`; with what it wrote to stderr.
    pub(crate) fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = if self.closes(limit) { self.wait(STOP_WITHIN) } else { None };
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.ended(status)),
            None => Err(self.failure(&format!("has not ended within {limit:?}"))),
        }
    }

    /// Waits for `time`; what it prints is dropped.
    ///
    /// # Errors
    ///
    /// When it ends before; with what it wrote to stderr.
    pub(crate) fn stay(&mut self, time: Duration) -> Result<()> {
        if self.closes(time) { Err(self.early_end()) } else { Ok(()) }
    }

    /// Whether it is still there after `time`; what it prints is dropped.
    pub(crate) fn stays(&mut self, time: Duration) -> bool {
        !self.closes(time)
    }

    /// Asks it and its whole group to end, with SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// How it ended, if it ends within `limit`; with what it wrote to stderr.
    pub(crate) fn end(&mut self, limit: Duration) -> Option<Error> {
        let status = self.wait(limit)?;
        Some(self.ended(status))
    }

    /// An error that names this child, says `what` and quotes its stderr.
    pub(crate) fn failure(&self, what: &str) -> Error {
        let mut text = format!("{} {what}", self.name);
        let quote = self.quote().unwrap_or_default();
        if !quote.is_empty() {
            text.push_str("; it said:\n");
            text.push_str(&quote);
        }
        anyhow!(text)
    }

    fn ended(&self, status: ExitStatus) -> Error {
        self.failure(&format!("has ended ({status})"))
    }

    /// Why its stdout is closed.
    fn early_end(&mut self) -> Error {
        self.end(STOP_WITHIN).unwrap_or_else(|| self.failure("closed its standard output"))
    }

    /// Whether it closes its stdout within `limit`, as its end does.
    fn closes(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
        false
    }

    fn signal(&self, signal: Signal) {
        // It fails only when nobody of the group is left.
        let _ = kill_process_group(Pid::from_child(&self.process), signal);
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            // An error means that there is nothing to wait for, or never will be.
            match self.process.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(ASK_EVERY),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    fn quote(&self) -> io::Result<String> {
        let len = self.stderr.metadata()?.len();
        let start = len.saturating_sub(MAX_QUOTE);
        let mut quote = vec![0; usize::try_from(len - start).unwrap_or(0)];
        self.stderr.read_exact_at(&mut quote, start)?;
        Ok(String::from_utf8_lossy(&quote).trim_end().to_owned())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.terminate();
        if self.wait(STOP_WITHIN).is_none() {
            self.signal(Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// The command that runs this same program with other arguments.
///
/// # Errors
///
/// When the system doesn't tell where this program is.
pub(crate) fn own_command<const N: usize>(arguments: [&str; N]) -> Result<Vec<OsString>> {
    let mut command = vec![own_program()?];
    command.extend(arguments.map(OsString::from));
    Ok(command)
}

fn own_program() -> Result<OsString> {
    Ok(std::env::current_exe().context("cannot tell where this program is")?.into_os_string())
}

/// Hands on what a child prints, as long as there is room, and reads on in any case: a full pipe
/// would stop the child.
fn forward(stdout: ChildStdout, lines: &SyncSender<String>) {
    let mut stdout = BufReader::new(stdout);
    for line in stdout.by_ref().lines().map_while(Result::ok) {
        let _ = lines.try_send(line);
    }
    let _ = io::copy(&mut stdout, &mut io::sink());
}
