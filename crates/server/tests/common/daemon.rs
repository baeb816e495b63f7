//! The daemon as a process: started, read, signalled, and never left behind.

use std::collections::BTreeMap;
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
use volley_tests::Admin;

use super::{LIMIT, Peer};

/// A running daemon. Dropped, its books must balance, and it is killed.
#[derive(Debug)]
pub(crate) struct Volleyd {
    child: Child,
    /// What it printed after `listening `, one for each line.
    pub(crate) endpoints: Vec<String>,
    stdout: Receiver<String>,
    /// What it printed after `admin `.
    admin: Option<Admin>,
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
        copy_program(Path::new(env!("CARGO_BIN_EXE_volleyd")), path);
        Self::clean(Command::new(path))
    }

    fn clean(mut command: Command) -> Command {
        let heeded = ["RUST_LOG", "NO_COLOR", "NOTIFY_SOCKET"];
        let passed =
            ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"];
        for name in heeded.into_iter().chain(passed) {
            command.env_remove(name);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VOLLEYD_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// With an admin listener. Waits until it and as many listeners have been announced.
    pub(crate) fn spawn(mut command: Command, listeners: usize) -> Self {
        command.args(["--admin", "127.0.0.1:0"]);
        Self::spawn_with(command, listeners, true)
    }

    /// Without an admin listener, where a test counts descriptors, or where a look at the books
    /// would give the daemon time that it shall not have.
    pub(crate) fn spawn_alone(command: Command, listeners: usize) -> Self {
        Self::spawn_with(command, listeners, false)
    }

    /// As asked for by the command's own arguments.
    pub(crate) fn spawn_with(mut command: Command, listeners: usize, admin: bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let nothing = Vec::new();
        let mut daemon =
            Self { child, endpoints: nothing, admin: None, stdout, log, seen: Vec::new() };
        let mut prefixes = vec!["listening "; listeners];
        prefixes.extend(admin.then_some("admin "));
        for prefix in prefixes {
            let Ok(line) = daemon.stdout.recv_timeout(LIMIT) else {
                let (code, log) = daemon.exit();
                panic!("it exited with {code} before it listened: {log:#?}");
            };
            let endpoint = line.strip_prefix(prefix).expect("a line of stdout");
            match prefix {
                "admin " => daemon.admin = Some(Admin::at(endpoint)),
                _ => daemon.endpoints.push(endpoint.to_owned()),
            }
        }
        daemon
    }

    /// Where so many further listeners are announced, and the admin listener behind them, if it has
    /// one.
    pub(crate) fn more_endpoints(&self, listeners: usize) -> Vec<String> {
        let endpoints = (0..listeners).map(|_| self.next_line("listening ")).collect();
        if let Some(admin) = &self.admin {
            assert_eq!(self.next_line("admin "), admin.endpoint, "it is handed over too");
        }
        endpoints
    }

    #[track_caller]
    fn next_line(&self, prefix: &str) -> String {
        let line = self.stdout.recv_timeout(LIMIT).expect("a listener");
        line.strip_prefix(prefix).expect("a line of stdout").to_owned()
    }

    /// Its admin listener.
    #[track_caller]
    pub(crate) fn admin(&self) -> &Admin {
        self.admin.as_ref().expect("it was started with one")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Where it listens by TCP, TLS or not, in the order of its lines.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let of_tcp = |line: &'_ String| {
            line.strip_prefix("tcp://").or_else(|| line.strip_prefix("tls://")).map(str::to_owned)
        };
        let addresses = self.endpoints.iter().filter_map(of_tcp);
        addresses.map(|address| address.parse().unwrap()).collect()
    }

    /// Where the `at`th listener receives datagrams.
    pub(crate) fn udp(&self, at: usize) -> SocketAddr {
        self.endpoints[at].strip_prefix("udp://").unwrap().parse().unwrap()
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

    /// A line of the log that has come by now and contains all of `parts`.
    pub(crate) fn seen_so_far(&mut self, parts: &[&str]) -> Option<String> {
        self.seen.extend(self.log.try_iter());
        self.seen.iter().find(|line| fits(line, parts)).cloned()
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

    /// Ends it with SIGTERM. Returns its books, which must add up, before that and in the end, and
    /// its log.
    #[track_caller]
    pub(crate) fn finish(self) -> (Books, Vec<String>) {
        if let Some(admin) = &self.admin {
            admin.check_books();
        }
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
        let is_over = thread::panicking() || !matches!(self.child.try_wait(), Ok(None));
        if let Some(admin) = self.admin.take().filter(|_| !is_over) {
            admin.check_books_if_alive();
        }
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
    let daemon = Volleyd {
        child,
        endpoints: Vec::new(),
        admin: None,
        stdout: nothing,
        log,
        seen: Vec::new(),
    };
    let (code, log) = daemon.exit();
    let stdout: Vec<String> = stdout.iter().collect();
    (code, stdout.join("\n"), log.join("\n"))
}

/// Copies a file that is going to be run, with its mode. Another process does it: one that another
/// test forks from this one meanwhile would have the copy open for writing too, and the system runs
/// no such file (`ETXTBSY`, execve(2)).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-p").arg(from).arg(to).status().unwrap().success());
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
