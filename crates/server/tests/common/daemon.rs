//! The daemon as a process: started, read, signalled, and never left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};

use super::{LIMIT, Peer};

/// A running daemon. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Volleyd {
    child: Child,
    /// What it printed after `listening `, one for each line.
    pub(crate) endpoints: Vec<String>,
    stdout: Receiver<String>,
    log: Receiver<String>,
    /// The lines of its log that have been read.
    seen: Vec<String>,
}

/// The daemon's last line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) frames_received: u64,
    pub(crate) frames_answered: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) ends: BTreeMap<String, u64>,
}

impl Volleyd {
    /// On a port of 127.0.0.1 that the system chooses.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Self::command();
        command.args(["--listen", "tcp://127.0.0.1:0"]).args(arguments);
        Self::spawn(command, 1)
    }

    /// The program, with nothing of this environment that it would heed.
    pub(crate) fn command() -> Command {
        Self::clean(Command::new(env!("CARGO_BIN_EXE_volleyd")))
    }

    /// Through a program that becomes it in the end.
    pub(crate) fn command_through(program: &str, arguments: &[&str]) -> Command {
        let mut command = Self::clean(Command::new(program));
        command.args(arguments).arg(env!("CARGO_BIN_EXE_volleyd"));
        command
    }

    /// A copy of the program, which can be replaced.
    pub(crate) fn command_of_copy(path: &Path) -> Command {
        fs::copy(env!("CARGO_BIN_EXE_volleyd"), path).unwrap();
        Self::clean(Command::new(path))
    }

    fn clean(mut command: Command) -> Command {
        let heeded = ["RUST_LOG", "NO_COLOR", "VOLLEYD_DRAIN_DELAY", "NOTIFY_SOCKET"];
        let passed =
            ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"];
        for name in heeded.into_iter().chain(passed) {
            command.env_remove(name);
        }
        command
    }

    /// Waits until as many listeners have been announced.
    pub(crate) fn spawn(mut command: Command, listeners: usize) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let mut daemon = Self { child, endpoints: Vec::new(), stdout, log, seen: Vec::new() };
        while daemon.endpoints.len() < listeners {
            let Some(endpoint) = daemon.next_endpoint() else {
                let (code, log) = daemon.exit();
                panic!("it exited with {code} before it listened: {log:#?}");
            };
            daemon.endpoints.push(endpoint);
        }
        daemon
    }

    /// Where so many further listeners are announced.
    pub(crate) fn more_endpoints(&self, listeners: usize) -> Vec<String> {
        (0..listeners).map(|_| self.next_endpoint().expect("a listener")).collect()
    }

    fn next_endpoint(&self) -> Option<String> {
        let line = self.stdout.recv_timeout(LIMIT).ok()?;
        Some(line.strip_prefix("listening ").expect("a line of stdout").to_owned())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Where it listens, in the order of its lines.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |line: &String| line.strip_prefix("tcp://").unwrap().parse().unwrap();
        self.endpoints.iter().map(address).collect()
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process alone: others may go on writing to its log.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("still running: {:#?}", self.seen),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next line of the log, seen or to come, that contains all of `parts`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, parts: &[&str]) -> String {
        match self.seen.iter().find(|line| fits(line, parts)) {
            Some(line) => line.clone(),
            None => self.wait_for_next(parts),
        }
    }

    /// The next line of the log to come that contains all of `parts`.
    #[track_caller]
    pub(crate) fn wait_for_next(&mut self, parts: &[&str]) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if fits(&line, parts) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {parts:?}: {error}; {:#?}", self.seen),
            }
        }
    }

    /// Waits until it exits. Returns the code, and all of its log.
    #[track_caller]
    pub(crate) fn exit(mut self) -> (i32, Vec<String>) {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                // Its end of stderr closes when it exits.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("still running: {:#?}", self.seen),
            }
        }
        let status = self.child.wait().unwrap();
        let code = status.code().unwrap_or_else(|| panic!("{status}: {:#?}", self.seen));
        (code, std::mem::take(&mut self.seen))
    }

    /// Ends it with SIGTERM. Returns its books, which must add up, and its log.
    #[track_caller]
    pub(crate) fn finish(self) -> (Books, Vec<String>) {
        self.signal(Signal::TERM);
        let (code, log) = self.exit();
        assert_eq!(code, 0, "{log:#?}");
        let books = Books::parse(log.last().unwrap());
        assert_eq!(books.ends.values().sum::<u64>(), books.accepted, "{books:?}");
        assert!(books.frames_answered <= books.frames_received, "{books:?}");
        (books, log)
    }
}

impl Drop for Volleyd {
    fn drop(&mut self) {
        // It may have exited, and been waited for, already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Books {
    /// From `accepted=3 refused=0 frames_received=7 … ends="closed=2, cut off=1"`, with anything
    /// before.
    #[track_caller]
    pub(crate) fn parse(line: &str) -> Self {
        let (_, books) = line.split_once("accepted=").unwrap_or_else(|| panic!("no books: {line}"));
        let (counts, ends) = books.split_once(" ends=\"").unwrap();
        let numbers: Vec<u64> = counts
            .split_whitespace()
            .map(|field| field.rsplit('=').next().unwrap().parse().unwrap())
            .collect();
        let [accepted, refused, frames_received, frames_answered, payload_bytes] = numbers[..]
        else {
            panic!("other books: {line}");
        };
        let ends = ends.split_once('"').unwrap().0;
        let ends = ends
            .split(", ")
            .filter(|end| !end.is_empty())
            .map(|end| {
                let (end, count) = end.rsplit_once('=').unwrap();
                (end.to_owned(), count.parse().unwrap())
            })
            .collect();
        Self { accepted, refused, frames_received, frames_answered, payload_bytes, ends }
    }

    pub(crate) fn ended(&self, end: &str) -> u64 {
        self.ends.get(end).copied().unwrap_or(0)
    }
}

/// Has `command` start with these sockets, from descriptor 3 on, as a service manager does.
pub(crate) fn pass<'a>(
    command: &mut Command,
    sockets: impl IntoIterator<Item = (&'a str, OwnedFd)>,
) {
    let (names, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    let mappings =
        (3..).zip(sockets).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).unwrap();
}

/// Runs the daemon where it can't stay up. Returns its code, its stdout and its stderr.
#[track_caller]
pub(crate) fn exit_of(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Volleyd::command();
    command.args(arguments).envs(environment.iter().copied());
    exit_of_command(command)
}

/// The same of a command.
#[track_caller]
pub(crate) fn exit_of_command(mut command: Command) -> (i32, String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = lines(child.stdout.take().unwrap());
    let log = lines(child.stderr.take().unwrap());
    let (_, nothing) = mpsc::channel();
    let daemon = Volleyd { child, endpoints: Vec::new(), stdout: nothing, log, seen: Vec::new() };
    let (code, log) = daemon.exit();
    let stdout: Vec<String> = stdout.iter().collect();
    (code, stdout.join("\n"), log.join("\n"))
}

fn fits(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}

/// The lines of a stream, as they come.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Tells that a test is skipped when `program` can't be started.
pub(crate) fn program_is_missing(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    let missing = tried.is_err();
    if missing {
        println!("skipped: there is no {program}");
    }
    missing
}

/// Tells that a test is skipped when nothing can listen on `::1`.
pub(crate) fn ipv6_is_missing() -> bool {
    let missing = TcpListener::bind("[::1]:0").is_err();
    if missing {
        println!("skipped: there is no IPv6");
    }
    missing
}
